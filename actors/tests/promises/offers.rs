//! What a plugin offers to people and to agents.

use std::sync::Arc;

use sedge_actors::{Node, PluginSpec, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Command, CommandRegistryBuild};
use serde_json::{Value as Json, json};

/// Offers a tool with a guideline, and a command for it.
struct Garden;

fn water() -> Name {
    Name::new("garden_water").unwrap()
}

impl Plugin for Garden {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("garden", "1.0.0", "Waters the garden.").category(Category::Tool);

    async fn setup((): &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, (): &(), _: &Context) {
        hooks.tools();
        hooks.collect::<CommandRegistryBuild>(Options::default());
    }
}

impl Tools for Garden {
    fn tools(&self) -> Vec<Tool> {
        let tool = Tool::new(water(), "Waters the garden.");
        vec![Tool { guideline: Some("Never at noon.".into()), ..tool }]
    }

    async fn call(&mut self, _: ToolCall) -> Result<Json, ToolError> {
        Ok(json!("watered"))
    }
}

impl Answer<CommandRegistryBuild> for Garden {
    async fn answer(&mut self, _: Arc<()>) -> Result<Option<Vec<Command>>, PluginError> {
        let about = "Waters the garden".into();
        Ok(Some(vec![Command { name: "water".into(), about, tool: water() }]))
    }
}

async fn node() -> sedge_actors::RunningNode {
    let node = Node::new(node_info("test"), Arc::new(TokioClock::default()));
    node.start(vec![PluginSpec::new::<Garden>(Id::new("garden").unwrap(), ())]).await
}

#[tokio::test(start_paused = true)]
async fn a_guideline_reaches_whoever_reads_the_tool() {
    let node = node().await;
    let tool = node.directory().tools["garden_water"].clone();
    assert_eq!(tool.guideline.as_deref(), Some("Never at noon."));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_of_a_plugin_is_a_command_of_the_program() {
    let node = node().await;
    let commands = node.commands().await;
    assert_eq!((commands[0].name.as_str(), &commands[0].tool), ("water", &water()));
    let outcome = node.call(ToolCall::new(commands[0].tool.clone(), json!({}))).await;
    assert_eq!(outcome.result.unwrap(), "watered");
    node.stop().await;
}
