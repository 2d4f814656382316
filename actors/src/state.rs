//! What all parts of a running node share: the bus, the clock, the directory, the counters.
//!
//! The directory is a snapshot that is replaced whole; readers never wait.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use sedge_plugin::http::HttpClient;
use sedge_plugin::journal::Journal;
use sedge_plugin::metrics::{Counter, Registry};
use sedge_plugin::topic::Chained;
use sedge_plugin::topics::{Describe, PluginStateChanged, SensorChange, SensorChanged};
use sedge_plugin::{
    Clock, Directory, Id, Name, NodeInfo, PluginStatus, Reading, RemoteNode, Requirement, SensorDescriptor,
    Tool,
};
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::bus::Bus;
use crate::plugins::roll::Roll;
use crate::store::Stores;

/// Says what is wrong where a requirement is not met.
pub type CheckRequirement = Arc<dyn Fn(&Requirement<String>) -> Result<(), String> + Send + Sync>;

/// What a node has around it, and the engine does not know how to make.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// Where plugins keep their data; none where there is no place.
    pub data: Option<PathBuf>,
    /// Sends requests over HTTP; none where nothing does.
    pub http: Option<Arc<dyn HttpClient>>,
    /// Looks whether the host has what a plugin requires; without it all is taken to be there.
    pub requirements: Option<CheckRequirement>,
    /// Keeps every accepted reading; none where nothing is kept.
    pub journal: Option<Arc<dyn Journal>>,
    /// The node's config, secrets masked.
    pub config: Arc<Json>,
}

/// A sensor, as the path of a reading sees it.
pub(crate) struct Source {
    /// The plugin that announced it.
    pub(crate) plugin: Id,
    /// The last number given.
    seq: AtomicU64,
    /// As its plugin announced it, before processors had their say.
    announced: ArcSwap<SensorDescriptor>,
    latest: ArcSwapOption<Reading>,
}

impl Source {
    fn new(plugin: &Id, sensor: &SensorDescriptor, seq: u64) -> Self {
        Self {
            plugin: plugin.clone(),
            seq: AtomicU64::new(seq),
            announced: ArcSwap::from_pointee(sensor.clone()),
            latest: ArcSwapOption::empty(),
        }
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a reading as the latest. One from elsewhere may be late, as from an outage: it does not take the place of a
    /// newer one.
    pub(crate) fn keep(&self, reading: Arc<Reading>) {
        let newer = |latest: &Reading| latest.taken.up_ms > reading.taken.up_ms;
        if reading.origin.is_some() && self.latest.load().as_ref().is_some_and(|latest| newer(latest)) {
            return;
        }
        self.latest.store(Some(reading));
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

/// The same as metrics of the node's own.
pub(crate) struct Counters {
    pub(crate) delivered: Counter,
    pub(crate) suppressed: Counter,
    pub(crate) rejected: Counter,
}

impl Counters {
    fn new(metrics: &Registry) -> Self {
        Self {
            delivered: node_counter(
                metrics,
                "readings_delivered",
                "Readings that were numbered and delivered.",
            ),
            suppressed: node_counter(metrics, "readings_suppressed", "Readings that processors held back."),
            rejected: node_counter(
                metrics,
                "readings_rejected",
                "Readings that validators marked `rejected`.",
            ),
        }
    }
}

/// Under whose name the node itself counts.
pub(crate) fn node_itself() -> Id {
    Id::sanitized("node", "node")
}

/// A counter of the node's own. Should the name be taken, it is counted for nobody.
pub(crate) fn node_counter(metrics: &Registry, name: &str, help: &'static str) -> Counter {
    let counter = Name::new(name).ok().and_then(|name| metrics.counter(&node_itself(), name, help).ok());
    counter.unwrap_or_default()
}

pub(crate) struct NodeState {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) metrics: Arc<Registry>,
    pub(crate) stores: Stores,
    pub(crate) http: Option<Arc<dyn HttpClient>>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) config: ArcSwap<Json>,
    requirements: Option<CheckRequirement>,
    directory: ArcSwap<Directory>,
    sources: ArcSwap<HashMap<Id, Arc<Source>>>,
    /// Told when a plugin changes its state.
    pub(crate) changed: Notify,
    /// The keepers of its plugins.
    pub(crate) roll: Arc<Roll>,
    /// Held by whoever makes the next snapshot; never by a reader, never across an await.
    writer: Mutex<()>,
}

impl NodeState {
    pub(crate) fn new(info: NodeInfo, clock: Arc<dyn Clock>, around: Surroundings) -> Self {
        let directory = Directory {
            node: info,
            sensors: BTreeMap::new(),
            tools: BTreeMap::new(),
            plugins: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        let metrics = Arc::<Registry>::default();
        Self {
            bus: Bus::default(),
            clock,
            counters: Counters::new(&metrics),
            metrics,
            stores: Stores::new(around.data),
            http: around.http,
            journal: around.journal,
            config: ArcSwap::new(around.config),
            requirements: around.requirements,
            directory: ArcSwap::from_pointee(directory),
            sources: ArcSwap::default(),
            changed: Notify::new(),
            roll: Arc::default(),
            writer: Mutex::new(()),
        }
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            delivered: self.counters.delivered.get(),
            suppressed: self.counters.suppressed.get(),
            rejected: self.counters.rejected.get(),
        }
    }

    /// What of a plugin's requirements the host does not have.
    pub(crate) fn unmet(&self, requirements: &[Requirement<String>]) -> Option<String> {
        let check = self.requirements.as_ref()?;
        requirements.iter().find_map(|requirement| check(requirement).err())
    }

    pub(crate) fn source(&self, sensor: &Id) -> Option<Arc<Source>> {
        self.sources.load().get(sensor).cloned()
    }

    pub(crate) fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
        self.sources.load().get(sensor)?.latest.load_full()
    }

    /// Makes a sensor known. One of another plugin is left as it is: that a name is taken is found before the start.
    pub(crate) fn announce(&self, plugin: &Id, sensor: SensorDescriptor) -> bool {
        let described = self.described(&sensor);
        let changed = self.change(|directory| {
            let sources = self.sources.load();
            let source = match sources.get(&sensor.id) {
                Some(source) if source.plugin == *plugin => source.clone(),
                Some(source) if directory.plugins.contains_key(&source.plugin) => return None,
                // New, or of a plugin that is gone from the config: the numbers go on.
                former => {
                    let seq = former.map_or(0, |former| former.seq.load(Ordering::Relaxed));
                    let source = Arc::new(Source::new(plugin, &sensor, seq));
                    let mut next = HashMap::clone(&sources);
                    next.insert(sensor.id.clone(), source.clone());
                    self.sources.store(Arc::new(next));
                    source
                }
            };
            source.announced.store(Arc::new(sensor));
            let same = directory.sensors.get(&described.id).is_some_and(|before| **before == described);
            directory.sensors.insert(described.id.clone(), Arc::new(described.clone()));
            Some(!same)
        });
        if changed == Some(true) {
            self.bus.tell::<SensorChanged>(SensorChange::Announced(described));
        }
        changed.is_some()
    }

    /// What processors make of a sensor's fields.
    fn described(&self, sensor: &SensorDescriptor) -> SensorDescriptor {
        let described = match self.bus.chain_inline::<Describe>(sensor.clone()) {
            Chained::Passed(described) => described,
            Chained::Vetoed { .. } => sensor.clone(),
        };
        // A step may describe anew what is told and how often, not make another sensor of it.
        SensorDescriptor { fields: described.fields, interval: described.interval, ..sensor.clone() }
    }

    /// Describes all sensors anew: a processor came or went.
    pub(crate) fn describe_again(&self) {
        for (id, before) in &self.directory().sensors {
            let Some(source) = self.source(id) else { continue };
            let described = self.described(&source.announced.load());
            if described == **before {
                continue;
            }
            let there = self.change(|directory| {
                directory.sensors.get_mut(id).map(|sensor| *sensor = Arc::new(described.clone())).is_some()
            });
            if there {
                self.bus.tell::<SensorChanged>(SensorChange::Announced(described));
            }
        }
    }

    /// Takes a sensor back. Its numbering goes on should it come again.
    pub(crate) fn withdraw(&self, plugin: &Id, sensor: &Id) {
        let Some(source) = self.source(sensor).filter(|source| source.plugin == *plugin) else { return };
        source.latest.store(None);
        if self.change(|directory| directory.sensors.remove(sensor)).is_some() {
            self.bus.tell::<SensorChanged>(SensorChange::Gone(sensor.clone()));
        }
    }

    /// Takes back all sensors of a plugin.
    pub(crate) fn withdraw_all(&self, plugin: &Id) {
        let owned = |sensor: &&Id| self.source(sensor).is_some_and(|source| source.plugin == *plugin);
        let sensors: Vec<Id> = self.directory().sensors.keys().filter(owned).cloned().collect();
        sensors.iter().for_each(|sensor| self.withdraw(plugin, sensor));
    }

    /// A plugin, and what it has of services.
    pub(crate) fn with_services(&self, plugin: &Id) -> Vec<Id> {
        let directory = self.directory();
        let services = directory.plugins.values().filter(|status| status.service_of.as_ref() == Some(plugin));
        services.map(|status| status.id.clone()).chain([plugin.clone()]).collect()
    }

    pub(crate) fn set_status(&self, status: PluginStatus) {
        self.change(|directory| directory.plugins.insert(status.id.clone(), Arc::new(status.clone())));
        self.changed.notify_waiters();
        self.bus.tell::<PluginStateChanged>(status);
    }

    /// Lists plugins that are to be started, so that nobody else takes their ids. One that is listed stays as it is.
    pub(crate) fn discover(&self, plugins: impl Iterator<Item = PluginStatus>) {
        self.change(|directory| {
            for status in plugins {
                directory.plugins.entry(status.id.clone()).or_insert_with(|| Arc::new(status));
            }
        });
    }

    /// Takes a plugin out of the directory.
    pub(crate) fn remove_status(&self, plugin: &Id) {
        self.change(|directory| directory.plugins.remove(plugin));
        self.changed.notify_waiters();
    }

    pub(crate) fn set_tools(&self, tools: BTreeMap<Name, Arc<Tool>>) {
        self.change(|directory| directory.tools = tools);
    }

    pub(crate) fn set_node(&self, node: RemoteNode) {
        self.change(|directory| directory.nodes.insert(node.id.clone(), Arc::new(node)));
    }

    pub(crate) fn remove_node(&self, node: &Id) {
        self.change(|directory| directory.nodes.remove(node));
    }

    pub(crate) fn set_info(&self, info: NodeInfo) {
        self.change(|directory| directory.node = info);
    }

    fn change<R>(&self, change: impl FnOnce(&mut Directory) -> R) -> R {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Directory::clone(&self.directory.load());
        let result = change(&mut next);
        self.directory.store(Arc::new(next));
        result
    }
}
