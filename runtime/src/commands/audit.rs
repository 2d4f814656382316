//! `sedge tool audit`: who called which tool of the node on this machine, and what came of it.
//!
//! It reads the files of the log where they lie, so it works while the node does not run, and only for who may read them.

use std::time::{SystemTime, UNIX_EPOCH};

use sedge_plugin::clock::parse_rfc3339;
use sedge_plugins::audit;
use serde_json::{Map, Value as Json};

use super::node;
use super::remote::node_named;
use crate::cli::{AuditArgs, Global};
use crate::exit::Failure;
use crate::load::{find, load};
use crate::place;
use crate::show::say;

/// Prints the log, the newest last.
pub fn audit(global: &Global, args: &AuditArgs) -> Result<(), Failure> {
    let config = match find(global.config.as_deref()) {
        Some(_) => load(global)?.config,
        None => None,
    };
    let config = config.map(|config| config.node).unwrap_or_default();
    let node = node_named(global.node.as_deref())?.or(config.id).unwrap_or_else(node::host_id);
    let data = place::data(config.data.as_deref(), &node);
    let data = data.ok_or_else(|| Failure::Failed("this node has no place for data, so no log".into()))?;
    let folder = data.join("plugins").join(audit_id());
    if !folder.exists() {
        return Err(Failure::Failed(format!("{} is not there: has the node run yet?", folder.display())));
    }
    let lines = audit::read(&folder)
        .map_err(|error| Failure::Failed(format!("the audit log in {}: {error}", folder.display())))?;
    let since = args.since.map(|since| wall_ms() - i64::try_from(since.0.as_millis()).unwrap_or(i64::MAX));
    // A line without a time is kept: nobody knows when it was.
    let is_since = |line: &Map<String, Json>| {
        let at = line.get("ts").and_then(Json::as_str).and_then(parse_rfc3339);
        since.is_none_or(|since| at.is_none_or(|at| at >= since))
    };
    let lines: Vec<_> = lines.into_iter().filter(is_since).collect();
    let most = args.count.unwrap_or(if args.since.is_some() { usize::MAX } else { 50 });
    for line in &lines[lines.len().saturating_sub(most)..] {
        if global.json { say(Json::Object(line.clone()))? } else { say(shown(line))? }
    }
    Ok(())
}

fn audit_id() -> &'static str {
    use sedge_plugin::Plugin;
    audit::Audit::MANIFEST.name
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What a caller chose must not steer a terminal.
fn shown(line: &Map<String, Json>) -> String {
    let text = |key: &str| {
        let text = line.get(key).and_then(Json::as_str).unwrap_or("-");
        text.chars().flat_map(char::escape_debug).collect::<String>()
    };
    if let Some(lost) = line.get("lost") {
        return format!("{:<24}  {lost} lines were lost", text("ts"));
    }
    let proved = if line.get("verified") == Some(&Json::Bool(true)) { " (signed)" } else { "" };
    let outcome = match line.get("ok") {
        Some(Json::Bool(true)) => "ok".to_owned(),
        _ => format!("{}: {}", text("code"), text("why")),
    };
    format!("{:<24}  {}{proved}  {}  {outcome}", text("ts"), text("from"), text("tool"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_shown_without_what_steers_a_terminal() {
        let line = json!({
            "ts": "2026-11-20T17:28:24.123Z", "from": "a\u{1b}[2J", "verified": true, "tool": "pump_set", "ok": false,
            "code": "denied", "why": "no\nyes",
        });
        let shown = shown(line.as_object().unwrap());
        assert_eq!(shown, "2026-11-20T17:28:24.123Z  a\\u{1b}[2J (signed)  pump_set  denied: no\\nyes");
    }
}
