//! Which of the readings that are kept are meant: of which sensors and fields, of which time.
//!
//! ```
//! use sedge_plugins::history::query::moment;
//! assert_eq!(moment("1m", Some(60_000)), Ok(0));
//! assert_eq!(moment("1970-01-01T00:00:05Z", None), Ok(5000));
//! ```
//!
//! Of a reading whose time is not known nobody can say whether it is within a time: it is left out and counted, and never given
//! one.

use std::sync::Arc;

use sedge_plugin::journal::{Entry, History};
use sedge_plugin::{Id, Reading, clock, duration};

/// Readings that are read at once.
const BATCH: usize = 500;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// These sensors; none for all.
    pub sensors: Vec<Id>,
    /// These fields; none for all.
    pub fields: Vec<String>,
    /// From when on, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Until when, and not at it.
    pub until_ms: Option<i64>,
}

impl Query {
    /// Shows each reading that is meant, in the order in which they were accepted, without the fields that are not. Memory is a
    /// batch. Returns how many were left out because their time is not known.
    ///
    /// # Errors
    /// The first of `see`, which ends it.
    pub async fn each<E>(
        &self,
        history: &History,
        mut see: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut untimed = 0;
        let mut range = history.between(self.since_ms, self.until_ms).await;
        while !range.is_empty() {
            let batch = history.read(range.clone(), BATCH).await;
            for entry in batch.entries {
                match self.admits(&entry.reading) {
                    Some(true) => {
                        if let Some(entry) = self.with_fields(entry) {
                            see(entry)?;
                        }
                    }
                    Some(false) => {}
                    None => untimed += 1,
                }
            }
            if batch.next <= range.start {
                break;
            }
            range.start = batch.next;
        }
        Ok(untimed)
    }

    /// Whether a reading is meant; nothing where its time would have to be known.
    fn admits(&self, reading: &Reading) -> Option<bool> {
        if !self.sensors.is_empty() && !self.sensors.contains(&reading.sensor) {
            return Some(false);
        }
        if self.since_ms.is_none() && self.until_ms.is_none() {
            return Some(true);
        }
        let at = reading.taken.wall_ms?;
        Some(self.since_ms.is_none_or(|since| at >= since) && self.until_ms.is_none_or(|until| at < until))
    }

    fn with_fields(&self, entry: Entry) -> Option<Entry> {
        if self.fields.is_empty() {
            return Some(entry);
        }
        let mut reading = Arc::unwrap_or_clone(entry.reading);
        reading.frame.samples.retain(|sample| self.fields.iter().any(|field| *field == sample.field));
        (!reading.frame.samples.is_empty()).then(|| Entry { reading: Arc::new(reading), ..entry })
    }
}

/// A moment as people write it, in milliseconds since 1970: a time, a day (its beginning in UTC), or so long ago.
///
/// # Errors
/// What to write instead.
pub fn moment(text: &str, now_ms: Option<i64>) -> Result<i64, String> {
    if let Some(ms) =
        clock::parse_rfc3339(text).or_else(|| clock::parse_rfc3339(&format!("{text}T00:00:00Z")))
    {
        return Ok(ms);
    }
    let Ok(ago) = duration::parse(text) else {
        return Err(format!(
            "`{text}` is no time; write \"2026-11-20T17:00:00Z\", or \"1h\" for an hour ago"
        ));
    };
    let Some(now) = now_ms else {
        return Err(format!(
            "the time is not known on this machine yet, so `{text}` ago is not either; write \"2026-11-20T17:00:00Z\""
        ));
    };
    Ok(now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::{TestNode, block_on};
    use sedge_plugin::{Boot, Frame, Taken};

    use super::*;

    fn seqs(query: &Query) -> (Vec<u64>, u64) {
        let node = TestNode::new();
        for (seq, sensor, wall_ms) in
            [(1, "a", None), (2, "a", Some(200)), (3, "b", Some(300)), (4, "a", Some(400))]
        {
            let mut frame = Frame::default();
            frame.push(if sensor == "a" { "x" } else { "y" }, 1);
            let taken = Taken { up_ms: 0, wall_ms };
            let sensor = Id::new(sensor).unwrap();
            node.journal().put(Reading { sensor, boot: Boot(1), seq, taken, frame, origin: None });
        }
        let mut seqs = Vec::new();
        let history = node.context("x").history().unwrap();
        let see = |entry: Entry| {
            seqs.push(entry.reading.seq);
            Ok::<(), ()>(())
        };
        let untimed = block_on(query.each(&history, see)).unwrap();
        (seqs, untimed)
    }

    #[test]
    fn without_a_time_all_are_shown_in_order() {
        assert_eq!(seqs(&Query::default()), (vec![1, 2, 3, 4], 0));
        let of_a = Query { sensors: vec![Id::new("a").unwrap()], ..Query::default() };
        assert_eq!(seqs(&of_a), (vec![1, 2, 4], 0));
        assert_eq!(seqs(&Query { fields: vec!["y".into()], ..Query::default() }), (vec![3], 0));
    }

    #[test]
    fn with_a_time_those_of_unknown_time_are_left_out_and_counted() {
        assert_eq!(seqs(&Query { since_ms: Some(300), ..Query::default() }), (vec![3, 4], 1));
        assert_eq!(seqs(&Query { until_ms: Some(300), ..Query::default() }), (vec![2], 1));
    }

    #[test]
    fn a_moment_is_a_time_a_day_or_so_long_ago() {
        assert_eq!(moment("1970-01-02", None), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T01:00:00+01:00", None), Ok(0));
        assert_eq!(moment("1d", Some(86_400_001)), Ok(1));
        assert!(moment("1h", None).unwrap_err().contains("not known"));
        assert!(moment("soon", Some(0)).is_err());
    }
}
