//! Adds numbers up.

use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

/// Arguments of its tool.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sum {
    /// What is added up.
    numbers: Vec<f64>,
}

/// The plugin.
pub struct {{type}};

impl Plugin for {{type}} {
    type Args = NoSettings;
    const MANIFEST: Manifest =
        Manifest::new("{{name}}", env!("CARGO_PKG_VERSION"), "Adds numbers up.").category(Category::Tool);

    async fn setup(_: &NoSettings, _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &NoSettings, _: &Context) {
        hooks.tools();
    }
}

impl Tools for {{type}} {
    fn tools(&self) -> Vec<Tool> {
        let Ok(name) = Name::new("{{snake}}_sum") else { return Vec::new() };
        let tool = Tool::new(name, "Adds numbers up.").input::<Sum>();
        vec![Tool { annotations: Annotations { read_only: true, ..Annotations::default() }, ..tool }]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let wrong = |error: serde_json::Error| ToolError::new(ToolErrorCode::BadArgs, error.to_string());
        let sum: Sum = serde_json::from_value(call.args).map_err(wrong)?;
        Ok(json!(sum.numbers.iter().sum::<f64>()))
    }
}
{{export}}
#[cfg(test)]
mod tests {
    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    #[test]
    fn numbers_are_added_up() {
        let node = TestNode::new();
        let mut plugin = block_on({{type}}::setup(&NoSettings {}, node.context("test"))).unwrap();
        let name = plugin.tools()[0].name.clone();
        let call = ToolCall::new(name, json!({ "numbers": [1.5, 2.0] }));
        assert_eq!(block_on(plugin.call(call)).unwrap(), json!(3.5));
    }
}
