//! A cassette as a whole: its header, its bounds, and what is wrong with a text that is none.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use sedge_plugin::{BusError, SensorKind};
use serde_json::Value as Json;

use super::line::{Cursor, Entry, Event};
use crate::bus::Seat;

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
const MAGIC: &str = "sedge-cassette";
/// Bytes of a cassette: hours of a sensor that is read every second.
/// Less in this crate's own tests, which fill one.
pub(super) const MOST_BYTES: usize = if cfg!(test) { 3 * 1024 * 1024 } else { 16 * 1024 * 1024 };
/// Bytes of a line.
pub(super) const MOST_LINE_BYTES: usize = 1024 * 1024;

/// Why a text is no cassette.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CassetteError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A line is wrong.
    #[error("line {line}, column {column}: {message}")]
    Wrong {
        /// Counted from one.
        line: usize,
        /// In characters, counted from one.
        column: usize,
        /// What was expected, and what is there.
        message: String,
    },
}

/// What a cassette is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// The kind of sensor, as in the config.
    pub kind: String,
    /// The kind of bus that it needs.
    pub bus: String,
    /// Where it sat.
    pub seat: Seat,
    /// Its settings.
    pub settings: Json,
    /// When it was recorded, as RFC 3339; none where the time was not known.
    pub recorded: Option<String>,
    /// Which version recorded it.
    pub sedge: Option<String>,
    /// What else is said of it. A key has small letters, digits, `_` and `-`, and begins with a letter.
    pub others: Vec<(String, String)>,
}

impl Header {
    /// The header of a sensor.
    pub fn new(kind: &SensorKind, seat: Seat, settings: Json) -> Self {
        Self {
            kind: kind.kind.into(),
            bus: kind.bus().into(),
            seat,
            settings,
            recorded: None,
            sedge: None,
            others: Vec::new(),
        }
    }
}

/// As it is written, with the first line of the cassette and the empty one that ends it.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, bus, seat, settings, recorded, sedge, others } = self;
        writeln!(f, "{MAGIC} {VERSION}")?;
        writeln!(f, "kind: {}\nbus: {}", one_line(kind), one_line(bus))?;
        match seat {
            Seat::Name(name) => writeln!(f, "seat: {}", Json::from(name.as_str()))?,
            seat => writeln!(f, "seat: {seat}")?,
        }
        writeln!(f, "settings: {settings}")?;
        let optional = [("recorded", recorded), ("sedge", sedge)];
        for (key, value) in optional.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
            writeln!(f, "{key}: {}", one_line(value))?;
        }
        for (key, value) in others.iter().filter(|(key, _)| is_key(key) && !KNOWN.contains(&key.as_str())) {
            writeln!(f, "{key}: {}", one_line(value))?;
        }
        writeln!(f)
    }
}

const KNOWN: [&str; 6] = ["kind", "bus", "seat", "settings", "recorded", "sedge"];

/// What passed between a device and its driver.
#[derive(Debug, Clone, PartialEq)]
pub struct Cassette {
    /// What it is of.
    pub header: Header,
    entries: Vec<Entry>,
}

impl Cassette {
    /// A cassette with these events, each with the time since the start. Less than a microsecond is nothing.
    pub fn new(header: Header, events: impl IntoIterator<Item = (Duration, Event)>) -> Self {
        let before = header.to_string().lines().count();
        let entry = |(place, (at, event)): (usize, (Duration, Event))| {
            let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            Entry { at: Duration::from_micros(micros), event, line: before + 1 + place }
        };
        Self { entries: events.into_iter().enumerate().map(entry).collect(), header }
    }

    /// Reads a cassette.
    ///
    /// # Errors
    /// It is none, or of a newer version, or too large; says where.
    pub fn parse(text: &str) -> Result<Self, CassetteError> {
        if text.len() > MOST_BYTES {
            return Err(wrong(1, 1, format!("it has more than {MOST_BYTES} bytes: no cassette has")));
        }
        let mut lines = text.trim_start_matches('\u{feff}').split('\n').zip(1..).map(checked);
        let (first, line) = lines.next().unwrap_or(Ok(("", 1)))?;
        version(first, line)?;
        let mut draft = Draft::default();
        let mut entries = Vec::new();
        let mut end = line;
        for checked in lines {
            let (text, line) = checked?;
            let bare = text.trim();
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            if bare.starts_with(|c: char| c.is_ascii_digit()) {
                entries.push(Entry::parse(&mut Cursor::new(text, line))?);
            } else if entries.is_empty() {
                draft.read(text, line)?;
            } else {
                return Err(
                    Cursor::new(text, line).expected("the seconds since the start, such as `0.000412`")
                );
            }
            end = line;
        }
        Ok(Self { header: draft.header(end)?, entries })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no cassette.
    pub fn load(path: &Path) -> Result<Self, CassetteError> {
        let unreadable =
            |why: &dyn fmt::Display| CassetteError::Unreadable(format!("{}: {why}", path.display()));
        let read = || -> io::Result<Vec<u8>> {
            let file = File::open(path)?;
            // Of a pipe or a device there is no end.
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a file"));
            }
            let mut bytes = Vec::new();
            file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|error| unreadable(&error))?;
        let text = String::from_utf8(bytes).map_err(|error| unreadable(&format!("no text: {error}")))?;
        Self::parse(&text).map_err(|error| unreadable(&error))
    }

    /// What happened, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether a sensor can be played from it.
    ///
    /// # Errors
    /// It is of another kind of sensor, or sat elsewhere; says what to do.
    pub fn fits(&self, kind: &SensorKind, seat: &Seat) -> Result<(), String> {
        let Header { kind: own, .. } = &self.header;
        if own != kind.kind {
            return Err(format!(
                "the cassette is of a `{own}`, not of a `{}`; write `kind = \"{own}\"`",
                kind.kind
            ));
        }
        self.sits(seat).map_err(|error| error.to_string())
    }

    /// Whether it was recorded there. The only one of its kind may have any name.
    pub(super) fn sits(&self, seat: &Seat) -> Result<(), BusError> {
        let own = &self.header.seat;
        let device = |name: &String| self.entries.iter().any(|entry| entry.event.is_device(name));
        let same = match seat {
            seat if seat == own => true,
            Seat::Only => matches!(own, Seat::Name(_)),
            Seat::Name(name) => device(name),
            Seat::Number(_) => false,
        };
        if same {
            return Ok(());
        }
        let remedy = match own {
            Seat::Number(_) => format!("write `address = {own}`"),
            Seat::Name(_) => format!("write `address = \"{own}\"`"),
            Seat::Only => "write no `address`".into(),
        };
        let text = format!("the cassette was recorded of a device at {own}, not at {seat}; {remedy}");
        Err(BusError::Gone(text.into()))
    }
}

impl fmt::Display for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.header)?;
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// A line without the end that other systems give it, where it is not too long.
fn checked((text, line): (&str, usize)) -> Result<(&str, usize), CassetteError> {
    match text.len() {
        0..=MOST_LINE_BYTES => Ok((text.strip_suffix('\r').unwrap_or(text), line)),
        _ => Err(wrong(line, 1, format!("it has more than {MOST_LINE_BYTES} bytes: no line has"))),
    }
}

fn version(first: &str, line: usize) -> Result<(), CassetteError> {
    let number = first.strip_prefix(MAGIC).map(str::trim);
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(1..=VERSION) => Ok(()),
        Some(newer) if newer > VERSION => Err(wrong(
            line,
            MAGIC.len() + 2,
            format!("this cassette is of version {newer}, and this sedge reads {VERSION}: use a newer sedge"),
        )),
        _ => {
            Err(Cursor::new(first, line).expected("`sedge-cassette 1`, as the first line of every cassette"))
        }
    }
}

/// A header that is being read.
#[derive(Default)]
struct Draft {
    kind: Option<String>,
    bus: Option<String>,
    seat: Option<Seat>,
    settings: Option<Json>,
    recorded: Option<String>,
    sedge: Option<String>,
    others: Vec<(String, String)>,
}

impl Draft {
    fn read(&mut self, text: &str, line: usize) -> Result<(), CassetteError> {
        let mut cursor = Cursor::new(text, line);
        let expected = |cursor: &Cursor<'_>| cursor.expected("`key: value`, or the seconds since the start");
        let Some((key, value)) = text.split_once(':') else { return Err(expected(&cursor)) };
        let (key, value) = (key.trim(), one_line(value));
        if !is_key(key) {
            return Err(expected(&cursor));
        }
        let known = match key {
            "kind" => self.kind.is_some(),
            "bus" => self.bus.is_some(),
            "seat" => self.seat.is_some(),
            "settings" => self.settings.is_some(),
            "recorded" => self.recorded.is_some(),
            "sedge" => self.sedge.is_some(),
            key => self.others.iter().any(|(other, _)| other == key),
        };
        if known {
            return Err(cursor.expected(&format!("a header with `{key}` once")));
        }
        cursor.skip_past(':');
        match key {
            "kind" | "bus" if value.is_empty() => return Err(cursor.expected(&format!("a {key}"))),
            "kind" => self.kind = Some(value),
            "bus" => self.bus = Some(value),
            "seat" => self.seat = Some(seat(&mut cursor)?),
            "settings" => {
                let settings = cursor.json::<Json>("settings, as JSON")?;
                cursor.end()?;
                self.settings = Some(settings);
            }
            "recorded" => self.recorded = Some(value),
            "sedge" => self.sedge = Some(value),
            key => self.others.push((key.into(), value)),
        }
        Ok(())
    }

    fn header(self, end: usize) -> Result<Header, CassetteError> {
        let Self { kind, bus, seat, settings, recorded, sedge, others } = self;
        let missing = |key: &str| wrong(end, 1, format!("the header has no `{key}`"));
        Ok(Header {
            kind: kind.ok_or_else(|| missing("kind"))?,
            bus: bus.ok_or_else(|| missing("bus"))?,
            seat: seat.ok_or_else(|| missing("seat"))?,
            settings: settings.unwrap_or_else(|| Json::Object(Default::default())),
            recorded,
            sedge,
            others,
        })
    }
}

fn seat(cursor: &mut Cursor<'_>) -> Result<Seat, CassetteError> {
    let expected = "a number such as `0x76`, a name in quotes, or `*`";
    let seat = match cursor.peek() {
        "*" => {
            cursor.word();
            Seat::Only
        }
        word if word.starts_with('"') => Seat::Name(cursor.json(expected)?),
        word => {
            let number = match word.strip_prefix("0x") {
                Some(hex) => u8::from_str_radix(hex, 16),
                None => word.parse(),
            };
            let number = number.map_err(|_| cursor.expected(expected))?;
            cursor.word();
            Seat::Number(number)
        }
    };
    cursor.end().map(|()| seat)
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// A text that stays within its line.
pub(super) fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ").trim().to_owned()
}

pub(super) fn wrong(line: usize, column: usize, message: String) -> CassetteError {
    CassetteError::Wrong { line, column, message }
}
