//! Breaks what a node stands on, and counts whether a reading was lost.
//!
//! A run starts the real program with a real Mosquitto, breaks one thing, mends it, and asks the [`oracle`]: is every reading
//! that the node accepted at the subscriber, once duplicates are taken out, in order, none made up, and is what is missing named
//! by the node to the reading? The node is watched from outside alone: this crate imports nothing of it, so that a mistake in
//! the node's own code is not shared.
//!
//! ```text
//! cassettes ─▶ node ─▶ proxy (faults, tap) ─▶ Mosquitto ─▶ witness (a path of its own, never broken)
//!               │                                               │
//!               └─ data folder: a disk that forgets             └─▶ oracle ─▶ RESULTS.md
//! ```
//!
//! - [`payload`]: readings that can be told from made-up ones by their number.
//! - [`frames`]: what a message of a node says. [`packet`]: MQTT, as much as is needed to look into it and to break it.
//! - [`witness`]: the subscriber. [`proxy`]: the fault proxy; [`tap`]: what the broker acknowledged.
//! - [`oracle`]: the conservation of readings. [`tally`], [`stored`]: what it is told.
//! - [`broker`], [`node`], [`network`], [`clock`], [`disk`]: what can be broken. [`stage`]: all of it together.
//! - [`scenarios`]: how it is broken. [`runs`], [`table`]: what came of it.
//!
//! What it must not do: count a loss of its own, or of the broker, as the node's; and pass where nothing was seen.

pub mod broker;
pub mod clock;
pub mod disk;
pub mod frames;
pub mod network;
pub mod node;
pub mod oracle;
pub mod packet;
pub mod payload;
pub mod proxy;
pub mod runs;
pub mod scenarios;
pub mod stage;
pub mod stored;
pub mod table;
pub mod tally;
pub mod tap;
pub mod witness;

/// Why a run could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The machine does not allow it: the run is left out, and that is said.
    #[error("{0}")]
    NotAllowed(String),
    /// The harness itself failed.
    #[error("{what}: {error}")]
    Harness {
        /// What it was about.
        what: String,
        /// Why not.
        error: std::io::Error,
    },
    /// Something that must come did not.
    #[error("{what} within {seconds} s")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl Trouble {
    /// For `map_err`: what it was about.
    pub fn about(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Harness { what, error }
    }
}
