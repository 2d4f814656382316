//! An output that is on for a share of the time: a fan, a heater, a lamp. A tool sets its duty, a reading tells it.
//!
//! ```toml
//! [gpio.fan]
//! kind = "pwm"
//! bus = "gpio0"        # in software, up to 200 Hz; a bus of kind `pwm` does it in hardware
//! line = 18
//! frequency = 25
//! safe = 1             # full speed when the node stops and when something fails
//! ```
//!
//! The duty is `initial` from the start on and `safe` at the end. In software each edge comes as late as the system is busy:
//! good for what is slow, not for a servo; and the safe duty can only be 0 or 1, because nothing switches the line once the
//! node has ended. What no software can promise: the level while the board boots, and after the process was killed.

use std::time::Duration;

use sedge_hal::{Lines, Pwm, PwmChip, PwmError, PwmOptions};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use super::{arguments, at_least_a_second, descriptor, named, tell, tool_failed, unclaimed, unknown};
use crate::AUTHOR;

/// How often a channel is asked for that is new, and how long to wait between.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(50);

/// Settings of a `kind = "pwm"` line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often it is switched on per second, in hertz.
    #[schemars(range(min = 0.01))]
    pub frequency: f64,
    /// The duty when the node stops and when something fails: 0 is off, 1 is on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub safe: f64,
    /// The duty after a start; `safe`, unless told otherwise.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub initial: Option<f64>,
    /// How often its duty is told, besides every change; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        Self { frequency: 25.0, safe: 0.0, initial: None, every: Every::secs(60) }
    }
}

/// What does the switching.
#[derive(Clone)]
pub enum PwmSource {
    /// A thread.
    Software(Lines),
    /// A chip: the line is its channel.
    Hardware(PwmChip),
}

impl PwmSource {
    fn open(&self, line: u32, options: PwmOptions) -> Result<Pwm, PwmError> {
        match self {
            Self::Software(lines) => lines.pwm(line, options),
            Self::Hardware(chip) => chip.channel(line, options),
        }
    }
}

/// What a modulated output is given: outlives its restarts.
pub struct PwmArgs {
    /// What does the switching.
    pub source: PwmSource,
    /// What the config calls the chip.
    pub chip_name: String,
    /// The line's number on the chip, or the channel's.
    pub line: u32,
    /// Its settings.
    pub settings: Settings,
}

const FIELDS: &[Field] = &[Field::new("duty", Unit::Percent).precision(1).range(0.0, 100.0)];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetArgs {
    /// The share of the time that it is on: 0 is off, 1 is always on.
    #[schemars(range(min = 0.0, max = 1.0))]
    duty: f64,
}

/// How the output stands.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the result of the tool")]
struct Stands {
    /// The share of the time that it is on.
    duty: f64,
}

/// A modulated output.
pub struct PwmLine {
    ctx: Context,
    /// None once it was torn down. Dropped, it is left safe.
    pwm: Option<Pwm>,
    every: Duration,
    set: Name,
}

impl Plugin for PwmLine {
    type Args = PwmArgs;
    const MANIFEST: Manifest =
        Manifest::new("pwm", env!("CARGO_PKG_VERSION"), "Modulates a GPIO line: a fan, a heater, a lamp.")
            .author(AUTHOR)
            .category(Category::Tool)
            .tags(&["gpio", "actuator"]);

    fn declares(id: &Id, _: &PwmArgs) -> Claims {
        // A name that is too long is told of at the set-up.
        let tools = named(id, "set").map(|set| vec![offered(&set)]).unwrap_or_default();
        Claims { sensors: vec![id.clone()], tools }
    }

    async fn setup(args: &PwmArgs, ctx: Context) -> Result<Self, PluginError> {
        let PwmArgs { source, chip_name, line, settings } = args;
        at_least_a_second(settings.every)?;
        let set = named(ctx.id(), "set")?;
        ctx.announce(descriptor::<Self>(&ctx, chip_name, *line, FIELDS).every(settings.every.0));
        let Settings { frequency, safe, initial, .. } = *settings;
        let options = PwmOptions { frequency, initial: initial.unwrap_or(safe), safe };
        let mut tries = 0;
        let pwm = loop {
            tries += 1;
            match source.open(*line, options) {
                Err(PwmError::NotYet(_)) if tries < TRIES => ctx.sleep(BETWEEN).await,
                opened => break opened.map_err(told)?,
            }
        };
        Ok(Self { ctx, pwm: Some(pwm), every: settings.every.0, set })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let pwm = self.pwm()?;
        // Set anew: what failed below since the last time comes to light.
        pwm.set(pwm.duty()).map_err(told)?;
        tell(&self.ctx, "duty", pwm.duty() * 100.0).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.pwm.take().map_or(Ok(()), Pwm::end).map_err(told)
    }
}

impl PwmLine {
    fn pwm(&self) -> Result<&Pwm, PluginError> {
        self.pwm.as_ref().ok_or(PluginError::Failed("the line was let go".into()))
    }
}

fn told(error: PwmError) -> PluginError {
    match error {
        PwmError::Settings(text) => PluginError::Settings(text.into()),
        PwmError::Gone(text) | PwmError::NotYet(text) => PluginError::Unmet(text.into()),
        PwmError::Line(error) => unclaimed(error),
        error => super::failed(error),
    }
}

fn offered(set: &Name) -> Tool {
    let annotations = Annotations { idempotent: true, ..Annotations::default() };
    let tool = Tool::new(set.clone(), "Sets the share of the time that the output is on.");
    Tool { title: "Set the duty".into(), annotations, ..tool.input::<SetArgs>().output::<Stands>() }
}

impl Tools for PwmLine {
    fn tools(&self) -> Vec<Tool> {
        vec![offered(&self.set)]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        if call.tool != self.set {
            return unknown(&call);
        }
        let SetArgs { duty } = arguments(&call)?;
        self.pwm().map_err(tool_failed)?.set(duty).map_err(tool_failed)?;
        // It is set, whether or not that can be told; the next beat tells again.
        let _ = tell(&self.ctx, "duty", duty * 100.0).await;
        Ok(json!({ "duty": duty }))
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::block_on;

    use super::*;
    use crate::gpio::bench::{Bench, LINE, refused, settings};

    fn args(bench: &Bench, json: Json) -> PwmArgs {
        let source = PwmSource::Software(bench.lines());
        PwmArgs { source, chip_name: "gpio0".into(), line: LINE, settings: settings(json) }
    }

    fn started(json: Json) -> (Bench, PwmLine) {
        let mut bench = Bench::new();
        let args = args(&bench, json);
        let pwm = bench.setup::<PwmLine>(&args);
        (bench, pwm)
    }

    #[test]
    fn its_tool_sets_the_duty_and_each_change_is_told() {
        let (bench, mut pwm) = started(json!({ "initial": 0.25 }));
        bench.tick(&mut pwm);
        assert_eq!(bench.call(&mut pwm, "set", json!({ "duty": 0.5 })), Ok(json!({ "duty": 0.5 })));
        bench.tick(&mut pwm);
        assert_eq!(bench.told("duty"), [25.0, 50.0, 50.0].map(Value::Number));
        let field = &bench.node.sensors()["x-1"].fields["duty"];
        assert_eq!((field.unit, field.max), (Unit::Percent, Some(100.0)));
    }

    #[test]
    fn a_duty_that_is_none_changes_nothing() {
        let (bench, mut pwm) = started(json!({}));
        for wrong in [json!({ "duty": 1.1 }), json!({ "duty": "full" }), json!({})] {
            assert_eq!(bench.call(&mut pwm, "set", wrong).unwrap_err().code, ToolErrorCode::BadArgs);
        }
        assert_eq!(bench.chip.level(LINE), Some(false));
        assert!(bench.told("duty").is_empty());
    }

    #[test]
    fn it_is_safe_after_its_teardown_and_the_line_is_free() {
        for (json, duty, safe) in [(json!({}), 1.0, false), (json!({ "safe": 1 }), 0.0, true)] {
            let (mut bench, mut pwm) = started(json.clone());
            bench.call(&mut pwm, "set", json!({ "duty": duty })).unwrap();
            assert_eq!(bench.chip.level(LINE), Some(!safe));
            block_on(pwm.teardown()).unwrap();
            assert_eq!(bench.chip.level(LINE), Some(safe));
            assert!(block_on(pwm.tick()).is_err());
            let args = args(&bench, json);
            bench.setup::<PwmLine>(&args);
        }
    }

    #[test]
    fn it_is_safe_when_it_is_dropped_without_a_teardown() {
        let (bench, pwm) = started(json!({ "initial": 1 }));
        assert_eq!(bench.chip.level(LINE), Some(true));
        drop(pwm);
        assert_eq!(bench.chip.level(LINE), Some(false));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let bench = Bench::new();
        for json in [json!({ "frequency": 0 }), json!({ "safe": 2 }), json!({ "every": "0s" })] {
            refused(bench.try_setup::<PwmLine>(&args(&bench, json)));
        }
        assert_eq!(bench.chip.level(LINE), None, "the line was not touched");
        let _first = bench.lines().output(LINE, false, false).unwrap();
        let error = bench.try_setup::<PwmLine>(&args(&bench, json!({}))).err();
        assert!(matches!(&error, Some(PluginError::Failed(text)) if text.contains("in use")), "{error:?}");
    }

    #[test]
    fn a_hardware_chip_that_is_not_there_is_waited_for() {
        let bench = Bench::new();
        let chip = sedge_hal::pwm_chip(std::path::Path::new("/sys/class/pwm/pwmchip99"));
        let args = PwmArgs { source: PwmSource::Hardware(chip), ..args(&bench, json!({})) };
        let error = bench.try_setup::<PwmLine>(&args).err();
        assert!(matches!(&error, Some(PluginError::Unmet(text)) if text.contains("pwmchip99")), "{error:?}");
    }
}
