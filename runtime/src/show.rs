//! How readings look to a person and to a program.

use std::io::Write;

use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::{Quality, Reading, SensorDescriptor, Value};
use serde_json::{Value as Json, json};

use crate::exit::Failure;

/// Prints a line. A reader who has gone, as behind `| head`, ends the command quietly.
pub(crate) fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    print(format_args!("{}\n", harmless(&text.to_string())))
}

/// A text without what steers a terminal, but for colours: parts of it may come from a plugin, or from another node.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(steers) {
        out.push_str(&rest[..at]);
        let (colour, c) = (colour(&rest[at..]), rest[at..].chars().next().unwrap_or_default());
        match colour {
            Some(length) => out.push_str(&rest[at..at + length]),
            None => out.extend(c.escape_unicode()),
        }
        rest = &rest[at + colour.unwrap_or(c.len_utf8())..];
    }
    out.push_str(rest);
    out
}

/// What is no letter on the screen: it moves the cursor, or the order of what is read.
fn steers(c: char) -> bool {
    let is_order = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_order || (c.is_control() && c != '\n' && c != '\t')
}

/// How many bytes a colour has that the text begins with.
fn colour(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("\u{1b}[")?;
    let end = inner.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    inner[end..].starts_with('m').then_some(end + 3)
}

/// Prints a text as it is.
pub(crate) fn print(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
        Err(error) => Err(Failure::Failed(format!("cannot print: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Tells a person what is amiss. Where nobody reads it any more, nothing is to be done about it.
pub(crate) fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", harmless(&text.to_string()));
}

/// Prints rows as columns, each as wide as its widest cell. The last one is not filled up.
pub(crate) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// One line: `17:28:24 kitchen temperature=21.53°C humidity=44.1%`.
pub(crate) fn line(reading: &Reading, sensor: Option<&SensorDescriptor>) -> String {
    let unit = |field: &str| {
        sensor.and_then(|sensor| sensor.fields.get(field)).map_or("", |field| field.unit.symbol())
    };
    let frame = ReadingFrame::from(reading);
    format!("{} {} {}", time(frame.ts), reading.sensor, fields(&frame, unit))
}

/// `temperature=21.53°C humidity=- (crc)`.
pub(crate) fn fields<'a>(frame: &ReadingFrame, unit: impl Fn(&str) -> &'a str) -> String {
    let why =
        |field: &str| frame.err.iter().find(|(name, _)| name == field).map_or("missing", |(_, why)| why);
    let mark = |field: &str| {
        let quality = frame.q.iter().find(|(name, _)| name == field).map(|(_, quality)| *quality);
        quality.map(|quality| format!(" ({})", word(quality))).unwrap_or_default()
    };
    let field = |(name, value): &(String, Option<Value>)| match value {
        Some(value) => format!("{name}={value}{}{}", unit(name), mark(name)),
        None => format!("{name}=- ({})", why(name)),
    };
    frame.fields.iter().map(field).collect::<Vec<_>>().join(" ")
}

fn word(quality: Quality) -> String {
    serde_json::to_value(quality).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The time of day in UTC; dashes while it is not known.
pub(crate) fn time(wall_ms: Option<i64>) -> String {
    let text = wall_ms.map(rfc3339).unwrap_or_default();
    text.get(11..19).unwrap_or("--:--:--").into()
}

/// A reading for a program: its frame, and whose it is.
pub(crate) fn json(node: &str, sensor: &str, frame: &ReadingFrame) -> Json {
    let mut object = json!({ "node": node, "sensor": sensor });
    if let (Some(object), Ok(Json::Object(frame))) = (object.as_object_mut(), serde_json::to_value(frame)) {
        object.extend(frame);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_does_not_steer_the_terminal() {
        assert_eq!(harmless("a\tb\nü \u{1b}[31;1mred\u{1b}[0m"), "a\tb\nü \u{1b}[31;1mred\u{1b}[0m");
        assert_eq!(harmless("\u{1b}]0;x\u{7}"), "\\u{1b}]0;x\\u{7}");
        assert_eq!(harmless("\u{1b}[2J\u{1b}["), "\\u{1b}[2J\\u{1b}[");
        assert_eq!(harmless("a\u{202e}b\r"), "a\\u{202e}b\\u{d}");
    }
}
