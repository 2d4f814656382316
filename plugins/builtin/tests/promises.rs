//! What every kind of sensor that comes with a node promises. A new kind is held to it by its row in the
//! table.

#[path = "promises/destinations.rs"]
mod destinations;
#[path = "promises/processors.rs"]
mod processors;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sedge_hal::SimBus;
use sedge_plugin::prelude::*;
use sedge_plugin::schema::Schema;
use sedge_plugin::sim::RegisterFile;
use sedge_plugin::testing::HandClock;
use sedge_plugins::sensors::{self, KINDS};
use sedge_plugins::{GPIOS, PLUGINS};
use serde_json::{Value as Json, json};

/// A device on a bus of its own, and the hands of its clock.
struct Bench {
    clock: Arc<HandClock>,
    device: I2cDevice,
}

fn bench(chip: Box<dyn I2cModel>) -> Bench {
    let clock = Arc::new(HandClock::default());
    let bus = SimBus::new("test", clock.clone());
    bus.attach(0x40, chip);
    Bench { clock, device: bus.device(0x40) }
}

fn no_settings() -> Json {
    json!({})
}

/// Opens and reads as a node does, whatever may come.
fn use_it(kind: &SensorKind, bench: Bench) -> Result<Frame, SensorError> {
    read(&bench.clock, (kind.open)(bench.device, &no_settings())?.as_mut())
}

fn read(clock: &HandClock, driver: &mut dyn Driver) -> Result<Frame, SensorError> {
    if let Some(time) = driver.start()? {
        clock.advance(time);
    }
    let mut frame = Frame::default();
    driver.read(&mut frame)?;
    Ok(frame)
}

/// A curve of readings over some hours.
fn curve(kind: &SensorKind, seed: u64) -> Vec<Frame> {
    let Bench { clock, device } = bench((kind.simulate)(seed));
    let mut driver = (kind.open)(device, &no_settings()).unwrap();
    let beat = |_| {
        clock.advance(Duration::from_secs(97));
        read(&clock, driver.as_mut()).unwrap()
    };
    (0..200).map(beat).collect()
}

#[test]
fn the_table_names_every_file_in_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sensors");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".rs").map(String::from)
        })
        .filter(|name| name != "mod")
        .collect();
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| kind.kind.to_string()).collect();
    assert_eq!(files, kinds, "a kind has a file of its name in src/sensors and a row in KINDS");
    assert_eq!(kinds.len(), KINDS.len(), "two rows have one name");
}

#[test]
fn a_kind_is_found_by_its_name_and_has_a_title_and_fields() {
    for kind in KINDS {
        assert_eq!(sensors::kind(kind.kind).unwrap().title, kind.title);
        assert!(Id::new(kind.kind).is_ok(), "{}", kind.kind);
        assert!(kind.title.len() > kind.kind.len() && !kind.fields.is_empty(), "{}", kind.kind);
    }
    assert!(sensors::kind("bme281").is_none());
}

#[test]
fn its_addresses_are_legal_and_each_is_named_once() {
    for kind in KINDS {
        // The others are reserved (I2C specification, table 3).
        assert!(kind.addresses.iter().all(|address| (0x08..=0x77).contains(address)), "{}", kind.kind);
        let different: BTreeSet<_> = kind.addresses.iter().collect();
        assert!(!different.is_empty() && different.len() == kind.addresses.len(), "{}", kind.kind);
    }
}

#[test]
fn every_field_has_a_legal_name_and_a_unit() {
    for kind in KINDS {
        for field in kind.fields {
            let what = format!("{}.{}", kind.kind, field.name);
            assert!(Name::new(field.name).is_ok(), "{what}");
            let number = matches!(field.kind, FieldKind::Measurement | FieldKind::TotalIncreasing);
            let bare = field.name.ends_with("_index") || field.name.ends_with("_ratio");
            assert!(!number || bare || field.unit != Unit::None, "{what} has no unit");
            assert!(field.range.is_none_or(|(min, max)| min < max), "{what}");
        }
        let names: BTreeSet<_> = kind.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), kind.fields.len(), "{}", kind.kind);
    }
}

#[test]
fn an_unknown_setting_is_refused_by_the_driver_and_by_the_schema() {
    for kind in KINDS {
        let device = bench((kind.simulate)(1)).device;
        let error = (kind.open)(device, &json!({ "no-such-key": 1 })).err();
        assert!(
            matches!(&error, Some(SensorError::Settings(text)) if text.contains("no-such-key")),
            "{}: {error:?}",
            kind.kind
        );
        let schema = (kind.schema)();
        assert_eq!(schema["type"], "object", "{}", kind.kind);
        assert_eq!(schema["additionalProperties"], json!(false), "{}", kind.kind);
    }
}

#[test]
fn the_node_understands_every_schema_and_needs_no_settings() {
    let sensors = KINDS.iter().map(|kind| (kind.kind, (kind.schema)()));
    let others = GPIOS.iter().chain(PLUGINS).map(|kind| (kind.name, (kind.schema)()));
    for (name, schema) in sensors.chain(others) {
        let schema = Schema::compile(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(schema.check(&no_settings()).is_empty(), "{name}: {:?}", schema.check(&no_settings()));
        assert!(!schema.check(&json!({ "no-such-key": 1 })).is_empty(), "{name}");
    }
}

#[test]
fn a_dead_bus_is_an_error() {
    for kind in KINDS {
        let clock = Arc::new(HandClock::default());
        let nobody = Bench { device: SimBus::new("test", clock.clone()).device(0x40), clock };
        assert_eq!(use_it(kind, nobody).err(), Some(SensorError::Bus(BusError::NoAnswer)), "{}", kind.kind);
    }
}

#[test]
fn a_simulated_reading_has_exactly_its_fields_and_stays_within_their_ranges() {
    for kind in KINDS {
        for frame in (0..8).flat_map(|seed| curve(kind, seed)) {
            let names: Vec<&str> = frame.samples.iter().map(|sample| sample.field.as_ref()).collect();
            let expected: Vec<&str> = kind.fields.iter().map(|field| field.name).collect();
            assert_eq!(names, expected, "{}", kind.kind);
            for (sample, field) in frame.samples.iter().zip(kind.fields) {
                let within = match (&sample.value, field.range) {
                    (Ok(Value::Number(n)), Some((min, max))) => (min..=max).contains(n),
                    (Ok(_), _) => true,
                    (Err(_), _) => false,
                };
                assert!(within && sample.quality == Quality::Ok, "{}: {sample:?}", kind.kind);
            }
        }
    }
}

#[test]
fn one_seed_is_one_slow_curve_and_two_seeds_are_two() {
    for kind in KINDS {
        let first = curve(kind, 1);
        assert_eq!(first, curve(kind, 1), "{}", kind.kind);
        assert_ne!(first, curve(kind, 2), "{}", kind.kind);
        assert_ne!(first[0], first[20], "{}: it moves", kind.kind);
    }
}

/// SplitMix64: a test that failed fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}

/// The kind's own simulation, which begins to lie after some reads and to fail at some transfer.
struct Liar {
    honest: Box<dyn I2cModel>,
    dice: Dice,
    /// Reads that it leaves alone, so that the chip is recognised.
    patience: u64,
    /// Of a hundred bytes read after that, so many are wrong.
    wrong: u64,
    fails_at: Option<u64>,
}

impl Liar {
    fn new(kind: &SensorKind, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let (patience, wrong) = (dice.below(8), [1, 10, 50, 100][dice.below(4) as usize]);
        let fails_at = (dice.below(3) == 0).then(|| dice.below(20));
        Self { honest: (kind.simulate)(seed), dice, patience, wrong, fails_at }
    }

    fn maybe_fail(&mut self) -> Result<(), BusError> {
        match &mut self.fails_at {
            Some(0) => Err(BusError::Timeout),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl I2cModel for Liar {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        self.maybe_fail()?;
        self.honest.write(bytes, now)
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        self.maybe_fail()?;
        self.honest.read(buffer, now)?;
        if self.patience > 0 {
            self.patience -= 1;
            return Ok(());
        }
        for byte in buffer {
            if self.dice.below(100) < self.wrong {
                // The ends of the range more often than chance would.
                *byte = [0x00, 0x7F, 0x80, 0xFF, self.dice.roll() as u8][self.dice.below(5) as usize];
            }
        }
        Ok(())
    }
}

/// What came of many runs, so that a test can tell that it tested something.
#[derive(Debug, Default)]
struct Tally {
    read: u32,
    refused: u32,
    bus: u32,
}

fn assert_never_panics(kind: &SensorKind, rounds: u64, chip: impl Fn(u64) -> Box<dyn I2cModel>) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..rounds {
        match catch_unwind(AssertUnwindSafe(|| use_it(kind, bench(chip(seed))))) {
            Ok(Ok(frame)) => {
                tally.read += 1;
                let numbers = frame.samples.iter().filter_map(|sample| sample.value.as_ref().ok());
                let finite = |value: &Value| !matches!(value, Value::Number(n) if !n.is_finite());
                assert!(numbers.clone().all(finite), "{}, seed {seed}: {frame:?}", kind.kind);
                assert_eq!(frame.samples.len(), kind.fields.len(), "{}, seed {seed}", kind.kind);
            }
            Ok(Err(SensorError::Bus(_))) => tally.bus += 1,
            Ok(Err(_)) => tally.refused += 1,
            Err(_) => panic!("{} panicked with seed {seed}", kind.kind),
        }
    }
    tally
}

#[test]
fn no_register_image_makes_a_driver_panic() {
    for kind in KINDS {
        assert_never_panics(kind, 4000, |seed| {
            let mut dice = Dice(seed);
            let image: Vec<u8> = (0..256).map(|_| dice.roll() as u8).collect();
            Box::new(RegisterFile::new(&[(0, &image)]))
        });
    }
}

#[test]
fn a_chip_that_lies_or_fails_at_any_transfer_makes_no_driver_panic() {
    for kind in KINDS {
        let tally = assert_never_panics(kind, 8000, |seed| Box::new(Liar::new(kind, seed)));
        assert!(tally.bus > 100 && tally.read > 1000, "{}: {tally:?}", kind.kind);
    }
}

#[test]
fn every_transfer_that_fails_is_told_as_a_failing_bus() {
    for kind in KINDS {
        for n in 0..64 {
            let chip = Liar { fails_at: Some(n), patience: u64::MAX, ..Liar::new(kind, 1) };
            match use_it(kind, bench(Box::new(chip))) {
                Ok(_) => assert!(n > 1, "{}: past its last transfer", kind.kind),
                other => {
                    assert_eq!(other.err(), Some(SensorError::Bus(BusError::Timeout)), "{} at {n}", kind.kind)
                }
            }
        }
    }
}
