//! `sedge site list`: who has joined, with which token, and who may look on.

use sedge_plugin::clock::rfc3339;
use serde_json::json;

use super::{Failure, now_ms, opened, to_the_second};
use crate::cli::say;
use crate::ledger::TokenRow;
use crate::places::Places;

/// Prints all of it.
pub fn list(places: &Places, json: bool) -> Result<(), Failure> {
    let (open, _) = opened(places)?;
    let (ledger, now) = (&open.ledger, now_ms());
    if json {
        let nodes = ledger.nodes.iter().map(|(id, node)| {
            json!({ "id": id, "group": node.group, "since": node.since_ms.map(rfc3339), "token": node.by,
                "serial": node.serial, "revoked": node.revoked, "facts": node.facts })
        });
        let tokens = ledger.tokens.iter().map(|(name, token)| {
            json!({ "name": name, "group": token.group, "uses": token.uses, "used": token.used,
                "until": rfc3339(token.expires_ms), "state": state(token, now) })
        });
        let people = ledger.people.iter().map(|(name, person)| {
            json!({ "name": name, "read_only": person.read_only, "revoked": person.revoked })
        });
        let (nodes, tokens, people): (Vec<_>, Vec<_>, Vec<_>) =
            (nodes.collect(), tokens.collect(), people.collect());
        say(json!({ "site": ledger.site, "nodes": nodes, "tokens": tokens, "operators": people }));
        return Ok(());
    }
    let word = |gone: bool| if gone { "  shut out" } else { "" };
    say(format_args!("NODES ({})", ledger.nodes.len()));
    for (id, node) in &ledger.nodes {
        let group = node.group.as_ref().map_or("-", |group| group.as_str());
        let since = node.since_ms.map(to_the_second).unwrap_or_else(|| "?".into());
        let board = node.facts.get("model").map(|model| format!("  {model}")).unwrap_or_default();
        say(format_args!("  {id:<31}  {group:<16}  {since}  by {}{board}{}", node.by, word(node.revoked)));
    }
    say(format_args!("TOKENS ({})", ledger.tokens.len()));
    for (name, token) in &ledger.tokens {
        let group = token.group.as_ref().map_or("-", |group| group.as_str());
        let (until, state) = (to_the_second(token.expires_ms), state(token, now));
        say(format_args!(
            "  {name}  {group:<16}  {} of {} used  until {until}  {state}",
            token.used, token.uses
        ));
    }
    say(format_args!("OPERATORS ({})", ledger.people.len()));
    for (name, person) in &ledger.people {
        let may = if person.read_only { "reads" } else { "reads and calls" };
        say(format_args!("  {name:<31}  {may}{}", word(person.revoked)));
    }
    if ledger.untold {
        say("The broker may not know of the last change yet: systemctl restart mosquitto");
    }
    Ok(())
}

fn state(token: &TokenRow, now: Option<i64>) -> &'static str {
    match now {
        _ if token.revoked => "revoked",
        _ if token.used >= token.uses => "used up",
        Some(now) if now >= token.expires_ms => "ended",
        _ => "good",
    }
}
