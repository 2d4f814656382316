//! `sedge readings tail`: readings as they come, of the broker's nodes; of the node on this machine with `--local`, or where the
//! broker gives nothing.
//!
//! A board of a site may not read at the broker, not even what is its own: without a word, as brokers do not say so. So where
//! nothing comes and no node is to be seen, the node on this machine is asked.
//!
//! It must not take the node on this machine for another that was named.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_mqtt::remote::RemoteError;
use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::Id;
use serde_json::Value as Json;

use super::filter;
use crate::cli::{Global, TailArgs};
use crate::commands::local;
use crate::commands::remote::{OPERATOR, connect};
use crate::commands::run::Stop;
use crate::control::{Ask, BARRED, Local, REMEDY};
use crate::exit::Failure;
use crate::place;
use crate::show::{self, complain, say};

/// After so much silence it is asked whether there is anything to be seen.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the node on this machine is asked.
const EVERY: Duration = Duration::from_secs(1);

/// Prints readings until it is told to stop.
pub async fn tail(global: &Global, args: &TailArgs) -> Result<(), Failure> {
    let (node, sensor) = filter(global, args.filter.as_deref())?;
    let mut out = Out { json: global.json, left: args.count, any: false };
    if args.count == Some(0) {
        return Ok(());
    }
    if global.local {
        let there = local::node(global)?;
        if let Some(node) = node.filter(|node| *node != there.node()) {
            let id = there.node();
            return Err(Failure::Usage(format!(
                "--local asks the node on this machine, `{id}`, not `{node}`"
            )));
        }
        return follow(&there, sensor.as_ref(), &mut out).await;
    }
    let there = instead(global, node.as_ref(), sensor.as_ref()).await;
    let why = match of_broker(global, (node.as_ref(), sensor.as_ref()), there.is_some(), &mut out).await {
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    match (there, &why) {
        (
            Some(there),
            Failure::Failed(_) | Failure::Untrusted(_) | Failure::Unreachable(_) | Failure::Config(_),
        ) if !out.any => {
            complain(format_args!("{why}. Following node `{}` on this machine instead", there.node()));
            follow(&there, sensor.as_ref(), &mut out).await
        }
        (None, Failure::Unreachable(text)) if global.broker.is_none() && place::is_barred() => {
            Err(Failure::Unreachable(format!("{text}; {BARRED}: {REMEDY}")))
        }
        _ => Err(why),
    }
}

/// The node on this machine, where nobody has named another or a broker, and it lets this user ask.
async fn instead(global: &Global, node: Option<&Id>, sensor: Option<&Id>) -> Option<Local> {
    if global.broker.is_some() || global.node.is_some() {
        return None;
    }
    let there = local::node(global).ok()?;
    if !there.answers() || node.is_some_and(|node| *node != there.node()) {
        return None;
    }
    there.ask(&Ask::Latest { sensor: sensor.cloned() }).await.is_ok().then_some(there)
}

/// What the broker has. Where silence is to end it, it does when there is nothing to be seen.
async fn of_broker(
    global: &Global,
    (node, sensor): (Option<&Id>, Option<&Id>),
    silence_ends: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let remote = connect(global).await?;
    if let Some(node) = node
        && remote.status(node).await? != Some(true)
    {
        complain(format_args!("node `{node}` is not online; waiting for it"));
    }
    let mut readings = remote.tail(node, sensor).await.map_err(|error| match error {
        RemoteError::Denied(_) => Failure::Failed(format!(
            "the broker does not let this user read; use `sedge readings last`, or {OPERATOR}"
        )),
        error => error.into(),
    })?;
    let mut stop = Stop::new()?;
    let silence = tokio::time::sleep(SILENCE);
    tokio::pin!(silence);
    let mut waits = true;
    loop {
        let sighting = tokio::select! {
            sighting = readings.recv() => sighting,
            () = stop.asked() => return Ok(()),
            () = &mut silence, if waits => {
                waits = false;
                // Where the broker does not say, nothing is known.
                let nothing = remote.fleet(node).await.is_ok_and(|fleet| fleet.is_empty());
                if !out.any && nothing && readings.is_empty() {
                    let why = format!("the broker shows this user no node; if there are any: {OPERATOR}");
                    if silence_ends {
                        return Err(Failure::Failed(why));
                    }
                    complain(format_args!("{why}. Waiting for readings"));
                }
                continue;
            }
        };
        let Some(sighting) = sighting.transpose()? else { return Ok(()) };
        if out.show(&sighting.node, sighting.sensor.as_str(), &sighting.frame)? {
            return Ok(());
        }
    }
}

/// What the node on this machine has read since it was asked last.
async fn follow(there: &Local, sensor: Option<&Id>, out: &mut Out) -> Result<(), Failure> {
    let (ask, node) = (Ask::Latest { sensor: sensor.cloned() }, there.node());
    let mut stop = Stop::new()?;
    let mut seen: Option<BTreeMap<String, ReadingFrame>> = None;
    loop {
        let latest = tokio::select! {
            latest = there.ask(&ask) => frames(latest?)?,
            () = stop.asked() => return Ok(()),
        };
        for (sensor, frame) in &latest {
            // What was there before is `readings last`.
            let is_new = seen.as_ref().is_some_and(|seen| seen.get(sensor) != Some(frame));
            if is_new && out.show(&node, sensor, frame)? {
                return Ok(());
            }
        }
        seen = Some(latest);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.asked() => return Ok(()),
        }
    }
}

fn frames(latest: Json) -> Result<BTreeMap<String, ReadingFrame>, Failure> {
    let each = |reading: &Json| {
        let sensor = reading["sensor"].as_str().unwrap_or_default().to_owned();
        let frame = serde_json::from_value(reading.clone())
            .map_err(|error| Failure::Failed(format!("the node's answer cannot be read: {error}")))?;
        Ok((sensor, frame))
    };
    latest.as_array().into_iter().flatten().map(each).collect()
}

/// What is printed.
struct Out {
    json: bool,
    /// How many more; none for all.
    left: Option<u64>,
    /// Whether there was one.
    any: bool,
}

impl Out {
    /// Whether it was the last one.
    fn show(&mut self, node: &Id, sensor: &str, frame: &ReadingFrame) -> Result<bool, Failure> {
        if self.json {
            say(show::json(node.as_str(), sensor, frame))?;
        } else {
            say(format_args!("{} {node}/{sensor} {}", show::time(frame.ts), show::fields(frame, |_| "")))?;
        }
        self.any = true;
        self.left = self.left.map(|left| left.saturating_sub(1));
        Ok(self.left == Some(0))
    }
}
