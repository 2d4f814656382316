//! Makes a plugin of a driver: cadence, place, health and topics, which a driver's author inherits.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use sedge_hal::{Seat, SimBus, SystemClock};
//! use sedge_plugin::{Id, Plugin, testing::{TestNode, block_on}};
//! use sedge_plugins::{sensor::{SensorArgs, SensorPlugin}, sensors};
//!
//! let kind = sensors::kind("bme280").unwrap();
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! bus.simulate(&Id::new("kitchen").unwrap(), &Seat::Number(0x76), kind);
//! let args = SensorArgs {
//!     kind, bus: bus.bus().unwrap(), bus_name: "i2c-1".into(), seat: Seat::Number(0x76),
//!     every: Duration::from_secs(10), settings: serde_json::json!({}), power: None,
//! };
//! let node = TestNode::new();
//! let mut plugin = block_on(SensorPlugin::setup(&args, node.context("kitchen"))).unwrap();
//! block_on(plugin.tick()).unwrap();
//! assert_eq!(node.submitted()[0].frame.samples.len(), 3);
//! ```
//!
//! A device that fails is brought back rung by rung ([`Rung`]); what no rung brings back the supervisor leaves alone for a growing
//! while, and tries again. It must not invent a value: a reading that could not be taken is one of missing values.

mod ladder;
#[cfg(test)]
mod tests;

use std::time::Duration;

use sedge_hal::{Begun, Bus, Recovery, Seat, Supply, SupplyError};
use sedge_plugin::prelude::*;
use serde_json::Value as Json;

use crate::AUTHOR;

pub use ladder::Rung;

use ladder::rungs;

/// The pause before a transfer is tried again; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// What can be told something is looked after this often, if it is not read more often.
const READY: Duration = Duration::from_secs(2);
/// A beat that comes this much too early is on time.
const SLACK: Duration = Duration::from_millis(50);
/// A sensor that is read faster than this is not given up for less.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long without a lost beat, and it is well again.
const CALM: Duration = Duration::from_secs(5);
/// So long the ladder is climbed within one beat; the deadline of a beat is 30 s at least.
const CLIMB: Duration = Duration::from_secs(15);

/// What a sensor is given: outlives its restarts.
pub struct SensorArgs {
    /// What it is.
    pub kind: &'static SensorKind,
    /// The bus that it sits on.
    pub bus: Bus,
    /// What the config calls that bus.
    pub bus_name: String,
    /// Where on it.
    pub seat: Seat,
    /// How often it is read.
    pub every: Duration,
    /// Its own settings, which fit the schema of its kind.
    pub settings: Json,
    /// What switches its supply, where something does.
    pub power: Option<Supply>,
}

impl SensorArgs {
    /// Where it is: `i2c-1/0x76`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.bus_name, self.seat)
    }
}

/// A sensor on a bus.
pub struct SensorPlugin {
    device: Device,
    every: Duration,
    tools: Vec<Tool>,
    /// Beats in a row that brought nothing.
    lost: u32,
    /// When the first and the latest of them was.
    since: Duration,
    latest: Duration,
    /// It was told that beats are lost, where the supervisor does not tell it.
    told: bool,
    /// When it was read last.
    read: Option<Duration>,
}

impl Plugin for SensorPlugin {
    type Args = SensorArgs;
    const MANIFEST: Manifest =
        Manifest::new("sensor", env!("CARGO_PKG_VERSION"), "Reads a sensor and submits what it says.")
            .author(AUTHOR)
            .category(Category::Sensor);

    fn declares(id: &Id, args: &SensorArgs) -> Claims {
        // A name that is too long is told of at the set-up.
        Claims { sensors: vec![id.clone()], tools: tools(id, args.kind, &args.settings).unwrap_or_default() }
    }

    async fn setup(args: &SensorArgs, ctx: Context) -> Result<Self, PluginError> {
        let version = Self::MANIFEST.version;
        let SensorArgs { kind, every, .. } = args;
        let descriptor =
            SensorDescriptor::new(ctx.id().clone(), kind.kind, version, &args.place(), kind.fields);
        ctx.announce(descriptor.every(*every));
        let tools = tools(ctx.id(), kind, &args.settings)
            .map_err(|error| PluginError::Settings(format!("its tools need a shorter id: {error}").into()))?;
        let device = Device::new(args, ctx);
        match device.climb(Goal::Open).await {
            Ok(_) => Ok(Self {
                device,
                every: *every,
                tools,
                lost: 0,
                since: Duration::ZERO,
                latest: Duration::ZERO,
                told: false,
                read: None,
            }),
            Err(error) => Err(device.give_up(&error).await),
        }
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &SensorArgs, _: &Context) {
        if !args.kind.operations.is_empty() {
            hooks.tools();
        }
    }

    fn every(&self) -> Option<Duration> {
        // What can be told something must be there when it is told: it is not left unready until the next beat.
        Some(if self.tools.is_empty() { self.every } else { self.every.min(READY) })
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let now = self.device.ctx.clock().up();
        if self.lost == 0 && self.read.is_some_and(|read| now.saturating_sub(read) + SLACK < self.every) {
            return Ok(());
        }
        // Climbed once and in vain, the ladder is left for those whose turn it is next: the supervisor's pauses.
        let goal = if self.lost == 0 { Goal::Read } else { Goal::ReadOnce };
        match self.device.climb(goal).await {
            Ok(frame) => {
                (self.lost, self.read) = (0, Some(now));
                if self.told && now.saturating_sub(self.latest) >= CALM {
                    self.told = false;
                    self.device.ctx.degraded(None);
                }
                self.device.ctx.submit(self.device.ctx.id(), frame).await
            }
            Err(error) => self.lose(now, &error).await,
        }
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        let Device { bus, ctx, name, kind, .. } = &self.device;
        let closed = |result: Result<bool, SensorError>| result.map_err(|error| failed(name, &error));
        let was_open = closed(bus.close(ctx.id()).await)?;
        // A driver that was lost on the way has left its outputs as they were: set up anew they are safe.
        if !was_open && !kind.operations.is_empty() && self.device.open().await.is_ok() {
            closed(bus.close(ctx.id()).await)?;
        }
        Ok(())
    }
}

impl SensorPlugin {
    /// A beat brought nothing. A fast sensor is not given up for a fault that is over in a moment.
    async fn lose(&mut self, now: Duration, error: &SensorError) -> Result<(), PluginError> {
        if self.lost == 0 {
            self.since = now;
        }
        self.lost += 1;
        self.latest = now;
        let why = self.device.give_up(error).await;
        let brief = self.every < PATIENCE && now.saturating_sub(self.since) < PATIENCE;
        match why {
            PluginError::Failed(text) if brief => {
                if !self.told {
                    self.told = true;
                    self.device.ctx.degraded(Some(text.into_owned()));
                }
                Ok(())
            }
            why => Err(why),
        }
    }
}

impl Tools for SensorPlugin {
    fn tools(&self) -> Vec<Tool> {
        self.tools.clone()
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let place = self.tools.iter().position(|tool| tool.name == call.tool);
        let operation = place.and_then(|place| self.device.kind.operations.get(place));
        let Some(operation) = operation else {
            return Err(ToolError::new(ToolErrorCode::NotFound, format!("no tool `{}`", call.tool)));
        };
        let Device { bus, ctx, name, .. } = &self.device;
        // A chip that has lost its supply has forgotten what its pins are; one that fails may have.
        let mut done = match self.device.was_off() {
            true => Err(SensorError::Closed),
            false => bus.operate(ctx.id(), operation.name, call.args.clone()).await,
        };
        if done.as_ref().is_err_and(|error| !matches!(error, SensorError::Settings(_))) {
            done = match self.device.open().await {
                Ok(()) => bus.operate(ctx.id(), operation.name, call.args).await,
                Err(error) => Err(error),
            };
        }
        let done = done.map_err(|error| match error {
            SensorError::Settings(text) => ToolError::new(ToolErrorCode::BadArgs, text),
            error => ToolError::failed(format!("{name}: {error}")),
        })?;
        // It is done, whether or not that can be told; the next beat tells again.
        if let Ok(frame) = self.device.measure().await {
            let _ = ctx.submit(ctx.id(), frame).await;
        }
        Ok(done)
    }
}

/// The tools of a device, one for each of its operations, in their order.
fn tools(id: &Id, kind: &SensorKind, settings: &Json) -> Result<Vec<Tool>, IdError> {
    let tool = |operation: &Operation| {
        let mut tool = Tool::new(Name::from_id(id, Some(operation.name))?, operation.description);
        tool.title = operation.title.into();
        tool.annotations = operation.annotations;
        tool.input_schema = (operation.input)();
        if let Some(refine) = operation.refine {
            refine(settings, &mut tool.input_schema);
        }
        Ok(tool)
    };
    kind.operations.iter().map(tool).collect()
}

/// What is wanted of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// That it is open.
    Open,
    /// A reading, by all means.
    Read,
    /// A reading, and not more than opening it anew for it.
    ReadOnce,
}

/// A device, and all that can be done to it.
struct Device {
    ctx: Context,
    kind: &'static SensorKind,
    bus: Bus,
    seat: Seat,
    settings: Json,
    power: Option<Supply>,
    name: String,
    /// How often the supply had been off when it was opened.
    generation: std::sync::atomic::AtomicU64,
    /// Whether it was open once.
    opened: std::sync::atomic::AtomicBool,
}

impl Device {
    fn new(args: &SensorArgs, ctx: Context) -> Self {
        Self {
            kind: args.kind,
            bus: args.bus.clone(),
            seat: args.seat.clone(),
            settings: args.settings.clone(),
            power: args.power.clone(),
            name: format!("{} at {}", args.kind.kind, args.place()),
            generation: Default::default(),
            opened: Default::default(),
            ctx,
        }
    }

    async fn open(&self) -> Result<(), SensorError> {
        let again = self.opened.load(std::sync::atomic::Ordering::Relaxed);
        let result = self.open_once().await;
        if result.is_ok() {
            self.opened.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        if result.is_ok() && again && !self.kind.operations.is_empty() {
            self.tell_of_outputs().await;
        }
        result
    }

    /// What switches something has been set up anew: what it switched stands at its safe level now.
    async fn tell_of_outputs(&self) {
        let Ok(kind) = Name::new("outputs_reset") else { return };
        let text = format!("{} was set up anew: its outputs are at their safe levels", self.name);
        let data = serde_json::json!({ "sensor": self.ctx.id() });
        let event = topics::Event { kind, severity: topics::Severity::Warning, text, data };
        self.ctx.publish::<topics::EventRaised>(event).await;
    }

    async fn open_once(&self) -> Result<(), SensorError> {
        let generation = self.power.as_ref().map_or(0, Supply::generation);
        self.generation.store(generation, std::sync::atomic::Ordering::Relaxed);
        self.bus.open(self.ctx.id(), self.seat.clone(), self.kind, self.settings.clone()).await
    }

    /// Whether it has lost its supply since it was opened, and with it what it was told.
    fn was_off(&self) -> bool {
        let generation = self.generation.load(std::sync::atomic::Ordering::Relaxed);
        self.power.as_ref().is_some_and(|supply| supply.generation() != generation)
    }

    /// While the conversion runs the bus serves others.
    async fn measure(&self) -> Result<Frame, SensorError> {
        match self.bus.begin(self.ctx.id()).await? {
            Begun::Taken(frame) => Ok(frame),
            Begun::Wait(conversion) => {
                self.ctx.sleep(conversion).await;
                self.bus.read(self.ctx.id()).await
            }
        }
    }

    async fn attempt(&self, goal: Goal, fresh: bool) -> Result<Frame, SensorError> {
        if fresh || goal == Goal::Open || self.was_off() {
            self.open().await?;
        }
        match goal {
            Goal::Open => Ok(Frame::default()),
            Goal::Read | Goal::ReadOnce => self.measure().await,
        }
    }

    /// Tries, and climbs the ladder as long as that fails.
    async fn climb(&self, goal: Goal) -> Result<Frame, SensorError> {
        let mut error = match self.attempt(goal, false).await {
            Ok(frame) => return Ok(frame),
            Err(error) => error,
        };
        let began = self.ctx.clock().up();
        let mut pause = RETRY_PAUSE;
        let mut told = false;
        for &rung in rungs(&error, goal != Goal::ReadOnce) {
            if self.ctx.clock().up().saturating_sub(began) >= CLIMB {
                break;
            }
            match self.take(rung, &error, &mut pause).await {
                Ok(true) => told |= rung >= Rung::Recover,
                Ok(false) => continue,
                // What cannot be opened any more is not there: no other rung changes that.
                Err(gone @ SensorError::Bus(BusError::Gone(_))) => return Err(gone),
                Err(other) => {
                    error = other;
                    continue;
                }
            }
            self.count(rung.word(), "Times that this rung of the ladder was taken.");
            match self.attempt(goal, rung >= Rung::Reinit).await {
                Ok(frame) => {
                    self.count(rung.healed(), "Times that it brought the sensor back.");
                    if told {
                        self.ctx.degraded(None);
                    }
                    return Ok(frame);
                }
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    /// Takes a rung; false where there is nothing to be done there.
    async fn take(&self, rung: Rung, error: &SensorError, pause: &mut Duration) -> Result<bool, SensorError> {
        match rung {
            Rung::Retry => {
                self.ctx.sleep(*pause).await;
                *pause *= 2;
                Ok(true)
            }
            Rung::Reopen => self.bus.reopen().await.map(|()| true),
            Rung::Reinit => Ok(true),
            Rung::Recover => {
                let done = self.bus.recover(self.ctx.id(), suspects_bus(error)).await?;
                if done == Recovery::Done {
                    self.tell_of(rung, error);
                }
                Ok(done == Recovery::Done)
            }
            Rung::Power => {
                let Some(supply) = &self.power else { return Ok(false) };
                match supply.begin_off() {
                    Ok(off) => {
                        self.tell_of(rung, error);
                        let timing = supply.timing();
                        self.ctx.sleep(timing.off).await;
                        off.on().map_err(|error| SensorError::Garbage(error.to_string().into()))?;
                        self.ctx.sleep(timing.settle).await;
                        self.bus.power_cycled(&self.seat).await?;
                        Ok(true)
                    }
                    Err(SupplyError::Line(error)) => {
                        Err(SensorError::Garbage(format!("its supply: {error}").into()))
                    }
                    Err(_) => Ok(false),
                }
            }
        }
    }

    /// Says that a rung is taken which takes its time, or is felt by others.
    fn tell_of(&self, rung: Rung, error: &SensorError) {
        self.ctx.degraded(Some(format!("{}: {error}; now: {rung}", self.name)));
    }

    fn count(&self, name: &'static str, help: &'static str) {
        // Names of ours, so legal; a plugin with too many metrics counts no more.
        if let Some(counter) = Name::new(name).ok().and_then(|name| self.ctx.counter(name, help).ok()) {
            counter.inc();
        }
    }

    /// Tells that there is no reading, and why. What the supervisor is told.
    async fn give_up(&self, error: &SensorError) -> PluginError {
        let opened = self.opened.load(std::sync::atomic::Ordering::Relaxed);
        let why = match error {
            SensorError::Bus(BusError::Gone(text)) => PluginError::Unmet(text.clone()),
            // Who owns the address changes when a person changes it.
            SensorError::Bus(BusError::Busy) => PluginError::unmet(format!("{}: {error}", self.name)),
            // What was open once has no wrong settings: something else is there, or not yet what was.
            SensorError::Settings(text) if !opened => PluginError::Settings(text.clone()),
            error => failed(&self.name, error),
        };
        // Of a device that was never there nothing is missing.
        if opened || matches!(why, PluginError::Failed(_)) {
            let mut frame = Frame::default();
            for field in self.kind.fields {
                frame.missing(field.name, error.reason());
            }
            // If that cannot be told either, the failure is.
            let _ = self.ctx.submit(self.ctx.id(), frame).await;
        }
        why
    }
}

/// Whether an error speaks against the bus rather than against the device.
fn suspects_bus(error: &SensorError) -> bool {
    matches!(
        error,
        SensorError::Bus(BusError::Timeout | BusError::Arbitration | BusError::Hung | BusError::Other(_))
    )
}

fn failed(name: &str, error: &SensorError) -> PluginError {
    PluginError::failed(format!("{name}: {error}"))
}
