//! A relay on a GPIO line: tools to switch it, and a reading that tells how it stands.
//!
//! ```toml
//! [gpio.pump]
//! kind = "relay"
//! bus = "gpio0"
//! line = 17
//! active_low = true   # most relay boards switch on at the low level
//! safe = false        # off when the node stops and when something fails
//! ```
//!
//! The line is never at a level that nobody asked for: claimed it is `initial`, let go it is `safe`. What no
//! software can promise: its level while the board boots, and after the process was killed. A relay that must
//! be off then needs a resistor that says so.

use std::time::Duration;

use sedge_hal::{LineError, Lines, OutputLine};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use super::{ON, at_least_a_second, descriptor, unclaimed};
use crate::AUTHOR;

/// Settings of a `kind = "relay"` line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// On is the low level.
    pub active_low: bool,
    /// What it is when the node stops and when something fails: true is on.
    pub safe: bool,
    /// What it is after a start; `safe`, unless told otherwise.
    pub initial: Option<bool>,
    /// How often its state is told, besides every change; not more often than once a second.
    pub every: Every,
}

impl Default for Settings {
    fn default() -> Self {
        Self { active_low: false, safe: false, initial: None, every: Every::secs(60) }
    }
}

/// What a relay is given: outlives its restarts.
pub struct RelayArgs {
    /// The chip.
    pub lines: Lines,
    /// What the config calls the chip.
    pub chip_name: String,
    /// The line's number on the chip.
    pub line: u32,
    /// Its settings.
    pub settings: Settings,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetArgs {
    /// True switches it on.
    on: bool,
}

/// How the relay stands.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the result of the tools")]
struct Stands {
    /// True is on.
    on: bool,
}

/// A relay.
pub struct Relay {
    ctx: Context,
    line: Option<OutputLine>,
    settings: Settings,
    set: Name,
    toggle: Name,
}

impl Plugin for Relay {
    type Args = RelayArgs;
    const MANIFEST: Manifest =
        Manifest::new("relay", env!("CARGO_PKG_VERSION"), "Switches a relay on a GPIO line.")
            .author(AUTHOR)
            .category(Category::Tool)
            .tags(&["gpio", "actuator"]);

    fn declares(id: &Id, _: &RelayArgs) -> Claims {
        // A name that is too long is told of at the set-up.
        let tools = names(id).map(|(set, toggle)| offered(&set, &toggle)).unwrap_or_default();
        Claims { sensors: vec![id.clone()], tools }
    }

    async fn setup(args: &RelayArgs, ctx: Context) -> Result<Self, PluginError> {
        let RelayArgs { lines, chip_name, line, settings } = args;
        at_least_a_second(settings.every)?;
        let (set, toggle) = names(ctx.id())
            .map_err(|error| PluginError::Settings(format!("its tools need a shorter id: {error}").into()))?;
        ctx.announce(descriptor::<Self>(&ctx, chip_name, *line, ON).every(settings.every.0));

        let initial = settings.initial.unwrap_or(settings.safe);
        let line = lines.output(*line, initial, settings.active_low).map_err(unclaimed)?;
        Ok(Self { ctx, line: Some(line), settings: settings.clone(), set, toggle })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        Some(self.settings.every.0)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let on = self.line()?.get().map_err(unclaimed)?;
        self.tell(on).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        match self.make_safe() {
            // What is not there any more cannot be made safe.
            Err(LineError::Gone(_)) => Ok(()),
            made => made.map_err(unclaimed),
        }
    }
}

impl Relay {
    fn line(&self) -> Result<&OutputLine, PluginError> {
        self.line.as_ref().ok_or(PluginError::Failed("the line was let go".into()))
    }

    async fn tell(&self, on: bool) -> Result<(), PluginError> {
        let mut frame = Frame::default();
        frame.push("on", on);
        self.ctx.submit(self.ctx.id(), frame).await
    }

    /// Sets the safe level and lets go of the line.
    fn make_safe(&mut self) -> Result<(), LineError> {
        let Some(line) = self.line.take() else { return Ok(()) };
        line.set(self.settings.safe)
    }
}

impl Drop for Relay {
    /// For the case that nobody tore it down.
    fn drop(&mut self) {
        let _ = self.make_safe();
    }
}

/// What its tools are called.
fn names(id: &Id) -> Result<(Name, Name), IdError> {
    Ok((Name::from_id(id, Some("set"))?, Name::from_id(id, Some("toggle"))?))
}

fn offered(set: &Name, toggle: &Name) -> Vec<Tool> {
    let tool = |name: &Name, title: &str, description, idempotent| {
        let tool = Tool::new(name.clone(), description).output::<Stands>();
        Tool {
            title: title.into(),
            annotations: Annotations { idempotent, ..Annotations::default() },
            ..tool
        }
    };
    vec![
        tool(set, "Switch", "Switches the relay on or off.", true).input::<SetArgs>(),
        tool(toggle, "Toggle", "Switches the relay to the other state.", false),
    ]
}

impl Tools for Relay {
    fn tools(&self) -> Vec<Tool> {
        offered(&self.set, &self.toggle)
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let line = self.line().map_err(|error| ToolError::failed(error.to_string()))?;
        let failed = |error: LineError| ToolError::failed(error.to_string());
        let on = if call.tool == self.set {
            let bad = |error: serde_json::Error| ToolError::new(ToolErrorCode::BadArgs, error.to_string());
            SetArgs::deserialize(&call.args).map_err(bad)?.on
        } else if call.tool == self.toggle {
            !line.get().map_err(failed)?
        } else {
            return Err(ToolError::new(ToolErrorCode::NotFound, format!("no tool `{}`", call.tool)));
        };
        line.set(on).map_err(failed)?;
        // The relay has switched, whether or not that can be told; the next beat tells again.
        let _ = self.tell(on).await;
        Ok(json!({ "on": on }))
    }
}

#[cfg(test)]
mod tests {
    use sedge_hal::SimBus;
    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    fn simulated(settings: Json) -> (TestNode, SimBus, RelayArgs) {
        let node = TestNode::new();
        let bus = SimBus::new("gpio0", node.clock());
        let settings = serde_json::from_value(settings).unwrap();
        let args = RelayArgs { lines: bus.lines(), chip_name: "gpio0".into(), line: 17, settings };
        (node, bus, args)
    }

    fn setup(node: &TestNode, args: &RelayArgs) -> Relay {
        block_on(Relay::setup(args, node.context("pump-1"))).unwrap()
    }

    fn call(relay: &mut Relay, tool: &str, args: Json) -> Result<Json, ToolError> {
        let tool = Name::new(tool).unwrap();
        block_on(relay.call(ToolCall::new(tool, args)))
    }

    fn told(node: &TestNode) -> Vec<Value> {
        node.submitted().iter().filter_map(|draft| draft.frame.get("on").cloned()).collect()
    }

    #[test]
    fn it_is_switched_by_its_tools_and_tells_each_change() {
        let (node, bus, args) = simulated(json!({}));
        let mut relay = setup(&node, &args);
        let names: Vec<String> = relay.tools().iter().map(|tool| tool.name.to_string()).collect();
        assert_eq!(names, ["pump_1_set", "pump_1_toggle"]);
        assert_eq!(bus.level(17), Some(false));

        block_on(relay.tick()).unwrap();
        assert_eq!(call(&mut relay, "pump_1_set", json!({ "on": true })), Ok(json!({ "on": true })));
        assert_eq!(bus.level(17), Some(true));
        assert_eq!(call(&mut relay, "pump_1_toggle", json!({})), Ok(json!({ "on": false })));
        assert_eq!(bus.level(17), Some(false));
        assert_eq!(told(&node), [false, true, false].map(Value::Bool));
    }

    #[test]
    fn a_call_that_it_does_not_understand_switches_nothing() {
        let (node, bus, args) = simulated(json!({}));
        let mut relay = setup(&node, &args);
        let code = |result: Result<Json, ToolError>| result.unwrap_err().code;
        assert_eq!(code(call(&mut relay, "pump_1_set", json!({ "on": "yes" }))), ToolErrorCode::BadArgs);
        assert_eq!(code(call(&mut relay, "pump_1_burn", json!({}))), ToolErrorCode::NotFound);
        assert_eq!(bus.level(17), Some(false));
        assert!(told(&node).is_empty());
    }

    #[test]
    fn it_is_safe_after_its_teardown_and_the_line_is_free() {
        for (settings, safe) in
            [(json!({}), false), (json!({ "active_low": true }), true), (json!({ "safe": true }), true)]
        {
            let (node, bus, args) = simulated(settings);
            let mut relay = setup(&node, &args);
            call(&mut relay, "pump_1_toggle", json!({})).unwrap();
            assert_eq!(bus.level(17), Some(!safe));
            block_on(relay.teardown()).unwrap();
            assert_eq!(bus.level(17), Some(safe));
            assert!(block_on(relay.tick()).is_err());
            let again = setup(&node, &args);
            drop(relay);
            drop(again);
        }
    }

    #[test]
    fn it_is_safe_when_it_is_dropped_without_a_teardown() {
        let (node, bus, args) = simulated(json!({ "initial": true }));
        let relay = setup(&node, &args);
        assert_eq!(bus.level(17), Some(true));
        drop(relay);
        assert_eq!(bus.level(17), Some(false));
    }

    #[test]
    fn a_line_that_cannot_be_had_says_why() {
        let (node, _bus, args) = simulated(json!({}));
        let _first = setup(&node, &args);
        let error = block_on(Relay::setup(&args, node.context("y"))).err();
        assert!(matches!(&error, Some(PluginError::Failed(text)) if text.contains("in use")), "{error:?}");
        let args = RelayArgs { line: 4000, ..args };
        let error = block_on(Relay::setup(&args, node.context("y"))).err();
        assert!(matches!(error, Some(PluginError::Settings(_))), "{error:?}");
    }

    #[test]
    fn a_cadence_below_a_second_is_refused() {
        let (node, bus, args) = simulated(json!({ "every": "0s" }));
        let error = block_on(Relay::setup(&args, node.context("x"))).err();
        assert!(matches!(error, Some(PluginError::Settings(_))), "{error:?}");
        assert_eq!(bus.level(17), None, "the line was not touched");
    }

    #[test]
    fn an_id_that_is_too_long_for_its_tools_is_refused() {
        let (node, _bus, args) = simulated(json!({}));
        let error = block_on(Relay::setup(&args, node.context("a-pump-with-a-name-of-thirty"))).err();
        assert!(
            matches!(&error, Some(PluginError::Settings(text)) if text.contains("shorter id")),
            "{error:?}"
        );
    }
}
