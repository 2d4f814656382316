//! The life of one plugin as a state machine: what happened goes in, what is to be done comes out.
//!
//! It has no clock, no dice and no task of its own, so that it can be read on a page and tested by itself. The
//! keeper feeds it and does what it says.
//!
//! ```text
//!            start                 well                    amiss
//! discovered ─────▶ starting ───────────▶ running ◀───────────────▶ degraded
//!                      │                     │ ended                    │
//!                      │ failed              ▼                          │
//!                      ├────────────▶ backing_off ◀─────────────────────┘
//!                      │ unmet               │ too often within the window
//!                      ▼                     ▼
//!                   skipped               resting      each tries again: after a growing pause,
//!                      │                     │         or now and then (half-open), until it is well
//!                      └──── tries again ────┘
//! settings wrong, from anywhere ─▶ failed            stopped on purpose, from anywhere ─▶ stopped
//! on demand: discovered ─ called ─▶ starting ─▶ running ─ idle ─▶ discovered
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use sedge_plugin::State;

/// When and how often a plugin is started again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// The first pause; it doubles from failure to failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// So many failures within [`window`](Self::window) are too many.
    pub intensity: usize,
    /// See [`intensity`](Self::intensity).
    pub window: Duration,
    /// How often a plugin that failed too often is tried again; the longest pause of one that lacks something.
    pub probe: Duration,
    /// After so long a run without failure the pauses begin small again.
    pub stable: Duration,
    /// How often a plugin that runs is looked at from outside, for handlers that block their thread.
    pub watch: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            intensity: 8,
            window: Duration::from_secs(300),
            probe: Duration::from_secs(60),
            stable: Duration::from_secs(60),
            watch: Duration::from_secs(5),
        }
    }
}

/// Why a plugin does not run any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was told to.
    Stopped,
    /// It is started on demand, and nobody has asked for a while.
    Idle,
    /// Something that it needs is not there.
    Unmet(String),
    /// Its settings are wrong.
    Settings(String),
    /// It failed: by errors, a panic, or by hanging. The text says which.
    Failed(String),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Todo {
    /// Start it, after a pause.
    StartAfter(Duration),
    /// Nothing, for good.
    Nothing,
}

/// Where a plugin stands.
#[derive(Debug)]
pub struct Lifecycle {
    policy: RestartPolicy,
    state: State,
    reason: Option<String>,
    restarts: u32,
    /// Failures in a row since it was last stable.
    row: u32,
    /// Attempts in a row that found something lacking.
    lacking: u32,
    failures: VecDeque<Duration>,
    started_at: Option<Duration>,
    /// Whether it was begun since it was discovered: from then on a start is a restart.
    begun: bool,
}

impl Lifecycle {
    /// A plugin that has not been looked at yet.
    pub fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            state: State::Discovered,
            reason: None,
            restarts: 0,
            row: 0,
            lacking: 0,
            failures: VecDeque::new(),
            started_at: None,
            begun: false,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why, where that needs saying.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// It is being set up. A plugin that is tried again keeps the state that says so, until it is well.
    pub fn starting(&mut self) {
        if self.begun {
            self.restarts += 1;
        }
        if matches!(self.state, State::Discovered) || !self.begun {
            self.state = State::Starting;
            self.reason = None;
        }
        self.begun = true;
    }

    /// It waits to be asked for; the text says by what.
    pub fn awaits(&mut self, call: String) {
        self.state = State::Discovered;
        self.reason = Some(call);
    }

    /// It runs.
    pub fn started(&mut self, now: Duration) {
        self.started_at = Some(now);
        self.lacking = 0;
        self.state = State::Running;
        self.reason = None;
    }

    /// It runs with something amiss, or (none) is well again.
    pub fn degraded(&mut self, reason: Option<String>) {
        if !matches!(self.state, State::Running | State::Degraded) {
            return;
        }
        self.state = if reason.is_some() { State::Degraded } else { State::Running };
        self.reason = reason;
    }

    /// It does not run any more, or could not be started. `dice` is a number from 0 to 1 that spreads the restarts of
    /// many plugins that failed together.
    pub fn ended(&mut self, end: End, now: Duration, dice: f64) -> Todo {
        let stable = self.started_at.take().is_some_and(|at| now.saturating_sub(at) >= self.policy.stable);
        match end {
            End::Stopped => self.rest_in(State::Stopped, None),
            End::Idle => {
                self.rest_in(State::Discovered, None);
                self.begun = false;
                Todo::StartAfter(Duration::ZERO)
            }
            End::Settings(reason) => self.rest_in(State::Failed, Some(reason)),
            End::Unmet(reason) => {
                self.state = State::Skipped;
                self.reason = Some(reason);
                // What was unplugged is often back at once; what was never there seldom comes.
                let pause = self.doubled(self.lacking);
                self.lacking = self.lacking.saturating_add(1).min(31);
                Todo::StartAfter(jittered(pause.min(self.policy.probe), dice))
            }
            End::Failed(reason) => {
                if stable {
                    self.row = 0;
                    self.failures.clear();
                }
                self.reason = Some(reason);
                self.back_off(now, dice)
            }
        }
    }

    /// It is not to be started at all.
    pub fn barred(&mut self, state: State, reason: Option<String>) {
        self.rest_in(state, reason);
    }

    fn rest_in(&mut self, state: State, reason: Option<String>) -> Todo {
        self.state = state;
        self.reason = reason;
        Todo::Nothing
    }

    fn doubled(&self, times: u32) -> Duration {
        self.policy.first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
    }

    fn back_off(&mut self, now: Duration, dice: f64) -> Todo {
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|&at| now.saturating_sub(at) > self.policy.window) {
            self.failures.pop_front();
        }
        let doubled = self.doubled(self.row);
        self.row = self.row.saturating_add(1).min(31);
        if self.failures.len() >= self.policy.intensity {
            while self.failures.len() > self.policy.intensity {
                self.failures.pop_front();
            }
            self.state = State::Resting;
            return Todo::StartAfter(jittered(self.policy.probe, dice));
        }
        // A failed probe of one that rests leaves it resting, also when the window has moved on.
        if self.state == State::Resting {
            return Todo::StartAfter(jittered(self.policy.probe, dice));
        }
        self.state = State::BackingOff;
        Todo::StartAfter(jittered(doubled.min(self.policy.longest), dice))
    }
}

/// Between half and the whole of a pause: spread out, and never no pause at all.
fn jittered(pause: Duration, dice: f64) -> Duration {
    pause.mul_f64(0.5 + 0.5 * dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    fn failed() -> End {
        End::Failed("broke".into())
    }

    fn running() -> Lifecycle {
        let mut life = Lifecycle::new(RestartPolicy::default());
        life.starting();
        life.started(Duration::ZERO);
        life
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut life = Lifecycle::new(RestartPolicy { intensity: 100, ..RestartPolicy::default() });
        life.starting();
        let pauses: Vec<_> = (0..8).map(|_| life.ended(failed(), Duration::ZERO, 1.0)).collect();
        let seconds = [1, 2, 4, 8, 16, 30, 30, 30].map(|s| Todo::StartAfter(S * s));
        assert_eq!(pauses, seconds);
        assert_eq!(life.state(), State::BackingOff);
    }

    #[test]
    fn too_many_failures_within_the_window_make_it_rest_and_it_is_probed() {
        let mut life = running();
        let policy = RestartPolicy::default();
        for i in 1..policy.intensity {
            life.ended(failed(), S * i as u32, 0.0);
            assert_eq!(life.state(), State::BackingOff);
        }
        let todo = life.ended(failed(), S * 10, 1.0);
        assert_eq!((life.state(), todo), (State::Resting, Todo::StartAfter(policy.probe)));
        // A probe that fails an hour later, when the window has moved on, finds it resting still.
        life.starting();
        let todo = life.ended(failed(), S * 3600, 1.0);
        assert_eq!((life.state(), todo), (State::Resting, Todo::StartAfter(policy.probe)));
        // One that succeeds makes it well.
        life.starting();
        life.started(S * 3700);
        assert_eq!((life.state(), life.reason()), (State::Running, None));
    }

    #[test]
    fn failures_far_apart_never_make_it_rest() {
        let mut life = running();
        for hour in 1..100 {
            assert_eq!(life.ended(failed(), S * 3600 * hour, 1.0), Todo::StartAfter(S), "starts small again");
            assert_eq!(life.state(), State::BackingOff);
            life.starting();
            life.started(S * 3600 * hour);
        }
    }

    #[test]
    fn wrong_settings_end_it_until_the_config_changes() {
        let mut life = running();
        assert_eq!(life.ended(End::Settings("bad".into()), S, 0.5), Todo::Nothing);
        assert_eq!((life.state(), life.reason()), (State::Failed, Some("bad")));
    }

    #[test]
    fn an_unmet_need_is_skipped_and_probed_soon_and_then_now_and_then() {
        let mut life = running();
        let pauses: Vec<_> = (0..9)
            .map(|_| {
                let todo = life.ended(End::Unmet("no /dev/i2c-1".into()), S, 1.0);
                assert_eq!(life.state(), State::Skipped);
                todo
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60].map(|s| Todo::StartAfter(S * s)));
        life.starting();
        life.started(S);
        assert_eq!(life.ended(End::Unmet("gone".into()), S, 1.0), Todo::StartAfter(S), "begins again");
    }

    #[test]
    fn degraded_is_a_state_of_one_that_runs() {
        let mut life = running();
        life.degraded(Some("one read failed".into()));
        assert_eq!((life.state(), life.reason()), (State::Degraded, Some("one read failed")));
        life.degraded(None);
        assert_eq!((life.state(), life.reason()), (State::Running, None));
        life.ended(failed(), S, 0.5);
        life.degraded(Some("too late".into()));
        assert_eq!((life.state(), life.reason()), (State::BackingOff, Some("broke")));
    }

    fn event() -> impl Strategy<Value = (u8, u64)> {
        (0_u8..6, 0_u64..10_000)
    }

    proptest! {
        #[test]
        fn whatever_happens_it_is_tried_again_unless_it_was_ended(events in prop::collection::vec(event(), 1..200), dice in 0.0..1.0_f64) {
            let policy = RestartPolicy::default();
            let mut life = Lifecycle::new(policy);
            let mut now = Duration::ZERO;
            for (event, passed) in events {
                now += Duration::from_millis(passed);
                let todo = match event {
                    0 => { life.starting(); continue }
                    1 => { life.started(now); continue }
                    2 => { life.degraded(Some("x".into())); continue }
                    3 => life.ended(failed(), now, dice),
                    4 => life.ended(End::Unmet("x".into()), now, dice),
                    _ => life.ended(End::Stopped, now, dice),
                };
                match todo {
                    Todo::StartAfter(pause) => {
                        prop_assert!(pause >= policy.first / 2 && pause <= policy.probe);
                        prop_assert!(matches!(life.state(), State::BackingOff | State::Resting | State::Skipped));
                        prop_assert!(life.reason().is_some());
                    }
                    Todo::Nothing => prop_assert_eq!(life.state(), State::Stopped),
                }
                prop_assert!(life.failures.len() <= policy.intensity, "bounded");
            }
        }
    }
}
