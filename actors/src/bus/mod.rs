//! The bus: typed hook topics between the plugins of one node.
//!
//! What a topic is and what each kind promises stands in [`sedge_plugin::topic`]. This is the engine behind it.
//!
//! ```
//! use sedge_actors::Bus;
//! use sedge_plugin::prelude::*;
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let bus = Bus::default();
//! let mut stops = bus.subscribe::<topics::NodeStopping>(&Id::new("me").unwrap(), Options::default());
//! bus.publish::<topics::NodeStopping>(()).await;
//! assert!(stops.take().is_some());
//! # }
//! ```
//!
//! Dispatch takes no lock: it reads a table that never changes. A change builds the next table and swaps it in, so a
//! dispatch sees either all of a plugin's subscriptions or none. The bus knows nothing of what it carries.

mod around;
mod dispatch;
mod history;
mod queue;
mod subscription;
pub(crate) mod table;

use std::any::{Any, TypeId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use sedge_plugin::context::Erased;
use sedge_plugin::topic::{Around, Chain, Chained, Collect, First, Next, Observe, Options, Topic};
use sedge_plugin::{BoxFuture, Id, PluginError};

pub(crate) use around::Wrapper;
pub(crate) use dispatch::{fire_around, fire_chain, fire_collect, fire_first};
use history::History;
pub(crate) use queue::{Bell, Queue};
pub use subscription::Subscription;
use table::{Action, Entry, Payload, Slot, Slots, Table};
pub use table::{SubscriberView, TopicView};

/// Registrations that one plugin may have.
const ORDERS: u64 = 1 << 16;

#[derive(Default)]
struct Shared {
    table: ArcSwap<Table>,
    /// Held by whoever makes the next table, and by whoever fires a historic topic; by no other dispatch.
    history: Mutex<History>,
    order: AtomicU64,
}

/// The bus of a node. Cheap to clone; clones are one bus.
#[derive(Clone, Default)]
pub struct Bus {
    shared: Arc<Shared>,
}

impl Bus {
    /// Sends a message to every observer. Returns at once unless a subscriber whose queue is full asked for
    /// [`Overflow::Wait`](sedge_plugin::topic::Overflow::Wait).
    #[inline]
    pub async fn publish<T: Topic<Kind = Observe>>(&self, message: impl Into<Arc<T::Message>>) {
        for wait in self.offer::<T>(&message.into()) {
            wait.await;
        }
    }

    /// As [`publish`](Self::publish), but does not wait: what is left to wait for is returned.
    #[inline]
    pub(crate) fn offer<T: Topic<Kind = Observe>>(
        &self,
        message: &Arc<T::Message>,
    ) -> Vec<BoxFuture<'static, ()>> {
        let _kept = T::HISTORIC
            .then(|| self.keep(TypeId::of::<T>(), T::key(message).cloned(), message.clone() as Payload));
        match self.shared.table.load().entry::<T>() {
            Some(entry) => entry.offer(message),
            None => Vec::new(),
        }
    }

    /// Fires an observe topic from where nothing can be awaited.
    pub(crate) fn tell<T: Topic<Kind = Observe>>(&self, message: T::Message) {
        let waits = self.offer::<T>(&Arc::new(message));
        if !waits.is_empty() {
            tokio::spawn(async move {
                for wait in waits {
                    wait.await;
                }
            });
        }
    }

    /// As [`publish`](Self::publish), of a topic whose type is not known here. `keep` has the key of a message that is to
    /// be replayed.
    pub(crate) async fn publish_any(&self, topic: TypeId, message: Payload, keep: Option<Option<Id>>) {
        let waits = {
            let _kept = keep.map(|key| self.keep(topic, key, message.clone()));
            self.shared.table.load().any(topic).map(|entry| entry.publish(message)).unwrap_or_default()
        };
        for wait in waits {
            wait.await;
        }
    }

    /// Fires a topic that is answered and whose type is not known here. The message comes back where nobody subscribes.
    pub(crate) fn fire_any(
        &self,
        topic: TypeId,
        message: Erased,
    ) -> BoxFuture<'static, Result<Erased, Erased>> {
        match self.shared.table.load().any(topic) {
            Some(entry) => entry.fire(self.clone(), message),
            None => Box::pin(std::future::ready(Err(message))),
        }
    }

    /// Keeps a message for those who come late; none of them comes while this is held.
    fn keep(&self, topic: TypeId, key: Option<Id>, message: Payload) -> MutexGuard<'_, History> {
        let mut history = self.history();
        history.keep(topic, key, message);
        history
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.shared.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a message through the steps of a chain. A step that fails is logged and skipped: what it was shown goes on.
    pub async fn chain<T: Topic<Kind = Chain>>(&self, message: T::Message) -> Chained<T::Message>
    where
        T::Message: Clone,
    {
        let slots = {
            let table = self.shared.table.load();
            let Some(entry) = table.entry::<T>() else { return Chained::Passed(message) };
            let slots = entry.slots(&message);
            if slots.iter().all(|slot| matches!(slot.action, Action::Inline(_))) {
                return dispatch::chain_inline(self, slots, message);
            }
            // Steps that are asked take their time: the slots are kept, the table is let go.
            slots.clone()
        };
        dispatch::chain(self, slots, message).await
    }

    /// As [`chain`](Self::chain), through the inline steps alone.
    pub(crate) fn chain_inline<T: Topic<Kind = Chain>>(&self, message: T::Message) -> Chained<T::Message> {
        match self.shared.table.load().entry::<T>() {
            Some(entry) => dispatch::chain_inline(self, entry.slots(&message), message),
            None => Chained::Passed(message),
        }
    }

    /// Asks every subscriber, all at once; their answers in order.
    pub async fn collect<T: Topic<Kind = Collect>>(
        &self,
        message: impl Into<Arc<T::Message>>,
    ) -> Vec<(Id, T::Answer)> {
        self.collect_from::<T>(message.into(), |_| true).await
    }

    /// As [`collect`](Self::collect), of some owners alone.
    pub(crate) async fn collect_from<T: Topic<Kind = Collect>>(
        &self,
        message: Arc<T::Message>,
        whose: impl Fn(&Id) -> bool,
    ) -> Vec<(Id, T::Answer)> {
        let mut slots = self.slots::<T>(&message);
        slots.retain(|slot| whose(&slot.owner));
        dispatch::collect(self, slots, message).await
    }

    /// Asks one subscriber after the other until one answers.
    pub async fn first<T: Topic<Kind = First>>(
        &self,
        message: impl Into<Arc<T::Message>>,
    ) -> Option<(Id, T::Answer)> {
        let message = message.into();
        dispatch::first(self, self.slots::<T>(&message), message).await
    }

    /// Runs `core` within what the subscribers wrap around it. It runs at most once.
    ///
    /// # Errors
    /// When a wrapper began it, failed, and did not wait for its end.
    pub async fn around<T: Topic<Kind = Around>>(
        &self,
        message: T::Message,
        core: impl FnOnce(T::Message) -> BoxFuture<'static, T::Answer> + Send + 'static,
    ) -> Result<T::Answer, PluginError>
    where
        T::Message: Clone,
        T::Answer: Clone + Sync,
    {
        let slots = self.slots::<T>(&message);
        if slots.is_empty() {
            return Ok(core(message).await);
        }
        let core = Next::new(move |message| {
            let core = core(message);
            Box::pin(async move { Ok(core.await) })
        });
        around::run(self.clone(), slots, 0, message, core).await
    }

    /// Subscribes something that is not a plugin: the node's own view, a test. Ends when it is dropped.
    pub fn subscribe<T: Topic<Kind = Observe>>(&self, owner: &Id, options: Options) -> Subscription<T> {
        let bell = Arc::new(Bell::default());
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Arc::new(Queue::new(&options, bell.clone(), dropped.clone()));
        let order = self.next_orders();
        let action = Action::Observe(queue.clone());
        self.update(|table| table.insert(slot::<T>(owner, order, options, action), None));
        Subscription { bus: self.clone(), owner: owner.clone(), order, queue, bell, dropped }
    }

    /// Removes all subscriptions of an owner.
    pub(crate) fn unsubscribe(&self, owner: &Id) {
        self.update(|table| table.remove(owner, None));
    }

    /// Each topic that has subscribers, with them in the order in which they run.
    pub fn topics(&self) -> Vec<TopicView> {
        self.shared.table.load().topics()
    }

    /// Messages of a topic that wait in the fullest of its queues.
    pub fn waiting<T: Topic<Kind = Observe>>(&self) -> usize {
        self.shared.table.load().entry::<T>().map_or(0, Entry::waiting)
    }

    /// The first of a block of numbers that say who registered earlier.
    pub(crate) fn next_orders(&self) -> u64 {
        self.shared.order.fetch_add(ORDERS, Ordering::Relaxed)
    }

    /// Makes the next table and swaps it in.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Table)) {
        let history = self.history();
        let mut next = Table::clone(&self.shared.table.load());
        change(&mut next);
        let replays = next.take_replays();
        self.shared.table.store(Arc::new(next));
        replays.into_iter().for_each(|replay| replay(&history));
    }

    fn slots<T: Topic>(&self, message: &T::Message) -> Slots<T> {
        let table = self.shared.table.load();
        table.entry::<T>().map(|entry: &Entry<T>| entry.slots(message).clone()).unwrap_or_default()
    }
}

/// A subscription that has not failed yet.
pub(crate) fn slot<T: Topic>(owner: &Id, order: u64, options: Options, action: Action<T>) -> Slot<T> {
    Slot { owner: owner.clone(), order, options, action, edge: table::Edge::default() }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
