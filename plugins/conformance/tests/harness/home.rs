//! Where a plugin can live, and how a node is told of one that lives there.

use std::time::Duration;

use sedge_actors::{PluginSpec, RestartPolicy};
use sedge_conformance::{chip::Chip, out, probe, step};
use sedge_hal::Seat;
use sedge_plugin::grant::Grants;
use sedge_plugin::{Id, ProcessorKind, SensorKind};
use sedge_plugins::processor::{Applies, ProcessorArgs, ProcessorPlugin};
use sedge_plugins::sensor::{SensorArgs, SensorPlugin};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

pub use super::component::{Component, ComponentApart};
use super::node::World;
pub use super::outside::{ProcessPython, ProcessRust};

/// What plugin is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Probe,
    Chip,
    Step,
    Judge,
    Out,
}

impl Part {
    pub const ALL: &'static [Self] = &[Self::Probe, Self::Chip, Self::Step, Self::Judge, Self::Out];

    /// The name in its manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Chip => "probe-chip",
            Self::Step => "probe-step",
            Self::Judge => "probe-judge",
            Self::Out => "probe-out",
        }
    }
}

/// An instance of it, as a section of a config would have it.
#[derive(Debug, Clone)]
pub struct Instance {
    pub id: Id,
    pub part: Part,
    pub settings: Json,
    pub grants: Grants,
    /// Of a sensor: how often it is read.
    pub every: Duration,
    /// Of a sensor: its address.
    pub address: u8,
    /// How long its set-up may take.
    pub start: Duration,
    /// Started when it is called, and stopped when it was not for so long.
    pub idle: Option<Duration>,
}

impl Instance {
    pub fn new(part: Part, id: &str) -> Self {
        Self {
            id: Id::new(id).expect("an id"),
            part,
            settings: json!({}),
            grants: Grants::default(),
            every: Duration::from_millis(50),
            address: 0x48,
            start: Duration::from_secs(10),
            idle: None,
        }
    }

    pub fn probe(id: &str) -> Self {
        Self::new(Part::Probe, id)
    }

    /// With these settings besides.
    pub fn settings(mut self, settings: Json) -> Self {
        for (key, value) in settings.as_object().expect("an object") {
            self.settings[key] = value.clone();
        }
        self
    }

    pub fn grant(self, grants: Json) -> Self {
        let Grants { topics, .. } = self.grants;
        let grants: Grants = serde_json::from_value(grants).expect("grants");
        Self { grants: Grants { topics, ..grants }, ..self }
    }

    /// Wants to hear these topics, or to be a step of them.
    pub fn wants(self, topics: &[&str]) -> Self {
        self.settings(json!({ "topics": topics }))
    }

    /// As it is kept: all the time, or on demand.
    pub fn kept(&self, spec: PluginSpec) -> PluginSpec {
        match self.idle {
            Some(idle) => spec.on_demand(idle),
            None => spec,
        }
    }

    /// Wants it, and is granted it.
    pub fn hears(mut self, topics: &[&str]) -> Self {
        self.grants.topics = topics.iter().map(|&topic| topic.into()).collect();
        self.wants(topics)
    }
}

/// What every instance is kept by, in every home: quick, so that nobody waits for a pause.
pub fn policy() -> RestartPolicy {
    RestartPolicy {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(400),
        probe: Duration::from_millis(800),
        ..RestartPolicy::default()
    }
}

/// Where a plugin can live.
pub trait Home: Sync {
    /// As the modules of the tests are called.
    fn name(&self) -> &'static str;
    /// As the table has it.
    fn title(&self) -> &'static str;
    /// What this machine lacks for it.
    fn missing(&self) -> Option<String> {
        None
    }
    /// Whether the lack of something is a failure.
    fn is_required(&self) -> bool {
        true
    }
    /// Whether it is this very process, which can let time stand still.
    fn is_within(&self) -> bool {
        false
    }
    /// Makes what its plugins are made of, before anybody looks at a clock.
    fn prepare(&self) {}
    /// Whether it is WebAssembly.
    fn is_component(&self) -> bool {
        false
    }
    /// What a node is told of an instance.
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec;
}

/// All homes, as the columns of the table.
pub const HOMES: &[&dyn Home] = &[&InProcess, &ProcessRust, &ProcessPython, &Component, &ComponentApart];

/// Compiled in.
pub struct InProcess;

static CHIP: SensorKind = SensorKind::i2c::<Chip>();
static STEP: ProcessorKind = ProcessorKind::of::<step::Changes>();
static JUDGE: ProcessorKind = ProcessorKind::of::<step::Judges>();

impl Home for InProcess {
    fn name(&self) -> &'static str {
        "in_process"
    }
    fn title(&self) -> &'static str {
        "compiled in"
    }
    fn is_within(&self) -> bool {
        true
    }
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec {
        let Instance { id, part, settings, .. } = instance.clone();
        let processor = |kind| ProcessorArgs::new(kind, settings.clone(), Applies::all(100));
        let spec = match part {
            Part::Probe => PluginSpec::new::<probe::Probe>(id, typed(&settings)),
            Part::Chip => PluginSpec::new::<SensorPlugin>(
                id,
                SensorArgs {
                    kind: &CHIP,
                    bus: world.bus.bus().expect("a thread"),
                    bus_name: "i2c-1".into(),
                    seat: Seat::Number(instance.address),
                    every: instance.every,
                    settings: settings.clone(),
                    power: None,
                },
            ),
            Part::Step => PluginSpec::new::<ProcessorPlugin>(id, processor(&STEP)),
            Part::Judge => PluginSpec::new::<ProcessorPlugin>(id, processor(&JUDGE)),
            Part::Out => PluginSpec::new::<out::Out>(id, typed(&settings)),
        };
        let spec = spec.kind(part.name()).policy(policy());
        instance.kept(spec.deadlines(instance.start, Duration::from_secs(5)))
    }
}

fn typed<T: DeserializeOwned>(settings: &Json) -> T {
    T::deserialize(settings).expect("settings that fit their schema")
}
