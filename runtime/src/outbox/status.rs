//! What the outbox says of itself: `sedge outbox status`.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use sedge_journal::{Disk, Done, JournalError};
use sedge_plugin::clock::rfc3339;
use sedge_plugin::journal::{Cause, Entry, Loss};
use sedge_plugin::{Every, Id};
use serde_json::{Value as Json, json};

use super::ledger::Ledger;
use super::past::Past;
use super::rules::Rules;
use super::{Outbox, lock, place};

/// What it is made of, whoever has it.
struct Account<'a> {
    past: &'a Past,
    disk: &'a dyn Disk,
    durable: bool,
    max_bytes: Option<u64>,
    /// None where the config is not known.
    rules: Option<&'a Rules>,
    /// Who has not had which positions.
    readers: Vec<(Id, Vec<Range<u64>>)>,
    losses: Vec<Loss>,
    trouble: Option<String>,
}

impl Outbox {
    /// What it holds, for whom, and what is lost. Reads the disk.
    pub fn status(&self) -> Json {
        let shared = &self.0;
        let rules = shared.rules.load_full();
        let account = Account {
            past: &self.past(),
            disk: &*shared.disk,
            durable: shared.durable,
            max_bytes: Some(shared.max_bytes),
            rules: Some(&rules),
            readers: self.pending(),
            losses: lock(&shared.ledger).losses(None),
            trouble: shared.trouble.borrow().clone(),
        };
        account.json()
    }

    /// Who has not had which positions.
    fn pending(&self) -> Vec<(Id, Vec<Range<u64>>)> {
        let (tail, head) = (self.0.reader.tail(), *self.0.head.borrow());
        self.0.places().iter().map(|place| (place.reader.clone(), place.pending(tail..head))).collect()
    }

    /// How many readings each reader has not had.
    pub(crate) fn waiting(&self) -> Vec<(Id, u64)> {
        self.pending().into_iter().map(|(reader, open)| (reader, positions(&open))).collect()
    }

    /// Bytes that the journal takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.reader.stats().bytes
    }

    /// How many readings are lost, by cause.
    pub(crate) fn lost(&self) -> Vec<(Cause, u64)> {
        lock(&self.0.ledger).losses(None).iter().map(|loss| (loss.cause, loss.count)).collect()
    }
}

/// The status of a journal that lies in a folder and that no node is asked about.
///
/// # Errors
/// Where it cannot be read.
pub fn look(folder: &Path, settings: Option<&sedge_config::Outbox>) -> Result<Json, JournalError> {
    let (past, disk) = Past::on(Past::disk(folder)?)?;
    let ledger = Ledger::load(&*disk);
    let reader = past.reader();
    // Numbers are left out after an end that was not in order: what lies beyond the last segment was never given out.
    let end = reader.segments().last().map_or(0, |segment| segment.end);
    let readers = disk.list().unwrap_or_default().into_iter().filter_map(|name| {
        let reader_id = Id::new(name.strip_prefix(place::PREFIX)?).ok()?;
        let mut done = Done::load(&*disk, &name);
        ledger.gone().for_each(|gone| done.add(gone));
        Some((reader_id, done.pending(reader.tail()..end.max(reader.tail()))))
    });
    let rules = settings.map(Rules::new);
    let account = Account {
        readers: readers.collect(),
        past: &past,
        disk: &*disk,
        durable: true,
        max_bytes: settings.map(|settings| settings.max_bytes.0),
        rules: rules.as_ref(),
        losses: ledger.losses(None),
        trouble: None,
    };
    Ok(account.json())
}

impl Account<'_> {
    fn json(&self) -> Json {
        let reader = self.past.reader();
        let stats = reader.stats();
        let first_from = |position| self.past.part(position, 1).0.entries.into_iter().next();
        let readers: Json = self
            .readers
            .iter()
            .map(|(reader, open)| {
                let oldest = open.first().and_then(|open| first_from(open.start));
                json!({ "reader": reader, "pending": positions(open), "oldest": time(oldest.as_ref()) })
            })
            .collect();
        let place = self.disk.place();
        // Of use to another process, whose folder is another.
        let place = match std::path::absolute(&place) {
            Ok(absolute) if self.durable => absolute.display().to_string(),
            _ => place,
        };
        let damage = stats.damage;
        let lost: u64 = self.losses.iter().map(|loss| loss.count).sum();
        json!({
            "storage": if self.durable { "disk" } else { "memory" },
            "place": place,
            "bytes": stats.bytes,
            "max_bytes": self.max_bytes,
            "segments": stats.segments,
            "first": reader.tail(),
            "next": reader.head(),
            "durable": reader.durable(),
            "oldest": time(first_from(reader.tail()).as_ref()),
            "newest": time(self.past.newest(1).first()),
            "commit": self.rules.map(|rules| commits(rules, self.durable)),
            "trouble": self.trouble,
            "damaged": damage.torn_tails + damage.bad_spans + damage.bad_files,
            "damage": {
                "torn_ends": damage.torn_tails, "places": damage.bad_spans, "bytes": damage.bad_bytes,
                "files": damage.bad_files, "unreadable_bytes": damage.unreadable_bytes, "kept_bytes": damage.kept_bytes,
            },
            "readers": readers,
            "lost": lost,
            "losses": self.losses.iter().map(loss).collect::<Json>(),
        })
    }
}

fn positions(open: &[Range<u64>]) -> u64 {
    open.iter().map(|open| open.end - open.start).sum()
}

fn time(entry: Option<&Entry>) -> Option<String> {
    entry?.reading.taken.wall_ms.map(rfc3339)
}

fn loss(loss: &Loss) -> Json {
    let mut object = json!(loss);
    object["why"] = loss.cause.text().into();
    object["from"] = loss.from_ms.map(rfc3339).into();
    object["to"] = loss.to_ms.map(rfc3339).into();
    object
}

/// For which sensors readings are committed how often, and what that means.
fn commits(rules: &Rules, durable: bool) -> Json {
    let commit = |(sensors, rule): (&[String], super::rules::Rule)| {
        let every = (!rule.commits_each).then_some(rule.commit);
        json!({
            "sensors": if sensors.is_empty() { Json::Null } else { json!(sensors) },
            "every": every.map_or("each".into(), |every| Every(every).to_string()),
            "window": window(durable, every),
        })
    };
    rules.all().map(commit).collect()
}

/// What is lost at worst, in plain words. `every` is the time between two commits; none where each reading is committed.
pub fn window(durable: bool, every: Option<Duration>) -> String {
    match (durable, every) {
        (false, _) => "a power cut, a crash or a restart loses what was not sent".into(),
        (true, None) => {
            "a power cut loses nothing that was accepted; a crash of the process loses nothing".into()
        }
        (true, Some(every)) => format!(
            "a power cut loses at most what was accepted in the last {}; a crash of the process loses nothing",
            Every(every)
        ),
    }
}
