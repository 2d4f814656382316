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

mod queue;
mod subscription;
pub(crate) mod table;

use std::any::{Any, TypeId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sedge_plugin::topic::{Chain, Collect, First, Observe, Options, Step, Topic};
use sedge_plugin::{BoxFuture, Id, PluginError};
use tracing::{info, warn};

pub(crate) use queue::{Bell, Queue};
pub use subscription::Subscription;
use table::{Action, Entry, Payload, Slot, Table};

/// Registrations that one plugin may have.
const ORDERS: u64 = 1 << 16;

/// How a chain ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Chained<M> {
    /// All steps ran; this is what the last one left.
    Passed(M),
    /// A step stopped it.
    Vetoed {
        /// The message as that step was shown it.
        message: M,
        /// Whose step it was.
        by: Id,
        /// Why.
        reason: String,
    },
}

#[derive(Default)]
struct Shared {
    table: ArcSwap<Table>,
    /// Held by whoever makes the next table; never by dispatch.
    writer: Mutex<()>,
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
        match self.shared.table.load().entry::<T>() {
            Some(entry) => entry.offer(message),
            None => Vec::new(),
        }
    }

    pub(crate) async fn publish_any(&self, topic: TypeId, message: Payload) {
        let waits =
            self.shared.table.load().any(topic).map(|entry| entry.publish(message)).unwrap_or_default();
        for wait in waits {
            wait.await;
        }
    }

    /// Runs a message through the steps of a chain. A step that fails is logged and skipped: what it was shown goes on.
    pub async fn chain<T: Topic<Kind = Chain>>(&self, mut message: T::Message) -> Chained<T::Message>
    where
        T::Message: Clone,
    {
        let table = self.shared.table.load();
        let Some(entry) = table.entry::<T>() else { return Chained::Passed(message) };
        if entry.slots.iter().all(|slot| matches!(slot.action, Action::Inline(_))) {
            return run_inline(&entry.slots, message);
        }
        // Steps that are asked take their time: the slots are kept, the table is let go.
        let slots = entry.slots.clone();
        drop(table);
        for slot in slots {
            let step = match &slot.action {
                Action::Inline(step) => inline(&slot, step, &message),
                Action::Ask { .. } => {
                    let shared = Arc::new(message);
                    let step = ask::<T, Step<T::Message>>(&slot, shared.clone()).await;
                    message = Arc::try_unwrap(shared).unwrap_or_else(|shared| T::Message::clone(&shared));
                    step
                }
                Action::Observe(_) => None,
            };
            match step {
                Some(Step::Replace(next)) => message = next,
                Some(Step::Veto(reason)) => {
                    return Chained::Vetoed { message, by: slot.owner.clone(), reason };
                }
                Some(Step::Pass) | None => {}
            }
        }
        Chained::Passed(message)
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
        let slots: Vec<_> = self.slots::<T>().into_iter().filter(|slot| whose(&slot.owner)).collect();
        // Begun all before the first is awaited: one that is slow does not hold up the asking of the next.
        let asked: Vec<_> =
            slots.iter().map(|slot| ask::<T, Option<T::Answer>>(slot, message.clone())).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for (slot, answer) in slots.iter().zip(asked) {
            if let Some(Some(answer)) = answer.await {
                answers.push((slot.owner.clone(), answer));
            }
        }
        answers
    }

    /// Asks one subscriber after the other until one answers.
    pub async fn first<T: Topic<Kind = First>>(
        &self,
        message: impl Into<Arc<T::Message>>,
    ) -> Option<(Id, T::Answer)> {
        let message = message.into();
        for slot in self.slots::<T>() {
            if let Some(Some(answer)) = ask::<T, Option<T::Answer>>(&slot, message.clone()).await {
                return Some((slot.owner.clone(), answer));
            }
        }
        None
    }

    /// Subscribes something that is not a plugin: the node's own view, a test. Ends when it is dropped.
    pub fn subscribe<T: Topic<Kind = Observe>>(&self, owner: &Id, options: Options) -> Subscription<T> {
        let bell = Arc::new(Bell::default());
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Arc::new(Queue::new(&options, bell.clone(), dropped.clone()));
        let order = self.next_orders();
        self.update(|table| table.insert(slot::<T>(owner, order, options, Action::Observe(queue.clone()))));
        Subscription { bus: self.clone(), owner: owner.clone(), order, queue, bell, dropped }
    }

    /// Removes all subscriptions of an owner.
    pub(crate) fn unsubscribe(&self, owner: &Id) {
        self.update(|table| table.remove(owner, None));
    }

    /// Each topic that has subscribers, with their ids in the order in which they run.
    pub fn topics(&self) -> Vec<(&'static str, Vec<Id>)> {
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
        let _writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table::clone(&self.shared.table.load());
        change(&mut next);
        self.shared.table.store(Arc::new(next));
    }

    fn slots<T: Topic>(&self) -> Vec<Arc<Slot<T>>> {
        self.shared.table.load().entry::<T>().map(|entry: &Entry<T>| entry.slots.clone()).unwrap_or_default()
    }
}

/// A subscription that has not failed yet.
pub(crate) fn slot<T: Topic>(owner: &Id, order: u64, options: Options, action: Action<T>) -> Slot<T> {
    Slot { owner: owner.clone(), order, options, action, edge: table::Edge::default() }
}

fn run_inline<T: Topic<Kind = Chain>>(
    slots: &[Arc<Slot<T>>],
    mut message: T::Message,
) -> Chained<T::Message> {
    for slot in slots {
        let Action::Inline(step) = &slot.action else { continue };
        match inline(slot, step, &message) {
            Some(Step::Replace(next)) => message = next,
            Some(Step::Veto(reason)) => return Chained::Vetoed { message, by: slot.owner.clone(), reason },
            Some(Step::Pass) | None => {}
        }
    }
    Chained::Passed(message)
}

#[inline]
fn inline<T: Topic, S>(slot: &Slot<T>, step: &S, message: &T::Message) -> Option<Step<T::Message>>
where
    S: Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + ?Sized,
{
    // The step is shown the message and owns nothing: a panic leaves nothing half done but its own state.
    match catch_unwind(AssertUnwindSafe(|| step(message))) {
        Ok(Ok(step)) => {
            well(slot);
            Some(step)
        }
        Ok(Err(error)) => amiss(slot, &error.to_string()),
        Err(panic) => amiss(slot, &format!("panicked: {}", panic_text(panic.as_ref()))),
    }
}

/// Asks the plugin behind a slot. None where it failed; that is logged, once per row of failures.
fn ask<T: Topic, R: Any>(
    slot: &Arc<Slot<T>>,
    message: Arc<T::Message>,
) -> impl Future<Output = Option<R>> + Send + use<T, R> {
    let asked = match &slot.action {
        Action::Ask { asker, hook } => Some(asker.ask(*hook, message, slot.options.deadline)),
        Action::Observe(_) | Action::Inline(_) => None,
    };
    let slot = slot.clone();
    async move {
        match asked?.await {
            Ok(reply) => {
                well(&slot);
                reply.downcast::<R>().ok().map(|reply| *reply)
            }
            Err(error) => amiss(&slot, &error.to_string()),
        }
    }
}

#[inline]
fn well<T: Topic>(slot: &Slot<T>) {
    if let Some(failures) = slot.edge.recovered() {
        info!(plugin = %slot.owner, topic = T::NAME, failures, "A hook works again.");
    }
}

#[cold]
fn amiss<T: Topic, R>(slot: &Slot<T>, error: &str) -> Option<R> {
    if slot.edge.failed() {
        warn!(plugin = %slot.owner, topic = T::NAME, error, "A hook failed and was skipped.");
    }
    None
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
