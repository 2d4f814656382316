//! The board itself as sensors: processor, memory, disks, networks, temperatures, supply.
//!
//! ```toml
//! [plugin.system]
//! every = "10s"
//! ```
//!
//! One sensor `system`, and one for each disk (`system-disk-root`), network interface (`system-net-eth0`) and
//! thermometer (`system-temp-cpu-thermal-temp1`) of the board; they come and go with what they are about. A Raspberry Pi
//! has `system-supply` too, which says whether its voltage is too low.
//!
//! The kernel is asked on a thread of its own: asking a disk for its free space waits for as long as the disk
//! does not answer. Processes are never listed.

mod probe;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

pub use probe::{Disk, Memory, Network, Snapshot, Temperature};
use sedge_hal::Worker;
use sedge_plugin::prelude::*;

/// Settings of `[plugin.system]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often the board is looked at; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        Self { every: Every::secs(10) }
    }
}

type Source = Box<dyn FnMut() -> Result<Snapshot, String> + Send>;

/// What the plugin is given: outlives its restarts, so a disk that hangs holds one thread, not one per
/// restart.
pub struct SystemArgs {
    source: Worker<Source>,
    settings: Settings,
}

impl SystemArgs {
    /// Looks at this board.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let mut probe = probe::Probe::default();
        Self::with(settings, move || probe.snapshot())
    }

    /// Looks at what `source` tells, as a test does.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn with(
        settings: Settings,
        source: impl FnMut() -> Result<Snapshot, String> + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self { source: Worker::spawn("system", move || Box::new(source) as Source)?, settings })
    }
}

/// The board.
pub struct System {
    ctx: Context,
    source: Worker<Source>,
    every: Duration,
    before: Option<(Duration, Vec<Network>)>,
    announced: BTreeMap<Id, &'static [Field]>,
}

impl Plugin for System {
    type Args = SystemArgs;
    const MANIFEST: Manifest = Manifest::new(
        "system",
        env!("CARGO_PKG_VERSION"),
        "Measures the board: processor, memory, disks, networks, temperatures.",
    )
    .author(crate::AUTHOR)
    .category(Category::Sensor)
    .tags(&["processor", "memory", "disk", "network"]);

    async fn setup(args: &SystemArgs, ctx: Context) -> Result<Self, PluginError> {
        let every = args.settings.every.0;
        if every < Duration::from_secs(1) {
            return Err(PluginError::Settings(format!("every = \"{}\": at least 1s", Every(every)).into()));
        }
        let source = args.source.clone();
        Ok(Self { ctx, source, every, before: None, announced: BTreeMap::new() })
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let answer = self.source.ask(|source| source()).await;
        let answer = answer.map_err(|error| PluginError::failed(format!("the probe: {error}")))?;
        let snapshot = answer.map_err(PluginError::failed)?;
        let up = self.ctx.clock().up();
        let before = self.before.take().map(|(then, networks)| (up.saturating_sub(then), networks));
        let parts = view::parts(self.ctx.id(), up, &snapshot, before);
        self.before = Some((up, snapshot.networks));
        self.announce(&parts);
        for part in parts {
            self.ctx.submit(&part.id, part.frame).await?;
        }
        Ok(())
    }
}

impl System {
    fn announce(&mut self, parts: &[view::Part]) {
        let here: BTreeSet<&Id> = parts.iter().map(|part| &part.id).collect();
        self.announced.retain(|id, _| {
            let stays = here.contains(id);
            if !stays {
                self.ctx.withdraw(id);
            }
            stays
        });
        for part in parts {
            if self.announced.insert(part.id.clone(), part.fields) == Some(part.fields) {
                continue;
            }
            let Manifest { name, version, .. } = Self::MANIFEST;
            let descriptor = SensorDescriptor::new(part.id.clone(), name, version, &part.place, part.fields);
            self.ctx.announce(descriptor.every(self.every));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    fn eth0(received: u64) -> Network {
        Network { name: "eth0".into(), received, transmitted: 0 }
    }

    /// A plugin that sees what the returned snapshot says.
    fn watching(node: &TestNode) -> (Arc<Mutex<Snapshot>>, System) {
        let board = Arc::new(Mutex::new(Snapshot { networks: vec![eth0(1000)], ..Snapshot::default() }));
        let seen = board.clone();
        let args = SystemArgs::with(Settings::default(), move || Ok(seen.lock().unwrap().clone())).unwrap();
        let system = block_on(System::setup(&args, node.context("system"))).unwrap();
        (board, system)
    }

    #[test]
    fn a_rate_needs_two_looks_and_is_per_second_of_the_clock() {
        let node = TestNode::new();
        let (board, mut system) = watching(&node);
        let rate = |node: &TestNode| {
            let drafts = node.submitted();
            let draft = drafts.iter().find(|draft| draft.sensor.as_str() == "system-net-eth0").unwrap();
            draft.frame.samples.iter().find(|sample| sample.field == "rx_rate").unwrap().value.clone()
        };
        block_on(system.tick()).unwrap();
        assert_eq!(rate(&node), Err("first".into()));
        node.clock().advance(Duration::from_secs(10));
        board.lock().unwrap().networks = vec![eth0(6000)];
        block_on(system.tick()).unwrap();
        assert_eq!(rate(&node), Ok(Value::Number(500.0)));
    }

    #[test]
    fn what_comes_is_announced_and_what_goes_is_withdrawn() {
        let node = TestNode::new();
        let (board, mut system) = watching(&node);
        let ids = |node: &TestNode| node.sensors().keys().map(Id::to_string).collect::<Vec<_>>();
        block_on(system.tick()).unwrap();
        assert_eq!(ids(&node), ["system", "system-net-eth0"]);
        let stick =
            Disk { mount: "/media/stick".into(), total: 8 << 30, available: 2 << 30, ..Disk::default() };
        *board.lock().unwrap() = Snapshot { disks: vec![stick], ..Snapshot::default() };
        block_on(system.tick()).unwrap();
        assert_eq!(ids(&node), ["system", "system-disk-media-stick"]);
    }

    #[test]
    fn swap_that_is_switched_on_becomes_a_field() {
        let node = TestNode::new();
        let (board, mut system) = watching(&node);
        block_on(system.tick()).unwrap();
        assert!(!node.sensors()["system"].fields.contains_key("swap_used"));
        board.lock().unwrap().memory = Memory { swap_total: 100, swap_used: 25, ..Memory::default() };
        block_on(system.tick()).unwrap();
        assert!(node.sensors()["system"].fields.contains_key("swap_used"));
    }

    #[test]
    fn a_probe_that_fails_or_panics_fails_the_beat_alone() {
        let node = TestNode::new();
        let mut looks = 0;
        let args = SystemArgs::with(Settings::default(), move || {
            looks += 1;
            match looks {
                1 => Err("no /proc".into()),
                2 => panic!("a bug"),
                _ => Ok(Snapshot::default()),
            }
        })
        .unwrap();
        let mut system = block_on(System::setup(&args, node.context("system"))).unwrap();
        assert_eq!(block_on(system.tick()), Err(PluginError::Failed("no /proc".into())));
        assert!(matches!(block_on(system.tick()), Err(PluginError::Failed(text)) if text.contains("a bug")));
        assert_eq!(block_on(system.tick()), Ok(()));
    }

    #[test]
    fn a_cadence_below_a_second_is_refused() {
        let settings: Settings = serde_json::from_str(r#"{ "every": "100ms" }"#).unwrap();
        let args = SystemArgs::with(settings, || Ok(Snapshot::default())).unwrap();
        let node = TestNode::new();
        let error = block_on(System::setup(&args, node.context("system"))).err();
        assert!(matches!(error, Some(PluginError::Settings(_))));
    }
}
