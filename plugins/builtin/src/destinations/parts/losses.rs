//! Readings that are given up are told: when it begins, and when it is over, with how many they were.

use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Event, Severity};
use serde_json::json;

/// What a destination has given up since all went well.
pub(crate) struct Losses {
    ctx: Context,
    count: u64,
}

impl Losses {
    pub(crate) fn new(ctx: &Context) -> Self {
        Self { ctx: ctx.clone(), count: 0 }
    }

    /// So many were given up, and why. Only the first of an outage are told.
    pub(crate) async fn add(&mut self, count: u64, why: Option<&str>) {
        if count == 0 {
            return;
        }
        let first = self.count == 0;
        self.count = self.count.saturating_add(count);
        if first {
            let why = why.unwrap_or("its buffer is full");
            let text = format!("destination `{}` gives up readings: {why}", self.ctx.id());
            tell(&self.ctx, Severity::Warning, text, count).await;
        }
    }

    /// It is over.
    pub(crate) async fn over(&mut self) {
        if self.count == 0 {
            return;
        }
        let count = std::mem::take(&mut self.count);
        let text = format!("destination `{}` works again, {count} readings were given up", self.ctx.id());
        tell(&self.ctx, Severity::Info, text, count).await;
    }

    /// So many are left at the end, for which there is no later: told with those before them.
    pub(crate) async fn end(&mut self, left: u64, why: &str) {
        let count = std::mem::take(&mut self.count).saturating_add(left);
        if count > 0 {
            let text = format!("destination `{}` ended, {count} readings are lost: {why}", self.ctx.id());
            tell(&self.ctx, Severity::Warning, text, count).await;
        }
    }
}

async fn tell(ctx: &Context, severity: Severity, text: String, count: u64) {
    let Ok(kind) = Name::new("readings_lost") else { return };
    let data = json!({ "destination": ctx.id(), "count": count });
    ctx.publish::<topics::EventRaised>(Event { kind, severity, text, data }).await;
}
