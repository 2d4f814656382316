//! Until a plugin can start, and until it need not run any more.

use std::pin::pin;

use kameo::actor::ActorRef;
use sedge_plugin::State;

use super::{Keeper, told_to_stop};
use crate::plugins::actor::PluginActor;
use crate::plugins::lifecycle::End;

impl Keeper {
    /// Waits until what it needs is there: other plugins, and things of the host. False when it is told to stop.
    pub(super) async fn has_what_it_needs(&mut self) -> bool {
        loop {
            let state = self.state.clone();
            let mut changed = pin!(state.changed.notified());
            changed.as_mut().enable();
            let Some(why) = self.unmet() else { return !*self.stopped.borrow() };
            let before = self.standing();
            self.life.ended(End::Unmet(why), self.state.clock.up(), 0.0);
            self.first_done = None;
            if before != self.standing() {
                self.tell(Some(before));
            }
            tokio::select! {
                () = changed => {}
                () = self.voice.answer() => {}
                () = tokio::time::sleep(self.spec.policy.watch) => {}
                () = told_to_stop(&mut self.stopped) => return false,
            }
        }
    }

    fn unmet(&self) -> Option<String> {
        let directory = self.state.directory();
        let missing = |need: &String| match directory.plugin(need) {
            Some(other) if other.state.is_active() => None,
            Some(other) => {
                let why = other.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                Some(format!("needs `{need}`, which is {}{why}", other.state.word()))
            }
            None => Some(format!("needs `{need}`, which is not there")),
        };
        self.spec.needs.iter().find_map(missing).or_else(|| self.state.unmet(&self.spec.requires))
    }

    /// Waits until somebody calls one of its tools, where it is started on demand. False when it is told to stop.
    pub(super) async fn is_wanted(&mut self) -> bool {
        let Some(wake) = self.wake.clone() else { return true };
        if matches!(self.life.state(), State::BackingOff | State::Resting) {
            return true; // It was wanted, and broke.
        }
        let before = self.standing();
        self.life.awaits("starts at the first call of its tools".into());
        // Calls of its last run may have rung more than once; one that waits still will ring again.
        wake.forget();
        self.tools.add_asleep(&self.spec.id, &self.spec.claims.tools, &wake);
        self.first_done = None;
        self.tell(Some(before));
        tokio::select! {
            () = self.voice.meanwhile(wake.called()) => true,
            () = told_to_stop(&mut self.stopped) => false,
        }
    }

    /// Nobody has called a tool of it for a while, and nobody does now.
    pub(super) fn is_idle(&self, actor: &ActorRef<PluginActor>) -> bool {
        let (Some(wake), Some(idle)) = (&self.wake, self.spec.idle) else { return false };
        if wake.idle_for(self.state.clock.up()) < Some(idle) {
            return false;
        }
        // From here on a call waits for the next start; one that came a moment before is let through.
        self.tools.suspend(&self.spec.id, Some(wake));
        let idle = wake.idle_for(self.state.clock.up()).is_some();
        if !idle {
            self.tools.resume(&self.spec.id, actor);
        }
        idle
    }
}
