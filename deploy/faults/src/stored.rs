//! What the node has in its journal when it has ended: readings that it accepted, whether anybody was told of them or not.
//!
//! It is asked with the node's own commands, as a person would: `sedge readings export` and `sedge outbox status`. What has been
//! delivered long ago may have left the journal.
//!
//! ```
//! use sedge_faults::{oracle::Accepted, stored::Stored};
//! let line = r#"{"sensor":"s1","boot":"0000002a","seq":3,"ts":null,"fields":{}}"#;
//! let stored = Stored::read(line.as_bytes(), br#"{"readers":[{"reader":"mqtt","pending":1}],"losses":[]}"#).unwrap();
//! assert_eq!((stored.accepted().len(), stored.waiting), (1, 1));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde_json::Value as Json;

use crate::Trouble;
use crate::frames::{Loss, Stream, loss, reading};
use crate::node::Setup;
use crate::oracle::Accepted;
use crate::tally::Tally;

/// See the module.
#[derive(Debug, Default)]
pub struct Stored {
    accepted: BTreeMap<Stream, BTreeSet<u64>>,
    /// Readings that wait in it for whoever has not had them.
    pub waiting: u64,
    /// What the node says is lost.
    pub losses: Vec<Loss>,
}

impl Accepted for Stored {
    fn accepted(&self) -> BTreeMap<Stream, BTreeSet<u64>> {
        self.accepted.clone()
    }
}

impl Stored {
    /// Asks about the node of a folder, which does not run. None where this program has no such commands.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub async fn of(setup: &Setup, folder: &Path) -> Result<Option<Self>, Trouble> {
        let asked = |args: &'static [&'static str]| async move {
            setup.command(folder, args).output().await.map_err(Trouble::about(args.join(" ")))
        };
        if !asked(&["readings", "export", "--help"]).await?.status.success() {
            return Ok(None);
        }
        let readings = asked(&["readings", "export", "--format", "ndjson"]).await?;
        let status = asked(&["outbox", "status", "--json"]).await?;
        for answer in [&readings, &status] {
            if !answer.status.success() {
                let said = String::from_utf8_lossy(&answer.stderr).into_owned();
                return Err(Trouble::about("the node's journal")(io::Error::other(said)));
            }
        }
        Self::read(&readings.stdout, &status.stdout).map(Some).map_err(Trouble::about("the node's journal"))
    }

    /// How many of its readings did not come.
    pub fn unseen(&self, seen: &Tally) -> u64 {
        let unseen = |(stream, numbers): (&Stream, &BTreeSet<u64>)| {
            let came = seen.streams.get(stream);
            let is_new = |seq: &&u64| !came.is_some_and(|came| came.readings.contains_key(seq));
            numbers.iter().filter(is_new).count() as u64
        };
        self.accepted.iter().map(unseen).sum()
    }

    /// Reads the answers.
    ///
    /// # Errors
    /// When they are not what they should be.
    pub fn read(readings: &[u8], status: &[u8]) -> io::Result<Self> {
        let mut stored = Self::default();
        for line in readings.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let frame: Json = serde_json::from_slice(line)?;
            let sensor = frame.get("sensor").and_then(Json::as_str);
            let known =
                sensor.and_then(|sensor| reading(sensor, &frame)).ok_or(io::ErrorKind::InvalidData)?;
            stored.accepted.entry(known.stream).or_default().insert(known.seq);
        }
        let status: Json = serde_json::from_slice(status)?;
        let readers = status.get("readers").and_then(Json::as_array).ok_or(io::ErrorKind::InvalidData)?;
        let pending = readers.iter().map(|reader| reader.get("pending").and_then(Json::as_u64));
        stored.waiting = pending.sum::<Option<u64>>().ok_or(io::ErrorKind::InvalidData)?;
        let losses = status.get("losses").and_then(Json::as_array).ok_or(io::ErrorKind::InvalidData)?;
        let losses: Option<Vec<Loss>> = losses.iter().map(loss).collect();
        stored.losses = losses.ok_or(io::ErrorKind::InvalidData)?;
        Ok(stored)
    }
}
