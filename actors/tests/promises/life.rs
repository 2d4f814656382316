//! The states of a plugin's life: what each event makes of each of them.

use std::time::Duration;

use sedge_actors::{End, Lifecycle, RestartPolicy, Todo};
use sedge_plugin::State;

const S: Duration = Duration::from_secs(1);

const ALL: [State; 10] = [
    State::Discovered,
    State::Disabled,
    State::Skipped,
    State::Starting,
    State::Running,
    State::Degraded,
    State::BackingOff,
    State::Resting,
    State::Failed,
    State::Stopped,
];

fn ends(life: &mut Lifecycle, end: End) {
    let _ = life.ended(end, S, 1.0);
}

/// A plugin that came to a state on the way on which plugins come to it. It may fail once more before it rests.
fn at(state: State) -> Lifecycle {
    let mut life = Lifecycle::new(RestartPolicy { intensity: 3, ..RestartPolicy::default() });
    let failed = || End::Failed("broke".into());
    if !matches!(state, State::Discovered | State::Disabled) {
        life.starting();
    }
    if matches!(state, State::Running | State::Degraded) {
        life.started(Duration::ZERO);
    }
    match state {
        State::Discovered | State::Starting | State::Running => {}
        State::Disabled => life.barred(State::Disabled, None),
        State::Skipped => ends(&mut life, End::Unmet("gone".into())),
        State::Degraded => life.degraded(Some("half a wire".into())),
        State::BackingOff => ends(&mut life, failed()),
        State::Resting => (0..3).for_each(|_| ends(&mut life, failed())),
        State::Failed => ends(&mut life, End::Settings("wrong".into())),
        State::Stopped => ends(&mut life, End::Stopped),
    }
    assert_eq!(life.state(), state);
    life
}

/// What an event makes of the states, in their order. `same` stands for no change.
type Row = (&'static str, fn(&mut Lifecycle), [State; 10]);

#[test]
fn every_event_makes_of_every_state_what_the_table_says() {
    use State::{BackingOff as Back, Degraded as Degr, Disabled as Disa, Discovered as Disc, Failed as Fail};
    use State::{Resting as Rest, Running as Runs, Skipped as Skip, Starting as Star, Stopped as Stop};
    let amiss: fn(&mut Lifecycle) = |life| life.degraded(Some("amiss".into()));
    let rows: [Row; 11] = [
        //                     Disc  Disa  Skip  Star  Runs  Degr  Back  Rest  Fail  Stop
        ("starting", |l| l.starting(), [Star, Star, Skip, Star, Runs, Degr, Back, Rest, Fail, Stop]),
        ("awaits", |l| l.awaits("a call".into()), [Disc; 10]),
        ("started", |l| l.started(S), [Runs; 10]),
        ("amiss", amiss, [Disc, Disa, Skip, Star, Degr, Degr, Back, Rest, Fail, Stop]),
        ("well", |l| l.degraded(None), [Disc, Disa, Skip, Star, Runs, Runs, Back, Rest, Fail, Stop]),
        ("stopped", |l| ends(l, End::Stopped), [Stop; 10]),
        ("idle", |l| ends(l, End::Idle), [Disc; 10]),
        ("unmet", |l| ends(l, End::Unmet("no".into())), [Skip; 10]),
        ("settings", |l| ends(l, End::Settings("no".into())), [Fail; 10]),
        (
            "failed",
            |l| ends(l, End::Failed("no".into())),
            [Back, Back, Back, Back, Back, Back, Back, Rest, Back, Back],
        ),
        ("barred", |l| l.barred(State::Disabled, None), [Disa; 10]),
    ];
    for (event, happens, expected) in rows {
        for (state, expected) in ALL.into_iter().zip(expected) {
            let mut life = at(state);
            happens(&mut life);
            assert_eq!(life.state(), expected, "{event} of {state:?}");
        }
    }
}

#[test]
fn every_end_says_what_is_to_be_done_and_why_it_ended() {
    let policy = RestartPolicy::default();
    let rows = [
        (End::Stopped, Todo::Nothing, None),
        (End::Idle, Todo::StartAfter(Duration::ZERO), None),
        (End::Unmet("no plug".into()), Todo::StartAfter(policy.first), Some("no plug")),
        (End::Settings("no number".into()), Todo::Nothing, Some("no number")),
        (End::Failed("no luck".into()), Todo::StartAfter(policy.first), Some("no luck")),
    ];
    for (end, todo, reason) in rows {
        let mut life = at(State::Running);
        assert_eq!(life.ended(end, S, 1.0), todo);
        assert_eq!(life.reason(), reason);
    }
}

#[test]
fn a_start_counts_as_a_restart_unless_nobody_had_asked_for_the_former_one_any_more() {
    let mut life = at(State::Running);
    assert_eq!(life.restarts(), 0);
    life.ended(End::Failed("no".into()), S, 1.0);
    life.starting();
    life.started(S);
    assert_eq!(life.restarts(), 1);
    life.ended(End::Idle, S, 1.0);
    life.awaits("a call".into());
    life.starting();
    assert_eq!((life.state(), life.restarts()), (State::Starting, 1));
}

#[test]
fn only_a_plugin_that_runs_is_active() {
    for state in ALL {
        assert_eq!(state.is_active(), matches!(state, State::Running | State::Degraded), "{state:?}");
    }
}
