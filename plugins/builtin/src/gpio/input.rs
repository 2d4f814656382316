//! A contact, a button or a motion detector on a GPIO line: a reading at each change, at once.
//!
//! ```toml
//! [gpio.front-door]
//! kind = "input"
//! bus = "gpio0"
//! line = 4
//! pull = "up"          # a contact to ground …
//! active_low = true    # … is on when it is closed
//! events = true        # and tells the events `front_door_on` and `front_door_off`
//! ```
//!
//! The kernel tells of changes; nobody asks again and again. A contact that is broken may chatter a thousand times a second:
//! more than [`MOST`] readings a second are not told, but counted, and the last state always is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sedge_hal::{Detect, EdgeStream, Edges, InputLine, InputOptions, LineError, Lines};
use sedge_plugin::metrics::Counter;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Event, Severity};
use serde_json::json;

use super::{ON, Pull, at_least_a_second, descriptor, metric, named, unclaimed};
use crate::AUTHOR;

/// Readings of one second, at most.
pub const MOST: u32 = 50;

const SECOND: Duration = Duration::from_secs(1);

/// Settings of a `kind = "input"` line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What holds the level when nobody drives it: "none", "up", "down", or "as_is" to leave it as the board has it.
    pub pull: Pull,
    /// On is the low level.
    pub active_low: bool,
    /// How long it must be still before a change counts. "0s" counts every change.
    pub debounce: Every,
    /// Whether each change is told as an event too, called ID_on and ID_off.
    pub events: bool,
    /// How often its state is told, besides every change; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pull: Pull::default(),
            active_low: false,
            debounce: Every(Duration::from_millis(20)),
            events: false,
            every: Every::secs(60),
        }
    }
}

/// What an input is given: outlives its restarts.
pub struct InputArgs {
    /// The chip.
    pub lines: Lines,
    /// What the config calls the chip.
    pub chip_name: String,
    /// The line's number on the chip.
    pub line: u32,
    /// Its settings.
    pub settings: Settings,
}

/// An input.
pub struct Input {
    line: Option<InputLine>,
    teller: Arc<Teller>,
    every: Duration,
}

impl Plugin for Input {
    type Args = InputArgs;
    const MANIFEST: Manifest =
        Manifest::new("input", env!("CARGO_PKG_VERSION"), "Tells how a contact on a GPIO line stands.")
            .author(AUTHOR)
            .category(Category::Sensor)
            .tags(&["gpio"]);

    fn declares(id: &Id, _: &InputArgs) -> Claims {
        Claims { sensors: vec![id.clone()], tools: Vec::new() }
    }

    async fn setup(args: &InputArgs, ctx: Context) -> Result<Self, PluginError> {
        let InputArgs { lines, chip_name, line, settings } = args;
        at_least_a_second(settings.every)?;
        let events = match settings.events {
            true => Some([named(ctx.id(), "off")?, named(ctx.id(), "on")?]),
            false => None,
        };
        let suppressed = metric(&ctx, "suppressed", "Changes that came too fast to be told.")?;
        ctx.announce(descriptor::<Self>(&ctx, chip_name, *line, ON).every(settings.every.0));

        let options = InputOptions {
            pull: settings.pull.into(),
            active_low: settings.active_low,
            debounce: Some(settings.debounce.0),
            edges: Detect::Both,
        };
        let line = lines.input(*line, options).map_err(unclaimed)?;
        let told = AtomicBool::new(line.get().map_err(unclaimed)?);
        let teller = Arc::new(Teller { ctx: ctx.clone(), told, events, suppressed });
        ctx.spawn(watch(teller.clone(), line.edges()));
        Ok(Self { line: Some(line), teller, every: settings.every.0 })
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let line = self.line.as_ref().ok_or(PluginError::Failed("the line was let go".into()))?;
        let on = line.get().map_err(unclaimed)?;
        self.teller.tell(on).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.line = None;
        Ok(())
    }
}

/// Tells how the line stands.
struct Teller {
    ctx: Context,
    told: AtomicBool,
    /// The names of the events, off and on.
    events: Option<[Name; 2]>,
    suppressed: Counter,
}

impl Teller {
    async fn tell(&self, on: bool) -> Result<(), PluginError> {
        let changed = self.told.swap(on, Ordering::AcqRel) != on;
        let told = super::tell(&self.ctx, "on", on).await;
        if let Some(names) = self.events.as_ref().filter(|_| changed) {
            let (kind, id) = (names[usize::from(on)].clone(), self.ctx.id());
            let text = format!("`{id}` went {}.", if on { "on" } else { "off" });
            let data = json!({ "sensor": id.as_str(), "on": on });
            self.ctx
                .publish::<topics::EventRaised>(Event { kind, severity: Severity::Info, text, data })
                .await;
        }
        told
    }

    /// Tells a change, if it is one. What could not be told is at the next beat.
    async fn change(&self, on: bool) -> u32 {
        if self.told.load(Ordering::Acquire) == on {
            return 0;
        }
        let _ = self.tell(on).await;
        1
    }
}

/// Tells each change, until the line is let go.
async fn watch(teller: Arc<Teller>, mut edges: EdgeStream) {
    let clock = teller.ctx.clock();
    let (mut begun, mut told) = (clock.up(), 0);
    loop {
        let edges = match edges.next().await {
            Ok(edges) => edges,
            Err(LineError::LetGo { .. }) => return,
            Err(error) => return teller.ctx.degraded(Some(format!("changes are not heard of: {error}"))),
        };
        if clock.up().saturating_sub(begun) >= SECOND {
            (begun, told) = (clock.up(), 0);
        }
        told += pass_on(&teller, &edges, MOST - told).await;
        if told >= MOST {
            let rest = SECOND.saturating_sub(clock.up().saturating_sub(begun));
            teller.ctx.sleep(rest).await;
            (begun, told) = (clock.up(), 0);
        }
    }
}

/// Tells so many changes of a batch, and the last in any case. Gives how many were told.
async fn pass_on(teller: &Teller, edges: &Edges, most: u32) -> u32 {
    let mut told = 0;
    for edge in edges.latest.iter().take(edges.latest.len().saturating_sub(1)) {
        if told + 1 < most {
            told += teller.change(edge.rising).await;
        }
    }
    told += teller.change(edges.level).await;
    teller.suppressed.add(edges.count().saturating_sub(u64::from(told)));
    told
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::block_on;
    use serde_json::Value as Json;

    use super::*;
    use crate::gpio::bench::{Bench, LINE, refused, settings};

    fn args(bench: &Bench, json: Json) -> InputArgs {
        InputArgs { lines: bench.lines(), chip_name: "gpio0".into(), line: LINE, settings: settings(json) }
    }

    fn started(json: Json) -> (Bench, Input) {
        let mut bench = Bench::new();
        let args = args(&bench, json);
        let mut input = bench.setup::<Input>(&args);
        bench.tick(&mut input);
        (bench, input)
    }

    const OFF: Value = Value::Bool(false);
    const ON: Value = Value::Bool(true);

    #[test]
    fn a_change_is_told_at_once_and_the_state_at_every_beat() {
        let (mut bench, mut input) = started(json!({}));
        assert_eq!(bench.told("on"), [OFF], "at the start");
        bench.stir();
        bench.chip.set_input(LINE, true);
        bench.stir();
        bench.chip.set_input(LINE, false);
        bench.stir();
        bench.tick(&mut input);
        assert_eq!(bench.told("on"), [ON, OFF, OFF]);
        assert_eq!(input.every(), Some(Duration::from_secs(60)));
        assert!(bench.node.published::<topics::EventRaised>().is_empty());
    }

    #[test]
    fn a_contact_to_ground_is_off_when_open() {
        let (mut bench, _input) = started(json!({ "pull": "up", "active_low": true }));
        bench.chip.set_input(LINE, false);
        bench.stir();
        assert_eq!(bench.told("on"), [OFF, ON]);
    }

    #[test]
    fn a_press_that_is_over_is_told_all_the_same() {
        let (mut bench, _input) = started(json!({}));
        bench.chip.set_input(LINE, true);
        bench.chip.set_input(LINE, false);
        bench.stir();
        assert_eq!(bench.told("on"), [OFF, ON, OFF]);
        assert_eq!(bench.metric("suppressed"), 0);
    }

    #[test]
    fn a_bounce_is_not_told_unless_it_is_asked_for() {
        for (more, told) in [(json!({}), 1), (json!({ "debounce": "0s" }), 5)] {
            let (mut bench, _input) = started(more);
            bench.chip.pulse(LINE, 2);
            bench.stir();
            assert_eq!(bench.told("on").len(), told);
        }
    }

    #[test]
    fn chatter_is_counted_and_the_last_state_is_told() {
        let (mut bench, _input) = started(json!({ "debounce": "0s" }));
        bench.told("on");
        bench.chip.pulse(LINE, 1000);
        bench.stir();
        let told = bench.told("on");
        assert_eq!((told.len(), told.last()), (MOST as usize, Some(&OFF)));
        assert_eq!(bench.metric("suppressed"), 2000 - u64::from(MOST));

        assert_eq!(bench.node.context("x").clock().up(), SECOND, "it waited for the next second");
        bench.chip.pulse(LINE, 1000);
        bench.chip.set_input(LINE, true);
        bench.stir();
        assert_eq!(bench.told("on").last(), Some(&ON));
    }

    #[test]
    fn many_small_batches_are_no_way_around_the_limit() {
        let (mut bench, _input) = started(json!({ "debounce": "0s" }));
        bench.told("on");
        for _ in 0..200 {
            bench.chip.pulse(LINE, 1);
            bench.stir();
        }
        let readings = bench.told("on").len() as u64;
        let seconds = bench.node.context("x").clock().up().as_secs();
        assert!(readings <= u64::from(MOST) * (seconds + 1), "{readings} in {seconds} s");
        assert!(readings + bench.metric("suppressed") == 400);
    }

    #[test]
    fn events_are_for_changes_and_not_for_beats() {
        let (mut bench, mut input) = started(json!({ "events": true }));
        bench.chip.set_input(LINE, true);
        bench.stir();
        bench.tick(&mut input);
        bench.chip.set_input(LINE, false);
        // The beat comes before whoever hears of edges: it is told once.
        bench.tick(&mut input);
        bench.stir();
        let events = bench.node.published::<topics::EventRaised>();
        let names: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(names, ["x_1_on", "x_1_off"]);
        assert_eq!((events[0].severity, events[0].text.as_str()), (Severity::Info, "`x-1` went on."));
        assert_eq!(events[0].data, json!({ "sensor": "x-1", "on": true }));
    }

    #[test]
    fn after_its_end_the_line_is_free_and_nothing_is_heard() {
        let (mut bench, mut input) = started(json!({}));
        bench.told("on");
        block_on(input.teardown()).unwrap();
        bench.stir();
        assert!(bench.is_idle());
        assert_eq!(bench.node.degraded("x-1"), None);
        assert!(block_on(input.tick()).is_err());
        bench.lines().output(LINE, false, false).unwrap();
    }

    #[test]
    fn settings_that_cannot_be_are_refused_before_the_line_is_touched() {
        let bench = Bench::new();
        let text = refused(bench.try_setup::<Input>(&args(&bench, json!({ "every": "0s" }))));
        assert!(text.contains("at least 1s"), "{text}");
        assert_eq!(bench.chip.level(LINE), None);
        let args = InputArgs { line: 4000, ..args(&bench, json!({})) };
        assert!(refused(bench.try_setup::<Input>(&args)).contains("lines 0 to"));
    }
}
