//! The oracle is lied to: each lie must be found, and the truth believed.

use super::*;
use crate::frames::{Reading, Way};

const BOOT: u32 = 7;

fn stream() -> Stream {
    Stream { sensor: "s1".into(), boot: BOOT }
}

fn reading(seq: u64) -> Reading {
    Reading { stream: stream(), seq, ts: Some(1000 + 10 * i64::try_from(seq).unwrap()), is_true: true }
}

fn tally(numbers: impl IntoIterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    tally.readings(Way::Live, numbers.into_iter().map(reading).collect());
    tally
}

fn asked(seen: &Tally) -> Verdict {
    judge(&Question { seen, enough: 1, ..Question::default() })
}

fn without(numbers: std::ops::RangeInclusive<u64>, missing: &[u64]) -> Vec<u64> {
    numbers.filter(|seq| !missing.contains(seq)).collect()
}

#[test]
fn the_whole_truth_is_believed() {
    let verdict = asked(&tally(1..=100));
    assert!(verdict.is_kept(), "{:?}", verdict.complaints());
    assert_eq!((verdict.readings, verdict.duplicates, verdict.named), (100, 0, 0));
}

#[test]
fn any_single_reading_that_is_left_out_is_missed() {
    for missing in 1..100 {
        let verdict = asked(&tally(without(1..=100, &[missing])));
        assert_eq!(verdict.silent.count, 1, "{missing}");
        assert!(verdict.silent.first[0].ends_with(&format!(" {missing}")));
    }
}

#[test]
fn the_last_one_is_missed_where_the_journal_or_the_broker_had_it() {
    let (seen, known) = (tally(1..=99), tally(1..=100));
    let verdict = judge(&Question { seen: &seen, accepted: &[&known], ..Question::default() });
    assert_eq!(verdict.silent.count, 1);
    let verdict = judge(&Question { seen: &seen, acknowledged: Some(&known), ..Question::default() });
    assert_eq!((verdict.silent.count, verdict.by_broker), (0, 1), "the broker took it and was killed");
}

#[test]
fn what_is_made_up_changed_or_out_of_order_is_found() {
    let mut seen = tally(1..=10);
    seen.readings(Way::Live, vec![Reading { is_true: false, ..reading(11) }]);
    assert_eq!(asked(&seen).invented.count, 1);
    let mut seen = tally(1..=10);
    seen.readings(Way::Live, vec![Reading { ts: Some(5), ..reading(3) }]);
    assert_eq!(asked(&seen).invented.count, 1);
    assert_eq!(asked(&tally([1, 3, 2])).misordered.count, 1);
}

#[test]
fn too_little_traffic_proves_nothing() {
    let verdict = judge(&Question { seen: &tally(1..=9), enough: 10, ..Question::default() });
    assert!(!verdict.is_kept());
}

#[test]
fn a_ledger_must_be_right_to_the_reading() {
    let seen = tally(without(1..=100, &[40, 41, 42]));
    let account = |stream| Account { stream, cause: "full".into() };
    let count = |count| [Loss { of: account(None), count, runs: Vec::new() }];
    let range = |first, last| {
        [Loss { of: account(Some(stream())), count: last - first + 1, runs: vec![(first, last)] }]
    };
    let ask = |ledger: &[Loss]| judge(&Question { seen: &seen, ledger, ..Question::default() });

    for right in [ask(&count(3)), ask(&range(40, 42))] {
        assert_eq!((right.named, right.is_kept()), (3, true), "{:?}", right.complaints());
    }
    let too_few = [ask(&count(2)), ask(&range(40, 41))];
    assert!(too_few.iter().all(|verdict| verdict.silent.count == 1 && verdict.named == 2));
    let too_many = [ask(&count(4)), ask(&range(40, 43))];
    assert!(too_many.iter().all(|verdict| verdict.overstated == 1 && !verdict.is_kept()));
    let joined = [Loss { count: 3, runs: vec![(38, 44)], ..range(1, 1)[0].clone() }];
    assert_eq!((ask(&joined).named, ask(&joined).is_kept()), (3, true), "runs that were joined count");
    let beyond = ask(&[
        range(40, 42)[0].clone(),
        Loss {
            of: Account { cause: "disk".into(), ..account(Some(stream())) },
            ..range(101, 102)[0].clone()
        },
    ]);
    assert_eq!((beyond.named, beyond.is_kept()), (5, true), "above all that arrived");
    let elsewhere = ask(&range(50, 52));
    assert_eq!((elsewhere.silent.count, elsewhere.overstated), (3, 3));
}

fn life(ended: i64, may_have_holes: bool) -> [Life; 1] {
    [Life { began: 1000, ended, window: 200, may_have_holes }]
}

#[test]
fn readings_that_end_too_long_before_a_kill_are_missed() {
    let sensors = ["s1".to_owned()];
    // The newest of 100 readings was taken at 2000.
    let seen = tally(1..=100);
    let ask =
        |lives: &[Life]| judge(&Question { seen: &seen, lives, sensors: &sensors, ..Question::default() });
    assert!(ask(&life(2150, false)).is_kept());
    assert_eq!(ask(&life(2300, false)).silent.count, 1);
    let nothing_seen = Tally::default();
    let verdict = judge(&Question {
        seen: &nothing_seen,
        lives: &life(2300, false),
        sensors: &sensors,
        ..Question::default()
    });
    assert_eq!(verdict.silent.count, 1, "a life of which nothing came");
    assert!(
        ask(&[Life { began: 2200, ended: 2300, window: 200, may_have_holes: false }]).is_kept(),
        "too short a life"
    );
}

#[test]
fn a_hole_is_forgiven_within_the_window_of_a_power_cut_and_nowhere_else() {
    let sensors = ["s1".to_owned()];
    let ask = |missing: u64, may_have_holes| {
        let seen = tally(without(1..=100, &[missing]));
        judge(&Question {
            seen: &seen,
            lives: &life(2010, may_have_holes),
            sensors: &sensors,
            ..Question::default()
        })
    };
    let forgiven = ask(95, true);
    assert_eq!((forgiven.in_window, forgiven.untold, forgiven.silent.count), (1, 1, 0));
    assert_eq!(ask(95, false).silent.count, 1, "a kill has no such window");
    assert_eq!(ask(70, true).silent.count, 1, "it was synced long before");
}

#[test]
fn what_a_power_cut_took_is_counted_by_the_node_at_least() {
    let seen = tally(without(1..=100, &[70, 95, 96]));
    let ask = |count| {
        let ledger =
            [Loss { of: Account { stream: None, cause: "damaged".into() }, count, runs: Vec::new() }];
        judge(&Question { seen: &seen, lives: &life(2010, true), ledger: &ledger, ..Question::default() })
    };
    let verdicts = [1, 2, 5].map(ask);
    assert_eq!(verdicts.clone().map(|verdict| (verdict.untold, verdict.at_most)), [(1, 0), (0, 0), (0, 3)]);
    assert!(
        verdicts.iter().all(|verdict| verdict.silent.count == 1),
        "a count excuses nothing that was synced"
    );
    // Of one sensor, every 10 ms, in 200 ms.
    assert_eq!([21, 22].map(|count| ask(count).unbounded), [0, 1], "no more than the window holds");
}

#[test]
fn what_a_later_life_lost_is_not_blamed_on_an_earlier_cut() {
    let mut seen = tally(1..=100);
    let later = |seq: u64| Reading {
        stream: Stream { boot: BOOT + 1, ..stream() },
        ts: Some(9000 + 10 * i64::try_from(seq).unwrap()),
        ..reading(seq)
    };
    seen.readings(Way::Live, without(1..=50, &[20]).into_iter().map(later).collect());
    let verdict = judge(&Question { seen: &seen, lives: &life(2010, true), ..Question::default() });
    assert_eq!(verdict.silent.count, 1);
}
