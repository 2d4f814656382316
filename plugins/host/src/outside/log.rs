//! Lines that a plugin outside writes, on their way into the node's log.
//!
//! They carry the plugin's id and no more of what is in them than a line may have. A plugin that writes without end fills no
//! disk: so many lines are taken at once and so many a second after that; how many were left out is said.

use sedge_plugin::Id;
use tokio::time::Instant;
use tracing::{debug, error, info, trace, warn};

/// Lines that are taken at once.
const BURST: u32 = 200;
/// Lines that are taken each second after that.
const PER_SECOND: f64 = 20.0;
/// Characters of a line.
const LONGEST: usize = 2000;

/// The log of one plugin.
pub(crate) struct Lines {
    id: Id,
    bucket: Bucket,
    left_out: u64,
}

impl Lines {
    pub(crate) fn new(id: Id) -> Self {
        Self { id, bucket: Bucket::new(BURST, PER_SECOND), left_out: 0 }
    }

    /// Writes a line; of an unknown level as `info`.
    pub(crate) fn write(&mut self, level: &str, text: &str) {
        if !self.bucket.take() {
            self.left_out += 1;
            return;
        }
        let id = &self.id;
        if self.left_out > 0 {
            warn!(plugin = %id, left_out = self.left_out, "It writes more lines than a log can take; some were left out.");
            self.left_out = 0;
        }
        // What a log shows must not steer a terminal.
        let steering = |c: char| if c.is_control() { ' ' } else { c };
        let text: String = text.trim_end().chars().map(steering).take(LONGEST).collect();
        match level {
            "error" => error!(plugin = %id, "{text}"),
            "warn" => warn!(plugin = %id, "{text}"),
            "debug" => debug!(plugin = %id, "{text}"),
            "trace" => trace!(plugin = %id, "{text}"),
            _ => info!(plugin = %id, "{text}"),
        }
    }
}

/// So many at once, and so many a second after that.
pub(crate) struct Bucket {
    most: f64,
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(crate) fn new(most: u32, per_second: f64) -> Self {
        let most = f64::from(most);
        Self { most, per_second, left: most, at: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let grown = now.duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left, self.at) = ((self.left + grown).min(self.most), now);
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests;
