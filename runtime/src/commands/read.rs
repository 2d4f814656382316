//! `sedge sensor read NAME`: what a sensor says, now.
//!
//! Where the node on this machine has it, its latest reading; else the device is opened and read as a node would do it, with
//! nothing else of the config running.

use std::time::Duration;

use sedge_config::{Config, Sensor};
use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::prelude::*;
use sedge_plugin::schema::nearest;
use sedge_plugin::topics::{Deliver, PluginStateChanged};
use serde_json::Value as Json;

use super::run::Stop;
use super::{local, node};
use crate::cli::{Global, ReadArgs};
use crate::control::{Ask, Local};
use crate::exit::Failure;
use crate::extend;
use crate::load::{Loaded, find, load};
use crate::show::{self, complain, say};

/// How long a reading may be waited for, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the reason of a reading without values may be waited for.
const SOON: Duration = Duration::from_secs(2);
/// How often the node is asked for something new.
const ASKED: Duration = Duration::from_millis(200);
/// Processors that hold readings back: what is held back here would be missed.
const HOLDING_BACK: [&str; 2] = ["deadband", "limit"];

/// Reads a sensor once, or again and again.
pub async fn read(global: &Global, args: &ReadArgs) -> Result<(), Failure> {
    let name = Id::new(&args.name).map_err(|error| Failure::Usage(format!("sensor {error}")))?;
    let there = match local::node(global) {
        Ok(node) if node.answers() => Some(node),
        Ok(_) | Err(Failure::Unreachable(_)) => None,
        // Without a config nobody says which of several nodes is meant; a config with a mistake says so itself below.
        Err(error @ Failure::Usage(_)) => return Err(error),
        Err(_) => None,
    };
    if let Some(there) = &there
        && there.has(&name).await?
    {
        return there.show(global, args, &name).await;
    }
    let loaded = match find(global.config.as_deref()) {
        None if there.is_some() => {
            return Err(unknown(&name, &Config::default(), &names(there.as_ref()).await));
        }
        _ => load(global)?,
    };
    let Some(config) = loaded.config.clone() else {
        loaded.show(global);
        return Err(Failure::ConfigShown);
    };
    let Some(sensor) = config.sensors.iter().find(|sensor| sensor.id == name).cloned() else {
        return Err(unknown(&name, &config, &names(there.as_ref()).await));
    };
    if let Some(there) = &there {
        complain(format_args!(
            "node `{}` runs, but knows no `{name}` (`sedge reload` has it read the config again); the device is read here",
            there.node()
        ));
    }
    itself(global, args, loaded, config, sensor).await
}

/// The sensors of a node.
async fn names(node: Option<&Local>) -> Vec<String> {
    let Some(node) = node else { return Vec::new() };
    let latest = node.ask(&Ask::Latest { sensor: None }).await.unwrap_or_default();
    let all = latest.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|reading| reading["sensor"].as_str().map(str::to_owned)).collect()
}

fn unknown(name: &Id, config: &Config, others: &[String]) -> Failure {
    let name = name.as_str();
    let ids = || config.sensors.iter().map(|sensor| sensor.id.as_str());
    let of_kind = config.sensors.iter().filter(|sensor| sensor.kind == name);
    let of_kind: Vec<&str> = of_kind.map(|sensor| sensor.id.as_str()).collect();
    let all = ids().chain(others.iter().map(String::as_str));
    let hint = match (nearest(name, all.clone()), of_kind.is_empty()) {
        (_, false) => format!("it is a kind; of that kind there is: {}", of_kind.join(", ")),
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, _) => match all.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "there is none; `sedge sensor scan` shows what could be one".into(),
            all => format!("there are: {all}"),
        },
    };
    Failure::Failed(format!("there is no sensor `{name}`; {hint}"))
}

impl Local {
    /// Whether the node has that sensor, well or not.
    async fn has(&self, sensor: &Id) -> Result<bool, Failure> {
        let is_it = |of: &Json, key: &str| {
            of.as_array().is_some_and(|all| all.iter().any(|one| one[key] == sensor.as_str()))
        };
        let latest = self.ask(&Ask::Latest { sensor: Some(sensor.clone()) }).await?;
        Ok(is_it(&latest, "sensor") || is_it(&self.ask(&Ask::Plugins).await?, "id"))
    }

    /// The latest reading of a sensor.
    async fn latest(&self, sensor: &Id) -> Result<Option<Json>, Failure> {
        let latest = self.ask(&Ask::Latest { sensor: Some(sensor.clone()) }).await?;
        Ok(latest.get(0).cloned())
    }

    /// How the sensor fares, where it is not well: its state, and why.
    async fn trouble(&self, sensor: &Id) -> Result<Option<(String, String)>, Failure> {
        let plugins = self.ask(&Ask::Plugins).await?;
        let status = plugins.as_array().and_then(|all| all.iter().find(|one| one["id"] == sensor.as_str()));
        let Some(status) = status else { return Ok(None) };
        let state = status["state"].as_str().unwrap_or_default();
        let well = [State::Running, State::Starting].map(State::word).contains(&state);
        let why = status["reason"].as_str().unwrap_or("it gives no reason");
        Ok((!well).then(|| (state.to_owned(), why.to_owned())))
    }

    async fn show(&self, global: &Global, args: &ReadArgs, sensor: &Id) -> Result<(), Failure> {
        let mut stop = Stop::new()?;
        let mut beat = tokio::time::interval(ASKED);
        let patience = tokio::time::sleep(global.timeout.map_or(PATIENCE, |timeout| timeout.0));
        tokio::pin!(patience);
        let (mut shown, mut told, mut left) = (None, None, args.left());
        loop {
            tokio::select! {
                _ = beat.tick() => {}
                () = stop.asked() => return Ok(()),
                () = &mut patience, if shown.is_none() && !args.watch => {
                    return Err(Failure::Failed(format!("node `{}` has no reading of `{sensor}` yet", self.node())));
                }
            }
            let reading = self.latest(sensor).await?;
            let trouble = self.trouble(sensor).await?;
            let key = reading.as_ref().map(|reading| (reading["boot"].clone(), reading["seq"].clone()));
            if let Some(reading) = reading.filter(|_| shown != key) {
                shown = key;
                print(global, &reading)?;
                left = left.map(|left| left.saturating_sub(1));
            }
            let troubled = trouble.is_some();
            if let Some((state, why)) = trouble.filter(|trouble| told.as_ref() != Some(trouble)) {
                complain(format_args!("{sensor} is {state}: {why}"));
                told = Some((state, why));
            }
            match left {
                Some(0) if troubled => return Err(Failure::FailedShown),
                Some(0) => return Ok(()),
                _ if troubled && !args.watch => return Err(Failure::FailedShown),
                _ => {}
            }
        }
    }
}

/// A line, with how old it is.
fn print(global: &Global, reading: &Json) -> Result<(), Failure> {
    if global.json {
        return say(reading);
    }
    let frame: ReadingFrame = serde_json::from_value(reading.clone())
        .map_err(|error| Failure::Failed(format!("the node's answer cannot be read: {error}")))?;
    let unit = |field: &str| reading["units"][field].as_str().unwrap_or_default();
    let name = reading["sensor"].as_str().unwrap_or_default();
    let age = reading["age_ms"].as_f64().unwrap_or_default() / 1000.0;
    let stale = if reading["stale"] == true { ", stale" } else { "" };
    say(format_args!(
        "{} {name} {}  ({age:.1} s ago{stale})",
        show::time(frame.ts),
        show::fields(&frame, unit)
    ))
}

/// The part of a config that a sensor needs.
fn alone(mut config: Config, sensor: &Sensor) -> Config {
    let mut chain: Vec<String> = sensor.bus.iter().cloned().collect();
    while let Some(parent) = chain
        .last()
        .and_then(|name| config.buses.iter().find(|bus| bus.id.as_str() == name)?.parent.clone())
        .filter(|parent| !chain.contains(parent))
    {
        chain.push(parent);
    }
    config.buses.retain(|bus| chain.iter().any(|name| bus.id.as_str() == name));
    config.gpios.retain(|gpio| Some(&gpio.id) == sensor.power.as_ref());
    config.processors.retain(|processor| !HOLDING_BACK.contains(&processor.kind.as_str()));
    config.destinations.clear();
    config.remotes.clear();
    config.plugins.clear();
    config.guards.clear();
    config.sensors.retain(|other| other.id == sensor.id);
    config.sensors.iter_mut().for_each(|sensor| sensor.enabled = true);
    config
}

/// Opens the device and reads it.
async fn itself(
    global: &Global,
    args: &ReadArgs,
    loaded: Loaded,
    config: Config,
    sensor: Sensor,
) -> Result<(), Failure> {
    let name = sensor.id.clone();
    if let Some(fault) = &sensor.fault {
        return Err(Failure::Config(format!("[sensor.{name}]: {fault}; `sedge check` shows where")));
    }
    if !sensor.enabled {
        complain(format_args!(
            "`{name}` is switched off in the config; `sedge plugin enable {name}` switches it on"
        ));
    }
    let bus = sensor.bus.clone().unwrap_or_default();
    let on_i2c = extend::sensor(&sensor.kind).is_some_and(|kind| kind.bus() == "i2c");
    let hint = match on_i2c {
        true => {
            format!("`sedge sensor scan --bus {bus}` shows who answers there, `sedge doctor` checks the rest")
        }
        false => "`sedge doctor` checks the rest".to_owned(),
    };
    let prepared = node::prepare(alone(config, &sensor), loaded.along(), node::Keep::Nothing);
    let me = Id::sanitized("read", "read");
    let mut readings = prepared.node.bus().subscribe::<Deliver>(&me, Options::default());
    let mut states = prepared.node.bus().subscribe::<PluginStateChanged>(&me, Options::default());
    let mut stop = Stop::new()?;
    let (running, _house) = prepared.start(None).await;
    let patience = tokio::time::sleep(global.timeout.map_or(PATIENCE, |timeout| timeout.0));
    tokio::pin!(patience);

    let mut left = args.left();
    let mut said: Option<String> = None;
    // The last reading that was wanted had no value.
    let mut nothing = false;
    let outcome = loop {
        // Where it was set up before anybody listened there is no change to hear of.
        let status = running.directory().plugins.get(&name).cloned();
        let unwell = status.filter(|status| match status.state {
            State::Running | State::Starting | State::Discovered => false,
            State::Degraded => nothing && status.reason.is_some(),
            _ => true,
        });
        let next = readings.take();
        if next.is_none()
            && let Some(status) = unwell
        {
            let why = status.reason.as_deref().unwrap_or("it gives no reason");
            if !args.watch || nothing || matches!(status.state, State::Failed) {
                break Err(Failure::Failed(format!("{name}: {}; {hint}", why.trim_end_matches('.'))));
            }
            if said.as_deref() != Some(why) {
                complain(format_args!("{name}: {why}; it is tried again; {hint}"));
                said = Some(why.to_owned());
            }
        }
        let reading = match next {
            Some(reading) => reading,
            None => tokio::select! {
                reading = readings.next() => reading,
                _ = states.next() => continue,
                () = stop.asked() => break Ok(()),
                () = &mut patience, if !args.watch || nothing => {
                    let what = if nothing { "measured nothing" } else { "gave no reading in time" };
                    break Err(Failure::Failed(format!("`{name}` {what}; {hint}")));
                }
            },
        };
        if reading.sensor != name {
            continue;
        }
        let directory = running.directory();
        let shown = match global.json {
            true => {
                say(show::json(directory.node.id.as_str(), name.as_str(), &ReadingFrame::from(&*reading)))
            }
            false => say(show::line(&reading, directory.sensor(&name))),
        };
        if let Err(error) = shown {
            break Err(error);
        }
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            if reading.frame.samples.iter().any(|sample| sample.value.is_ok()) {
                break Ok(());
            }
            // Why is told right after it.
            nothing = true;
            patience.as_mut().reset(tokio::time::Instant::now() + SOON);
        }
    };
    running.stop().await;
    outcome
}
