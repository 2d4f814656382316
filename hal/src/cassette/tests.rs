use std::sync::Arc;
use std::time::Duration;

use embedded_hal::spi::{Operation, SpiDevice as _};
use proptest::prelude::*;
use sedge_plugin::prelude::{Field, Frame, I2cModel, Id, NoSettings, Sensor, SensorError, SensorKind, Unit};
use sedge_plugin::sim::{Folder, RegisterFile, SpiModel};
use sedge_plugin::testing::{HandClock, block_on};
use sedge_plugin::{BusError, I2cDevice, SpiMode, Sysfs};
use serde_json::{Value as Json, json};

use super::*;
use crate::bus::{Adapter, Bus, Hop, Seat};
use crate::sim::{Cure, Fault, SimBus};

const SEAT: Seat = Seat::Number(0x48);
const MODE: SpiMode = SpiMode { mode: 0, max_hz: 1_000_000 };
const W1: Sysfs = Sysfs { bus: "w1", names: &["28"] };

fn header(bus: &str, seat: Seat) -> Header {
    let others = vec![("every".into(), "10s".into())];
    Header {
        kind: "thing".into(),
        bus: bus.into(),
        seat,
        settings: json!({}),
        recorded: None,
        sedge: None,
        others,
    }
}

/// A cassette with this body.
fn cassette(bus: &str, seat: Seat, body: &str) -> Cassette {
    Cassette::parse(&format!("{}{body}", header(bus, seat))).unwrap()
}

/// A simulated bus whose adapter is recorded.
fn recorded(bus: &str, seat: Seat) -> (Arc<HandClock>, SimBus, Tape, Recording<SimBus>) {
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    let tape = Tape::new(&header(bus, seat.clone()), clock.clone());
    (clock, sim.clone(), tape.clone(), Recording::new(sim, seat, tape))
}

fn body(tape: &Tape) -> String {
    tape.text().split_once("\n\n").unwrap().1.into()
}

/// The line, the column and the text of what is wrong.
fn mistake(text: &str) -> (usize, usize, String) {
    match Cassette::parse(text) {
        Err(CassetteError::Wrong { line, column, message }) => (line, column, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_passes_on_i2c_is_kept_with_its_time_and_its_errors_and_played_again() {
    let (clock, sim, tape, mut adapter) = recorded("i2c", SEAT);
    sim.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x01, 0x17])])));
    sim.attach(0x49, Box::new(RegisterFile::new(&[])));
    let run = |adapter: &mut dyn Adapter, between: &dyn Fn()| {
        let mut device = adapter.i2c(0x48).unwrap();
        let first = device.read_u16_be(0x0F);
        between();
        let (mut buffer, second) = ([0; 2], device.write(&[0xF4, 0x25]));
        (first, second, device.read(&mut buffer), buffer, device.read_u8(0x0F))
    };
    tape.mark(Mark::Open);
    let was = run(&mut adapter, &|| {
        clock.advance(Duration::from_micros(1_200_400));
        sim.fault(&SEAT, Fault::Timeout, Cure::Transfers(1));
    });
    adapter.i2c(0x49).unwrap().read_u8(0).unwrap();
    assert_eq!(
        body(&tape),
        "0.000000 open\n0.000000 w 0f r 01 17\n1.200400 w f4 25 ! timeout\n1.200400 r 00 00\n\
         1.200400 w 0f r 01\n",
        "of its neighbour there is nothing"
    );
    let replay = Replay::new(tape.cassette().unwrap(), true);
    assert_eq!(run(&mut replay.clone(), &|| {}), was);
    assert_eq!(was.1, Err(BusError::Timeout));
    assert_eq!(replay.left(), 0);
}

struct Adder;

impl SpiModel for Adder {
    fn exchange(&mut self, bytes: &mut [u8], _: Duration) -> Result<(), BusError> {
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        Ok(())
    }
}

#[test]
fn what_passes_on_spi_is_kept_and_played_again() {
    let (_, sim, tape, mut adapter) = recorded("spi", Seat::Number(0));
    sim.attach_spi(0, Box::new(Adder));
    let run = |adapter: &mut dyn Adapter| {
        let mut device = adapter.spi(0, MODE).unwrap();
        let (mut whole, mut part) = ([0x80, 0x00], [0; 2]);
        device.transfer(&mut whole).unwrap();
        device.write_read(&[0x0F], &mut part).unwrap();
        let (mut bus, _) = device.split();
        let mut wide = [0; 3];
        let mut all = [Operation::Transfer(&mut wide, &[7]), Operation::DelayNs(5), Operation::Write(&[])];
        bus.transaction(&mut all).unwrap();
        (whole, part, wide)
    };
    tape.mark(Mark::Open);
    let was = run(&mut adapter);
    assert_eq!(was, ([0x81, 0x01], [0x01, 0x01], [8, 1, 1]));
    assert_eq!(
        body(&tape),
        "0.000000 open\n0.000000 x 80 00 > 81 01\n0.000000 w 0f r 01 01\n0.000000 x 07 > 08 01 01 w\n"
    );
    assert_eq!(run(&mut Replay::new(tape.cassette().unwrap(), true)), was);
}

#[test]
fn the_files_of_a_device_its_name_and_that_it_is_not_there_are_kept_and_played_again() {
    let name = "28-0316a2794cff";
    let seat = Seat::Name(name.into());
    let (_, sim, tape, mut adapter) = recorded("w1", seat.clone());
    sim.attach_files(&seat, Box::new(Folder::new(&[("temperature", "21437"), ("odd name", "a\n\"b\"")])));
    let run = |adapter: &mut dyn Adapter, name: Option<&str>| {
        let mut device = adapter.files(name, W1).unwrap();
        let all = ["temperature", "odd name", "nothing"].map(|file| device.read(file));
        (device.name().to_owned(), device.names(), all)
    };
    tape.mark(Mark::Open);
    let was = run(&mut adapter, Some(name));
    sim.fault(&seat, Fault::Nack, Cure::Hand);
    assert_eq!(adapter.files(Some(name), W1).unwrap().number("temperature").ok(), None);
    assert_eq!(
        body(&tape),
        "0.000000 open\n0.000000 device \"28-0316a2794cff\"\n0.000000 f temperature = \"21437\"\n\
         0.000000 f \"odd name\" = \"a\\n\\\"b\\\"\"\n\
         0.000000 f nothing ! other \"there is no file `nothing`\"\n\
         0.000000 ls = [\"odd name\",\"temperature\"]\n\
         0.000000 device \"28-0316a2794cff\"\n0.000000 f temperature ! no-answer\n"
    );
    for name in [Some(name), None] {
        assert_eq!(run(&mut Replay::new(tape.cassette().unwrap(), true), name), was);
    }
}

#[test]
fn a_device_that_cannot_be_opened_is_kept_and_cannot_be_opened_again() {
    struct Gone;
    impl Adapter for Gone {}
    let clock = Arc::new(HandClock::default());
    let tape = Tape::new(&header("i2c", SEAT), clock);
    let mut adapter = Recording::new(Gone, SEAT, tape.clone());
    tape.mark(Mark::Open);
    let was = adapter.i2c(0x48).err();
    assert_eq!(body(&tape), "0.000000 open\n0.000000 device ! other \"this is no I2C bus\"\n");
    assert_eq!(Replay::new(tape.cassette().unwrap(), true).i2c(0x48).err(), was);
}

#[test]
fn nothing_is_kept_between_a_pause_and_the_next_open() {
    let (_, sim, tape, mut adapter) = recorded("i2c", SEAT);
    sim.attach(0x48, Box::new(RegisterFile::new(&[])));
    tape.mark(Mark::Open);
    tape.pause();
    adapter.i2c(0x48).unwrap().write(&[1]).unwrap();
    tape.mark(Mark::Read);
    tape.mark(Mark::Open);
    assert_eq!(body(&tape), "0.000000 open\n0.000000 open\n");
}

/// Reads one byte.
struct Byte(I2cDevice);

impl Sensor for Byte {
    const KIND: &'static str = "byte";
    const TITLE: &'static str = "Reads one byte";
    const ADDRESSES: &'static [u8] = &[0x48];
    const FIELDS: &'static [Field] = &[Field::new("byte", Unit::None)];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        Ok(Self(device))
    }
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        frame.push("byte", u32::from(self.0.read_u8(0)?));
        Ok(())
    }
    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(RegisterFile::new(&[(0, &[7])]))
    }
}

static BYTE: SensorKind = SensorKind::i2c::<Byte>();

#[test]
fn a_bus_is_recorded_without_its_multiplexer_and_played_by_a_bus_without_one() {
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    let id = Id::new("it").unwrap();
    sim.channel(0x70, 3).simulate(&id, &SEAT, &BYTE);
    let tape = Tape::new(&Header::new(&BYTE, SEAT, json!({})), clock.clone());
    let bus = sim.bus().unwrap().channel(Hop { address: 0x70, channel: 3 });
    let read = |bus: &Bus| {
        block_on(async {
            bus.open(&id, SEAT, &BYTE, json!({})).await?;
            bus.read(&id).await
        })
    };
    block_on(bus.record(SEAT, tape.clone())).unwrap();
    tape.mark(Mark::Open);
    let frame = read(&bus).unwrap();
    assert_eq!(body(&tape), "0.000000 open\n0.000000 w 00 r 07\n");
    let bus = replay_bus("replay", tape.cassette().unwrap(), true, clock).unwrap();
    assert_eq!(read(&bus), Ok(frame));
    assert!(matches!(block_on(bus.read(&id)), Err(SensorError::Bus(BusError::Gone(_)))));
}

#[test]
fn a_tape_that_is_full_or_cannot_be_written_says_so_and_the_driver_does_not_notice() {
    struct Disk(usize);
    impl std::io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    sim.attach(0x48, Box::new(RegisterFile::new(&[(0, &[7])])));
    let disk = Tape::streamed(&header("i2c", SEAT), clock.clone(), Disk(200));
    let memory = Tape::new(&header("i2c", SEAT), clock);
    let inner = Recording::new(sim, SEAT, memory.clone());
    let mut device = Recording::new(inner, SEAT, disk.clone()).i2c(0x48).unwrap();
    for _ in 0..100 {
        assert_eq!(device.read_u8(0), Ok(7));
    }
    let error = disk.flush().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(!disk.is_full() && !memory.is_full());
    let mut large = vec![0; 300_000];
    for _ in 0..5 {
        device.write_read(&[0], &mut large).unwrap();
    }
    assert!(memory.is_full());
    assert!(memory.text().len() < 3 * 1024 * 1024);
    assert!(memory.cassette().is_ok(), "what was kept is a cassette");
}

const BODY: &str = "0 open\n0 w 0f r 01\n1 read\n1 w 00 r 0a\n2 read\n2 w 00 r 0b\n2.5 said 11\n";

#[test]
fn a_cassette_that_is_played_once_ends_and_tells_it() {
    let replay = Replay::new(cassette("i2c", SEAT, BODY), true);
    let mut device = replay.clone().i2c(0x48).unwrap();
    assert_eq!(replay.left(), 3);
    assert_eq!([0x0F, 0, 0].map(|register| device.read_u8(register).unwrap()), [0x01, 0x0A, 0x0B]);
    assert_eq!(replay.left(), 0);
    let end = BusError::Gone("the cassette is at its end".into());
    assert_eq!(device.read_u8(0), Err(end.clone()));
    assert_eq!(replay.clone().i2c(0x48).err(), Some(end));
}

#[test]
fn a_cassette_goes_round_from_its_first_reading_and_from_its_start_for_whoever_opens_anew() {
    let mut replay = Replay::new(cassette("i2c", SEAT, BODY), false);
    let mut device = replay.i2c(0x48).unwrap();
    assert_eq!(device.read_u8(0x0F), Ok(0x01));
    let read: Vec<u8> = (0..5).map(|_| device.read_u8(0).unwrap()).collect();
    assert_eq!(read, [0x0A, 0x0B, 0x0A, 0x0B, 0x0A]);
    let mut device = replay.i2c(0x48).unwrap();
    assert_eq!([0x0F, 0].map(|register| device.read_u8(register).unwrap()), [0x01, 0x0A]);
}

#[test]
fn whoever_opens_anew_goes_on_where_the_cassette_does_so_next() {
    let text = "0 open\n0 w 0f r 01\n1 read\n1 w 00 r -- ! no-answer\n\
                2 open\n2 w 0f r 01\n3 read\n3 w 00 r 0b\n";
    for once in [true, false] {
        let mut replay = Replay::new(cassette("i2c", SEAT, text), once);
        let mut device = replay.i2c(0x48).unwrap();
        assert_eq!(device.read_u8(0x0F), Ok(1));
        assert_eq!(device.read_u8(0), Err(BusError::NoAnswer));
        let error = device.read_u8(0).unwrap_err().to_string();
        assert!(error.contains("line 12") && error.contains("it has `open`"), "{error}");
        let mut device = replay.i2c(0x48).unwrap();
        assert_eq!([0x0F, 0].map(|register| device.read_u8(register)), [Ok(0x01), Ok(0x0B)]);
    }
    let mut replay = Replay::new(cassette("i2c", SEAT, text), true);
    replay.i2c(0x48).unwrap();
    let error = replay.i2c(0x48).err().unwrap().to_string();
    assert!(error.ends_with("it has `w 0f r 01`, the device was opened anew"), "{error}");
}

#[test]
fn another_driver_is_told_the_line_what_it_has_and_what_it_sent_and_may_try_again() {
    let mut replay = Replay::new(cassette("i2c", SEAT, BODY), true);
    let mut device = replay.i2c(0x48).unwrap();
    let told = |error: BusError| {
        assert!(matches!(error, BusError::Other(_)));
        error.to_string()
    };
    let error = told(device.read_u8(0x0E).unwrap_err());
    assert_eq!(error, "line 9 of the cassette (a thing): it has `w 0f r 01`, the driver sent `w 0e r --`");
    assert!(told(device.read_u16_be(0x0F).unwrap_err()).ends_with("the driver sent `w 0f r -- --`"));
    assert!(told(device.write(&[0x0F]).unwrap_err()).ends_with("the driver sent `w 0f`"));
    let long = told(device.write(&[0; 500]).unwrap_err());
    assert!(long.len() < 300 && long.ends_with("…`"), "{long}");
    assert_eq!(device.read_u8(0x0F), Ok(1), "its place is kept");

    let files = cassette("w1", Seat::Only, "0 f a = \"1\"\n");
    let mut device = Replay::new(files, true).files(None, W1).unwrap();
    assert!(told(device.read("b").unwrap_err()).ends_with("it has `f a = \"1\"`, the driver sent `f b`"));
    assert!(told(device.names().unwrap_err()).ends_with("the driver sent `ls`"));
}

#[test]
fn a_cassette_without_marks_is_played_and_one_without_readings_does_not_go_round() {
    for body in ["0 w 0f r 01\n", "0 open\n0 w 0f r 01\n", "0 open\n0 w 0f r 01\n1 start\n2 read\n3 said -\n"]
    {
        let mut device = Replay::new(cassette("i2c", SEAT, body), false).i2c(0x48).unwrap();
        assert_eq!(device.read_u8(0x0F), Ok(1));
        let error = device.read_u8(0x0F).unwrap_err();
        assert!(matches!(&error, BusError::Gone(text) if text.contains("has no `read`")), "{error}");
    }
}

#[test]
fn a_cassette_of_another_bus_seat_or_kind_is_refused_with_a_remedy() {
    let refused = |cassette: Cassette, open: &dyn Fn(&mut Replay) -> Option<BusError>| match open(
        &mut Replay::new(cassette, false),
    ) {
        Some(BusError::Gone(text)) => text.into_owned(),
        other => panic!("{other:?}"),
    };
    let i2c = || cassette("i2c", SEAT, BODY);
    let text = refused(i2c(), &|replay| replay.i2c(0x49).err());
    assert_eq!(text, "the cassette was recorded of a device at 0x48, not at 0x49; write `address = 0x48`");
    let text = refused(i2c(), &|replay| replay.spi(0x48, MODE).err());
    assert_eq!(text, "the cassette is of a `thing` on a bus of kind `i2c`, not `spi`");
    let only = cassette("w1", Seat::Only, "0 open\n0 device \"28-1\"\n");
    let text = refused(only.clone(), &|replay| replay.files(Some("28-2"), W1).err());
    assert!(text.ends_with("write no `address`"), "{text}");
    assert_eq!(Replay::new(only, true).files(Some("28-1"), W1).unwrap().name(), "28-1");
    let named = cassette("w1", Seat::Name("28-1".into()), "");
    let text = refused(named, &|replay| replay.files(Some("28-2"), W1).err());
    assert!(text.ends_with("write `address = \"28-1\"`"), "{text}");
}

#[test]
fn every_error_has_its_word() {
    let text = |text: &'static str| text.into();
    for (word, error) in [
        ("no-answer", BusError::NoAnswer),
        ("refused", BusError::Refused),
        ("timeout", BusError::Timeout),
        ("arbitration", BusError::Arbitration),
        ("busy", BusError::Busy),
        ("hung", BusError::Hung),
        ("not-granted 0x77", BusError::NotGranted(0x77)),
        ("absent \"a\"", BusError::Absent(text("a"))),
        ("gone \"b\"", BusError::Gone(text("b"))),
        ("other \"c\\\"\"", BusError::Other(text("c\""))),
    ] {
        let event = Event::Transfer(vec![Op::Write(vec![0xF4])], Err(error));
        let line = format!("0.500000 w f4 ! {word}");
        let written = Cassette::new(header("i2c", SEAT), [(Duration::from_millis(500), event)]);
        assert_eq!(written.entries()[0].to_string(), line);
        assert_eq!(cassette("i2c", SEAT, &line), written);
    }
}

#[test]
fn the_header_is_read_unknown_keys_are_kept_and_comments_passed_over() {
    let text = "sedge-cassette 1\r\n# of my odd sensor\r\nkind:thing\nbus: i2c\n\nseat: 0x48\r\nby: me: a\u{1}person\n\
                settings: {\"a\": [1, \"#\"]}\nrecorded: yesterday\nsedge: 0.1.0\n\n# first\n  0.5 w 01 # id\n1 said # 5";
    let read = Cassette::parse(text).unwrap();
    let Header { kind, bus, seat, settings, recorded, sedge, others } = read.header.clone();
    assert_eq!((kind.as_str(), bus.as_str(), seat), ("thing", "i2c", SEAT));
    assert_eq!(
        (settings, recorded, sedge),
        (json!({"a": [1, "#"]}), Some("yesterday".into()), Some("0.1.0".into()))
    );
    assert_eq!(others, [("by".to_owned(), "me: a person".to_owned())]);
    assert_eq!(read.entries()[0].line(), 13);
    assert_eq!(read.entries()[1].event, Event::Mark(Mark::Said("# 5".into())));
    assert_eq!(Cassette::parse(&read.to_string()).unwrap(), read);
}

#[test]
fn the_one_in_the_guide_is_a_cassette() {
    let guide = include_str!("../../CASSETTES.md");
    let (_, rest) = guide.split_once("```text\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    assert_eq!(Cassette::parse(text).unwrap().to_string(), text, "as it would be written");
}

#[test]
fn a_newer_cassette_is_refused_with_its_remedy() {
    let (line, column, message) = mistake("sedge-cassette 2\n\u{1}\u{2}");
    assert_eq!((line, column), (1, 16));
    assert_eq!(message, "this cassette is of version 2, and this sedge reads 1: use a newer sedge");
    for text in
        ["", "\n", "sedge", "sedge-cassette", "sedge-cassette 0", "sedge-cassette 1.5", "PK\u{3}\u{4}"]
    {
        let (line, _, message) = mistake(text);
        assert!(line == 1 && message.contains("`sedge-cassette 1`"), "{text:?}: {message}");
    }
}

#[test]
fn a_mistake_names_its_line_its_column_and_what_was_expected() {
    let above = header("i2c", SEAT).to_string();
    let lines = above.lines().count();
    for (line, column, expected) in [
        (
            "0.1 w d0 r 6",
            12,
            "expected a byte of two hex digits, `w`, `r`, `x`, or `!` and an error; found `6`",
        ),
        ("0.1 w d0 r +6", 12, "a byte of two hex digits"),
        ("0.1 w d0 ! tiemout", 12, "expected an error: `no-answer`"),
        ("0.1 w d0 ! timeout now", 20, "expected the end of the line; found `now`"),
        ("0.1 w d0 ! other", 17, "why, in quotes; found the end"),
        ("0.1 r 01 ! timeout", 5, "expected `--` for each byte"),
        ("0.1 r --", 5, "expected bytes instead of `--`"),
        ("0.1 x 01", 9, "or `>` and what came in; found the end of the line"),
        ("0.1", 4, "expected what happened"),
        ("0.1 raed", 5, "expected what happened"),
        ("0.1 open sesame", 10, "the end of the line"),
        ("0.1 operate", 12, "the name of an operation"),
        ("0.1 operate set {\"on\": tru}", 27, "its arguments, as JSON (expected ident)"),
        ("0.1234567 open", 1, "at most six digits"),
        ("1e9 open", 1, "the seconds since the start"),
        ("0.1 f temperature \"21\"", 19, "`=` and what it holds"),
        ("0.1 f temperature = 21", 21, "what the file holds, in quotes (invalid type"),
        ("0.1 ls = \"a\"", 10, "names in quotes, in brackets"),
        ("0.1 device", 11, "a name in quotes, or `!` and an error"),
        ("0.1 f äöü = 1", 13, "what the file holds"),
    ] {
        let (at, place, message) = mistake(&format!("{above}# one\n{line}\n"));
        assert_eq!((at, place), (lines + 2, column), "{line}: {message}");
        assert!(message.contains(expected), "{line}: {message}");
    }
    let (at, _, message) = mistake(&format!("{above}0 open\nkind: thing\n"));
    assert!(at == lines + 2 && message.contains("the seconds since the start"), "{message}");
    for (header, expected) in [
        ("kind: a\nbus: i2c", "the header has no `seat`"),
        ("kind: a\nkind: b", "expected a header with `kind` once"),
        ("seat: 0x100", "a number such as `0x76`"),
        ("seat: somewhere", "a name in quotes, or `*`"),
        ("settings: {\"a\"}", "settings, as JSON"),
        ("kind:", "expected a kind; found the end"),
        ("Kind: a", "`key: value`"),
    ] {
        let (_, _, message) = mistake(&format!("sedge-cassette 1\n{header}"));
        assert!(message.contains(expected), "{header}: {message}");
    }
}

#[test]
fn what_is_too_large_is_no_cassette() {
    let above = header("i2c", SEAT).to_string();
    let (_, _, message) = mistake(&format!("{above}#{}", "-".repeat(1024 * 1024)));
    assert!(message.contains("no line has"), "{message}");
    let (_, _, message) = mistake(&format!("{above}{}", "# -\n".repeat(1024 * 1024)));
    assert!(message.contains("no cassette has"), "{message}");
    let error = Cassette::load(std::path::Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.to_string(), "/dev/zero: not a file");
}

fn errors() -> impl Strategy<Value = BusError> {
    prop_oneof![
        Just(BusError::NoAnswer),
        Just(BusError::Refused),
        Just(BusError::Timeout),
        Just(BusError::Arbitration),
        Just(BusError::Busy),
        Just(BusError::Hung),
        any::<u16>().prop_map(BusError::NotGranted),
        any::<String>().prop_map(|text| BusError::Absent(text.into())),
        any::<String>().prop_map(|text| BusError::Gone(text.into())),
        any::<String>().prop_map(|text| BusError::Other(text.into())),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

fn transfers() -> impl Strategy<Value = Event> {
    let op = (0..3, bytes(), bytes());
    (prop::collection::vec(op, 1..5), prop::result::maybe_err(Just(()), errors())).prop_map(
        |(ops, result)| {
            let got = |bytes: Vec<u8>| match result {
                Ok(()) => Got::Bytes(bytes),
                Err(_) => Got::Nothing(bytes.len()),
            };
            let op = |(what, out, read)| match what {
                0 => Op::Write(out),
                1 => Op::Read(got(read)),
                _ => Op::Exchange(out, got(read)),
            };
            Event::Transfer(ops.into_iter().map(op).collect(), result.clone())
        },
    )
}

/// Without fractions: how the last digit of one is rounded is no matter of this format.
fn json_values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// What stays within its line as it is.
fn lines() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| super::format::one_line(&text))
}

fn words() -> impl Strategy<Value = String> {
    lines().prop_map(|text| format!("a{text}z"))
}

fn events() -> impl Strategy<Value = Event> {
    let text = || prop::result::maybe_err(any::<String>(), errors());
    let names = prop::result::maybe_err(prop::collection::vec(any::<String>(), 0..4), errors());
    prop_oneof![
        4 => transfers(),
        1 => text().prop_map(Event::Device),
        2 => (any::<String>(), text()).prop_map(|(name, result)| Event::File(name, result)),
        1 => names.prop_map(Event::Names),
        1 => Just(Event::Mark(Mark::Open)),
        1 => Just(Event::Mark(Mark::Start)),
        1 => Just(Event::Mark(Mark::Read)),
        1 => (any::<String>(), prop::option::of(json_values()))
            .prop_map(|(name, args)| Event::Mark(Mark::Operate(name, args))),
        1 => lines().prop_map(|text| Event::Mark(Mark::Said(text))),
    ]
}

fn cassettes() -> impl Strategy<Value = Cassette> {
    let seat = prop_oneof![
        any::<u8>().prop_map(Seat::Number),
        any::<String>().prop_map(Seat::Name),
        Just(Seat::Only)
    ];
    let others = prop::collection::btree_map("[b-j][a-z0-9_-]{3,8}", lines(), 0..4);
    let header =
        (words(), words(), seat, json_values(), prop::option::of(lines()), prop::option::of(lines()), others);
    let header = header.prop_map(|(kind, bus, seat, settings, recorded, sedge, others)| Header {
        kind,
        bus,
        seat,
        settings,
        recorded,
        sedge,
        others: others.into_iter().filter(|(key, _)| key != "kind").collect(),
    });
    let at = (0..10_000_000_000_u64).prop_map(Duration::from_micros);
    let events = prop::collection::vec((at, events()), 0..12);
    (header, events).prop_map(|(header, events)| Cassette::new(header, events))
}

/// Lines that are nearly right.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("w"),
        Just("r"),
        Just("x"),
        Just(">"),
        Just("!"),
        Just("--"),
        Just("0.5"),
        Just("d0"),
        Just("f"),
        Just("="),
        Just("ls"),
        Just("\""),
        Just("\"a\""),
        Just("[\"ä\"]"),
        Just("said"),
        Just("operate"),
        Just("{"),
        Just("#"),
        Just("timeout"),
        Just("other"),
        Just("not-granted"),
        Just("0x7"),
        Just("\n"),
        Just("\r"),
        Just("\u{a0}"),
        Just("é"),
        Just("kind: a"),
        Just("seat:"),
        Just("settings:"),
        Just("device"),
        Just(".5"),
        Just("99999999999999999999"),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.join(" "))
}

/// Plays as much as can be, whatever it is.
fn play(cassette: Cassette) {
    let bus = cassette.header.bus.clone();
    for once in [true, false] {
        let mut replay = Replay::new(cassette.clone(), once);
        for register in 0..4 {
            if let (Seat::Number(seat), Ok(mut device)) = (cassette.header.seat.clone(), replay.i2c(0)) {
                let _ = (seat, device.read_u8(register), device.write(&[register]));
            }
            if let Ok(mut device) = replay.files(None, Sysfs { bus: "w1", names: &[] }) {
                let _ = (device.names(), device.read(&bus));
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(cassette in cassettes()) {
        let text = cassette.to_string();
        let read = Cassette::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        prop_assert_eq!(&read, &cassette, "{}", text);
        let lines: Vec<usize> = cassette.entries().iter().map(Entry::line).collect();
        prop_assert_eq!(read.entries().iter().map(Entry::line).collect::<Vec<_>>(), lines);
        play(read);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), pieces in nearly()) {
        let _ = Cassette::parse(&text);
        for body in [text, pieces] {
            let above = header("i2c", SEAT).to_string();
            for whole in [format!("{above}{body}"), format!("sedge-cassette 1\n{body}"), format!("{above}0.5 {body}")] {
                match Cassette::parse(&whole) {
                    Ok(cassette) => play(cassette),
                    Err(CassetteError::Wrong { line, column, .. }) => {
                        let at = whole.split('\n').nth(line - 1);
                        prop_assert!(at.is_some_and(|at| column <= at.chars().count() + 1), "{}:{} of {}", line, column, whole);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
}
