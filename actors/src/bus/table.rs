//! The table of subscriptions. It never changes: a change makes a new one, which takes the old one's place at once.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sedge_plugin::topic::{Options, Step, Topic};
use sedge_plugin::{BoxFuture, Id, PluginError};

use super::queue::Queue;

/// A message or an answer whose type only its topic knows.
pub(crate) type Payload = Arc<dyn Any + Send + Sync>;
pub(crate) type Reply = Box<dyn Any + Send>;

/// Asks a plugin that answers on its own time.
pub(crate) trait Ask: Send + Sync {
    /// Sends `message` to the plugin's hook number `hook`; what comes back is the hook's result.
    fn ask(
        &self,
        hook: usize,
        message: Payload,
        deadline: Duration,
    ) -> BoxFuture<'static, Result<Reply, PluginError>>;
}

/// Tells whether a failure is the first of several.
#[derive(Default)]
pub(crate) struct Edge {
    failing: AtomicBool,
    count: AtomicU64,
}

impl Edge {
    /// True for the first failure after a success.
    pub(crate) fn failed(&self) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        !self.failing.swap(true, Ordering::Relaxed)
    }

    /// The number of failures, when this success is the first after them.
    pub(crate) fn recovered(&self) -> Option<u64> {
        if !self.failing.load(Ordering::Relaxed) {
            return None;
        }
        self.failing.store(false, Ordering::Relaxed);
        Some(self.count.swap(0, Ordering::Relaxed))
    }
}

type InlineStep<M> = Box<dyn Fn(&M) -> Result<Step<M>, PluginError> + Send + Sync>;

/// What one subscriber does with a topic.
pub(crate) enum Action<T: Topic> {
    Observe(Arc<Queue<T::Message>>),
    Inline(InlineStep<T::Message>),
    Ask { asker: Arc<dyn Ask>, hook: usize },
}

/// One subscription.
pub(crate) struct Slot<T: Topic> {
    pub(crate) owner: Id,
    /// Counts activations and registrations: what decides between equal priorities.
    pub(crate) order: u64,
    pub(crate) options: Options,
    pub(crate) action: Action<T>,
    pub(crate) edge: Edge,
}

/// The subscriptions of one topic, in the order in which they run.
pub(crate) struct Entry<T: Topic> {
    pub(crate) slots: Vec<Arc<Slot<T>>>,
}

/// An entry whose topic is not known here.
pub(crate) trait AnyEntry: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn publish(&self, message: Payload) -> Vec<BoxFuture<'static, ()>>;
    /// The entry without an owner's subscriptions; none where nothing is left.
    fn without(&self, owner: &Id, order: Option<u64>) -> Option<Arc<dyn AnyEntry>>;
    fn topic(&self) -> (&'static str, Vec<Id>);
}

impl<T: Topic> AnyEntry for Entry<T> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn publish(&self, message: Payload) -> Vec<BoxFuture<'static, ()>> {
        match message.downcast::<T::Message>() {
            Ok(message) => self.offer(&message),
            Err(_) => Vec::new(),
        }
    }

    fn without(&self, owner: &Id, order: Option<u64>) -> Option<Arc<dyn AnyEntry>> {
        let goes = |slot: &Slot<T>| slot.owner == *owner && order.is_none_or(|order| order == slot.order);
        let slots: Vec<_> = self.slots.iter().filter(|slot| !goes(slot)).cloned().collect();
        if slots.is_empty() { None } else { Some(Arc::new(Self { slots })) }
    }

    fn topic(&self) -> (&'static str, Vec<Id>) {
        (T::NAME, self.slots.iter().map(|slot| slot.owner.clone()).collect())
    }
}

impl<T: Topic> Entry<T> {
    pub(crate) fn waiting(&self) -> usize {
        let waiting = |slot: &Arc<Slot<T>>| match &slot.action {
            Action::Observe(queue) => queue.len(),
            Action::Inline(_) | Action::Ask { .. } => 0,
        };
        self.slots.iter().map(waiting).max().unwrap_or(0)
    }

    /// Puts a message into the queue of every observer. What is returned still waits for room.
    #[inline]
    pub(crate) fn offer(&self, message: &Arc<T::Message>) -> Vec<BoxFuture<'static, ()>> {
        let mut waits: Vec<BoxFuture<'static, ()>> = Vec::new();
        for slot in &self.slots {
            if let Action::Observe(queue) = &slot.action
                && let Err(message) = queue.offer(message.clone())
            {
                let queue = queue.clone();
                waits.push(Box::pin(async move { queue.wait(message).await }));
            }
        }
        waits
    }
}

/// A `TypeId` is a hash already.
#[derive(Default)]
pub(crate) struct TypeIdHasher(u64);

impl Hasher for TypeIdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

/// All subscriptions.
#[derive(Default, Clone)]
pub(crate) struct Table {
    entries: HashMap<TypeId, Arc<dyn AnyEntry>, BuildHasherDefault<TypeIdHasher>>,
}

impl Table {
    pub(crate) fn entry<T: Topic>(&self) -> Option<&Entry<T>> {
        self.entries.get(&TypeId::of::<T>())?.as_any().downcast_ref()
    }

    pub(crate) fn any(&self, topic: TypeId) -> Option<&Arc<dyn AnyEntry>> {
        self.entries.get(&topic)
    }

    /// Puts a subscription where its priority and order say.
    pub(crate) fn insert<T: Topic>(&mut self, slot: Slot<T>) {
        let mut slots = self.entry::<T>().map(|entry| entry.slots.clone()).unwrap_or_default();
        let key = |slot: &Slot<T>| (slot.options.priority, slot.order);
        let at = slots.partition_point(|other| key(other) <= key(&slot));
        slots.insert(at, Arc::new(slot));
        self.entries.insert(TypeId::of::<T>(), Arc::new(Entry { slots }));
    }

    /// Takes out an owner's subscriptions: all of them, or the one of that order.
    pub(crate) fn remove(&mut self, owner: &Id, order: Option<u64>) {
        self.entries = std::mem::take(&mut self.entries)
            .into_iter()
            .filter_map(|(topic, entry)| Some((topic, entry.without(owner, order)?)))
            .collect();
    }

    pub(crate) fn topics(&self) -> Vec<(&'static str, Vec<Id>)> {
        let mut topics: Vec<_> = self.entries.values().map(|entry| entry.topic()).collect();
        topics.sort_unstable_by_key(|topic| topic.0);
        topics
    }
}
