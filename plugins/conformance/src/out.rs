//! A destination: hands every reading to the tool `shelf_put` of the test, which answers how to go on.
//!
//! Compiled in it has a place in the journal of the node, and reads on from there. Outside it has none: there a node hands it
//! the readings, and the same again until it has taken them.

use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::prelude::*;
use serde_json::json;

use crate::Does;

/// Readings that it takes at once.
const BATCH: usize = 10;

/// It has no settings.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// See the [module](self).
pub struct Out {
    ctx: Context,
    cursor: Option<Cursor>,
}

impl Plugin for Out {
    type Args = Settings;
    const MANIFEST: Manifest =
        Manifest::new("probe-out", env!("CARGO_PKG_VERSION"), "Hands readings to a test.")
            .category(Category::Destination);

    async fn setup(_: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let cursor = ctx.cursor();
        Ok(Self { ctx, cursor })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Settings, ctx: &Context) {
        if ctx.cursor().is_none() {
            hooks.observe::<topics::Deliver>(Options::default());
        }
    }

    fn every(&self) -> Option<Duration> {
        self.cursor.is_some().then_some(Duration::from_millis(50))
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        loop {
            let open = cursor.pending(0..cursor.head()).into_iter().next();
            let Some(open) = open else { return Ok(()) };
            let batch = cursor.read(open.clone(), BATCH).await;
            if batch.entries.is_empty() {
                return Ok(());
            }
            let readings: Vec<&Reading> = batch.entries.iter().map(|entry| &*entry.reading).collect();
            self.hand_on(&readings).await?;
            cursor.done(open.start..batch.next);
        }
    }
}

impl Observer<topics::Deliver> for Out {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        self.hand_on(&[&reading]).await
    }
}

impl Out {
    async fn hand_on(&self, readings: &[&Reading]) -> Result<(), PluginError> {
        let put: Vec<_> = readings.iter().map(|reading| json!([reading.sensor, reading.seq])).collect();
        let tool = Name::new("shelf_put").map_err(|error| PluginError::failed(error.to_string()))?;
        let outcome = self.ctx.call(ToolCall::new(tool, json!({ "readings": put }))).await;
        let answer = outcome.result.map_err(|error| PluginError::failed(error.to_string()))?;
        Does::deserialize(&answer["do"]).unwrap_or_default().act().await
    }
}
