//! Makes a plugin of a processor: its sensors, its place among the others, its health, which an author inherits.
//!
//! A sensor may name a chain of its own, `process = ["a", "b"]`, and a processor may be for some sensors or for all. A
//! reading goes through its sensor's own chain first, in that order; then through the others, by priority; last through
//! [`plausible`](crate::plausible), which rounds. Validators run after all of them, then those that hold back, both in the
//! same order among themselves. Descriptors go through all of them in one order, so that units and ranges follow.
//!
//! ```
//! use sedge_plugin::{Id, Plugin, testing::{TestNode, block_on}};
//! use sedge_plugins::{processor::{Applies, ProcessorArgs, ProcessorPlugin}, processors};
//!
//! let applies = Applies { chains: [(Id::new("porch").unwrap(), 0)].into(), ..Applies::all(100) };
//! let settings = serde_json::json!({ "to": "°F" });
//! let args = ProcessorArgs::new(processors::kind("convert").unwrap(), settings, applies);
//! assert!(block_on(ProcessorPlugin::setup(&args, TestNode::new().context("imperial"))).is_ok());
//! ```
//!
//! Its steps run in whoever submits; it holds a lock only while a step runs, one for all sensors. What a processor keeps of
//! a sensor does not outlive it: it is forgotten when the sensor is gone, or has become another one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sedge_plugin::prelude::*;
use sedge_plugin::processor::Processing;
use sedge_plugin::topic::Place;
use sedge_plugin::topics::SensorChange;
use serde_json::Value as Json;

use crate::processors::common::Memory;

/// The priority of the first place of a sensor's own chain. Places are below 100, where the others begin.
pub const OWN_CHAIN: i32 = 10;
/// Processors that a sensor's own chain may name, at most.
pub const LONGEST_CHAIN: u16 = 90;

/// The priorities of the others: after all own chains, before rounding.
pub const PRIORITIES: RangeInclusive<i32> = 100..=999;

/// What a processor is given: outlives its restarts.
pub struct ProcessorArgs {
    /// What it is.
    pub kind: &'static ProcessorKind,
    /// Its own settings, which fit the schema of its kind.
    pub settings: Json,
    /// Whose readings it sees, and where it stands.
    pub applies: Applies,
    /// The one that the steps of the newest start share, on its way from its hooks to its set-up.
    made: Mutex<Option<Shared>>,
}

impl ProcessorArgs {
    /// What a processor of that kind is given.
    pub fn new(kind: &'static ProcessorKind, settings: Json, applies: Applies) -> Self {
        Self { kind, settings, applies, made: Mutex::default() }
    }
}

/// Whose readings a processor sees, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applies {
    /// The sensors that it is for; none for all of them.
    pub sensors: Option<BTreeSet<Id>>,
    /// Its place among the processors that are no sensor's own: lower runs earlier. 100 to 999, 100 is the usual one.
    pub priority: i32,
    /// The sensors that name it in their own chain, whether or not it is for them, with its place there from 0. It sees
    /// their readings there and not once more.
    pub chains: BTreeMap<Id, u16>,
}

impl Applies {
    /// To all sensors.
    pub fn all(priority: i32) -> Self {
        Self { sensors: None, priority, chains: BTreeMap::new() }
    }

    /// To some sensors.
    pub fn to(sensors: impl IntoIterator<Item = Id>, priority: i32) -> Self {
        Self { sensors: Some(sensors.into_iter().collect()), ..Self::all(priority) }
    }

    /// How it subscribes: once for each place of an own chain, and once for all others.
    fn places(&self) -> Vec<Options> {
        let mut chains = BTreeMap::<u16, Vec<Id>>::new();
        for (sensor, place) in &self.chains {
            chains.entry(*place).or_default().push(sensor.clone());
        }
        let own = chains.into_iter().map(|(place, sensors)| own_chain(place).only(sensors));
        let others = Options::priority(self.priority);
        let others = match &self.sensors {
            None => Some(others),
            Some(sensors) => {
                let rest: Vec<Id> =
                    sensors.iter().filter(|id| !self.chains.contains_key(*id)).cloned().collect();
                (!rest.is_empty()).then(|| others.only(rest))
            }
        };
        own.chain(others).collect()
    }
}

fn own_chain(place: u16) -> Options {
    Options::priority(OWN_CHAIN + i32::from(place.min(LONGEST_CHAIN - 1)))
}

/// A processor. What it remembers it shares with its steps.
pub struct ProcessorPlugin(Shared);

impl Plugin for ProcessorPlugin {
    type Args = ProcessorArgs;
    const MANIFEST: Manifest = Manifest::new(
        "processor",
        env!("CARGO_PKG_VERSION"),
        "Changes, judges or holds back readings on their way.",
    )
    .author(crate::AUTHOR)
    .category(Category::Processor);

    async fn setup(args: &ProcessorArgs, ctx: Context) -> Result<Self, PluginError> {
        if args.applies.chains.values().any(|place| *place >= LONGEST_CHAIN) {
            let text = format!("a sensor's `process` names at most {LONGEST_CHAIN} processors");
            return Err(PluginError::Settings(text.into()));
        }
        // It was made with the hooks; where it was not, this says why.
        let made = args.made.lock().unwrap_or_else(PoisonError::into_inner).take();
        match made {
            Some(shared) => Ok(Self(shared)),
            None => Ok(Self(Shared::new(make(args, &ctx)?, &ctx))),
        }
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &ProcessorArgs, ctx: &Context) {
        let Ok(processor) = make(args, ctx) else { return };
        let shared = Shared::new(processor, ctx);
        for options in args.applies.places() {
            // The one that is for all sensors leaves out those that have it in their own chain.
            let elsewhere =
                if options.only.is_none() { args.applies.chains.clone() } else { BTreeMap::new() };
            register(hooks, args.kind, options, Arc::new(elsewhere), &shared);
        }
        hooks.observe::<topics::SensorChanged>(Options::default());
        *args.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
    }
}

impl Observer<topics::SensorChanged> for ProcessorPlugin {
    async fn observe(&mut self, change: Arc<SensorChange>) -> Result<(), PluginError> {
        // One that is back by now was forgotten when it was described.
        if let SensorChange::Gone(sensor) = &*change
            && !self.0.ctx.directory().sensors.contains_key(sensor)
        {
            self.0.lock().processor.forget(sensor);
        }
        Ok(())
    }
}

fn make(args: &ProcessorArgs, ctx: &Context) -> Result<Box<dyn Processing>, PluginError> {
    let (priority, first, last) = (args.applies.priority, PRIORITIES.start(), PRIORITIES.end());
    if !PRIORITIES.contains(&priority) {
        let text = format!("`priority` is {priority}, not within {first} to {last}");
        return Err(PluginError::Settings(text.into()));
    }
    let processor = (args.kind.make)(&args.settings, ctx)?;
    if args.applies.sensors.is_none() {
        processor.for_all()?;
    }
    Ok(processor)
}

/// What the steps of a processor share.
#[derive(Clone)]
struct Shared {
    ctx: Context,
    working: Arc<Mutex<Working>>,
}

struct Working {
    processor: Box<dyn Processing>,
    /// The sensors as they were shown to it last.
    shown: Memory<Option<SensorDescriptor>>,
}

impl Shared {
    fn new(processor: Box<dyn Processing>, ctx: &Context) -> Self {
        let working = Working { processor, shown: Memory::default() };
        Self { ctx: ctx.clone(), working: Arc::new(Mutex::new(working)) }
    }

    /// A step that panicked was told by the node; what it kept is as good as it was before.
    fn lock(&self) -> MutexGuard<'_, Working> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, sensor: &SensorDescriptor) -> Step<SensorDescriptor> {
        // All are described again when any processor comes or goes. That alone is no reason to forget.
        let announced = !self.ctx.directory().sensors.contains_key(&sensor.id);
        let mut working = self.lock();
        let before = working.shown.of(&sensor.id).replace(sensor.clone());
        if announced || before.is_some_and(|before| before != *sensor) {
            working.processor.forget(&sensor.id);
        }
        let mut described = sensor.clone();
        working.processor.describe(&mut described);
        if described == *sensor { Step::Pass } else { Step::Replace(described) }
    }
}

fn register(
    hooks: &mut impl Hooks<ProcessorPlugin>,
    kind: &ProcessorKind,
    options: Options,
    elsewhere: Arc<BTreeMap<Id, u16>>,
    shared: &Shared,
) {
    let (its, skipped) = (shared.clone(), elsewhere.clone());
    hooks.inline::<topics::Describe>(options.clone(), move |sensor| {
        Ok(if skipped.contains_key(&sensor.id) { Step::Pass } else { its.describe(sensor) })
    });
    if kind.judges {
        let (its, skipped) = (shared.clone(), elsewhere.clone());
        let last = Options { place: Place::Last, ..options.clone() };
        hooks.inline::<topics::Validate>(last, move |draft| {
            if skipped.contains_key(&draft.sensor) {
                Ok(Step::Pass)
            } else {
                its.lock().processor.judge(draft)
            }
        });
    }
    let its = shared.clone();
    let step = move |draft: &Draft| {
        if elsewhere.contains_key(&draft.sensor) {
            Ok(Step::Pass)
        } else {
            its.lock().processor.process(draft)
        }
    };
    match kind.stage {
        Stage::Process => hooks.inline::<topics::Process>(options, step),
        Stage::Validate => hooks.inline::<topics::Validate>(options, step),
        Stage::Admit => hooks.inline::<topics::Admit>(options, step),
    }
}

#[cfg(test)]
mod tests;
