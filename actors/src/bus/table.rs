//! The table of subscriptions. It never changes: a change makes a new one, which takes the old one's place at once.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sedge_plugin::context::Erased;
use sedge_plugin::topic::{Kind, Options, Overflow, Place, Step, Topic};
use sedge_plugin::{BoxFuture, Id, PluginError};
use serde::Serialize;

use super::Bus;
use super::history::{History, Replay};
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
    Ask {
        asker: Arc<dyn Ask>,
        hook: usize,
    },
    /// A [`Wrapper`](super::around::Wrapper), whose type stands for around topics alone.
    Around(Box<dyn Any + Send + Sync>),
}

/// Fires a topic whose type the caller does not know; the message is of the topic's, and so is what comes back.
pub(crate) type Fire<T> = fn(Bus, &Entry<T>, Erased) -> BoxFuture<'static, Result<Erased, Erased>>;

/// Subscriptions in the order in which they run.
pub(crate) type Slots<T> = Vec<Arc<Slot<T>>>;

/// One subscription.
pub(crate) struct Slot<T: Topic> {
    pub(crate) owner: Id,
    /// Counts activations and registrations: what decides between equal priorities.
    pub(crate) order: u64,
    pub(crate) options: Options,
    pub(crate) action: Action<T>,
    pub(crate) edge: Edge,
}

impl<T: Topic> Slot<T> {
    fn key(&self) -> (Place, i32, u64) {
        (self.options.place, self.options.priority, self.order)
    }
}

/// The subscriptions of one topic, in the order in which they run.
pub(crate) struct Entry<T: Topic> {
    /// All of them.
    all: Slots<T>,
    /// Those of messages that nobody asked for by key.
    general: Slots<T>,
    /// Those of messages about a key, the general ones included.
    keyed: HashMap<Id, Slots<T>>,
    fire: Option<Fire<T>>,
}

impl<T: Topic> Clone for Entry<T> {
    fn clone(&self) -> Self {
        let Self { all, general, keyed, fire } = self;
        Self { all: all.clone(), general: general.clone(), keyed: keyed.clone(), fire: *fire }
    }
}

impl<T: Topic> Entry<T> {
    fn new(fire: Option<Fire<T>>) -> Self {
        Self { all: Vec::new(), general: Vec::new(), keyed: HashMap::new(), fire }
    }

    /// The subscriptions that a message is for.
    #[inline]
    pub(crate) fn slots(&self, message: &T::Message) -> &Slots<T> {
        if self.keyed.is_empty() {
            return &self.general;
        }
        T::key(message).and_then(|key| self.keyed.get(key)).unwrap_or(&self.general)
    }

    fn insert(&mut self, slot: &Arc<Slot<T>>) {
        let put = |slots: &mut Slots<T>| {
            let at = slots.partition_point(|other| other.key() <= slot.key());
            slots.insert(at, slot.clone());
        };
        put(&mut self.all);
        match &slot.options.only {
            None => {
                put(&mut self.general);
                self.keyed.values_mut().for_each(put);
            }
            Some(keys) => {
                for key in keys.iter() {
                    put(self.keyed.entry(key.clone()).or_insert_with(|| self.general.clone()));
                }
            }
        }
    }
}

/// An entry whose topic is not known here.
pub(crate) trait AnyEntry: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn publish(&self, message: Payload) -> Vec<BoxFuture<'static, ()>>;
    fn fire(&self, bus: Bus, message: Erased) -> BoxFuture<'static, Result<Erased, Erased>>;
    /// The entry without an owner's subscriptions; none where nothing is left.
    fn without(&self, owner: &Id, order: Option<u64>) -> Option<Arc<dyn AnyEntry>>;
    fn has(&self, owner: &Id) -> bool;
    fn view(&self) -> TopicView;
}

/// A topic that somebody subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicView {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// The type of its messages.
    pub message: &'static str,
    /// Who fires it, when, and what a subscriber may do.
    pub doc: &'static str,
    /// In the order in which they run.
    pub subscribers: Vec<SubscriberView>,
}

/// Somebody who subscribes to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubscriberView {
    /// Whose it is.
    pub plugin: Id,
    /// Lower runs earlier.
    pub priority: i32,
    /// `first` or `last`, where it is marked so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<&'static str>,
    /// `queue`, `inline`, `asked` or `around`.
    pub how: &'static str,
    /// The messages that it gets; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<Id>>,
    /// Of a queue: what happens when it is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<&'static str>,
    /// Of a queue: how many fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<usize>,
    /// Of a queue: how many wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// How long one message may take, in milliseconds.
    pub deadline_ms: u64,
}

fn view<T: Topic>(slot: &Slot<T>) -> SubscriberView {
    let Options { priority, place, only, capacity, overflow, deadline } = &slot.options;
    let (how, queue) = match &slot.action {
        Action::Observe(queue) => ("queue", Some(queue)),
        Action::Inline(_) => ("inline", None),
        Action::Ask { .. } => ("asked", None),
        Action::Around(_) => ("around", None),
    };
    let overflow = match overflow {
        Overflow::DropOldest => "drop_oldest",
        Overflow::DropNewest => "drop_newest",
        Overflow::Wait => "wait",
    };
    SubscriberView {
        plugin: slot.owner.clone(),
        priority: *priority,
        place: match place {
            Place::First => Some("first"),
            Place::Normal => None,
            Place::Last => Some("last"),
        },
        how,
        only: only.as_ref().map(|only| only.iter().cloned().collect()),
        overflow: queue.map(|_| overflow),
        capacity: queue.map(|_| *capacity),
        waiting: queue.map(|queue| queue.len()),
        deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
    }
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

    fn fire(&self, bus: Bus, message: Erased) -> BoxFuture<'static, Result<Erased, Erased>> {
        match self.fire {
            Some(fire) => fire(bus, self, message),
            None => Box::pin(std::future::ready(Err(message))),
        }
    }

    fn without(&self, owner: &Id, order: Option<u64>) -> Option<Arc<dyn AnyEntry>> {
        let goes = |slot: &Slot<T>| slot.owner == *owner && order.is_none_or(|order| order == slot.order);
        let gone: Vec<_> = self.all.iter().filter(|slot| goes(slot)).collect();
        let mut next = self.clone();
        next.all.retain(|slot| !goes(slot));
        if next.all.is_empty() {
            return None;
        }
        if gone.iter().any(|slot| slot.options.only.is_none()) {
            next.general.retain(|slot| !goes(slot));
            next.keyed.values_mut().for_each(|slots| slots.retain(|slot| !goes(slot)));
        }
        for key in gone.iter().flat_map(|slot| slot.options.only.iter().flat_map(|keys| keys.iter())) {
            let Some(slots) = next.keyed.get_mut(key) else { continue };
            slots.retain(|slot| !goes(slot));
            if slots.iter().all(|slot| slot.options.only.is_none()) {
                next.keyed.remove(key);
            }
        }
        Some(Arc::new(next))
    }

    fn has(&self, owner: &Id) -> bool {
        self.all.iter().any(|slot| slot.owner == *owner)
    }

    fn view(&self) -> TopicView {
        TopicView {
            name: T::NAME,
            kind: T::Kind::NAME,
            message: type_name::<T::Message>(),
            doc: T::DOC,
            subscribers: self.all.iter().map(|slot| view(slot)).collect(),
        }
    }
}

impl<T: Topic> Entry<T> {
    pub(crate) fn waiting(&self) -> usize {
        let waiting = |slot: &Arc<Slot<T>>| match &slot.action {
            Action::Observe(queue) => queue.len(),
            Action::Inline(_) | Action::Ask { .. } | Action::Around(_) => 0,
        };
        self.all.iter().map(waiting).max().unwrap_or(0)
    }

    /// Puts a message into the queue of every observer. What is returned still waits for room.
    #[inline]
    pub(crate) fn offer(&self, message: &Arc<T::Message>) -> Vec<BoxFuture<'static, ()>> {
        let mut waits: Vec<BoxFuture<'static, ()>> = Vec::new();
        for slot in self.slots(message) {
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
#[derive(Default)]
pub(crate) struct Table {
    entries: HashMap<TypeId, Arc<dyn AnyEntry>, BuildHasherDefault<TypeIdHasher>>,
    /// What is to be told to new observers once the table is in place.
    replays: Vec<Replay>,
}

impl Clone for Table {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), replays: Vec::new() }
    }
}

impl Table {
    pub(crate) fn entry<T: Topic>(&self) -> Option<&Entry<T>> {
        self.entries.get(&TypeId::of::<T>())?.as_any().downcast_ref()
    }

    pub(crate) fn any(&self, topic: TypeId) -> Option<&Arc<dyn AnyEntry>> {
        self.entries.get(&topic)
    }

    /// Puts a subscription where its place, its priority and its order say.
    pub(crate) fn insert<T: Topic>(&mut self, slot: Slot<T>, fire: Option<Fire<T>>) {
        let slot = Arc::new(slot);
        if let (true, Action::Observe(queue)) = (T::HISTORIC, &slot.action) {
            self.replays.push(History::replay::<T>(queue.clone(), slot.options.only.clone()));
        }
        let mut entry = self.entry::<T>().cloned().unwrap_or_else(|| Entry::new(fire));
        entry.insert(&slot);
        self.entries.insert(TypeId::of::<T>(), Arc::new(entry));
    }

    /// Takes out an owner's subscriptions: all of them, or the one of that order.
    pub(crate) fn remove(&mut self, owner: &Id, order: Option<u64>) {
        self.entries.retain(|_, entry| {
            if !entry.has(owner) {
                return true;
            }
            let rest = entry.without(owner, order);
            rest.map(|rest| *entry = rest).is_some()
        });
    }

    pub(crate) fn take_replays(&mut self) -> Vec<Replay> {
        std::mem::take(&mut self.replays)
    }

    pub(crate) fn topics(&self) -> Vec<TopicView> {
        let mut topics: Vec<_> = self.entries.values().map(|entry| entry.view()).collect();
        topics.sort_unstable_by_key(|topic| topic.name);
        topics
    }
}
