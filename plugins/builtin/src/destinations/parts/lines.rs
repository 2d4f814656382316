//! Readings as text: JSON lines, CSV rows, lines for people. Pure functions.

use std::borrow::Cow;
use std::fmt::Write as _;

use sedge_plugin::clock::rfc3339;
use sedge_plugin::prelude::*;
use sedge_plugin::wire::ReadingFrame;

/// The reading frame as it is on MQTT, with what the topic says there.
#[derive(Serialize)]
pub(crate) struct Named<'a> {
    node: &'a Id,
    sensor: &'a Id,
    #[serde(flatten)]
    frame: ReadingFrame,
}

impl<'a> Named<'a> {
    pub(crate) fn new(node: &'a Id, reading: &'a Reading) -> Self {
        Self { node, sensor: &reading.sensor, frame: ReadingFrame::from(reading) }
    }
}

/// One line of JSON. A reading cannot fail to serialize; should one, the line is `null` and not a panic.
pub(crate) fn json(node: &Id, reading: &Reading) -> String {
    let mut line = serde_json::to_string(&Named::new(node, reading)).unwrap_or_else(|_| "null".into());
    line.push('\n');
    line
}

/// The first line of a CSV file.
pub const CSV_HEADER: &str = "time,sensor,boot,seq,up_ms,field,value,unit,quality\n";

/// One row per field. A value that could not be taken is empty, and `quality` says why: `missing: crc`. The time is empty
/// where it was not known: `boot` and `up_ms`, the milliseconds since that start of the node, order such rows, too.
pub(crate) fn csv(directory: &Directory, reading: &Reading) -> String {
    csv_rows(reading, |field| unit(directory, reading, field).symbol())
}

/// The same, with a unit for each field.
pub fn csv_rows<'a>(reading: &Reading, unit: impl Fn(&str) -> &'a str) -> String {
    let time = reading.taken.wall_ms.map(rfc3339).unwrap_or_default();
    let (boot, seq) = (reading.boot.to_string(), reading.seq.to_string());
    let up_ms = reading.taken.up_ms.to_string();
    let mut rows = String::new();
    for sample in &reading.frame.samples {
        let (value, quality): (Cow<'_, str>, Cow<'_, str>) = match &sample.value {
            Ok(Value::Text(text)) => (text.as_str().into(), word(sample.quality).into()),
            Ok(Value::Bool(on)) => (on.to_string().into(), word(sample.quality).into()),
            Ok(Value::Number(n)) => (n.to_string().into(), word(sample.quality).into()),
            Err(reason) => ("".into(), format!("missing: {reason}").into()),
        };
        let unit = unit(&sample.field);
        let sensor = reading.sensor.as_str();
        let cells = [&time, sensor, &boot, &seq, &up_ms, &sample.field, &value, unit, &quality];
        rows.push_str(&cells.map(quoted).join(","));
        rows.push('\n');
    }
    rows
}

/// RFC 4180: in quotes where it has a comma, a quote or a line break; a quote is doubled.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\"")).into()
    } else {
        cell.into()
    }
}

/// One line for people: `2026-11-20T17:28:24.123Z air temperature=21.5 °C humidity=? (crc)`.
pub(crate) fn text(directory: &Directory, reading: &Reading) -> String {
    let time = reading.taken.wall_ms.map_or_else(|| format!("+{}ms", reading.taken.up_ms), rfc3339);
    let mut line = format!("{time} {}", reading.sensor);
    for sample in &reading.frame.samples {
        // Writing to a string cannot fail.
        let _ = match &sample.value {
            Ok(Value::Text(text)) => write!(line, " {}={text:?}", sample.field),
            Ok(value) => write!(line, " {}={value}", sample.field),
            Err(reason) => write!(line, " {}=? ({reason})", sample.field),
        };
        let unit = unit(directory, reading, &sample.field).symbol();
        if !unit.is_empty() && sample.value.is_ok() {
            let _ = write!(line, " {unit}");
        }
        if sample.quality != Quality::Ok {
            let _ = write!(line, " ({})", word(sample.quality));
        }
    }
    line.push('\n');
    line
}

fn unit(directory: &Directory, reading: &Reading, field: &str) -> Unit {
    let sensor = directory.sensors.get(&reading.sensor);
    sensor.and_then(|sensor| sensor.fields.get(field)).map_or(Unit::None, |field| field.unit)
}

/// The word of the wire.
pub(crate) fn word(quality: Quality) -> &'static str {
    match quality {
        Quality::Ok => "ok",
        Quality::Stale => "stale",
        Quality::Stuck => "stuck",
        Quality::OutOfRange => "out_of_range",
        Quality::Estimated => "estimated",
        Quality::Rejected => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;

    use super::super::testing::{frame, reading};
    use super::*;

    fn directory() -> std::sync::Arc<Directory> {
        const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius)];
        let ctx = TestNode::new().context("x");
        ctx.announce(SensorDescriptor::new(Id::new("air").unwrap(), "x", "1", "here", FIELDS));
        ctx.directory()
    }

    fn sample() -> Reading {
        let mut frame =
            frame(&[("temperature", 21.5.into()), ("door", true.into()), ("note", "a, \"b\"\nc".into())]);
        frame.missing("humidity", "crc");
        frame.samples[0].quality = Quality::Stuck;
        reading(7, frame)
    }

    #[test]
    fn a_json_line_is_the_frame_of_the_wire_with_its_node_and_sensor() {
        let (node, reading) = (Id::new("pi").unwrap(), sample());
        let line = json(&node, &reading);
        assert_eq!(line.matches('\n').count(), 1, "a line break within a text is escaped");
        let frame = serde_json::to_string(&ReadingFrame::from(&reading)).unwrap();
        assert_eq!(line, format!("{{\"node\":\"pi\",\"sensor\":\"air\",{}\n", &frame[1..]));
    }

    #[test]
    fn a_csv_row_is_quoted_where_it_must_be_and_there_is_one_per_field() {
        let rows = csv(&directory(), &sample());
        let expected = "2026-11-20T17:28:24.123Z,air,9f3c21ab,7,5000,temperature,21.5,°C,stuck\n\
            2026-11-20T17:28:24.123Z,air,9f3c21ab,7,5000,door,true,,ok\n\
            2026-11-20T17:28:24.123Z,air,9f3c21ab,7,5000,note,\"a, \"\"b\"\"\nc\",,ok\n\
            2026-11-20T17:28:24.123Z,air,9f3c21ab,7,5000,humidity,,,missing: crc\n";
        assert_eq!(rows, expected);
        assert_eq!(quoted("a\rb"), "\"a\rb\"");
    }

    #[test]
    fn a_line_for_people_has_units_and_says_what_is_amiss_in_one_line() {
        let line = text(&directory(), &sample());
        let expected = "2026-11-20T17:28:24.123Z air temperature=21.5 °C (stuck) door=on \
            note=\"a, \\\"b\\\"\\nc\" humidity=? (crc)\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn the_words_of_quality_are_those_of_the_wire() {
        for quality in [
            Quality::Ok,
            Quality::Stale,
            Quality::Stuck,
            Quality::OutOfRange,
            Quality::Estimated,
            Quality::Rejected,
        ] {
            assert_eq!(serde_json::to_value(quality).unwrap(), word(quality));
        }
    }
}
