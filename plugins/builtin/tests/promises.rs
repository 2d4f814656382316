//! What every kind of sensor that comes with a node promises. A new kind is held to it by its row in the
//! table.

#[path = "promises/cassettes.rs"]
mod cassettes;
#[path = "promises/destinations.rs"]
mod destinations;
#[path = "promises/faults.rs"]
mod faults;
#[path = "promises/processors.rs"]
mod processors;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sedge_hal::{Seat, SimBus};
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
    bus: SimBus,
}

const SEAT: Seat = Seat::Number(0x40);

/// What sits on the bench.
enum Chip {
    I2c(Box<dyn I2cModel>),
    Spi(Box<dyn SpiModel>),
    Files(Box<dyn FileModel>),
}

impl Chip {
    fn of(kind: &SensorKind, seed: u64) -> Self {
        match kind.attachment {
            Attachment::I2c { simulate, .. } => Self::I2c(simulate(seed)),
            Attachment::Spi { simulate, .. } => Self::Spi(simulate(seed)),
            Attachment::Files { simulate, .. } => Self::Files(simulate(seed)),
        }
    }
}

fn bench(chip: Chip) -> Bench {
    let clock = Arc::new(HandClock::default());
    let bus = SimBus::new("test", clock.clone());
    match chip {
        Chip::I2c(chip) => bus.attach(0x40, chip),
        Chip::Spi(chip) => bus.attach_spi(0x40, chip),
        Chip::Files(device) => bus.attach_files(&SEAT, device),
    }
    Bench { clock, bus }
}

impl Bench {
    fn open(&self, kind: &SensorKind, settings: &Json) -> Result<Box<dyn Driver>, SensorError> {
        match kind.attachment {
            Attachment::I2c { open, .. } => open(self.bus.device(0x40), settings),
            Attachment::Spi { open, .. } => open(self.bus.spi_device(0x40), settings),
            Attachment::Files { open, .. } => open(self.bus.file_device(&SEAT), settings),
        }
    }
}

fn no_settings() -> Json {
    json!({})
}

/// Opens and reads as a node does, whatever may come.
fn use_it(kind: &SensorKind, bench: &Bench) -> Result<Frame, SensorError> {
    read(&bench.clock, bench.open(kind, &no_settings())?.as_mut())
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
    let bench = bench(Chip::of(kind, seed));
    let mut driver =
        bench.open(kind, &no_settings()).unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
    let beat = |_| {
        bench.clock.advance(Duration::from_secs(97));
        read(&bench.clock, driver.as_mut()).unwrap_or_else(|error| panic!("{}: {error}", kind.kind))
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
    let odd: Vec<_> = files.symmetric_difference(&kinds).collect();
    assert!(
        odd.is_empty(),
        "a kind has a file of its name in src/sensors and a row in KINDS: not so {odd:?}"
    );
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
    for kind in KINDS.iter().filter(|kind| kind.bus() == "i2c") {
        // The others are reserved (I2C specification, table 3).
        let addresses = kind.addresses();
        assert!(addresses.iter().all(|address| (0x08..=0x77).contains(address)), "{}", kind.kind);
        let different: BTreeSet<_> = addresses.iter().collect();
        assert!(!different.is_empty() && different.len() == addresses.len(), "{}", kind.kind);
    }
}

#[test]
fn a_chip_that_says_what_it_is_is_recognised_and_another_is_refused() {
    for kind in KINDS {
        let Attachment::I2c { identity: Some(identity), .. } = kind.attachment else { continue };
        let right = bench(Chip::of(kind, 1));
        assert_eq!(identity.check(&mut right.bus.device(0x40)), Ok(()), "{}", kind.kind);
        let other = bench(Chip::I2c(Box::new(RegisterFile::new(&[]))));
        assert!(
            other.open(kind, &no_settings()).is_err(),
            "{}: `open` took a chip whose id is zero: check its IDENTITY there",
            kind.kind
        );
        let error = identity.check(&mut other.bus.device(0x40)).err();
        assert!(matches!(error, Some(SensorError::WrongDevice { .. })), "{}: {error:?}", kind.kind);
    }
}

/// Chips on I2C that have nothing to be recognised by, or not in a register.
const WITHOUT_ID: &[&str] = &[
    "ads1115", "aht20", "bh1750", "ds1307", "ds3231", "ina219", "lm75", "mcp23017", "mlx90614", "pca9685",
    "pcf8574", "pmsa003i", "scd30", "scd4x", "sen5x", "sgp30", "sgp40", "sht3x", "sht4x", "si7021",
    "ssd1306", "tmp102",
];

#[test]
fn a_chip_that_has_an_id_says_so_for_those_who_look_for_it() {
    for kind in KINDS {
        let Attachment::I2c { identity, .. } = kind.attachment else { continue };
        assert_eq!(
            identity.is_none(),
            WITHOUT_ID.contains(&kind.kind),
            "{}: without IDENTITY no scan can know it; give it one, or name it in WITHOUT_ID",
            kind.kind
        );
    }
}

#[test]
fn what_it_can_be_told_to_do_has_a_name_and_a_schema_that_the_node_understands() {
    for kind in KINDS {
        for operation in kind.operations {
            let what = format!("{}_{}", kind.kind, operation.name);
            assert!(Name::new(operation.name).is_ok() && !operation.description.is_empty(), "{what}");
            Schema::compile(&(operation.input)()).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let bench = bench(Chip::of(kind, 1));
        let mut driver = bench.open(kind, &no_settings()).unwrap();
        assert!(driver.operate("no-such-operation", &json!({})).is_err(), "{}", kind.kind);
        driver.close();
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
            assert!(
                !number || bare || field.unit != Unit::None,
                "{what} has no unit; only `…_index` and `…_ratio` may do without"
            );
            assert!(field.range.is_none_or(|(min, max)| min < max), "{what}");
        }
        let names: BTreeSet<_> = kind.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), kind.fields.len(), "{}", kind.kind);
    }
}

#[test]
fn an_unknown_setting_is_refused_by_the_driver_and_by_the_schema() {
    for kind in KINDS {
        let error = bench(Chip::of(kind, 1)).open(kind, &json!({ "no-such-key": 1 })).err();
        let kind_of = kind.kind;
        assert!(
            matches!(&error, Some(SensorError::Settings(text)) if text.contains("no-such-key")),
            "{kind_of}: an unknown setting was not refused ({error:?}): has it #[serde(deny_unknown_fields)]?"
        );
        let schema = (kind.schema)();
        assert_eq!(schema["type"], "object", "{kind_of}");
        let others = &schema["additionalProperties"];
        assert_eq!(others, &json!(false), "{kind_of}: have its settings #[serde(deny_unknown_fields)]?");
    }
}

#[test]
fn the_node_understands_every_schema_and_needs_no_settings() {
    let sensors = KINDS.iter().map(|kind| (kind.kind, (kind.schema)()));
    let others = GPIOS.iter().chain(PLUGINS).map(|kind| (kind.name, (kind.schema)()));
    for (name, schema) in sensors.chain(others) {
        let schema = Schema::compile(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(schema.check(&no_settings()).is_empty(), "{name}: {:?}", schema.check(&no_settings()));
        let unknown = schema.check(&json!({ "no-such-key": 1 }));
        assert!(!unknown.is_empty(), "{name}: have its settings #[serde(deny_unknown_fields)]?");
    }
}

#[test]
fn a_dead_bus_is_an_error() {
    for kind in KINDS {
        let clock = Arc::new(HandClock::default());
        let nobody = Bench { bus: SimBus::new("test", clock.clone()), clock };
        let error = use_it(kind, &nobody).err();
        let expected = match kind.attachment {
            Attachment::I2c { .. } => matches!(error, Some(SensorError::Bus(BusError::NoAnswer))),
            Attachment::Spi { .. } => error.is_some(),
            Attachment::Files { .. } => matches!(error, Some(SensorError::Bus(BusError::Absent(_)))),
        };
        assert!(expected, "{}: {error:?}", kind.kind);
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
                let range = field.range;
                assert!(
                    within && sample.quality == Quality::Ok,
                    "{}: {sample:?}, range {range:?}",
                    kind.kind
                );
            }
        }
    }
}

#[test]
fn one_seed_is_one_slow_curve_and_two_seeds_are_two() {
    // What is told what to do stands as it was told.
    for kind in KINDS.iter().filter(|kind| kind.operations.is_empty()) {
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
struct Liar<M: ?Sized> {
    honest: Box<M>,
    lies: Lies,
}

struct Lies {
    dice: Dice,
    /// Reads that it leaves alone, so that the chip is recognised.
    patience: u64,
    /// Of a hundred bytes read after that, so many are wrong.
    wrong: u64,
    fails_at: Option<u64>,
}

impl Lies {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let (patience, wrong) = (dice.below(8), [1, 10, 50, 100][dice.below(4) as usize]);
        let fails_at = (dice.below(3) == 0).then(|| dice.below(20));
        Self { dice, patience, wrong, fails_at }
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

    fn lie(&mut self, buffer: &mut [u8]) {
        if self.patience > 0 {
            self.patience -= 1;
            return;
        }
        for byte in buffer {
            if self.dice.below(100) < self.wrong {
                // The ends of the range more often than chance would.
                *byte = [0x00, 0x7F, 0x80, 0xFF, self.dice.roll() as u8][self.dice.below(5) as usize];
            }
        }
    }
}

impl I2cModel for Liar<dyn I2cModel> {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        self.lies.maybe_fail()?;
        self.honest.write(bytes, now)
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        self.lies.maybe_fail()?;
        self.honest.read(buffer, now)?;
        self.lies.lie(buffer);
        Ok(())
    }
}

impl SpiModel for Liar<dyn SpiModel> {
    fn exchange(&mut self, bytes: &mut [u8], now: Duration) -> Result<(), BusError> {
        self.lies.maybe_fail()?;
        self.honest.exchange(bytes, now)?;
        self.lies.lie(bytes);
        Ok(())
    }
}

impl FileModel for Liar<dyn FileModel> {
    fn read(&mut self, file: &str, now: Duration) -> Result<String, BusError> {
        self.lies.maybe_fail()?;
        let mut bytes = self.honest.read(file, now)?.into_bytes();
        self.lies.lie(&mut bytes);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn names(&self) -> Vec<String> {
        self.honest.names()
    }
}

fn liar(kind: &SensorKind, seed: u64, lies: Lies) -> Chip {
    match Chip::of(kind, seed) {
        Chip::I2c(honest) => Chip::I2c(Box::new(Liar { honest, lies })),
        Chip::Spi(honest) => Chip::Spi(Box::new(Liar { honest, lies })),
        Chip::Files(honest) => Chip::Files(Box::new(Liar { honest, lies })),
    }
}

/// A device that says anything.
struct Noise(Dice);

impl SpiModel for Noise {
    fn exchange(&mut self, bytes: &mut [u8], _: Duration) -> Result<(), BusError> {
        bytes.iter_mut().for_each(|byte| *byte = self.0.roll() as u8);
        Ok(())
    }
}

/// Its files hold what a broken kernel driver, or a full disk, might leave in them.
struct Rubbish(std::sync::Mutex<Dice>, Vec<String>);

impl FileModel for Rubbish {
    fn read(&mut self, _: &str, _: Duration) -> Result<String, BusError> {
        let dice = self.0.get_mut().unwrap();
        let number = (dice.roll() as i64 >> dice.below(64)).to_string();
        Ok(match dice.below(8) {
            0 => String::new(),
            1 => "nan".into(),
            2 => "1e999".into(),
            3 => "\u{fffd}\0\n\n".into(),
            4 => format!("{number} YES t={number}"),
            5 => "-".repeat(4096),
            _ => number,
        })
    }

    fn names(&self) -> Vec<String> {
        self.1.clone()
    }
}

fn noise(kind: &SensorKind, seed: u64) -> Chip {
    let mut dice = Dice(seed);
    match Chip::of(kind, seed) {
        Chip::I2c(_) => {
            let mut image: Vec<u8> = (0..256).map(|_| dice.roll() as u8).collect();
            // Half of them say that they are the right chip, so that what comes after is tested.
            if let Attachment::I2c { identity: Some(id), .. } = kind.attachment
                && let ([register], 0) = (id.register, seed % 2)
            {
                for (i, byte) in id.value.to_be_bytes()[4 - usize::from(id.bytes)..].iter().enumerate() {
                    image[(usize::from(*register) + i) % 256] = *byte;
                }
            }
            Chip::I2c(Box::new(RegisterFile::new(&[(0, &image)])))
        }
        Chip::Spi(_) => Chip::Spi(Box::new(Noise(dice))),
        Chip::Files(honest) => Chip::Files(Box::new(Rubbish(dice.into(), honest.names()))),
    }
}

/// What came of many runs, so that a test can tell that it tested something.
#[derive(Debug, Default)]
struct Tally {
    read: u32,
    refused: u32,
    bus: u32,
}

fn assert_never_panics(kind: &SensorKind, rounds: u64, chip: impl Fn(u64) -> Chip) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..rounds {
        match catch_unwind(AssertUnwindSafe(|| use_it(kind, &bench(chip(seed))))) {
            Ok(Ok(frame)) => {
                tally.read += 1;
                let numbers = frame.samples.iter().filter_map(|sample| sample.value.as_ref().ok());
                let finite = |value: &Value| !matches!(value, Value::Number(n) if !n.is_finite());
                assert!(numbers.clone().all(finite), "{}, seed {seed}: {frame:?}", kind.kind);
                let names: Vec<_> = frame.samples.iter().map(|sample| &sample.field).collect();
                assert_eq!(names.len(), kind.fields.len(), "{}, seed {seed}: {names:?}", kind.kind);
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
        assert_never_panics(kind, 1000, |seed| noise(kind, seed));
    }
}

#[test]
fn a_chip_that_lies_or_fails_at_any_transfer_makes_no_driver_panic() {
    for kind in KINDS {
        let tally = assert_never_panics(kind, 2000, |seed| liar(kind, seed, Lies::new(seed)));
        assert!(tally.bus > 20 && tally.read > 20, "{}: {tally:?}", kind.kind);
    }
}

#[test]
fn every_transfer_that_fails_is_told_as_a_failing_bus() {
    for kind in KINDS {
        for n in 0..64 {
            let lies = Lies { fails_at: Some(n), patience: u64::MAX, ..Lies::new(1) };
            match use_it(kind, &bench(liar(kind, 1, lies))) {
                Ok(_) => assert!(n > 0, "{}: past its last transfer", kind.kind),
                other => {
                    assert_eq!(other.err(), Some(SensorError::Bus(BusError::Timeout)), "{} at {n}", kind.kind)
                }
            }
        }
    }
}
