//! `sedge node list | info | status | watch | decommission`: all nodes of a broker, from what each has retained.

use std::collections::BTreeMap;

use sedge_mqtt::remote::{Known, NodeNews};
use sedge_mqtt::wire::{Info, PluginSummary};
use sedge_plugin::{Id, State};
use serde_json::{Value as Json, json};

use super::local;
use super::remote::{OPERATOR, connect, node_named};
use super::run::Stop;
use crate::cli::{Decommission, Global};
use crate::control::Ask;
use crate::exit::Failure;
use crate::show;
use crate::show::say;

/// Lists the nodes.
pub async fn list(global: &Global) -> Result<(), Failure> {
    let fleet = known(global, node_named(global.node.as_deref())?.as_ref()).await?;
    if global.json {
        return say(fleet.iter().map(|(id, node)| row(id, node)).collect::<Json>());
    }
    if fleet.is_empty() {
        none_seen();
        return Ok(());
    }
    let head = ["NODE", "STATUS", "VERSION", "STARTED", "SENSORS", "TOOLS", "TROUBLE", "LABELS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(fleet.iter().map(|(id, node)| cells(id, node)));
    show::table(&rows)
}

/// The nodes that the broker knows, or the one; with `--local` that of this machine, which needs no broker.
async fn known(global: &Global, wanted: Option<&Id>) -> Result<BTreeMap<Id, Known>, Failure> {
    if !global.local {
        return Ok(connect(global).await?.fleet(wanted).await?);
    }
    let there = local::node(global)?;
    let id = there.node();
    if let Some(wanted) = wanted.filter(|wanted| **wanted != id) {
        return Err(Failure::Usage(format!("--local asks the node on this machine, `{id}`, not `{wanted}`")));
    }
    let info = serde_json::from_value(there.ask(&Ask::Node).await?)
        .map_err(|error| Failure::Failed(format!("the node's answer cannot be read: {error}")))?;
    Ok(BTreeMap::from([(id, Known { online: Some(true), info: Some(info) })]))
}

/// A broker does not say that it keeps something back.
fn none_seen() {
    show::complain(format_args!("there is no node, or this user may see none; then {OPERATOR}"));
}

/// Describes a node.
pub async fn info(global: &Global, node: &str) -> Result<(), Failure> {
    let id = Id::new(node).map_err(|error| Failure::Usage(format!("node {error}")))?;
    let known = one(&known(global, Some(&id)).await?, &id)?;
    if global.json {
        return say(row(&id, &known));
    }
    say(format_args!("{id}  {}", status(&known)))?;
    let Some(info) = &known.info else { return say("  it has not said what it is") };
    let started = info.started_at.as_deref().unwrap_or("at an unknown time");
    say(format_args!(
        "  sedge {} for {}, started {started}, config {}",
        info.version, info.target, info.config
    ))?;
    if let Some(hardware) = &info.hardware {
        say(format_args!("  {}", printable(hardware)))?;
    }
    for (label, text) in &info.labels {
        say(format_args!("  {} = {}", printable(label), printable(text)))?;
    }
    say(format_args!("  sensors: {}", words(info.sensors.iter())))?;
    say(format_args!("  tools: {}", words(info.tools.iter())))?;
    for (plugin, summary) in &info.plugins {
        let reason = summary.reason.as_deref().map(|reason| format!(": {}", printable(reason)));
        let (kind, state) = (printable(&summary.kind), summary.state.word());
        say(format_args!("  {plugin} ({kind}) {state}{}", reason.unwrap_or_default()))?;
    }
    Ok(())
}

/// Says whether nodes are well: exit code 0 where all are, 3 where some are not, 1 where none is.
pub async fn check(global: &Global, node: Option<&str>) -> Result<(), Failure> {
    let wanted = node_named(node.or(global.node.as_deref()))?;
    let fleet = known(global, wanted.as_ref()).await?;
    if let Some(id) = &wanted {
        one(&fleet, id)?;
    }
    if global.json {
        say(fleet.iter().map(|(id, node)| row(id, node)).collect::<Json>())?;
    } else {
        for (id, node) in &fleet {
            say(format_args!("{id}  {}", verdict(node)))?;
        }
    }
    if fleet.is_empty() && !global.json {
        none_seen();
    }
    let well = fleet.values().filter(|node| is_well(node)).count();
    match fleet.len() - well {
        0 => Ok(()),
        _ if well == 0 => Err(Failure::FailedShown),
        _ => Err(Failure::PartlyShown),
    }
}

/// Prints what happens to nodes, until it is told to stop.
pub async fn watch(global: &Global) -> Result<(), Failure> {
    let wanted = node_named(global.node.as_deref())?;
    let remote = connect(global).await?;
    let mut news = remote.watch_fleet(wanted.as_ref()).await?;
    let mut stop = Stop::new()?;
    let mut fleet = BTreeMap::<Id, Known>::new();
    loop {
        let event = tokio::select! {
            event = news.next() => event?,
            () = stop.asked() => return Ok(()),
        };
        let Some((id, news)) = event else { return Ok(()) };
        let node = fleet.entry(id.clone()).or_default();
        let before = node.clone();
        match news {
            NodeNews::Online(online) => node.online = Some(online),
            NodeNews::Info(info) => node.info = Some(*info),
            NodeNews::Forgotten => *node = Known::default(),
        }
        if global.json && *node != before {
            say(row(&id, node))?;
        } else if !global.json && verdict(node) != verdict(&before) {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let now = show::time(i64::try_from(now.as_millis()).ok());
            say(format_args!("{now} {id}  {}", verdict(node)))?;
        }
    }
}

/// Takes back all that a node has left at the broker.
pub async fn decommission(global: &Global, args: &Decommission) -> Result<(), Failure> {
    let id = Id::new(&args.name).map_err(|error| Failure::Usage(format!("node {error}")))?;
    let remote = connect(global).await?;
    if remote.status(&id).await? == Some(true) {
        return Err(Failure::Failed(format!("`{id}` is online; stop it first, or it would only come back")));
    }
    let topics = remote.retained_of(&id).await?;
    if topics.is_empty() {
        return Err(Failure::Failed(format!("the broker knows nothing of `{id}`")));
    }
    let count = topics.len();
    if !args.yes {
        let text = format!("this takes back {count} retained topics of `{id}`; say so with --yes");
        return Err(Failure::Usage(text));
    }
    for topic in topics {
        let refused = |error| Failure::Failed(format!("{topic}: {error}"));
        remote.take_back(topic.clone()).await.map_err(refused)?;
    }
    if global.json {
        return say(json!({ "node": id, "taken_back": count }));
    }
    say(format_args!("{count} retained topics of `{id}` were taken back"))
}

fn one(fleet: &BTreeMap<Id, Known>, id: &Id) -> Result<Known, Failure> {
    let known = fleet.get(id).cloned();
    known.ok_or_else(|| Failure::Failed(format!("the broker knows nothing of `{id}`; see `sedge node list`")))
}

fn status(node: &Known) -> &'static str {
    match node.online {
        Some(true) => "online",
        Some(false) => "offline",
        None => "unknown",
    }
}

/// The plugins that should run and do not. Of a node that is away it says nothing: that is its trouble.
fn trouble(info: &Info) -> impl Iterator<Item = (&Id, &PluginSummary)> {
    let amiss = |state: State| {
        !matches!(
            state,
            State::Running | State::Disabled | State::Discovered | State::Starting | State::Stopped
        )
    };
    info.plugins.iter().filter(move |(_, plugin)| amiss(plugin.state))
}

fn is_well(node: &Known) -> bool {
    node.online == Some(true) && node.info.as_ref().is_none_or(|info| trouble(info).next().is_none())
}

/// `online`, `offline`, or `online, with trouble: …`.
fn verdict(node: &Known) -> String {
    let Some(info) = node.info.as_ref().filter(|_| node.online == Some(true)) else {
        return status(node).into();
    };
    let amiss: Vec<String> =
        trouble(info).map(|(id, plugin)| format!("{id} is {}", plugin.state.word())).collect();
    match amiss.is_empty() {
        true => status(node).into(),
        false => format!("{}, with trouble: {}", status(node), amiss.join(", ")),
    }
}

fn cells(id: &Id, node: &Known) -> Vec<String> {
    let mut cells = vec![id.to_string(), status(node).to_owned()];
    let Some(info) = &node.info else { return cells };
    let started = info.started_at.as_deref().and_then(|at| at.get(..16)).unwrap_or("-").replace('T', " ");
    let amiss: Vec<String> = trouble(info).map(|(id, _)| id.to_string()).collect();
    let labels: Vec<String> =
        info.labels.iter().map(|(label, text)| format!("{}={}", printable(label), printable(text))).collect();
    cells.extend([printable(&info.version), printable(&started)]);
    cells.extend([info.sensors.len().to_string(), info.tools.len().to_string()]);
    cells.extend([if amiss.is_empty() { "-".into() } else { amiss.join(",") }, labels.join(" ")]);
    cells
}

fn row(id: &Id, node: &Known) -> Json {
    let mut row = json!({ "node": id, "status": status(node) });
    if let Some(info) = &node.info {
        let amiss = trouble(info).map(|(id, plugin)| {
            json!({ "plugin": id, "kind": plugin.kind, "state": plugin.state, "reason": plugin.reason })
        });
        row["trouble"] = amiss.collect();
        row["info"] = json!(info);
    }
    row
}

fn words<T: std::fmt::Display>(words: impl Iterator<Item = T>) -> String {
    let all: Vec<String> = words.map(|word| word.to_string()).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// What comes from others must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_well_when_it_is_online_and_all_that_should_run_does() {
        let info = |state: &str| -> Info {
            serde_json::from_value(json!({
                "proto": 1, "node": "pi", "boot": "9f3c21ab", "started_at": "2026-11-20T17:28:24Z", "version": "0.1.0",
                "target": "x", "config": "1a2b3c4d", "sensors": ["air"], "tools": [],
                "plugins": { "air": { "kind": "bme280", "version": "0.1.0", "state": state } },
            }))
            .unwrap()
        };
        let known = |online, state| Known { online: Some(online), info: Some(info(state)) };
        assert_eq!(verdict(&known(true, "running")), "online");
        assert_eq!(verdict(&known(true, "backing_off")), "online, with trouble: air is backing_off");
        assert_eq!(verdict(&known(false, "failed")), "offline");
        assert!(is_well(&known(true, "disabled")) && !is_well(&known(true, "degraded")));
        assert!(!is_well(&known(false, "running")) && !is_well(&Known::default()));
        let id = Id::new("pi").unwrap();
        assert_eq!(cells(&id, &known(true, "failed"))[3..7], ["2026-11-20 17:28", "1", "0", "air"]);
        assert_eq!(printable("a\u{1b}[31m"), "a?[31m");
    }
}
