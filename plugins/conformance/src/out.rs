//! A destination: hands every reading to the tool `shelf_put` of the test, which answers how to go on.

use std::time::Duration;

use sedge_plugin::journal::Entry;
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
    cursor: Cursor,
}

impl Plugin for Out {
    type Args = Settings;
    const MANIFEST: Manifest =
        Manifest::new("probe-out", "1.0.0", "Hands readings to a test.").category(Category::Destination);

    async fn setup(_: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let cursor = ctx.cursor().ok_or_else(|| PluginError::unmet("the node keeps no journal"))?;
        Ok(Self { ctx, cursor })
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_millis(50))
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        loop {
            let open = self.cursor.pending(0..self.cursor.head()).into_iter().next();
            let Some(open) = open else { return Ok(()) };
            let batch = self.cursor.read(open.clone(), BATCH).await;
            if batch.entries.is_empty() {
                return Ok(());
            }
            self.hand_on(&batch.entries).await?;
            self.cursor.done(open.start..batch.next);
        }
    }
}

impl Out {
    async fn hand_on(&self, entries: &[Entry]) -> Result<(), PluginError> {
        let put: Vec<_> =
            entries.iter().map(|entry| json!([entry.reading.sensor, entry.reading.seq])).collect();
        let tool = Name::new("shelf_put").map_err(|error| PluginError::failed(error.to_string()))?;
        let outcome = self.ctx.call(ToolCall::new(tool, json!({ "readings": put }))).await;
        let answer = outcome.result.map_err(|error| PluginError::failed(error.to_string()))?;
        Does::deserialize(&answer["do"]).unwrap_or_default().act().await
    }
}
