//! `sedge outbox status | inspect | verify`: the journal in which readings wait until everybody has them.

use std::collections::{BTreeMap, BTreeSet};

use sedge_journal::{SegmentReport, Why};
use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::Size;
use sedge_plugin::journal::Entry;
use serde_json::{Value as Json, json};

use super::readings::when;
use super::stored::{Stored, unreadable};
use crate::cli::Global;
use crate::exit::Failure;
use crate::outbox::{Past, look};
use crate::show::{self, say};

/// Looks at what seems damaged, while a node writes: what was half written, or dropped, is not.
const LOOKS: usize = 3;

/// Readings that are read at once.
const BATCH: usize = 500;

/// Prints what the journal holds, for whom, and what is lost.
pub async fn status(global: &Global) -> Result<(), Failure> {
    let stored = Stored::find(global).await?;
    let runs = stored.running.is_some();
    let mut status = match (stored.status, &stored.folder) {
        (Some(status), _) => status,
        (None, Some(folder)) => look(folder, stored.settings.as_ref()).map_err(unreadable)?,
        (None, None) => Json::Null,
    };
    status["node"] = json!(stored.node);
    status["runs"] = runs.into();
    if global.json {
        return say(&status);
    }
    let text = |key: &str| status[key].as_str().unwrap_or("-").to_owned();
    let source = if runs { "the node runs" } else { "as it lies there; the node does not run" };
    let mut rows = vec![
        vec!["journal".into(), format!("{} ({}), {source}", text("place"), text("storage"))],
        vec!["size".into(), size(&status)],
        vec!["readings".into(), format!("oldest {}, newest {}", text("oldest"), text("newest"))],
    ];
    for commit in status["commit"].as_array().into_iter().flatten() {
        let sensors = commit["sensors"].as_array().map(|sensors| {
            let sensors: Vec<&str> = sensors.iter().filter_map(Json::as_str).collect();
            format!("{}: ", sensors.join(" "))
        });
        let (every, window) = (&commit["every"], commit["window"].as_str().unwrap_or_default());
        let every = every.as_str().unwrap_or_default();
        let every = if every == "each" { "each reading".into() } else { format!("every {every}") };
        rows.push(vec!["commit".into(), format!("{}{every}; {window}", sensors.unwrap_or_default())]);
    }
    rows.push(vec!["trouble".into(), status["trouble"].as_str().unwrap_or("none").into()]);
    rows.push(vec!["damage".into(), damage(&status)]);
    show::table(&rows)?;
    print_readers(&status)?;
    print_losses(&status)
}

fn size(status: &Json) -> String {
    let bytes = |key: &str| status[key].as_u64();
    let of = bytes("max_bytes").map(|max| format!(" of {}", Size(max))).unwrap_or_default();
    format!("{}{of}, {} segments", Size(bytes("bytes").unwrap_or_default()), status["segments"])
}

fn damage(status: &Json) -> String {
    match status["damaged"].as_u64() {
        None | Some(0) => "none seen; `sedge outbox verify` reads all of it".into(),
        Some(places) => format!("{places} places; `sedge outbox verify` tells which"),
    }
}

fn print_readers(status: &Json) -> Result<(), Failure> {
    let readers = status["readers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if readers.is_empty() {
        return say("\nnobody reads it yet");
    }
    say("")?;
    let head = ["reader", "waiting", "oldest"].map(str::to_owned).to_vec();
    let row = |reader: &Json| {
        let oldest = match (&reader["pending"], reader["oldest"].as_str()) {
            (pending, _) if *pending == 0 => "-",
            (_, oldest) => oldest.unwrap_or("time not known"),
        };
        vec![word(&reader["reader"]), reader["pending"].to_string(), oldest.into()]
    };
    show::table(&std::iter::once(head).chain(readers.iter().map(row)).collect::<Vec<_>>())
}

fn print_losses(status: &Json) -> Result<(), Failure> {
    let losses = status["losses"].as_array().map(Vec::as_slice).unwrap_or_default();
    if losses.is_empty() {
        return say("\nnothing is lost");
    }
    say(format_args!("\n{} readings are lost", status["lost"]))?;
    let head = ["reader", "sensor", "count", "from", "to", "numbers", "because"].map(str::to_owned).to_vec();
    let row = |loss: &Json| {
        vec![
            word(&loss["reader"]),
            word(&loss["sensor"]),
            loss["count"].to_string(),
            word(&loss["from"]),
            word(&loss["to"]),
            numbers(loss),
            word(&loss["why"]),
        ]
    };
    show::table(&std::iter::once(head).chain(losses.iter().map(row)).collect::<Vec<_>>())
}

/// The first runs of the numbers that are lost, of which start of the node.
fn numbers(loss: &Json) -> String {
    const SHOWN: usize = 4;
    let runs = loss["seqs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let run = |run: &Json| match (&run[0], &run[1]) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    };
    let shown: Vec<String> = runs.iter().take(SHOWN).map(run).collect();
    let more = if runs.len() > SHOWN { " …" } else { "" };
    match loss["boot"].as_str() {
        Some(boot) if !shown.is_empty() => format!("{}{more} of {boot}", shown.join(" ")),
        _ => "-".into(),
    }
}

fn word(value: &Json) -> String {
    value.as_str().unwrap_or("-").into()
}

/// Prints what stands in the journal, with what is missing between.
pub async fn inspect(global: &Global, from: Option<u64>, count: usize) -> Result<(), Failure> {
    let stored = Stored::find(global).await?;
    let units = stored.units().await;
    let past = stored.past()?;
    let mut at = match from {
        Some(from) => from,
        None => past.newest(count).first().map_or(past.reader().head(), |first| first.position),
    };
    let mut left = count;
    while left > 0 {
        let (batch, missing) = past.part(at, left.min(BATCH));
        let mut lines: BTreeMap<u64, String> = BTreeMap::new();
        for gap in missing.iter().filter(|gap| !matches!(gap.why, Why::Skipped)) {
            let (first, last, why) = (gap.range.start, gap.range.end - 1, why(gap.why));
            let line = match global.json {
                true => json!({ "position": first, "last": last, "missing": why }).to_string(),
                false => format!("{first}-{last}  {why}"),
            };
            lines.insert(first, line);
        }
        for Entry { position, reading } in &batch.entries {
            let frame = ReadingFrame::from(reading.as_ref());
            let line = if global.json {
                let mut object = show::json(stored.node.as_str(), reading.sensor.as_str(), &frame);
                object["position"] = (*position).into();
                object.to_string()
            } else {
                let fields = show::fields(&frame, |field| units.of(&reading.sensor, field));
                format!(
                    "{position}  {}  {}  #{} of {}  {fields}",
                    when(reading),
                    reading.sensor,
                    reading.seq,
                    reading.boot
                )
            };
            lines.insert(*position, line);
        }
        for line in lines.values() {
            say(line)?;
        }
        left = left.saturating_sub(batch.entries.len());
        if batch.next <= at {
            break;
        }
        at = batch.next;
    }
    Ok(())
}

fn why(why: Why) -> &'static str {
    match why {
        Why::Dropped => "dropped to make room",
        Why::Compacted => "thinned out",
        Why::Damaged => "damaged",
        Why::Unreadable => "the disk cannot read it",
        Why::Lost => "lost: the disk had failed",
        Why::Skipped => "never given out",
    }
}

/// Reads all of the journal and says which segments are damaged.
pub async fn verify(global: &Global) -> Result<(), Failure> {
    let stored = Stored::find(global).await?;
    let past = stored.past()?;
    let folder = stored.folder.clone().unwrap_or_default();
    let work = tokio::task::spawn_blocking(move || verified(past, || Past::open(&folder).ok()));
    let reports =
        work.await.map_err(|error| Failure::Failed(format!("the journal was not read: {error}")))?;
    let bad = reports.iter().filter(|report| is_bad(report)).count();
    let records: u64 = reports.iter().map(|report| report.records).sum();
    if global.json {
        let segments: Json = reports.iter().map(described).collect();
        say(json!({ "node": stored.node, "segments": segments, "records": records, "damaged": bad }))?;
    } else {
        for report in &reports {
            let SegmentReport { name, first, end, records, bad, unreadable, .. } = report;
            let judged = match is_bad(report) {
                false => "good".into(),
                true => format!("DAMAGED: {bad} places hold no records, {unreadable} bytes cannot be read"),
            };
            say(format_args!("{name}  positions {first} to {end}, {records} records  {judged}"))?;
        }
        say(format_args!("{} segments, {records} records, {bad} segments damaged", reports.len()))?;
        if bad > 0 {
            show::complain(
                "what is damaged is passed over and kept beside it (.bad); the ledger has what readers miss of it: `sedge outbox status`",
            );
        }
    }
    if bad > 0 { Err(Failure::FailedShown) } else { Ok(()) }
}

fn is_bad(report: &SegmentReport) -> bool {
    report.bad > 0 || report.unreadable > 0
}

fn described(report: &SegmentReport) -> Json {
    let SegmentReport { name, first, end, records, bytes, bad, unreadable } = report;
    json!({
        "name": name, "first": first, "end": end, "records": records, "bytes": bytes,
        "damaged": bad, "unreadable_bytes": unreadable,
    })
}

/// All segments. What seems damaged is looked at again: a node may have been writing there, or have dropped it.
fn verified(past: Past, again: impl Fn() -> Option<Past>) -> Vec<SegmentReport> {
    let mut reports = all(&past);
    for _ in 1..LOOKS {
        let suspects: BTreeSet<(String, u64)> =
            reports.iter().filter(|report| is_bad(report)).map(key).collect();
        if suspects.is_empty() {
            break;
        }
        let Some(past) = again() else { break };
        let mut seen: BTreeMap<(String, u64), SegmentReport> =
            all(&past).into_iter().map(|report| (key(&report), report)).collect();
        let anew = |report: SegmentReport| match suspects.contains(&key(&report)) {
            true => seen.remove(&key(&report)),
            false => Some(report),
        };
        reports = reports.into_iter().filter_map(anew).collect();
    }
    reports
}

fn all(past: &Past) -> Vec<SegmentReport> {
    let mut reports = Vec::new();
    past.reader().verify(&mut |report| reports.push(report.clone()));
    reports
}

fn key(report: &SegmentReport) -> (String, u64) {
    (report.name.clone(), report.first)
}
