//! What all parts of a running node share: the bus, the clock, the directory, the counters.
//!
//! The directory is a snapshot that is replaced whole; readers never wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sedge_plugin::topic::{Observe, Topic};
use sedge_plugin::topics::{PluginStateChanged, SensorChange, SensorChanged};
use sedge_plugin::{Clock, Directory, Id, Name, NodeInfo, PluginStatus, SensorDescriptor, Tool};

use crate::bus::Bus;

/// A sensor, as the path of a reading sees it.
pub(crate) struct Source {
    /// The plugin that announced it.
    pub(crate) plugin: Id,
    /// The last number given.
    seq: AtomicU64,
}

impl Source {
    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What became of readings since the node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Numbered and delivered.
    pub delivered: u64,
    /// Held back by a processor, on purpose.
    pub suppressed: u64,
    /// Marked `rejected` by a validator, and delivered.
    pub rejected: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) delivered: AtomicU64,
    pub(crate) suppressed: AtomicU64,
    pub(crate) rejected: AtomicU64,
}

pub(crate) struct NodeState {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    directory: ArcSwap<Directory>,
    sources: ArcSwap<HashMap<Id, Arc<Source>>>,
    /// Held by whoever makes the next snapshot; never by a reader, never across an await.
    writer: Mutex<()>,
}

impl NodeState {
    pub(crate) fn new(info: NodeInfo, clock: Arc<dyn Clock>) -> Self {
        let directory = Directory {
            node: info,
            sensors: BTreeMap::new(),
            tools: BTreeMap::new(),
            plugins: BTreeMap::new(),
        };
        Self {
            bus: Bus::default(),
            clock,
            counters: Counters::default(),
            directory: ArcSwap::from_pointee(directory),
            sources: ArcSwap::default(),
            writer: Mutex::new(()),
        }
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            delivered: of(&self.counters.delivered),
            suppressed: of(&self.counters.suppressed),
            rejected: of(&self.counters.rejected),
        }
    }

    pub(crate) fn source(&self, sensor: &Id) -> Option<Arc<Source>> {
        self.sources.load().get(sensor).cloned()
    }

    /// Makes a sensor known. One of another plugin is left as it is: that a name is taken is found before the start.
    pub(crate) fn announce(&self, plugin: &Id, sensor: SensorDescriptor) -> bool {
        let changed = self.change(|directory| {
            let mut sources = HashMap::clone(&self.sources.load());
            let source = sources
                .entry(sensor.id.clone())
                .or_insert_with(|| Arc::new(Source { plugin: plugin.clone(), seq: AtomicU64::new(0) }));
            if source.plugin != *plugin {
                return None;
            }
            self.sources.store(Arc::new(sources));
            let same = directory.sensors.get(&sensor.id) == Some(&sensor);
            directory.sensors.insert(sensor.id.clone(), sensor.clone());
            Some(!same)
        });
        if changed == Some(true) {
            self.tell::<SensorChanged>(SensorChange::Announced(sensor));
        }
        changed.is_some()
    }

    /// Takes a sensor back. Its numbering goes on should it come again.
    pub(crate) fn withdraw(&self, plugin: &Id, sensor: &Id) {
        let owned = self.source(sensor).is_some_and(|source| source.plugin == *plugin);
        if owned && self.change(|directory| directory.sensors.remove(sensor)).is_some() {
            self.tell::<SensorChanged>(SensorChange::Gone(sensor.clone()));
        }
    }

    /// Takes back all sensors of a plugin.
    pub(crate) fn withdraw_all(&self, plugin: &Id) {
        let owned = |sensor: &&Id| self.source(sensor).is_some_and(|source| source.plugin == *plugin);
        let sensors: Vec<Id> = self.directory().sensors.keys().filter(owned).cloned().collect();
        sensors.iter().for_each(|sensor| self.withdraw(plugin, sensor));
    }

    pub(crate) fn set_status(&self, status: PluginStatus) {
        self.change(|directory| directory.plugins.insert(status.id.clone(), status.clone()));
        self.tell::<PluginStateChanged>(status);
    }

    pub(crate) fn set_tools(&self, tools: BTreeMap<Name, Tool>) {
        self.change(|directory| directory.tools = tools);
    }

    /// Fires an observe topic from where nothing can be awaited.
    pub(crate) fn tell<T: Topic<Kind = Observe>>(&self, message: T::Message) {
        let waits = self.bus.offer::<T>(&Arc::new(message));
        if !waits.is_empty() {
            tokio::spawn(async move {
                for wait in waits {
                    wait.await;
                }
            });
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Directory) -> R) -> R {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Directory::clone(&self.directory.load());
        let result = change(&mut next);
        self.directory.store(Arc::new(next));
        result
    }
}
