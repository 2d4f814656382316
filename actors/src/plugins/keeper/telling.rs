//! Says how a plugin fares: in the directory, to whoever listens, in the log.

use std::sync::atomic::Ordering;

use sedge_plugin::{PluginStatus, State};
use tracing::{debug, error, info, warn};

use super::Keeper;

impl Keeper {
    /// A queue that overflows is told in the plugin's status while it does, and once in the log.
    pub(super) fn tell_of_drops(&mut self) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let more = dropped - self.told_dropped;
        if more > 0 {
            if !self.dropping {
                warn!(plugin = %self.spec.id, dropped, "Its queue is full: it does not keep up, and messages are dropped.");
            }
            let standing = self.standing();
            self.tell(Some(standing));
        } else if self.dropping {
            info!(plugin = %self.spec.id, dropped, "Keeps up again.");
        }
        self.dropping = more > 0;
        self.told_dropped = dropped;
    }

    /// Tells the node, and the log where something changed.
    pub(super) fn tell(&mut self, before: Option<(State, Option<String>)>) {
        let (state, reason) = (self.life.state(), self.life.reason());
        if self.since.0 != state {
            self.since = (state, self.state.clock.wall_ms());
        }
        self.log(before);
        self.state.set_status(PluginStatus {
            id: self.spec.id.clone(),
            kind: self.spec.kind.clone(),
            version: self.spec.version.clone(),
            state,
            reason: reason.map(str::to_owned),
            since_ms: self.since.1,
            restarts: self.life.restarts(),
            dropped: self.dropped.load(Ordering::Relaxed),
            service_of: self.spec.service_of.clone(),
        });
    }

    fn log(&self, before: Option<(State, Option<String>)>) {
        let (plugin, state, restarts) = (&self.spec.id, self.life.state().word(), self.life.restarts());
        let reason = self.life.reason().unwrap_or_default();
        let same = before
            .as_ref()
            .is_some_and(|(state, why)| *state == self.life.state() && why.as_deref() == self.life.reason());
        match self.life.state() {
            _ if same => debug!(%plugin, state, reason, restarts, "As before."),
            State::Failed => error!(%plugin, reason, "Failed; it stays so until the config changes."),
            State::BackingOff if before.is_some_and(|(state, _)| state == State::Starting) => {
                error!(%plugin, reason, "Could not be started; tried again after a pause.");
            }
            State::BackingOff => {
                warn!(%plugin, reason, restarts, "Stopped by itself; started again after a pause.")
            }
            State::Resting => warn!(%plugin, reason, restarts, "Failed too often; tried again now and then."),
            State::Skipped if self.spec.named => warn!(%plugin, reason, "Skipped; tried again now and then."),
            State::Running if restarts > 0 => info!(%plugin, restarts, "Runs again."),
            _ => debug!(%plugin, state, reason, "Changed its state."),
        }
    }
}
