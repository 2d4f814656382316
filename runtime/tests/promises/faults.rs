//! The short version of `deploy/faults`: a few faults of each kind that needs no more than Mosquitto, and of those that need
//! root where the machine allows it. How soon a node recovers is not asserted here; the long version says it.

use sedge_faults::Trouble;
use sedge_faults::scenarios::find;
use sedge_faults::stage::Setting;

/// So many readings prove something in any case.
const FEWEST: u64 = 30;

/// Breaks something so often, and asks whether a reading was lost. What the machine does not allow is left out, which is said.
#[expect(clippy::print_stderr, reason = "a test that was not run should say so")]
async fn survives(scenario: &str, times: u32) {
    let scenario = find(scenario).unwrap();
    let setting = Setting {
        program: env!("CARGO_BIN_EXE_sedge").into(),
        folder: std::env::temp_dir(),
        keep: false,
        seed: 5,
    };
    let mut outcome = match (scenario.play)(setting, times).await {
        Err(Trouble::NotAllowed(why)) => {
            let required = why.contains("mosquitto") && std::env::var("SEDGE_REQUIRE_MOSQUITTO").is_ok();
            assert!(!required, "{why}");
            return eprintln!("left out: {}: {why}", scenario.name);
        }
        outcome => outcome.unwrap(),
    };
    assert_eq!(outcome.broken, Vec::<String>::new(), "{}", outcome.log);
    // A machine with much else to do sees fewer readings in the same time.
    outcome.verdict.too_few = outcome.verdict.too_few.filter(|_| outcome.verdict.readings < FEWEST);
    assert!(outcome.verdict.is_kept(), "{:?}\n{}", outcome.verdict.complaints(), outcome.log);
    assert!(outcome.faults >= u64::from(times));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_is_killed() {
    survives("broker-killed", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_is_restarted() {
    survives("broker-restarted", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_connection_is_cut_within_a_packet() {
    survives("wire-cut", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_acknowledgements_do_not_arrive() {
    survives("puback-swallowed", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_broker_forgets_the_session() {
    survives("session-forgotten", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_clock_becomes_right() {
    survives("clock-steps", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_in_the_journal_is_lost_when_the_node_is_killed() {
    survives("node-killed", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_what_was_not_committed_and_nothing_else() {
    survives("power-cut", 1).await;
}
