//! What can be wrong with a value, in words for people.
//!
//! A mistake says what was found, what is expected, and the nearest valid word. It must not repeat a secret: whoever
//! makes one passes a value through [`shown`].

use std::fmt;

use serde_json::Value;

use super::{Types, nearest};
use crate::duration::DurationError;
use crate::{IdError, KeyError, RateError, SizeError};

/// More words than this are not listed.
const MOST_WORDS: usize = 20;

/// A longer text is cut when it is repeated.
const LONGEST_SHOWN: usize = 40;

/// One mistake in a value. Displayed, it is one line with everything that helps.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// JSON pointer to the wrong value; for a missing key to the object, for an unknown key to that key.
    pub pointer: String,
    /// What is wrong.
    pub kind: MistakeKind,
    /// What the schema says about the value that is wrong, or the one that is missing.
    pub description: Option<String>,
    /// The value is a secret: do not show the line that it stands on.
    pub secret: bool,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub enum MistakeKind {
    /// A key that the schema does not have.
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that there are.
        allowed: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A key that has to be there.
    MissingKey {
        /// The key.
        key: String,
    },
    /// A value of the wrong type.
    WrongType {
        /// The types that are allowed.
        expected: Types,
        /// The value, for people.
        found: String,
    },
    /// A value that is not one of those listed.
    NotAllowed {
        /// The value, for people.
        found: String,
        /// Those listed, for people.
        allowed: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A number outside of its limits.
    OutOfRange {
        /// The number, for people.
        found: String,
        /// The limits, for people: `118 to 119`.
        expected: String,
    },
    /// A number that is not a multiple.
    NotMultiple {
        /// The number, for people.
        found: String,
        /// Of what it should be a multiple.
        of: String,
    },
    /// Too short or too long.
    BadLength {
        /// How long it is.
        found: usize,
        /// How long it should be, for people: `at least 1`.
        expected: String,
        /// What is counted.
        unit: Unit,
    },
    /// An element that stands in the array already.
    Repeated {
        /// The element, for people.
        found: String,
    },
    /// A text that is not a duration.
    BadDuration(DurationError),
    /// A text that is not a size.
    BadSize(SizeError),
    /// Not a rate.
    BadRate(RateError),
    /// Not a public key.
    BadKey(KeyError),
    /// A text that is not an address with a port.
    BadSocketAddress(String),
    /// No legal id or name.
    BadWord(IdError),
    /// No value is allowed here.
    Refused,
    /// None of several shapes fits.
    NoShape,
    /// More than one of several shapes fits, where exactly one should.
    Ambiguous,
    /// The check was given up: schema and value need too many steps.
    TooComplex,
}

/// What the length of a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The characters of a string.
    Characters,
    /// The elements of an array.
    Elements,
}

impl MistakeKind {
    /// An unknown key among those allowed.
    #[must_use]
    pub fn unknown_key<'a>(key: &str, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let allowed: Vec<String> = allowed.into_iter().map(str::to_owned).collect();
        let nearest = nearest(key, allowed.iter().map(String::as_str)).map(str::to_owned);
        Self::UnknownKey { key: key.into(), allowed, nearest }
    }

    /// A hint what to do about it, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { allowed, .. } if allowed.is_empty() => Some("no keys are allowed here".into()),
            Self::UnknownKey { allowed, nearest, .. } => {
                let all = format!("allowed: {}", listed(allowed, ""));
                Some(nearest.as_ref().map_or(all.clone(), |word| format!("did you mean `{word}`? {all}")))
            }
            Self::NotAllowed { nearest: Some(word), .. } => Some(format!("did you mean `{word}`?")),
            _ => None,
        }
    }
}

/// What is wrong, without the hint.
impl fmt::Display for MistakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, .. } => write!(f, "unknown key `{}`", cut(key)),
            Self::MissingKey { key, .. } => write!(f, "missing key `{key}`"),
            Self::WrongType { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::NotAllowed { found, allowed, .. } => match allowed.as_slice() {
                [only] => write!(f, "expected `{only}`, found {found}"),
                several => write!(f, "expected one of {}, found {found}", listed(several, "`")),
            },
            Self::OutOfRange { found, expected } => write!(f, "{found} is out of range, expected {expected}"),
            Self::NotMultiple { found, of } => write!(f, "{found} is not a multiple of {of}"),
            Self::BadLength { found, expected, unit } => {
                let unit = match unit {
                    Unit::Characters => "character",
                    Unit::Elements => "element",
                };
                let plural = if expected.ends_with(" 1") { "" } else { "s" };
                write!(f, "expected {expected} {unit}{plural}, found {found}")
            }
            Self::Repeated { found } => write!(f, "{found} stands here twice"),
            Self::BadDuration(error) => error.fmt(f),
            Self::BadSize(error) => error.fmt(f),
            Self::BadRate(error) => error.fmt(f),
            Self::BadKey(error) => error.fmt(f),
            Self::BadSocketAddress(found) => {
                write!(f, "`{found}` is not an address with a port, such as 127.0.0.1:9464")
            }
            Self::BadWord(error) => error.fmt(f),
            Self::Refused => f.write_str("nothing is allowed here"),
            Self::NoShape => f.write_str("this fits none of the shapes that are allowed here"),
            Self::Ambiguous => f.write_str("this fits more than one of the shapes that are allowed here"),
            Self::TooComplex => f.write_str("this is too complex to be checked"),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if let Some(hint) = self.kind.hint() {
            write!(f, "; {hint}")?;
        }
        match &self.description {
            Some(description) => write!(f, " — {description}"),
            None => Ok(()),
        }
    }
}

fn listed(words: &[String], quote: &str) -> String {
    let quoted = words.iter().take(MOST_WORDS).map(|word| format!("{quote}{word}{quote}"));
    let mut listed = quoted.collect::<Vec<_>>().join(", ");
    if words.len() > MOST_WORDS {
        listed.push_str(", …");
    }
    listed
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// A value as a mistake repeats it: short, and without its content when it is a secret.
pub(super) fn shown(value: &Value, secret: bool) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "a table (object)".into(),
        _ if secret => "***".into(),
        Value::String(text) => format!("`{}`", cut(text)),
        scalar => scalar.to_string(),
    }
}

/// A value as a mistake repeats it where its type matters: `the string `5``.
pub(super) fn shown_with_type(value: &Value, secret: bool) -> String {
    let shown = shown(value, secret);
    match value {
        Value::String(_) => format!("the string {shown}"),
        Value::Number(n) if n.is_f64() => format!("the number {shown}"),
        Value::Number(_) => format!("the integer {shown}"),
        _ => shown,
    }
}

/// A listed value as a mistake offers it.
pub(super) fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
