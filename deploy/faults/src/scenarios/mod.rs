//! How a node's surroundings are broken, one file per thing that breaks.
//!
//! A scenario breaks something a number of times on one [`Stage`](crate::stage::Stage), waits each time until readings flow
//! again, and leaves the judgement to the oracle. What it draws, it draws from the seed: the same seed is the same schedule.

mod broker;
mod clock;
mod disk;
mod foreign;
mod network;
mod node;
mod wire;

use std::pin::Pin;
use std::time::Duration;

use crate::Trouble;
use crate::stage::{Outcome, Setting};

/// How long a broker that is back may wait for the node.
const RECONNECT: Duration = Duration::from_secs(5);

/// Twice the keep-alive of 5 s, the wait before the attempt by which it shows that it was found (4 s at most), and a little for the machine.
const HALF_OPEN: Duration = Duration::from_millis(15_000);

/// After a refused login, or where somebody else has its id or may have it, a node comes again in half a minute to a minute.
const SLOW: Duration = Duration::from_secs(65);

/// A node whose connections ended three times within half a minute each waits up to a quarter of a minute, and a little for the
/// machine: somebody else may have its id.
const WARY: Duration = Duration::from_secs(17);

/// Connections that may be broken on one stage without that. It has a scenario of its own.
const APART: u32 = 2;

/// What a scenario comes to.
pub type Playing = Pin<Box<dyn Future<Output = Result<Outcome, Trouble>> + Send>>;

/// One way to break things.
pub struct Scenario {
    /// As the command line and the table call it.
    pub name: &'static str,
    /// What is broken.
    pub what: &'static str,
    /// How often, in the short version and in the long one.
    pub times: [u32; 2],
    /// How often on one stage, at most.
    pub at_once: u32,
    /// Breaks it so many times.
    pub play: fn(Setting, u32) -> Playing,
}

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    broker::KILLED,
    broker::RESTARTED,
    broker::FROZEN,
    broker::WIPED,
    broker::REFUSING,
    broker::SLOW_ONE,
    broker::TOO_LONG,
    wire::STALLED,
    wire::RESET,
    wire::FLAPPING,
    wire::SUSPICIOUS,
    wire::CUT,
    wire::SLICED,
    wire::SWALLOWED,
    wire::DOUBLED,
    wire::GARBAGE,
    wire::FORGOTTEN,
    foreign::NAMESAKE,
    foreign::MESSAGES,
    network::DOWN,
    network::DROPPED,
    clock::STEPS,
    node::KILLED,
    disk::CUT_STEADY,
    disk::CUT_FIRST,
    disk::CUT_RECOVERY,
    disk::FULL,
    disk::READ_ONLY,
    disk::FAILING,
];

/// The scenario of a name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_does_something() {
        let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        assert!(SCENARIOS.iter().all(|s| s.times[0] >= 1 && s.times[1] >= s.times[0] && s.at_once >= 1));
    }
}
