//! Counts readings, tells how many there were, and does not forget them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::prelude::*;
use serde_json::Value as Json;

/// Settings of `[plugin.tally]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Only these sensors; without it: all.
    #[serde(default)]
    sensors: Option<Vec<Id>>,
}

/// Arguments of `tally_of`. The node checks them before the plugin sees them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Of {
    /// Whose readings.
    sensor: Id,
}

/// Counts readings.
pub struct Tally {
    ctx: Context,
    counts: BTreeMap<Id, u64>,
}

impl Plugin for Tally {
    type Args = Settings;
    const MANIFEST: Manifest = Manifest::new("tally", env!("CARGO_PKG_VERSION"), "Counts readings.")
        .author("You")
        .category(Category::Tool);

    async fn setup(_: &Settings, ctx: Context) -> Result<Self, PluginError> {
        // A store of its own, that survives restarts of the plugin and of the node.
        let counts = ctx.load("counts").await?.unwrap_or_default();
        Ok(Self { ctx, counts })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, settings: &Settings, _: &Context) {
        let options = match &settings.sensors {
            Some(sensors) => Options::default().only(sensors.iter().cloned()),
            None => Options::default(),
        };
        hooks.observe::<topics::Deliver>(options);
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    /// A power cut costs a minute's count at most. (Not at every reading: an SD card wears out.)
    async fn tick(&mut self) -> Result<(), PluginError> {
        self.ctx.store("counts", &self.counts).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.ctx.store("counts", &self.counts).await
    }
}

impl Observer<topics::Deliver> for Tally {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        *self.counts.entry(reading.sensor.clone()).or_default() += 1;
        Ok(())
    }
}

impl Tools for Tally {
    fn tools(&self) -> Vec<Tool> {
        let Ok(name) = Name::new("tally_of") else { return Vec::new() };
        let tool = Tool::new(name, "How many readings of a sensor there were.").input::<Of>();
        vec![Tool { annotations: Annotations { read_only: true, ..Annotations::default() }, ..tool }]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let Of { sensor } =
            serde_json::from_value(call.args).map_err(|e| ToolError::failed(e.to_string()))?;
        Ok(self.counts.get(&sensor).copied().unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use sedge_actors::{Node, PluginSpec, Surroundings, TokioClock, node_info};
    use serde_json::json;

    use super::*;

    /// In the real engine: what a user calls is what the test calls.
    #[tokio::test]
    async fn a_call_is_answered_and_wrong_arguments_never_reach_the_plugin() {
        let around =
            Surroundings { data: Some(std::env::temp_dir().join("tally-test")), ..Default::default() };
        let node = Node::within(node_info("test"), Arc::new(TokioClock::default()), around);
        let tally = PluginSpec::new::<Tally>(Id::new("tally").unwrap(), Settings { sensors: None });
        let node = node.start(vec![tally]).await;
        let call = |args| ToolCall::new(Name::new("tally_of").unwrap(), args);

        let outcome = node.call(call(json!({ "sensor": "tank" }))).await;
        assert_eq!(outcome.result.unwrap(), 0);
        let error = node.call(call(json!({ "senser": "tank" }))).await.result.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::BadArgs);
        assert!(error.message.contains("did you mean `sensor`"), "{error}");
        node.stop().await;
    }
}
