//! `sedge run --once`: reads every sensor once, prints, exits.
//!
//! Needs no broker and publishes nothing. Ends with 1 where a sensor could not be read, and says which and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_actors::RunningNode;
use sedge_config::Config;
use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Deliver, PluginStateChanged};
use serde_json::{Value as Json, json};

use super::node;
use super::run::usable;
use crate::cli::{Global, RunArgs};
use crate::exit::Failure;
use crate::load::load;
use crate::show;
use crate::show::say;

/// How long a sensor may take, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a failure may take to show.
const SETTLING: Duration = Duration::from_millis(500);

/// Reads every sensor once.
pub async fn once(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let loaded = load(global)?;
    loaded.show(global);
    let along = loaded.along();
    // Nothing is asked of others.
    let config = Config { remotes: Vec::new(), ..usable(loaded, args)? };
    let prepared = node::prepare(config, along, node::Keep::Nothing);
    let me = Id::sanitized("once", "once");
    let options = Options { capacity: 4096, ..Options::default() };
    let mut readings = prepared.node.bus().subscribe::<Deliver>(&me, options.clone());
    let mut states = prepared.node.bus().subscribe::<PluginStateChanged>(&me, options);
    let (running, _house) = prepared.start(None).await;

    let mut seen: BTreeMap<Id, Arc<Reading>> = BTreeMap::new();
    let patience = global.timeout.map_or(PATIENCE, |timeout| timeout.0);
    let all = async {
        while !is_complete(&running, &seen) {
            tokio::select! {
                reading = readings.next() => { seen.entry(reading.sensor.clone()).or_insert(reading); }
                _ = states.next() => {}
            }
        }
    };
    // Whoever has said nothing by then is told of below.
    let _ = tokio::time::timeout(patience, all).await;
    // A reading of nulls is heard of before the failure that it comes of.
    let settled = async {
        while is_unexplained(&running, &seen) {
            states.next().await;
        }
    };
    let _ = tokio::time::timeout(SETTLING, settled).await;
    let directory = running.directory();
    running.stop().await;
    while let Some(reading) = readings.take() {
        seen.entry(reading.sensor.clone()).or_insert(reading);
    }
    print(global, &directory, &seen)
}

/// Whether every plugin that measures has said something, or has said why it does not.
fn is_complete(node: &RunningNode, seen: &BTreeMap<Id, Arc<Reading>>) -> bool {
    let directory = node.directory();
    let state = |id: &Id| directory.plugins.get(id).map(|status| status.state);
    let well = |id: &Id| matches!(state(id), Some(State::Running | State::Starting));
    // One that cannot be set up tells of it with a reading of nulls, and only then with its state.
    let told = |id: &Id| seen.contains_key(id) && state(id) != Some(State::Starting);
    let measuring =
        directory.plugins.keys().filter(|id| id.as_str() == "system" || directory.sensors.contains_key(*id));
    measuring.into_iter().all(|id| told(id) || !well(id))
}

/// Whether a sensor has measured nothing, and runs as if nothing were amiss.
fn is_unexplained(node: &RunningNode, seen: &BTreeMap<Id, Arc<Reading>>) -> bool {
    let directory = node.directory();
    let runs = |id: &Id| directory.plugins.get(id).is_some_and(|status| status.state == State::Running);
    let is_empty = |reading: &Reading| reading.frame.samples.iter().all(|sample| sample.value.is_err());
    seen.values().any(|reading| is_empty(reading) && runs(&reading.sensor))
}

fn print(global: &Global, directory: &Directory, seen: &BTreeMap<Id, Arc<Reading>>) -> Result<(), Failure> {
    let amiss: Vec<&Arc<PluginStatus>> = directory
        .plugins
        .values()
        .filter(|status| !matches!(status.state, State::Running | State::Disabled | State::Stopped))
        .collect();
    let why = |status: &PluginStatus| status.reason.clone().unwrap_or_else(|| "no answer in time".into());
    if global.json {
        let frame = |reading: &Arc<Reading>| {
            show::json(
                directory.node.id.as_str(),
                reading.sensor.as_str(),
                &ReadingFrame::from(reading.as_ref()),
            )
        };
        let errors: Json =
            amiss.iter().map(|s| json!({ "id": s.id, "state": s.state, "reason": why(s) })).collect();
        say(json!({ "readings": seen.values().map(frame).collect::<Json>(), "errors": errors }))?;
    } else {
        for reading in seen.values() {
            say(show::line(reading, directory.sensor(&reading.sensor)))?;
        }
        for status in &amiss {
            crate::show::complain(format_args!("{}: {}: {}", status.id, status.state.word(), why(status)));
        }
    }
    if amiss.is_empty() { Ok(()) } else { Err(Failure::FailedShown) }
}
