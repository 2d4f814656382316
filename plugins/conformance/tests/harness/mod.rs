//! What holds a promise against a home: a world of its own, a node in it, and a limit to how long it may take.

#![expect(clippy::print_stdout, reason = "a test says why it was skipped")]

pub mod compiled_in;
pub mod component;
pub mod home;
pub mod node;
pub mod outside;
pub mod table;

use std::time::Duration;

use home::Home;
use table::Row;

/// A promise that takes longer than this is broken. Where time stands still it is the node's time.
const LIMIT: Duration = Duration::from_secs(30);
/// Where time stands still, waiting costs nothing.
const STANDING_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Runs a promise in a home, or says why not.
pub fn hold<F: Future<Output = ()>>(
    home: &'static dyn Home,
    row: &Row,
    promise: impl FnOnce(&'static dyn Home) -> F,
) {
    if let Some(why) = row.why_not(home.name()) {
        println!("not promised in `{}`: {why}", home.name());
        return;
    }
    if let Some(missing) = home.missing() {
        assert!(!home.is_required(), "{}: {missing}", home.name());
        println!("skipped in `{}`: {missing}", home.name());
        return;
    }
    home.prepare();
    if std::env::var_os("SEDGE_LOG").is_some() {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer();
        let _ = log.try_init();
    }
    // A bus has a thread of its own, a process has a life of its own: nobody tells this time to wait for them.
    let stands = home.is_within() && !row.hardware;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(stands).build().expect("a runtime");
    let limit = if stands { STANDING_LIMIT } else { LIMIT };
    let kept = runtime.block_on(async { tokio::time::timeout(limit, promise(home)).await });
    kept.unwrap_or_else(|_| panic!("it did not come about within {limit:?}: {}", row.title));
}
