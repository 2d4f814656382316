//! A supply that a GPIO line switches, so that sensors which no longer answer can be brought back.
//!
//! ```toml
//! [gpio.sensor-rail]
//! kind = "power"
//! bus = "gpio0"
//! line = 22
//! active_low = true    # a P-channel transistor is on at the low level
//! off = "1s"
//!
//! [sensor.greenhouse]
//! power = "sensor-rail"
//! ```
//!
//! It is on from the start on, and it is left on when the node stops: what hangs on it may be used by others, and some sensors
//! take hours to find their settings again. The kernel may let the line go afterwards, and the board then decides: a resistor
//! should hold the supply on.

use std::time::Duration;

use sedge_hal::{LineError, Lines, Supply, SupplyError, Timing};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use super::{ON, arguments, at_least_a_second, descriptor, named, tell, tool_failed, unclaimed, unknown};
use crate::AUTHOR;

/// The longest that sensors may have to wait for their supply: they have thirty seconds for all they do.
const LONGEST: Every = Every::secs(20);

/// Settings of a `kind = "power"` line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// On is the low level.
    pub active_low: bool,
    /// How long it is switched off, when it is to bring something back.
    pub off: Every,
    /// How long what hangs on it needs, once it is on, before it can be spoken to.
    pub settle: Every,
    /// How long it is left on at least, before it is switched off again for that purpose.
    pub pause: Every,
    /// How often its state is told, besides every change; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        let Timing { off, settle, pause } = Timing::default();
        Self {
            active_low: false,
            off: Every(off),
            settle: Every(settle),
            pause: Every(pause),
            every: Every::secs(60),
        }
    }
}

impl Settings {
    fn timing(&self) -> Timing {
        Timing { off: self.off.0, settle: self.settle.0, pause: self.pause.0 }
    }
}

/// What a supply is given: outlives its restarts.
pub struct PowerArgs {
    /// The chip.
    pub lines: Lines,
    /// What the config calls the chip.
    pub chip_name: String,
    /// The line's number on the chip.
    pub line: u32,
    /// What the sensors on it have too.
    pub supply: Supply,
    /// Its settings.
    pub settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetArgs {
    /// True switches it on.
    on: bool,
}

/// How the supply stands.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the result of the tools")]
struct Stands {
    /// True is on.
    on: bool,
}

/// A supply.
pub struct Power {
    ctx: Context,
    supply: Supply,
    settings: Settings,
    set: Name,
    cycle: Name,
}

impl Plugin for Power {
    type Args = PowerArgs;
    const MANIFEST: Manifest =
        Manifest::new("power", env!("CARGO_PKG_VERSION"), "Switches the supply of sensors with a GPIO line.")
            .author(AUTHOR)
            .category(Category::Tool)
            .tags(&["gpio", "actuator"]);

    fn declares(id: &Id, args: &PowerArgs) -> Claims {
        // A name that is too long is told of at the set-up.
        let names = named(id, "set").and_then(|set| Ok((set, named(id, "cycle")?)));
        let tools = names.map(|(set, cycle)| offered(&set, &cycle, &args.settings)).unwrap_or_default();
        Claims { sensors: vec![id.clone()], tools }
    }

    async fn setup(args: &PowerArgs, ctx: Context) -> Result<Self, PluginError> {
        let PowerArgs { lines, chip_name, line, supply, settings } = args;
        at_least_a_second(settings.every)?;
        if settings.off.0.saturating_add(settings.settle.0) > LONGEST.0 {
            let Settings { off, settle, .. } = settings;
            let text = format!("off = \"{off}\" and settle = \"{settle}\": at most {LONGEST} together");
            return Err(PluginError::Settings(text.into()));
        }
        let (set, cycle) = (named(ctx.id(), "set")?, named(ctx.id(), "cycle")?);
        ctx.announce(descriptor::<Self>(&ctx, chip_name, *line, ON).every(settings.every.0));
        let line = lines.output(*line, true, settings.active_low).map_err(unclaimed)?;
        supply.set_timing(settings.timing());
        supply.provide(line);
        Ok(Self { ctx, supply: supply.clone(), settings: settings.clone(), set, cycle })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        Some(self.settings.every.0)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let on = self.supply.is_on().map_err(|error| match error {
            SupplyError::Line(error) => unclaimed(error),
            error => super::failed(error),
        })?;
        tell(&self.ctx, "on", on).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.leave_on()
    }
}

impl Power {
    fn leave_on(&mut self) -> Result<(), PluginError> {
        match self.supply.take().map_or(Ok(()), |line| line.set(true)) {
            // What is not there any more cannot be switched on.
            Err(LineError::Gone(_)) => Ok(()),
            left => left.map_err(unclaimed),
        }
    }

    /// Off for a while, and on again: also when whoever called gives up meanwhile.
    async fn cycle(&self) -> Result<(), ToolError> {
        let off = self.supply.begin_off().map_err(|error| self.refused(error))?;
        let Timing { off: time, settle, .. } = self.supply.timing();
        let _ = tell(&self.ctx, "on", false).await;
        self.ctx.sleep(time).await;
        off.on().map_err(tool_failed)?;
        let _ = tell(&self.ctx, "on", true).await;
        self.ctx.sleep(settle).await;
        Ok(())
    }

    fn refused(&self, error: SupplyError) -> ToolError {
        match error {
            SupplyError::Recent => ToolError::new(
                ToolErrorCode::Busy,
                format!("{error}; it is left on for at least {}", self.settings.pause),
            ),
            SupplyError::Busy | SupplyError::Off => ToolError::new(ToolErrorCode::Busy, error.to_string()),
            error => tool_failed(error),
        }
    }
}

impl Drop for Power {
    /// For the case that nobody tore it down.
    fn drop(&mut self) {
        let _ = self.leave_on();
    }
}

fn offered(set: &Name, cycle: &Name, settings: &Settings) -> Vec<Tool> {
    let tool = |name: &Name, title: &str, description, annotations| {
        let tool = Tool::new(name.clone(), description).output::<Stands>();
        Tool { title: title.into(), annotations, ..tool }
    };
    let Timing { off, settle, .. } = settings.timing();
    let takes_ms = u64::try_from(off.saturating_add(settle).as_millis()).unwrap_or(u64::MAX);
    let harmful = Annotations { destructive: true, ..Annotations::default() };
    let again = Annotations { idempotent: true, ..harmful };
    let set = tool(set, "Switch", "Switches the supply on or off for good.", again);
    let about = "Switches the supply off for a moment. What hangs on it starts anew.";
    let cycle = tool(cycle, "Power cycle", about, harmful);
    let timeout_ms = cycle.timeout_ms.saturating_add(takes_ms);
    vec![set.input::<SetArgs>(), Tool { timeout_ms, ..cycle }]
}

impl Tools for Power {
    fn tools(&self) -> Vec<Tool> {
        offered(&self.set, &self.cycle, &self.settings)
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let on = if call.tool == self.set {
            let SetArgs { on } = arguments(&call)?;
            self.supply.switch(on).map_err(|error| self.refused(error))?;
            // It is switched, whether or not that can be told; the next beat tells again.
            let _ = tell(&self.ctx, "on", on).await;
            on
        } else if call.tool == self.cycle {
            self.cycle().await?;
            true
        } else {
            return unknown(&call);
        };
        Ok(json!({ "on": on }))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context as Waiting, Waker};

    use sedge_plugin::testing::block_on;

    use super::*;
    use crate::gpio::bench::{Bench, LINE, refused, settings};

    fn args(bench: &Bench, json: Json) -> PowerArgs {
        let supply = Supply::new(bench.node.clock());
        PowerArgs {
            lines: bench.lines(),
            chip_name: "gpio0".into(),
            line: LINE,
            supply,
            settings: settings(json),
        }
    }

    fn started(json: Json) -> (Bench, Supply, Power) {
        let mut bench = Bench::new();
        let args = args(&bench, json);
        let power = bench.setup::<Power>(&args);
        (bench, args.supply, power)
    }

    const OFF: Value = Value::Bool(false);
    const ON: Value = Value::Bool(true);

    #[test]
    fn it_is_on_after_the_start_and_left_on_at_the_end() {
        for (json, on) in [(json!({}), true), (json!({ "active_low": true }), false)] {
            let (bench, supply, mut power) = started(json);
            assert_eq!(bench.chip.level(LINE), Some(on));
            bench.call(&mut power, "set", json!({ "on": false })).unwrap();
            assert_eq!(bench.chip.level(LINE), Some(!on));
            block_on(power.teardown()).unwrap();
            assert_eq!(bench.chip.level(LINE), Some(on));
            assert_eq!(supply.begin_off().err(), Some(SupplyError::NotThere));
            assert!(block_on(power.tick()).is_err());
            bench.lines().output(LINE, on, false).unwrap();
        }
    }

    #[test]
    fn it_is_left_on_when_it_is_dropped_without_a_teardown() {
        let (bench, supply, power) = started(json!({}));
        let off = supply.begin_off().unwrap();
        assert_eq!(bench.chip.level(LINE), Some(false));
        drop(power);
        assert_eq!(bench.chip.level(LINE), Some(true));
        drop(off);
    }

    #[test]
    fn a_cycle_takes_its_time_is_told_and_makes_a_new_generation() {
        let (bench, supply, mut power) = started(json!({ "off": "3s", "settle": "2s" }));
        assert_eq!(bench.call(&mut power, "cycle", json!({})), Ok(json!({ "on": true })));
        let at: Vec<u64> = bench.node.submitted().iter().map(|draft| draft.taken.up_ms).collect();
        assert_eq!(at, [0, 3000], "off, and on again");
        assert_eq!(bench.node.clock().up(), Duration::from_secs(5));
        assert_eq!((bench.chip.level(LINE), supply.generation()), (Some(true), 1));
        let cycle = &power.tools()[1];
        assert!(cycle.annotations.destructive && cycle.timeout_ms > 5000, "{cycle:?}");
    }

    #[test]
    fn a_cycle_so_soon_after_another_is_refused() {
        let (bench, _, mut power) = started(json!({ "pause": "5m" }));
        bench.call(&mut power, "cycle", json!({})).unwrap();
        bench.node.clock().advance(Duration::from_secs(299));
        let error = bench.call(&mut power, "cycle", json!({})).unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Busy);
        assert!(error.message.contains("at least 5m"), "{error}");
        bench.node.clock().advance(Duration::from_secs(1));
        bench.call(&mut power, "cycle", json!({})).unwrap();
    }

    #[test]
    fn a_cycle_whose_caller_gives_up_ends_on() {
        let (bench, supply, power) = started(json!({}));
        {
            // A test's node does not wait; so it is held up by hand.
            let held = async {
                let _off = supply.begin_off().unwrap();
                std::future::pending::<()>().await;
            };
            let mut held = pin!(held);
            assert!(held.as_mut().poll(&mut Waiting::from_waker(Waker::noop())).is_pending());
            assert_eq!(bench.chip.level(LINE), Some(false));
            assert_eq!(block_on(power.cycle()).unwrap_err().code, ToolErrorCode::Busy);
        }
        assert_eq!((bench.chip.level(LINE), supply.generation()), (Some(true), 1));
    }

    #[test]
    fn what_a_person_switched_off_stays_off() {
        let (bench, supply, mut power) = started(json!({}));
        bench.call(&mut power, "set", json!({ "on": false })).unwrap();
        assert_eq!(supply.begin_off().err(), Some(SupplyError::Off), "no sensor switches it on");
        let error = bench.call(&mut power, "cycle", json!({})).unwrap_err();
        assert!(error.message.contains("switch it on first"), "{error}");
        bench.tick(&mut power);
        assert_eq!(bench.told("on"), [OFF, OFF]);
        bench.call(&mut power, "set", json!({ "on": true })).unwrap();
        assert_eq!((bench.told("on"), supply.generation()), (vec![ON], 1));
    }

    #[test]
    fn times_that_are_too_long_for_sensors_are_refused() {
        let bench = Bench::new();
        let text = refused(bench.try_setup::<Power>(&args(&bench, json!({ "off": "30s" }))));
        assert!(text.contains("at most 20s together"), "{text}");
        refused(bench.try_setup::<Power>(&args(&bench, json!({ "every": "0s" }))));
        assert_eq!(bench.chip.level(LINE), None, "the line was not touched");
    }
}
