//! Values that are never shown.
//!
//! A password reaches the broker and nothing else: not a log, not a diagnostic, not the line of source that a
//! diagnostic quotes. Masking a text errs on the side of hiding too much; it must work on text that is no TOML at all,
//! because a forgotten quote in the line of the password is what a diagnostic would quote.

use std::fmt;
use std::ops::{Deref, Range};

use sedge_plugin::MASK;
use sedge_plugin::schema::{looks_secret, nearest};
use serde::{Serialize, Serializer};
use serde_json::Value;
use toml::de::DeTable;

use crate::document::Document;

/// The settings that a kind defines for itself. Printed or serialized, secrets are masked: those that the kind's schema
/// marks as `writeOnly`, and those whose key says so. The plugin gets them by [`Deref`] or [`Settings::into_value`].
#[derive(Clone, PartialEq, Default)]
pub struct Settings {
    value: Value,
    /// Pointers to what the schema marks.
    secrets: Vec<String>,
}

impl Settings {
    pub(crate) fn new(value: Value, secrets: Vec<String>) -> Self {
        Self { value, secrets }
    }

    /// The settings with their secrets.
    #[must_use]
    pub fn into_value(self) -> Value {
        self.value
    }

    fn masked(&self) -> Value {
        masked(&self.value, &self.secrets)
    }
}

impl Deref for Settings {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.value
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.masked())
    }
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.masked().serialize(serializer)
    }
}

/// A value without its secrets: those that `secrets` point to, and those whose key or text says so.
pub(crate) fn masked(value: &Value, secrets: &[String]) -> Value {
    let mut value = masked_by_key(value);
    for pointer in secrets {
        if let Some(secret) = value.pointer_mut(pointer) {
            *secret = MASK.into();
        }
    }
    value
}

fn masked_by_key(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mask = |(key, value): (&String, &Value)| {
                let value = if may_be_secret(key) { MASK.into() } else { masked_by_key(value) };
                (key.clone(), value)
            };
            Value::Object(object.iter().map(mask).collect())
        }
        Value::Array(array) => array.iter().map(masked_by_key).collect(),
        Value::String(text) => scrubbed(text).into(),
        scalar => scalar.clone(),
    }
}

/// A message without the password of a URL in it.
pub(crate) fn scrubbed(text: &str) -> String {
    let mut secrets = credentials(text);
    secrets.extend(queries(text));
    Masked::new(text, secrets).text
}

/// A text with its secrets replaced, and the way from the old offsets to the new.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Masked {
    pub(crate) text: String,
    /// Sorted, and apart from each other.
    ranges: Vec<Range<usize>>,
    /// What stands for each: [`MASK`], and the line ends, so that lines keep their numbers.
    masks: Vec<String>,
}

/// Without the text, which is long.
impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.text.len())
    }
}

impl Masked {
    /// Masks all secrets of a config file, and what else is `hidden`.
    pub(crate) fn file(text: &str, hidden: &[Range<usize>]) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let document = Document::new(table.get_ref(), 0);
        let secret = |pointer: &str| pointer.split('/').any(looks_secret);
        let values =
            document.places().filter(|(pointer, _)| secret(pointer)).map(|(_, place)| place.value.clone());
        // A table's value is its header, which hides nothing.
        let values =
            values.filter(|range| text.get(range.clone()).is_some_and(|text| !text.starts_with('[')));
        let mut ranges: Vec<_> = values.chain(assignments(text)).chain(hidden.iter().cloned()).collect();
        ranges.extend(credentials(text));
        ranges.extend(queries(text));
        Self::new(text, ranges)
    }

    fn new(text: &str, mut ranges: Vec<Range<usize>>) -> Self {
        ranges.retain(|range| !range.is_empty() && text.get(range.clone()).is_some());
        ranges.sort_by_key(|range| range.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => apart.push(range),
            }
        }
        let mut masked = String::new();
        let mut done = 0;
        let lines =
            |range: &Range<usize>| MASK.to_owned() + &"\n".repeat(text[range.clone()].matches('\n').count());
        let masks: Vec<String> = apart.iter().map(lines).collect();
        for (range, mask) in apart.iter().zip(&masks) {
            masked.push_str(&text[done..range.start]);
            masked.push_str(mask);
            done = range.end;
        }
        masked.push_str(&text[done..]);
        Self { text: masked, ranges: apart, masks }
    }

    /// Where a range of the original text is now; a range that touches a mask has all of it.
    pub(crate) fn range(&self, range: &Range<usize>) -> Range<usize> {
        self.offset(range.start, false)..self.offset(range.end, true)
    }

    fn offset(&self, offset: usize, after: bool) -> usize {
        let mut shifted = offset;
        for (range, mask) in self.ranges.iter().zip(&self.masks) {
            if offset >= range.end {
                shifted = shifted + mask.len() - range.len();
            } else if offset > range.start {
                let inside = offset - range.start;
                return shifted - inside + if after { MASK.len() } else { 0 };
            }
        }
        shifted
    }
}

/// Also a misspelt `passwrd`: its line is quoted where it is between two lines that a diagnostic is about.
pub(crate) fn may_be_secret(key: &str) -> bool {
    let is_near = nearest(key, ["password", "passwd", "passphrase", "secret"]).is_some();
    looks_secret(key) || (is_near && !key.ends_with("_file"))
}

/// What follows `password =`, to the end of the line; to the closing quotes when a text of several lines begins there.
fn assignments(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (equals, _) in text.match_indices('=') {
        let before = text[..equals].trim_end_matches([' ', '\t', '"', '\'']);
        let is_key = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let key = &before[before.trim_end_matches(is_key).len()..];
        if !may_be_secret(key) {
            continue;
        }
        let start =
            equals + 1 + text[equals + 1..].len() - text[equals + 1..].trim_start_matches([' ', '\t']).len();
        let rest = &text[start..];
        let quotes = ["\"\"\"", "'''"].into_iter().find(|quotes| rest.starts_with(quotes));
        let end = match quotes {
            Some(quotes) => rest[3..].find(quotes).map(|at| at + 6),
            None => rest.find('\n'),
        };
        let value = &rest[..end.unwrap_or(rest.len())];
        ranges.push(start..start + value.trim_end().len());
    }
    ranges
}

/// Keys of a URL's query whose values are nobody's business, beside those that [`looks_secret`].
const QUERY_SECRETS: [&str; 4] = ["p", "key", "auth", "sig"];

/// The secrets in `https://host/write?user=me&token=…`.
fn queries(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, scheme) in text.match_indices("://") {
        let start = at + scheme.len();
        let end = text[start..].find(|c: char| c.is_whitespace() || "\"'`#".contains(c));
        let url = &text[start..end.map_or(text.len(), |end| start + end)];
        let Some(question) = url.find('?') else { continue };
        let mut from = start + question + 1;
        for pair in url[question + 1..].split('&') {
            if let Some((key, value)) = pair.split_once('=')
                && (looks_secret(key) || QUERY_SECRETS.contains(&key))
            {
                let begin = from + key.len() + 1;
                ranges.push(begin..begin + value.len());
            }
            from += pair.len() + 1;
        }
    }
    ranges
}

/// The password in `mqtt://user:password@host`: from the colon to the last `@` of the line.
fn credentials(text: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, scheme) in text.match_indices("://") {
        let start = at + scheme.len();
        let line = text[start..].lines().next().unwrap_or_default();
        let Some(colon) = line.find(':') else { continue };
        if let Some(end) = line.rfind('@').filter(|end| colon < *end) {
            ranges.push(start + colon + 1..start + end);
        } else {
            // No `@`: what is no port may be the password of somebody who forgot the host.
            let rest = &line[colon + 1..];
            let end = rest.find(|c: char| "\"' /`,;".contains(c)).unwrap_or(rest.len());
            if !rest[..end].bytes().all(|byte| byte.is_ascii_digit()) {
                ranges.push(start + colon + 1..start + colon + 1 + end);
            }
        }
    }
    ranges
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_text_is_masked_wherever_a_secret_stands_even_where_it_is_no_toml() {
        for text in [
            "password = \"hunter2\"",
            "mqtt = { user = 1, password = \"hunter2\" }",
            "mqtt.password=\"hunter2",
            "\"password\" = 'hunter2",
            "password = \"\"\"\n\nhunter2\n\"\"\"",
            "password = \"\"\"\n\nhunter2\n",
            "password = [\n\"hunter2\",\n]",
            "passwrd = 'hunter2'",
            "pasword_ = 'hunter2'",
            "password = hunter2 # hunter2\nx = 1",
            "url = \"mqtt://me:hunter2@host\"",
            "url = mqtt://me:hun/ter@hunter2@host",
            "[[x]]\nsecrets.a = 'hunter2'",
            "url = \"https://host/write?db=a&token=hunter2\"",
            "url = 'http://host:8086/write?p=hunter2&u=me' # x",
        ] {
            let masked = Masked::file(text, &[]).text;
            assert!(!masked.contains("hunter2") && masked.contains(MASK), "{text}: {masked}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "password_file = \"/run/secrets/mqtt\"",
            "url = \"mqtt://host:1883\"",
            "url = \"http://h/?db=a&user=b\"",
            "[x]\nkind = \"a\"\n",
        ] {
            assert_eq!(Masked::file(text, &[]).text, text);
        }
    }

    #[test]
    fn a_range_keeps_pointing_at_the_same_thing() {
        let text = "password = \"hunter2\"\nkind = \"x\"";
        let masked = Masked::file(text, &[]);
        let at = |part: &str| text.find(part).map(|at| at..at + part.len()).expect("is there");
        assert_eq!(&masked.text[masked.range(&at("kind"))], "kind");
        assert_eq!(&masked.text[masked.range(&at("hunter2"))], MASK);
        assert_eq!(&masked.text[masked.range(&at("password = \"hunter2\""))], "password = ***");

        let text = "password = \"\"\"\nhunter2\n\"\"\"\nkind = 1";
        let masked = Masked::file(text, &[]);
        assert_eq!(masked.text, "password = ***\n\n\nkind = 1", "later lines keep their numbers");
        assert_eq!(&masked.text[masked.range(&(text.len() - 8..text.len()))], "kind = 1");
    }
}
