//! Counts readings, tells how many there were, and does not forget them.
//!
//! It is written as if it were compiled in: nothing here knows that it runs as a process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::prelude::*;
use serde_json::Value as Json;

/// Its settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Only these sensors; without it: all.
    #[serde(default)]
    sensors: Option<Vec<Id>>,
}

/// Arguments of its tool.
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
    const MANIFEST: Manifest = Manifest::new(
        "rust-tally",
        env!("CARGO_PKG_VERSION"),
        "Counts readings and tells how many there were.",
    )
    .category(Category::Tool);

    async fn setup(_: &Settings, ctx: Context) -> Result<Self, PluginError> {
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

    /// A power cut costs a minute's count at most.
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
        let Ok(name) = Name::new("rust_tally_of") else { return Vec::new() };
        let tool = Tool::new(name, "How many readings of a sensor there were.").input::<Of>();
        vec![Tool { annotations: Annotations { read_only: true, ..Annotations::default() }, ..tool }]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let Of { sensor } =
            serde_json::from_value(call.args).map_err(|error| ToolError::failed(error.to_string()))?;
        Ok(self.counts.get(&sensor).copied().unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::{TestNode, block_on};
    use serde_json::json;

    use super::*;

    fn reading(sensor: &str) -> Arc<Reading> {
        let taken = Taken { up_ms: 0, wall_ms: None };
        let sensor = Id::new(sensor).unwrap();
        Arc::new(Reading { sensor, boot: Boot(7), seq: 1, taken, frame: Frame::default(), origin: None })
    }

    #[test]
    fn it_counts_and_does_not_forget_over_a_restart() {
        let node = TestNode::new();
        let settings = Settings { sensors: None };
        for wanted in [2, 4] {
            let mut tally = block_on(Tally::setup(&settings, node.context("tally"))).unwrap();
            block_on(tally.observe(reading("air"))).unwrap();
            block_on(tally.observe(reading("air"))).unwrap();
            let call = ToolCall::new(Name::new("rust_tally_of").unwrap(), json!({ "sensor": "air" }));
            assert_eq!(block_on(tally.call(call)), Ok(json!(wanted)));
            block_on(tally.teardown()).unwrap();
        }
    }

    #[test]
    fn its_manifest_says_what_the_source_says() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let declaration = sedge_host::manifest::read(folder).unwrap();
        assert_eq!(
            (&*declaration.info.name, &*declaration.info.version),
            ("rust-tally", env!("CARGO_PKG_VERSION"))
        );
        let node = TestNode::new();
        let tally = block_on(Tally::setup(&Settings { sensors: None }, node.context("tally"))).unwrap();
        let (declared, offered) = (&declaration.tools[..], tally.tools());
        assert_eq!((declared.len(), offered.len()), (1, 1));
        let declared = Tool::from(declared[0].clone());
        assert_eq!(declared.name, offered[0].name);
        for word in ["type", "required", "additionalProperties", "properties"] {
            assert_eq!(declared.input_schema[word], offered[0].input_schema[word], "{word}");
        }
    }
}
