//! Lines for the log of the node. In a plugin that is compiled in they go to standard error.
//!
//! It must not fail: a line that nobody takes is lost.

use std::sync::{Arc, Mutex};

use crate::executor::lock;
use crate::link::{Level, Link};

static TO: Mutex<Option<Arc<dyn Link>>> = Mutex::new(None);

/// From now on they go there.
pub(crate) fn to(link: Arc<dyn Link>) {
    *lock(&TO) = Some(link);
}

/// A line for the plugin's log.
pub fn log(level: Level, text: &str) {
    let link = lock(&TO).clone();
    if let Some(link) = link {
        return link.log(level, text);
    }
    #[cfg(not(target_family = "wasm"))]
    {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "{} {text}", level.word());
    }
}
