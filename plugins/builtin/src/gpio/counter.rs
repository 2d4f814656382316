//! Pulses on a GPIO line: a meter of water, energy, rain or wind.
//!
//! ```toml
//! [gpio.water]
//! kind = "counter"
//! bus = "gpio0"
//! line = 5
//! pull = "up"
//! edge = "falling"
//! per_unit = 450       # pulses of the meter per litre
//! unit = "L"
//! class = "water"
//! ```
//!
//! The kernel takes the time of each pulse and numbers it, so a frequency is exact, and pulses that came faster than they
//! were fetched are counted though their times are lost. Pulses that come while the node does not run are not seen by anybody.

use std::time::Duration;

use sedge_hal::{Detect, Edge, EdgeStream, Edges, InputLine, InputOptions, Lines};
use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::metrics;
use sedge_plugin::prelude::*;

use super::{Pull, at_least_a_second, descriptor, metric, unclaimed};
use crate::AUTHOR;

/// How often the number is kept, at most: memory cards wear out.
const KEPT_EVERY: Duration = Duration::from_secs(60);

const KEY: &str = "pulses";

/// Which edges are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Those that switch the line on.
    #[default]
    Rising,
    /// Those that switch it off.
    Falling,
    /// All.
    Both,
}

impl From<Counted> for Detect {
    fn from(edge: Counted) -> Self {
        match edge {
            Counted::Rising => Self::Rising,
            Counted::Falling => Self::Falling,
            Counted::Both => Self::Both,
        }
    }
}

/// Settings of a `kind = "counter"` line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What holds the level when nobody drives it: "none", "up", "down", or "as_is" to leave it as the board has it.
    pub pull: Pull,
    /// On is the low level.
    pub active_low: bool,
    /// How long it must be still before a change counts, for contacts that bounce. Without it every change counts.
    pub debounce: Option<Every>,
    /// Which edges are counted: "rising", "falling" or "both".
    pub edge: Counted,
    /// How many pulses a unit has.
    #[schemars(range(min = 0.000001))]
    pub per_unit: f64,
    /// What the meter measures, such as "L" or "kWh". Without it only the pulses are told.
    pub unit: Option<Unit>,
    /// Home Assistant's device class of the total, such as "water", "energy" or "precipitation".
    pub class: String,
    /// Whether the number goes on after a restart.
    pub keep: bool,
    /// How often it is told; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pull: Pull::default(),
            active_low: false,
            debounce: None,
            edge: Counted::default(),
            per_unit: 1.0,
            unit: None,
            class: String::new(),
            keep: true,
            every: Every::secs(10),
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), PluginError> {
        let wrong = |text: String| Err(PluginError::Settings(text.into()));
        at_least_a_second(self.every)?;
        if !self.per_unit.is_finite() || self.per_unit <= 0.0 {
            return wrong(format!("per_unit = {}: more than 0", self.per_unit));
        }
        if self.unit().is_none() && (self.per_unit != 1.0 || !self.class.is_empty()) {
            return wrong(
                "`per_unit` and `class` are about the total: say its `unit` too, such as \"L\"".into(),
            );
        }
        Ok(())
    }

    fn unit(&self) -> Option<Unit> {
        self.unit.filter(|unit| *unit != Unit::None)
    }

    /// What is told. Of a total so many decimals that a pulse is seen.
    fn describe(&self, mut sensor: SensorDescriptor) -> SensorDescriptor {
        let field = |name, unit| Field::new(name, unit).kind(FieldKind::TotalIncreasing).precision(0);
        let mut add = |field: Field, class: &str| {
            let described = FieldDescriptor { class: class.into(), ..FieldDescriptor::from(&field) };
            sensor.fields.extend(Name::new(field.name).ok().map(|name| (name, described)));
        };
        add(field("pulses", Unit::None), "");
        if let Some(unit) = self.unit() {
            let decimals = self.per_unit.log10().ceil().clamp(0.0, 6.0) as u8;
            add(field("total", unit).precision(decimals), &self.class);
        }
        add(Field::new("frequency", Unit::Hertz).precision(3), "frequency");
        sensor.every(self.every.0)
    }
}

/// What a counter is given: outlives its restarts.
pub struct CounterArgs {
    /// The chip.
    pub lines: Lines,
    /// What the config calls the chip.
    pub chip_name: String,
    /// The line's number on the chip.
    pub line: u32,
    /// Its settings.
    pub settings: Settings,
}

/// A counter.
pub struct Counter {
    ctx: Context,
    settings: Settings,
    /// None once it was torn down.
    line: Option<InputLine>,
    edges: EdgeStream,
    /// The last edge of all.
    last: Option<Edge>,
    pulses: u64,
    kept: Kept,
    lost: metrics::Counter,
}

/// What is on disk.
struct Kept {
    /// Whether it may be written.
    on: bool,
    pulses: u64,
    at: Duration,
    /// It could not be written the last time.
    failing: bool,
}

impl Plugin for Counter {
    type Args = CounterArgs;
    const MANIFEST: Manifest =
        Manifest::new("counter", env!("CARGO_PKG_VERSION"), "Counts the pulses of a meter on a GPIO line.")
            .author(AUTHOR)
            .category(Category::Sensor)
            .tags(&["gpio", "meter"]);

    fn declares(id: &Id, _: &CounterArgs) -> Claims {
        Claims { sensors: vec![id.clone()], tools: Vec::new() }
    }

    async fn setup(args: &CounterArgs, ctx: Context) -> Result<Self, PluginError> {
        let CounterArgs { lines, chip_name, line, settings } = args;
        settings.check()?;
        let lost = metric(&ctx, "lost", "Pulses that came faster than they were fetched; they are counted.")?;
        ctx.announce(settings.describe(descriptor::<Self>(&ctx, chip_name, *line, &[])));

        let options = InputOptions {
            pull: settings.pull.into(),
            active_low: settings.active_low,
            debounce: settings.debounce.map(|every| every.0),
            edges: settings.edge.into(),
        };
        let line = lines.input(*line, options).map_err(unclaimed)?;
        let edges = line.edges();
        let pulses = Self::load(settings, &ctx).await;
        let kept = Kept {
            on: settings.keep && pulses.is_ok(),
            pulses: *pulses.as_ref().unwrap_or(&0),
            at: ctx.clock().up(),
            failing: false,
        };
        // What cannot be read is not written over.
        let unread = pulses.err().map(|error| format!("counts from zero, and keeps nothing: {error}"));
        if unread.is_some() {
            ctx.degraded(unread);
        }
        let (settings, pulses) = (settings.clone(), kept.pulses);
        Ok(Self { ctx, settings, line: Some(line), edges, last: None, pulses, kept, lost })
    }

    fn every(&self) -> Option<Duration> {
        Some(self.settings.every.0)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        // Told after what was counted until then.
        let end = self.edges.end();
        let frequency = self.count();
        let mut frame = Frame::default();
        frame.push("pulses", self.pulses as f64);
        if self.settings.unit().is_some() {
            frame.push("total", self.pulses as f64 / self.settings.per_unit);
        }
        match frequency {
            Some(hertz) => frame.push("frequency", hertz),
            None => frame.missing("frequency", "one_pulse"),
        }
        self.ctx.submit(self.ctx.id(), frame).await?;
        if self.ctx.clock().up().saturating_sub(self.kept.at) >= KEPT_EVERY {
            self.keep().await;
        }
        end.map_or(Ok(()), |end| Err(unclaimed(end)))
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.line = None;
        self.count();
        self.keep().await;
        Ok(())
    }
}

impl Counter {
    async fn load(settings: &Settings, ctx: &Context) -> Result<u64, PluginError> {
        match settings.keep {
            true => Ok(ctx.load(KEY).await?.unwrap_or_default()),
            false => Ok(0),
        }
    }

    /// Adds what came since it was asked last. Gives how many there were per second.
    fn count(&mut self) -> Option<f64> {
        let edges = self.edges.take();
        self.pulses += edges.count();
        self.lost.add(edges.lost);
        let before = self.last;
        self.last = edges.latest.last().copied().or(before);
        frequency(&edges, before)
    }

    /// Puts the number on disk, if it is another one. A disk that fails is told of once, and tried again.
    async fn keep(&mut self) {
        let Kept { on, pulses, failing, .. } = self.kept;
        if !on || pulses == self.pulses {
            return;
        }
        self.kept.at = self.ctx.clock().up();
        let error = self.ctx.store(KEY, self.pulses).await.err();
        if error.is_none() {
            self.kept.pulses = self.pulses;
        }
        self.kept.failing = error.is_some();
        if self.kept.failing != failing {
            self.ctx.degraded(error.map(|error| format!("the number will not survive a restart: {error}")));
        }
    }
}

/// Pulses per second: from the first to the last, or from the one before if there is but one. None after the very first.
fn frequency(edges: &Edges, before: Option<Edge>) -> Option<f64> {
    if edges.count() == 0 {
        return Some(0.0);
    }
    let since = |first| Edges { first, ..edges.clone() }.frequency();
    edges.frequency().or_else(|| since(before))
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::block_on;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::gpio::bench::{Bench, LINE, refused, settings};

    fn args(bench: &Bench, json: Json) -> CounterArgs {
        CounterArgs { lines: bench.lines(), chip_name: "gpio0".into(), line: LINE, settings: settings(json) }
    }

    fn started(json: Json) -> (Bench, Counter) {
        let mut bench = Bench::new();
        let args = args(&bench, json);
        let counter = bench.setup::<Counter>(&args);
        (bench, counter)
    }

    /// What a beat tells of a field.
    fn beat(bench: &Bench, counter: &mut Counter, field: &str) -> Vec<Value> {
        bench.tick(counter);
        bench.told(field)
    }

    fn stored(bench: &Bench) -> Option<u64> {
        block_on(bench.node.context("x-1").load(KEY)).unwrap()
    }

    #[test]
    fn pulses_are_counted_and_told_in_the_unit_of_the_meter() {
        let (bench, mut counter) = started(json!({ "unit": "L", "per_unit": 450, "class": "water" }));
        bench.chip.pulse(LINE, 900);
        bench.tick(&mut counter);
        let frame = bench.node.submitted().remove(0).frame;
        assert_eq!((frame.get("pulses"), frame.get("total")), (Some(&900.0.into()), Some(&2.0.into())));
        let fields = &bench.node.sensors()["x-1"].fields;
        let total = &fields["total"];
        assert_eq!((total.unit, total.kind), (Unit::Litre, FieldKind::TotalIncreasing));
        assert_eq!((total.class.as_str(), total.precision), ("water", 3));
        assert_eq!((fields["pulses"].precision, fields["frequency"].unit), (0, Unit::Hertz));
    }

    #[test]
    fn without_a_unit_there_is_no_total() {
        let (bench, mut counter) = started(json!({}));
        assert_eq!(beat(&bench, &mut counter, "pulses"), [0.0.into()]);
        assert!(!bench.node.sensors()["x-1"].fields.contains_key("total"));
    }

    #[test]
    fn which_edges_count_is_a_setting() {
        for (edge, before, after) in [("rising", 1.0, 1.0), ("falling", 0.0, 1.0), ("both", 1.0, 2.0)] {
            let (bench, mut counter) = started(json!({ "edge": edge }));
            bench.chip.set_input(LINE, true);
            assert_eq!(beat(&bench, &mut counter, "pulses"), [before.into()], "{edge}");
            bench.chip.set_input(LINE, false);
            assert_eq!(beat(&bench, &mut counter, "pulses"), [after.into()], "{edge}");
        }
        let (bench, mut counter) = started(json!({ "debounce": "5ms" }));
        bench.chip.pulse(LINE, 3);
        assert_eq!(beat(&bench, &mut counter, "pulses"), [0.0.into()], "bounces");
    }

    #[test]
    fn pulses_that_the_kernel_dropped_are_counted() {
        let (bench, mut counter) = started(json!({}));
        bench.chip.pulse(LINE, 5000);
        assert_eq!(beat(&bench, &mut counter, "pulses"), [5000.0.into()]);
        assert_eq!(bench.metric("lost"), 5000 - 1024);
    }

    #[test]
    fn the_frequency_is_that_of_the_last_interval() {
        let (bench, mut counter) = started(json!({}));
        let pulses = |count: u32, apart: Duration| {
            for _ in 0..count {
                bench.node.clock().advance(apart);
                bench.chip.pulse(LINE, 1);
            }
        };
        assert_eq!(beat(&bench, &mut counter, "frequency"), [0.0.into()]);
        pulses(1, Duration::from_secs(1));
        assert!(beat(&bench, &mut counter, "frequency").is_empty(), "one pulse tells nothing");
        pulses(20, Duration::from_millis(250));
        assert_eq!(beat(&bench, &mut counter, "frequency"), [4.0.into()]);
        pulses(1, Duration::from_secs(5));
        assert_eq!(beat(&bench, &mut counter, "frequency"), [0.2.into()], "since the one before");
        pulses(2, Duration::from_secs(3600));
        assert_eq!(beat(&bench, &mut counter, "frequency"), [Value::Number(1.0 / 3600.0)]);
        assert_eq!(beat(&bench, &mut counter, "frequency"), [0.0.into()]);
    }

    #[test]
    fn the_number_goes_on_after_a_restart() {
        let (mut bench, mut counter) = started(json!({}));
        bench.chip.pulse(LINE, 7);
        bench.tick(&mut counter);
        bench.chip.pulse(LINE, 3);
        block_on(counter.teardown()).unwrap();
        assert_eq!(stored(&bench), Some(10), "what came after the last beat too");
        let args = args(&bench, json!({}));
        let mut again = bench.setup::<Counter>(&args);
        bench.chip.pulse(LINE, 1);
        bench.told("pulses");
        assert_eq!(beat(&bench, &mut again, "pulses"), [11.0.into()]);
    }

    #[test]
    fn it_is_kept_once_a_minute_at_most_and_only_when_it_changed() {
        let (bench, mut counter) = started(json!({}));
        bench.chip.pulse(LINE, 1);
        bench.tick(&mut counter);
        assert_eq!(stored(&bench), None);
        bench.node.clock().advance(KEPT_EVERY);
        bench.tick(&mut counter);
        assert_eq!(stored(&bench), Some(1));
        block_on(bench.node.context("x-1").forget(KEY)).unwrap();
        bench.node.clock().advance(KEPT_EVERY);
        bench.tick(&mut counter);
        assert_eq!(stored(&bench), None, "it is on disk already");

        let (bench, mut counter) = started(json!({ "keep": false }));
        bench.chip.pulse(LINE, 1);
        block_on(counter.teardown()).unwrap();
        assert_eq!(stored(&bench), None);
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_written_over() {
        let mut bench = Bench::new();
        let ctx = bench.node.context("x-1");
        block_on(ctx.store(KEY, "many")).unwrap();
        let args = args(&bench, json!({}));
        let mut counter = bench.setup::<Counter>(&args);
        assert!(bench.node.degraded("x-1").is_some_and(|text| text.contains("counts from zero")));
        bench.chip.pulse(LINE, 1);
        assert_eq!(beat(&bench, &mut counter, "pulses"), [1.0.into()]);
        block_on(counter.teardown()).unwrap();
        assert_eq!(block_on(ctx.load::<String>(KEY)), Ok(Some("many".into())));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let bench = Bench::new();
        for (json, expected) in [
            (json!({ "per_unit": 0, "unit": "L" }), "more than 0"),
            (json!({ "per_unit": 10 }), "say its `unit`"),
            (json!({ "class": "water" }), "say its `unit`"),
            (json!({ "every": "100ms" }), "at least 1s"),
        ] {
            let text = refused(bench.try_setup::<Counter>(&args(&bench, json)));
            assert!(text.contains(expected), "{text}");
        }
        assert_eq!(bench.chip.level(LINE), None, "the line was not touched");
    }
}
