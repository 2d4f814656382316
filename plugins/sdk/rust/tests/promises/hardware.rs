//! Hardware by the labels of a manifest, for plugins that are no drivers.

use sedge_plugin::prelude::*;
use sedge_protocol::{Ask, Bytes, GpioOperation, I2cOperation};
use sedge_sdk::Guest;
use serde_json::{Value as Json, json};

use super::node::Node;

/// Reads a gauge, and sets a valve by what it says.
struct Pump(Id);

impl Plugin for Pump {
    type Args = Json;
    const MANIFEST: Manifest = Manifest::new("probe", "1.0.0", "Pumps.");
    async fn setup(_: &Json, ctx: Context) -> Result<Self, PluginError> {
        Ok(Self(ctx.id().clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Json, _: &Context) {
        hooks.tools();
    }
}

impl Tools for Pump {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(Name::new("probe_pump").unwrap(), "Pumps.")]
    }
    async fn call(&mut self, _: ToolCall) -> Result<Json, ToolError> {
        let failed = |error: BusError| ToolError::failed(error.to_string());
        assert!(sedge_sdk::i2c(&self.0, "other").is_err(), "it was not granted");
        let mut gauge = sedge_sdk::i2c(&self.0, "gauge").map_err(failed)?;
        let level = gauge.read_u8(0x0F).map_err(failed)?;
        sedge_sdk::gpio_set(&self.0, "valve", level > 10)?;
        Ok(json!({ "level": level, "open": sedge_sdk::gpio_get(&self.0, "valve")? }))
    }
}

#[test]
fn a_plugin_reaches_what_it_was_granted_by_its_own_labels() {
    let grants = json!({ "i2c": { "gauge": { "bus": "i2c-1", "address": 0x48 } } });
    let (mut node, _) = Node::ready_as("pumping", Guest::plugin::<Pump>(), json!({ "grants": grants }));
    let call = node.tool("probe_pump", json!({}));
    let operations = vec![I2cOperation::Write(Bytes(vec![0x0F])), I2cOperation::Read(1)];
    assert_eq!(node.answers(json!({ "read": ["2a"] })), Ask::I2c { device: "gauge".into(), operations });
    let valve = |operation| Ask::Gpio { line: "valve".into(), operation };
    assert_eq!(node.answers(json!({ "level": true })), valve(GpioOperation::Set(true)));
    assert_eq!(node.answers(json!({ "level": true })), valve(GpioOperation::Get(true)));
    assert_eq!(node.answer(call), Ok(json!({ "level": 42, "open": true })));
    node.stop();
}
