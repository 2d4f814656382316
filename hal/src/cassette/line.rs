//! A line of a cassette: what happened, as text and back.

use std::fmt;
use std::time::Duration;

use sedge_plugin::BusError;
use sedge_plugin::prelude::Deserialize;
use serde_json::Value as Json;

use super::format::{CassetteError, one_line, wrong};

/// So much of a line is quoted where something else was expected.
const QUOTED_CHARS: usize = 40;

/// Something that happened, and when.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Since the start.
    pub at: Duration,
    /// What it was.
    pub event: Event,
    /// The line that it stands at.
    pub(super) line: usize,
}

impl Entry {
    /// The line of the cassette that it stands at, counted from one.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// Where it stands does not matter.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, &self.event) == (other.at, &other.event)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The driver was asked for something, or said something.
    Mark(Mark),
    /// The kernel was asked for the device; what it calls it.
    Device(Result<String, BusError>),
    /// A transaction on I2C or SPI: its parts in order, and why it failed.
    Transfer(Vec<Op>, Result<(), BusError>),
    /// A file of the device was read.
    File(String, Result<String, BusError>),
    /// Its files were listed.
    Names(Result<Vec<String>, BusError>),
}

impl Event {
    pub(super) fn is_device(&self, wanted: &str) -> bool {
        matches!(self, Self::Device(Ok(name)) if name == wanted)
    }
}

/// What a driver was asked for, before what it then did; and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// To make the device ready.
    Open,
    /// To begin a conversion.
    Start,
    /// For a reading.
    Read,
    /// To do something, with its arguments where it has any.
    Operate(String, Option<Json>),
    /// What came of it, for a person.
    Said(String),
}

/// A part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Bytes were written.
    Write(Vec<u8>),
    /// Bytes were read.
    Read(Got),
    /// Bytes went out and came in at once.
    Exchange(Vec<u8>, Got),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes were wanted, and the transaction failed.
    Nothing(usize),
}

impl Got {
    /// How many bytes were wanted.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Nothing(count) => *count,
        }
    }

    /// Whether none were wanted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} {}", self.at.as_secs(), self.at.subsec_micros(), self.event)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(mark) => write!(f, "{mark}"),
            Self::Device(Ok(name)) => write!(f, "device {}", quoted(name)),
            Self::Device(Err(error)) => write!(f, "device ! {}", Word(error)),
            Self::Transfer(ops, result) => {
                for (place, op) in ops.iter().enumerate() {
                    write!(f, "{}{op}", if place == 0 { "" } else { " " })?;
                }
                match result {
                    Ok(()) => Ok(()),
                    Err(error) => write!(f, " ! {}", Word(error)),
                }
            }
            Self::File(name, result) => {
                write!(f, "f {} ", Name(name))?;
                match result {
                    Ok(text) => write!(f, "= {}", quoted(text)),
                    Err(error) => write!(f, "! {}", Word(error)),
                }
            }
            Self::Names(Ok(names)) => write!(f, "ls = {}", Json::from(names.as_slice())),
            Self::Names(Err(error)) => write!(f, "ls ! {}", Word(error)),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Start => f.write_str("start"),
            Self::Read => f.write_str("read"),
            Self::Operate(name, None) => write!(f, "operate {}", Name(name)),
            Self::Operate(name, Some(args)) => write!(f, "operate {} {args}", Name(name)),
            Self::Said(text) => write!(f, "said {}", one_line(text)),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(out) => write!(f, "w{}", Hex(out)),
            Self::Read(got) => write!(f, "r{got}"),
            Self::Exchange(out, got) => write!(f, "x{} >{got}", Hex(out)),
        }
    }
}

/// With a space before each byte.
impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{}", Hex(bytes)),
            Self::Nothing(count) => (0..*count).try_for_each(|_| f.write_str(" --")),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

/// A name of a file or an operation: in quotes only where it needs them.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        match !self.0.is_empty() && self.0.chars().all(plain) {
            true => f.write_str(self.0),
            false => write!(f, "{}", quoted(self.0)),
        }
    }
}

fn quoted(text: &str) -> Json {
    Json::from(text)
}

/// An error, as its word.
struct Word<'a>(&'a BusError);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            BusError::NoAnswer => f.write_str("no-answer"),
            BusError::Refused => f.write_str("refused"),
            BusError::Timeout => f.write_str("timeout"),
            BusError::Arbitration => f.write_str("arbitration"),
            BusError::Busy => f.write_str("busy"),
            BusError::Hung => f.write_str("hung"),
            BusError::NotGranted(address) => write!(f, "not-granted {address:#04x}"),
            BusError::Absent(text) => write!(f, "absent {}", quoted(text)),
            BusError::Gone(text) => write!(f, "gone {}", quoted(text)),
            // An error that this format has no word for yet says itself what it is.
            other => write!(f, "other {}", quoted(&other.to_string())),
        }
    }
}

impl Entry {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, CassetteError> {
        let line = cursor.line;
        let at = cursor.seconds()?;
        Ok(Self { at, event: event(cursor)?, line })
    }
}

fn event(cursor: &mut Cursor<'_>) -> Result<Event, CassetteError> {
    let mark = |mark| Ok(Event::Mark(mark));
    let event = match cursor.peek() {
        "w" | "r" | "x" => return transfer(cursor),
        "said" => {
            cursor.word();
            return mark(Mark::Said(one_line(cursor.rest())));
        }
        "open" | "start" | "read" => match cursor.word() {
            "open" => mark(Mark::Open),
            "start" => mark(Mark::Start),
            _ => mark(Mark::Read),
        },
        "operate" => {
            cursor.word();
            let name = cursor.name("the name of an operation")?;
            let args = match cursor.at_end() {
                true => None,
                false => Some(cursor.json("its arguments, as JSON")?),
            };
            mark(Mark::Operate(name, args))
        }
        "device" => {
            cursor.word();
            Ok(Event::Device(match cursor.error()? {
                Some(error) => Err(error),
                None => Ok(cursor.json("a name in quotes, or `!` and an error")?),
            }))
        }
        "f" => {
            cursor.word();
            let name = cursor.name("the name of a file")?;
            Ok(Event::File(name, result(cursor, "what the file holds, in quotes")?))
        }
        "ls" => {
            cursor.word();
            Ok(Event::Names(result(cursor, "names in quotes, in brackets")?))
        }
        _ => Err(cursor.expected(
            "what happened: `w`, `r`, `x`, `f`, `ls`, `device`, `open`, `start`, `read`, `operate` or `said`",
        )),
    }?;
    cursor.end().map(|()| event)
}

/// `= VALUE` or `! ERROR`.
fn result<T: for<'de> Deserialize<'de>>(
    cursor: &mut Cursor<'_>,
    expected: &str,
) -> Result<Result<T, BusError>, CassetteError> {
    if let Some(error) = cursor.error()? {
        return Ok(Err(error));
    }
    match cursor.peek() {
        "=" => {
            cursor.word();
            cursor.json(expected).map(Ok)
        }
        _ => Err(cursor.expected("`=` and what it holds, or `!` and an error")),
    }
}

fn transfer(cursor: &mut Cursor<'_>) -> Result<Event, CassetteError> {
    let mut ops = Vec::new();
    let from = cursor.clone();
    let result = loop {
        ops.push(match cursor.peek() {
            "w" => {
                cursor.word();
                Op::Write(cursor.bytes())
            }
            "r" => {
                cursor.word();
                Op::Read(cursor.got())
            }
            "x" => {
                cursor.word();
                let out = cursor.bytes();
                if cursor.peek() != ">" {
                    return Err(cursor.expected("a byte of two hex digits, or `>` and what came in"));
                }
                cursor.word();
                Op::Exchange(out, cursor.got())
            }
            _ if cursor.at_end() => break Ok(()),
            _ => match cursor.error()? {
                Some(error) => {
                    cursor.end()?;
                    break Err(error);
                }
                None => {
                    return Err(
                        cursor.expected("a byte of two hex digits, `w`, `r`, `x`, or `!` and an error")
                    );
                }
            },
        });
    };
    for op in &mut ops {
        let (Op::Read(got) | Op::Exchange(_, got)) = op else { continue };
        match (&result, &got) {
            (Err(_), Got::Bytes(bytes)) if !bytes.is_empty() => {
                return Err(from.expected("`--` for each byte, as the transaction failed"));
            }
            (Ok(()), Got::Nothing(count)) if *count > 0 => {
                return Err(from.expected("bytes instead of `--`, as the transaction did not fail"));
            }
            (Err(_), Got::Bytes(_)) => *got = Got::Nothing(0),
            _ => {}
        }
    }
    Ok(Event::Transfer(ops, result))
}

/// A place in a line.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str, line: usize) -> Self {
        let mut cursor = Self { text, at: 0, line };
        cursor.skip_space();
        cursor
    }

    /// The rest of the line.
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn skip_past(&mut self, separator: char) {
        if let Some(place) = self.rest().find(separator) {
            self.at += place + separator.len_utf8();
            self.skip_space();
        }
    }

    /// The next word, up to a space; empty at the end.
    pub(super) fn peek(&self) -> &'a str {
        let rest = self.rest();
        rest.split(char::is_whitespace).next().unwrap_or(rest)
    }

    pub(super) fn word(&mut self) -> &'a str {
        let word = self.peek();
        self.at += word.len();
        self.skip_space();
        word
    }

    /// Nothing more but a comment.
    fn at_end(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with('#')
    }

    pub(super) fn end(&self) -> Result<(), CassetteError> {
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    pub(super) fn expected(&self, what: &str) -> CassetteError {
        let column = self.text[..self.at].chars().count() + 1;
        let rest: String = self.rest().chars().take(QUOTED_CHARS).collect();
        let found =
            if self.at_end() { "the end of the line".into() } else { format!("`{}`", one_line(&rest)) };
        wrong(self.line, column, format!("expected {what}; found {found}"))
    }

    fn seconds(&mut self) -> Result<Duration, CassetteError> {
        let expected = "the seconds since the start, with at most six digits after the point";
        let word = self.peek();
        let (whole, part) = word.split_once('.').unwrap_or((word, "0"));
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 10) || !digits(part, 6) {
            return Err(self.expected(expected));
        }
        let seconds: u64 = whole.parse().map_err(|_| self.expected(expected))?;
        let micros: u64 = format!("{part:0<6}").parse().map_err(|_| self.expected(expected))?;
        self.word();
        Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
    }

    /// Bytes, as many as there are.
    fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(byte) = byte(self.peek()) {
            bytes.push(byte);
            self.word();
        }
        bytes
    }

    fn got(&mut self) -> Got {
        let mut count = 0;
        while self.peek() == "--" {
            count += 1;
            self.word();
        }
        if count > 0 { Got::Nothing(count) } else { Got::Bytes(self.bytes()) }
    }

    fn name(&mut self, expected: &str) -> Result<String, CassetteError> {
        match self.peek() {
            _ if self.at_end() => Err(self.expected(expected)),
            word if word.starts_with('"') => self.json(&format!("{expected}, in quotes")),
            "!" | "=" => Err(self.expected(expected)),
            _ => Ok(self.word().into()),
        }
    }

    pub(super) fn json<T: for<'de> Deserialize<'de>>(&mut self, expected: &str) -> Result<T, CassetteError> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<T>();
        match values.next() {
            Some(Ok(value)) => {
                let length = values.byte_offset();
                self.at += length;
                self.skip_space();
                Ok(value)
            }
            Some(Err(error)) => {
                // JSON of another type is wrong as a whole. The column is in bytes of the rest.
                let within = if error.is_data() { 0 } else { error.column().saturating_sub(1) };
                let mut at = self.at + within.min(self.rest().len());
                while !self.text.is_char_boundary(at) {
                    at -= 1;
                }
                let why = error.to_string();
                let why = why.split(" at line").next().unwrap_or(&why);
                Err(Self { at, ..*self }.expected(&format!("{expected} ({why})")))
            }
            None => Err(self.expected(expected)),
        }
    }

    /// `!` and an error, where that comes next.
    fn error(&mut self) -> Result<Option<BusError>, CassetteError> {
        if self.peek() != "!" {
            return Ok(None);
        }
        self.word();
        let text = |cursor: &mut Self| cursor.json::<String>("why, in quotes");
        let before = self.clone();
        Ok(Some(match self.word() {
            "no-answer" => BusError::NoAnswer,
            "refused" => BusError::Refused,
            "timeout" => BusError::Timeout,
            "arbitration" => BusError::Arbitration,
            "busy" => BusError::Busy,
            "hung" => BusError::Hung,
            "not-granted" => {
                let address =
                    self.peek().strip_prefix("0x").and_then(|hex| u16::from_str_radix(hex, 16).ok());
                let address = address.ok_or_else(|| self.expected("an address such as `0x77`"))?;
                self.word();
                BusError::NotGranted(address)
            }
            "absent" => BusError::Absent(text(self)?.into()),
            "gone" => BusError::Gone(text(self)?.into()),
            "other" => BusError::Other(text(self)?.into()),
            _ => {
                return Err(before.expected(
                    "an error: `no-answer`, `refused`, `timeout`, `arbitration`, `busy`, `hung`, `not-granted`, \
                     `absent`, `gone` or `other`",
                ));
            }
        }))
    }
}

/// A byte of exactly two hex digits.
fn byte(word: &str) -> Option<u8> {
    let digits = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u8::from_str_radix(word, 16).ok() } else { None }
}
