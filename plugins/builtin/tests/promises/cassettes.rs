//! What was recorded of a device is played to the same driver, which says the same again.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-plugins --test promises cassettes` writes `tests/cassettes` anew; read the
//! difference before you keep it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sedge_hal::{Adapter, Cassette, Event, Got, Header, Mark, Op, Recording, Replay, Seat, SimBus, Tape};
use sedge_plugin::prelude::*;
use sedge_plugin::testing::HandClock;
use sedge_plugins::sensors::{self, KINDS};
use serde_json::json;

use super::no_settings;

const BEATS: usize = 5;

/// What a driver said, or why it said nothing.
type Said = Result<Vec<Frame>, SensorError>;

fn seat(kind: &SensorKind) -> Seat {
    match kind.attachment {
        Attachment::I2c { addresses, .. } => Seat::Number(addresses[0]),
        Attachment::Spi { .. } => Seat::Number(0),
        Attachment::Files { .. } => Seat::Name("28-0316a2794cff".into()),
    }
}

/// Opens the device and reads it some times, and notes that on a tape where there is one.
fn beats(kind: &SensorKind, adapter: &mut dyn Adapter, clock: &HandClock, tape: Option<&Tape>) -> Said {
    let mark = |mark| {
        if let Some(tape) = tape {
            tape.mark(mark);
        }
    };
    mark(Mark::Open);
    let mut driver = match (kind.attachment, seat(kind)) {
        (Attachment::I2c { open, .. }, Seat::Number(address)) => open(adapter.i2c(address)?, &no_settings())?,
        (Attachment::Spi { open, mode, .. }, Seat::Number(select)) => {
            open(adapter.spi(select, mode)?, &no_settings())?
        }
        (Attachment::Files { open, place, .. }, Seat::Name(name)) => {
            open(adapter.files(Some(&name), place)?, &no_settings())?
        }
        _ => unreachable!("a seat of another kind"),
    };
    let beat = |_| {
        clock.advance(Duration::from_secs(97));
        mark(Mark::Start);
        if let Some(time) = driver.start()? {
            clock.advance(time);
        }
        mark(Mark::Read);
        let mut frame = Frame::default();
        driver.read(&mut frame).map(|()| frame)
    };
    (0..BEATS).map(beat).collect()
}

/// A cassette of the simulation of a kind, and what its driver said meanwhile.
fn recorded(kind: &SensorKind, id: &str) -> (Cassette, Vec<Frame>) {
    let clock = Arc::new(HandClock::default());
    let bus = SimBus::new("test", clock.clone());
    bus.simulate(&Id::new(id).unwrap(), &seat(kind), kind);
    let tape = Tape::new(&Header::new(kind, seat(kind), json!({})), clock.clone());
    let said = beats(kind, &mut Recording::new(bus, seat(kind), tape.clone()), &clock, Some(&tape));
    let said = said.unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
    (tape.cassette().unwrap_or_else(|error| panic!("{}: {error}", kind.kind)), said)
}

/// What the driver says to it, and how many transactions it did not come to.
fn played(kind: &SensorKind, cassette: &Cassette) -> (Said, usize) {
    let mut replay = Replay::new(cassette.clone(), true);
    (beats(kind, &mut replay, &HandClock::default(), None), replay.left())
}

/// The same with a change to one of its transactions; none where that has nothing to be changed.
fn changed(cassette: &Cassette, place: usize, change: impl FnOnce(&mut Event) -> bool) -> Option<Cassette> {
    let mut events: Vec<_> = cassette.entries().iter().map(|entry| (entry.at, entry.event.clone())).collect();
    change(&mut events[place].1).then(|| Cassette::new(cassette.header.clone(), events))
}

/// Turns every bit of what was written.
fn written(event: &mut Event) -> bool {
    let Event::Transfer(ops, _) = event else { return false };
    let outs = ops.iter_mut().filter_map(|op| match op {
        Op::Write(out) | Op::Exchange(out, _) => Some(out),
        Op::Read(_) => None,
    });
    turned(outs)
}

/// Turns every bit of what was read.
fn read(event: &mut Event) -> bool {
    match event {
        Event::Transfer(ops, _) => turned(ops.iter_mut().filter_map(|op| match op {
            Op::Read(Got::Bytes(bytes)) | Op::Exchange(_, Got::Bytes(bytes)) => Some(bytes),
            _ => None,
        })),
        Event::File(_, Ok(text)) => {
            text.push('?');
            true
        }
        _ => false,
    }
}

fn turned<'a>(all: impl Iterator<Item = &'a mut Vec<u8>>) -> bool {
    let turned = all.flatten().map(|byte| *byte = !*byte);
    turned.count() > 0
}

#[test]
fn what_was_recorded_of_a_kind_is_played_to_its_driver_which_says_the_same_again() {
    for kind in KINDS {
        let (cassette, said) = recorded(kind, "kitchen");
        let again = Cassette::parse(&cassette.to_string()).unwrap();
        assert_eq!(again, cassette, "{}", kind.kind);
        assert_eq!(again.fits(kind, &seat(kind)), Ok(()), "{}", kind.kind);
        assert_eq!(played(kind, &again), (Ok(said), 0), "{}", kind.kind);
        let reads = cassette.entries().iter().filter(|entry| entry.event == Event::Mark(Mark::Read));
        assert_eq!(reads.count(), BEATS, "{}", kind.kind);
    }
}

#[test]
fn a_driver_that_writes_something_else_is_told_at_which_line() {
    for kind in KINDS {
        let (cassette, said) = recorded(kind, "kitchen");
        for (place, entry) in cassette.entries().iter().enumerate() {
            let Some(changed) = changed(&cassette, place, written) else { continue };
            let line = format!("line {} of the cassette (a {}): it has `", entry.line(), kind.kind);
            let outcome = played(kind, &changed);
            assert_ne!(outcome, (Ok(said.clone()), 0), "{}: {line}", kind.kind);
            if let Err(SensorError::Bus(error)) = outcome.0 {
                assert!(error.to_string().starts_with(&line), "{}: {error}", kind.kind);
            }
        }
    }
}

#[test]
fn a_byte_that_is_read_otherwise_is_noticed_or_changes_what_is_said() {
    for kind in KINDS {
        let (cassette, said) = recorded(kind, "kitchen");
        let all = (0..cassette.entries().len()).filter_map(|place| changed(&cassette, place, read));
        let outcomes: Vec<bool> = all.map(|it| played(kind, &it) != (Ok(said.clone()), 0)).collect();
        // Some bytes do not matter, such as what is read before it is written over.
        assert!(outcomes.is_empty() || outcomes.contains(&true), "{}: {}", kind.kind, outcomes.len());
    }
}

#[test]
fn a_cassette_that_is_played_once_tells_its_end() {
    for kind in KINDS {
        let (cassette, said) = recorded(kind, "kitchen");
        let events = || cassette.entries().iter().map(|entry| (entry.at, entry.event.clone()));
        let last = cassette.entries().iter().rposition(|entry| entry.event == Event::Mark(Mark::Start));
        let last = last.expect("a reading");
        if events().skip(last).all(|(_, event)| matches!(event, Event::Mark(_))) {
            continue; // It says what it was told, and speaks to nobody.
        }
        let short = Cassette::new(cassette.header.clone(), events().take(last));
        let (outcome, _) = played(kind, &short);
        assert_ne!(outcome.as_ref(), Ok(&said), "{}", kind.kind);
        if let Err(SensorError::Bus(error)) = outcome {
            assert_eq!(error, BusError::Gone("the cassette is at its end".into()), "{}", kind.kind);
        }
    }
}

#[test]
fn a_cassette_that_goes_round_begins_again_for_whoever_opens_anew_and_goes_on_for_whoever_does_not() {
    for kind in KINDS {
        let (cassette, said) = recorded(kind, "kitchen");
        let mut replay = Replay::new(cassette, false);
        for _ in 0..3 {
            let again = beats(kind, &mut replay, &HandClock::default(), None);
            assert_eq!(again.as_ref(), Ok(&said), "{}", kind.kind);
        }
    }
    for kind in ["bme280", "tmp117"].map(|kind| sensors::kind(kind).unwrap()) {
        let (cassette, said) = recorded(kind, "kitchen");
        let Attachment::I2c { open, addresses, .. } = kind.attachment else { continue };
        let device = Replay::new(cassette, false).i2c(addresses[0]).unwrap();
        let mut driver = open(device, &no_settings()).unwrap();
        for expected in said.iter().cycle().take(3 * BEATS) {
            assert_eq!(super::read(&HandClock::default(), driver.as_mut()).as_ref(), Ok(expected));
        }
    }
}

#[test]
fn a_cassette_of_another_kind_or_seat_is_refused() {
    let [bme280, tmp117] = ["bme280", "tmp117"].map(|kind| sensors::kind(kind).unwrap());
    let (cassette, _) = recorded(bme280, "kitchen");
    let text = cassette.fits(tmp117, &Seat::Number(0x48)).unwrap_err();
    assert_eq!(text, "the cassette is of a `bme280`, not of a `tmp117`; write `kind = \"bme280\"`");
    let text = cassette.fits(bme280, &Seat::Number(0x77)).unwrap_err();
    assert!(text.ends_with("at 0x76, not at 0x77; write `address = 0x76`"), "{text}");
}

fn golden(kind: &'static SensorKind) -> Vec<Frame> {
    let file: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "cassettes", &format!("{}.cassette", kind.kind)]
            .iter()
            .collect();
    if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&file, recorded(kind, "golden").0.to_string()).unwrap();
    }
    let cassette = Cassette::load(&file).unwrap();
    cassette.fits(kind, &seat(kind)).unwrap();
    let (said, left) = played(kind, &cassette);
    assert_eq!(left, 0);
    said.unwrap()
}

/// The numbers of a field, one for each reading.
fn numbers(frames: &[Frame], field: &str) -> Vec<f64> {
    let number = |frame: &Frame| match frame.get(field) {
        Some(Value::Number(n)) => (n * 100.0).round() / 100.0,
        other => panic!("{field}: {other:?}"),
    };
    frames.iter().map(number).collect()
}

#[test]
fn the_checked_in_cassettes_give_the_values_that_they_gave() {
    let frames = golden(sensors::kind("bme280").unwrap());
    assert_eq!(numbers(&frames, "temperature"), [18.21, 18.66, 18.04, 18.54, 18.24]);
    assert_eq!(numbers(&frames, "humidity"), [31.57, 31.93, 31.16, 33.72, 32.45]);
    assert_eq!(numbers(&frames, "pressure"), [1023.36, 1022.33, 1024.15, 1023.56, 1023.59]);
    let frames = golden(sensors::kind("tmp117").unwrap());
    assert_eq!(numbers(&frames, "temperature"), [18.2, 18.66, 18.03, 18.54, 18.23]);
}
