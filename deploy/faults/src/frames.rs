//! What a message of a node says, by the wire contract and not by the node's own code.
//!
//! ```
//! use sedge_faults::frames::{Said, said};
//! let Said::Readings(_, readings) = said("sedge/v1/n", "sedge/v1/n/reading/s1", br#"{"ts":null,"seq":3,"boot":"0000002a","fields":{}}"#)
//! else { panic!() };
//! assert_eq!((readings[0].stream.boot, readings[0].seq), (42, 3));
//! ```
//!
//! It must refuse rather than guess: a message that is not of the contract is one more finding.

use serde_json::{Map, Value as Json};

use crate::payload;

/// A sensor in one life of the node: its readings are numbered from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Whose readings.
    pub sensor: String,
    /// Which start of the node.
    pub boot: u32,
}

/// A reading that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Of whom.
    pub stream: Stream,
    /// Its number.
    pub seq: u64,
    /// When it was taken, in milliseconds since 1970.
    pub ts: Option<i64>,
    /// Whether it is what the sensor said.
    pub is_true: bool,
}

/// On which topic it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// `reading/`.
    Live,
    /// `backlog/`.
    Backlog,
}

/// Readings that the node says are lost: all of one sensor and life for one cause so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Of whom and why; less where the node does not know.
    pub of: Account,
    /// How many.
    pub count: u64,
    /// Which ones, first and last of each run.
    pub runs: Vec<(u64, u64)>,
}

/// One line of the node's ledger of losses.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Of which sensor and life.
    pub stream: Option<Stream>,
    /// Why.
    pub cause: String,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Readings.
    Readings(Way, Vec<Reading>),
    /// That readings are lost.
    Lost(Vec<Loss>),
    /// Something that is not of the contract.
    Malformed(String),
    /// Anything else.
    Other,
}

/// Reads a message of the node whose topics begin with `stem`.
pub fn said(stem: &str, topic: &str, payload: &[u8]) -> Said {
    let place = topic.strip_prefix(stem).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let malformed = || {
        Said::Malformed(format!("{topic}: {}", String::from_utf8_lossy(&payload[..payload.len().min(200)])))
    };
    let json = || serde_json::from_slice::<Json>(payload).ok();
    match place.split_once('/') {
        Some(("reading", sensor)) => match json().as_ref().and_then(|frame| reading(sensor, frame)) {
            Some(reading) => Said::Readings(Way::Live, vec![reading]),
            None => malformed(),
        },
        Some(("backlog", sensor)) => {
            let json = json();
            let frames = json.as_ref().and_then(Json::as_array).filter(|frames| !frames.is_empty());
            let readings =
                frames.and_then(|all| all.iter().map(|frame| reading(sensor, frame)).collect::<Option<_>>());
            readings.map_or_else(malformed, |readings| Said::Readings(Way::Backlog, readings))
        }
        Some(("event", "readings_lost")) => {
            json().as_ref().and_then(losses).map_or_else(malformed, Said::Lost)
        }
        _ => Said::Other,
    }
}

/// One reading frame.
pub fn reading(sensor: &str, frame: &Json) -> Option<Reading> {
    let seq = frame.get("seq")?.as_u64()?;
    let boot = boot(frame.get("boot")?)?;
    let ts = match frame.get("ts")? {
        Json::Null => None,
        ts => Some(ts.as_str()?.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
    };
    let is_true = frame
        .get("fields")?
        .as_object()
        .is_some_and(|fields: &Map<String, Json>| payload::is_of(sensor, seq, fields));
    Some(Reading { stream: Stream { sensor: sensor.into(), boot }, seq, ts, is_true })
}

fn boot(value: &Json) -> Option<u32> {
    u32::from_str_radix(value.as_str()?, 16).ok()
}

/// What a `readings_lost` event names. That there are no more is no account.
fn losses(event: &Json) -> Option<Vec<Loss>> {
    let data = event.get("data")?;
    match data.get("losses") {
        Some(losses) => losses.as_array()?.iter().map(loss).collect(),
        None => (data.get("count")?.as_u64()? == 0).then(Vec::new),
    }
}

/// A line of the ledger, as the event and `sedge outbox status --json` have it.
pub fn loss(loss: &Json) -> Option<Loss> {
    let sensor = loss.get("sensor").and_then(Json::as_str);
    let boot = loss.get("boot").and_then(boot);
    let stream = sensor.zip(boot).map(|(sensor, boot)| Stream { sensor: sensor.into(), boot });
    let cause = loss.get("cause")?.as_str()?.into();
    let run = |run: &Json| Some((run.get(0)?.as_u64()?, run.get(1)?.as_u64()?));
    let runs = loss.get("seqs")?.as_array()?.iter().map(run).collect::<Option<_>>()?;
    Some(Loss { of: Account { stream, cause }, count: loss.get("count")?.as_u64()?, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEM: &str = "sedge/v1/n";

    fn frame(seq: u64) -> Json {
        serde_json::json!({
            "ts": "2026-11-20T17:28:24.123Z", "seq": seq, "boot": "9f3c21ab", "fields": payload::fields("s1", seq)
        })
    }

    fn say(place: &str, payload: &Json) -> Said {
        said(STEM, &format!("{STEM}/{place}"), payload.to_string().as_bytes())
    }

    #[test]
    fn readings_are_read_from_both_topics() {
        let Said::Readings(Way::Live, one) = say("reading/s1", &frame(1)) else { panic!() };
        assert_eq!((one[0].ts, one[0].is_true), (Some(1_795_195_704_123), true));
        let Said::Readings(Way::Backlog, two) = say("backlog/s1", &vec![frame(1), frame(2)].into()) else {
            panic!()
        };
        assert_eq!(two.iter().map(|reading| reading.seq).collect::<Vec<_>>(), [1, 2]);
        let Said::Readings(_, other) = say("reading/s2", &frame(1)) else { panic!() };
        assert!(!other[0].is_true, "the values of another sensor");
    }

    #[test]
    fn what_is_not_of_the_contract_is_a_finding() {
        let mut no_number = frame(1);
        no_number["seq"] = "1".into();
        for wrong in [
            say("reading/s1", &no_number),
            say("backlog/s1", &frame(1)),
            say("backlog/s1", &Json::Array(vec![])),
        ] {
            assert!(matches!(wrong, Said::Malformed(_)), "{wrong:?}");
        }
        assert!(matches!(said(STEM, "sedge/v1/n/reading/s1", b"\xff"), Said::Malformed(_)));
        assert_eq!(say("status", &Json::Null), Said::Other);
        assert_eq!(said(STEM, "elsewhere/reading/s1", b"x"), Said::Other);
    }

    #[test]
    fn a_loss_is_named_with_its_runs() {
        let line = serde_json::json!({"sensor": "s1", "boot": "0000002a", "cause": "full", "count": 3, "seqs": [[4, 5], [9, 9]]});
        let event = serde_json::json!({"data": {"count": 3, "ongoing": true, "losses": [line]}});
        let stream = Some(Stream { sensor: "s1".into(), boot: 42 });
        let of = Account { stream, cause: "full".into() };
        assert_eq!(
            say("event/readings_lost", &event),
            Said::Lost(vec![Loss { of, count: 3, runs: vec![(4, 5), (9, 9)] }])
        );
        let ended = serde_json::json!({"data": {"count": 0, "ongoing": false}});
        assert_eq!(say("event/readings_lost", &ended), Said::Lost(vec![]));
        let nameless = serde_json::json!({"data": {"count": 3, "ongoing": true}});
        assert!(matches!(say("event/readings_lost", &nameless), Said::Malformed(_)));
    }
}
