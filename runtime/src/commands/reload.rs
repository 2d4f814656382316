//! `sedge reload`: has the node on this machine read its config again, and says what came of it.

use serde_json::Value as Json;

use super::local;
use crate::cli::Global;
use crate::control::{Ask, Local};
use crate::exit::Failure;
use crate::show::say;

/// Has the config read again.
pub async fn reload(global: &Global) -> Result<(), Failure> {
    let changed = ask(&local::node(global)?).await?;
    if global.json { say(changed) } else { say(summary(&changed)) }
}

/// As [`reload`], of a node that was found.
pub(super) async fn ask(node: &Local) -> Result<Json, Failure> {
    node.ask(&Ask::Reload).await.map_err(|failure| match failure {
        Failure::Config(why) => {
            Failure::Config(format!("the new config is refused, all runs on as before: {why}"))
        }
        other => other,
    })
}

/// `started: a; restarted: b; 7 run on`.
pub(super) fn summary(changed: &Json) -> String {
    let mut parts = Vec::new();
    for word in ["started", "restarted", "stopped"] {
        let ids: Vec<&str> =
            changed[word].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        if !ids.is_empty() {
            parts.push(format!("{word}: {}", ids.join(", ")));
        }
    }
    parts.push(format!("{} run on", changed["kept"]));
    parts.join("; ")
}
