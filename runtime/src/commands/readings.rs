//! `sedge readings tail | last | query | export`: prints readings as they come, the latest ones, past ones.

mod export;
mod out;
mod query;
mod senml;
mod tail;

use std::collections::BTreeMap;
use std::sync::Arc;

use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::journal::Entry;
use sedge_plugin::{Id, Reading};
use sedge_plugins::history::query::Query;
use serde_json::Value as Json;

use super::local;
use super::remote::node_named;
use super::stored::Stored;
use crate::cli::Global;
use crate::control::Ask;
use crate::exit::Failure;
use crate::place;
use crate::show;
use crate::show::say;

pub use export::export;
pub use query::query;
pub(crate) use query::when;
pub use tail::tail;

/// Prints the latest reading of each sensor of the node on this machine, or of one. Where the node does not run, its journal
/// tells.
pub async fn last(global: &Global, sensor: Option<&str>) -> Result<(), Failure> {
    let sensor =
        sensor.map(Id::new).transpose().map_err(|error| Failure::Usage(format!("sensor {error}")))?;
    let ask = Ask::Latest { sensor: sensor.clone() };
    let asked = match local::node(global) {
        Ok(node) => node.ask(&ask).await,
        Err(why) => Err(why),
    };
    let latest = match asked {
        Err(Failure::Unreachable(why)) => return last_kept(global, sensor.as_ref(), &why).await,
        asked => asked?,
    };
    let readings = latest.as_array().map(Vec::as_slice).unwrap_or_default();
    if let (Some(sensor), true) = (&sensor, readings.is_empty()) {
        return Err(Failure::Failed(format!("there is no reading of `{sensor}`")));
    }
    if global.json {
        return say(&latest);
    }
    for reading in readings {
        let frame: ReadingFrame = serde_json::from_value(reading.clone())
            .map_err(|error| Failure::Failed(format!("the node's answer cannot be read: {error}")))?;
        let unit = |field: &str| reading["units"][field].as_str().unwrap_or_default();
        let stale = if reading["stale"] == true { "  (stale)" } else { "" };
        let name = reading["sensor"].as_str().unwrap_or_default();
        say(format_args!("{} {name} {}{stale}", show::time(frame.ts), show::fields(&frame, unit)))?;
    }
    Ok(())
}

/// The same of the journal.
async fn last_kept(global: &Global, sensor: Option<&Id>, why: &str) -> Result<(), Failure> {
    let stored = Stored::find(global).await.map_err(|no| match no {
        // Neither may it see what that node keeps.
        Failure::Failed(_) if place::is_barred() => Failure::Failed(why.into()),
        Failure::Failed(no) => Failure::Unreachable(format!("{why}; {no}")),
        no => no,
    })?;
    let mut latest = BTreeMap::new();
    let query = Query { sensors: sensor.cloned().into_iter().collect(), ..Query::default() };
    let keep = |entry: Entry| {
        latest.insert(entry.reading.sensor.clone(), entry.reading);
        Ok::<(), Failure>(())
    };
    query.each(&stored.history()?, keep).await?;
    if let (Some(sensor), true) = (sensor, latest.is_empty()) {
        return Err(Failure::Failed(format!("there is no reading of `{sensor}`")));
    }
    if global.json {
        let node = stored.node.as_str();
        let reading = |reading: &Arc<Reading>| {
            show::json(node, reading.sensor.as_str(), &ReadingFrame::from(reading.as_ref()))
        };
        return say(latest.values().map(reading).collect::<Json>());
    }
    show::complain(format_args!("{why}: these are from its journal"));
    for reading in latest.values() {
        let frame = ReadingFrame::from(reading.as_ref());
        say(format_args!("{} {} {}", when(reading), reading.sensor, show::fields(&frame, |_| "")))?;
    }
    Ok(())
}

/// Which node and which sensor; none for any.
fn filter(global: &Global, text: Option<&str>) -> Result<(Option<Id>, Option<Id>), Failure> {
    let (node, sensor) = match text.map(|text| text.split_once('/').ok_or(text)) {
        None => (None, None),
        Some(Ok((node, sensor))) => (Some(node), Some(sensor)),
        Some(Err(sensor)) => (None, Some(sensor)),
    };
    let sensor = match sensor {
        None | Some("" | "+" | "*" | "#") => None,
        Some(sensor) => Some(Id::new(sensor).map_err(|error| Failure::Usage(format!("sensor {error}")))?),
    };
    Ok((node_named(node.or(global.node.as_deref()))?, sensor))
}
