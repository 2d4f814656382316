//! InfluxDB's line protocol: `sedge,node=pi,sensor=air temperature=21.5,door=true 1795195704123000000`.
//!
//! Numbers are always floats, so that a field never changes its type. A value that could not be taken is left out; one that
//! is not `ok` has its quality beside it, as the text `temperature_quality="stuck"`.

use std::fmt::Write as _;

use sedge_plugin::{Id, Quality, Reading, Taken, Value};

use super::super::parts::lines::word;

/// The line of a reading; nothing where no value of it was taken. `now` gives the time to one that was taken before the
/// time was known; where it is still not known the server gives its own.
pub(super) fn line(measurement: &str, node: &Id, reading: &Reading, now: Taken) -> String {
    let mut fields = Vec::new();
    for sample in &reading.frame.samples {
        let name = escaped(&sample.field, ",= ");
        match &sample.value {
            Ok(Value::Number(n)) if n.is_finite() => fields.push(format!("{name}={n}")),
            Ok(Value::Bool(on)) => fields.push(format!("{name}={on}")),
            Ok(Value::Text(text)) => fields.push(format!("{name}=\"{}\"", escaped(text, "\"\\"))),
            Ok(Value::Number(_)) | Err(_) => continue,
        }
        if sample.quality != Quality::Ok {
            fields.push(format!("{name}_quality=\"{}\"", word(sample.quality)));
        }
    }
    if fields.is_empty() {
        return String::new();
    }
    let mut line = format!(
        "{},node={},sensor={} {}",
        escaped(measurement, ", "),
        escaped(node.as_str(), ",= "),
        escaped(reading.sensor.as_str(), ",= "),
        fields.join(",")
    );
    if let Some(ms) = wall_ms(reading.taken, now) {
        // Writing to a string cannot fail.
        let _ = write!(line, " {}", i128::from(ms) * 1_000_000);
    }
    line.push('\n');
    line
}

/// When that was, if it can be known `now`.
pub(super) fn wall_ms(taken: Taken, now: Taken) -> Option<i64> {
    taken.wall_ms.or_else(|| {
        let ago = i64::try_from(now.up_ms.checked_sub(taken.up_ms)?).ok()?;
        now.wall_ms?.checked_sub(ago)
    })
}

/// With a backslash before each of these; a line break, which no line may have, as `\n`.
fn escaped(text: &str, special: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => {
                if special.contains(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::super::parts::testing::{WALL_MS, frame, reading};
    use super::*;

    const NOW: Taken = Taken { up_ms: 65_000, wall_ms: Some(WALL_MS) };

    fn node() -> Id {
        Id::new("pi").unwrap()
    }

    #[test]
    fn a_line_has_the_tags_all_values_and_the_time_in_nanoseconds() {
        let mut frame = frame(&[("t", 21.0.into()), ("door", true.into()), ("q", 1.5.into())]);
        frame.samples[2].quality = Quality::Stuck;
        frame.missing("humidity", "crc");
        let line = line("sedge", &node(), &reading(1, frame), NOW);
        let expected =
            "sedge,node=pi,sensor=air t=21,door=true,q=1.5,q_quality=\"stuck\" 1795195704123000000\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn what_would_end_a_word_or_a_line_is_escaped() {
        let frame = frame(&[("a b,c=d", r#"say "hi\", x=1"#.into()), ("n", "two\nlines".into())]);
        let line = line("my, place", &node(), &reading(1, frame), NOW);
        let expected = "my\\,\\ place,node=pi,sensor=air a\\ b\\,c\\=d=\"say \\\"hi\\\\\\\", x=1\",n=\"two\\nlines\" \
            1795195704123000000\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn a_reading_from_before_the_time_was_known_gets_its_true_time_or_none() {
        let mut early = reading(1, frame(&[("t", 1.into())]));
        early.taken = Taken { up_ms: 5_000, wall_ms: None };
        let at = |now| line("m", &node(), &early, now);
        assert_eq!(at(NOW), "m,node=pi,sensor=air t=1 1795195644123000000\n", "a minute ago");
        assert_eq!(at(Taken { wall_ms: None, ..NOW }), "m,node=pi,sensor=air t=1\n");
    }

    #[test]
    fn a_reading_without_a_value_has_no_line() {
        let mut none = frame(&[]);
        none.missing("t", "crc");
        assert_eq!(line("m", &node(), &reading(1, none), NOW), "");
    }
}
