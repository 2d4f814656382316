//! Text that is no TOML.
//!
//! The parser's messages, and for a key that stands twice both places: the parser knows only the second. It must not
//! go on with what could be read: half a file could run half a node.

use std::ops::Range;

use sedge_plugin::schema::child_pointer;
use toml::de::{DeTable, Error};

use crate::document::Document;
use crate::report::{Report, Scope};
use crate::source::Source;

/// Further errors mostly follow from the first ones.
const MOST_ERRORS: usize = 10;

/// Adds a diagnostic for each error in a text.
pub(crate) fn explain(report: &mut Report<'_>, source: &Source, errors: &[Error]) {
    let text = source.text.as_str();
    let there = |span: &Range<usize>| source.base + span.start..source.base + span.end;
    let mut doubled: Range<usize> = 0..0;
    for error in errors.iter().take(MOST_ERRORS) {
        let span = error.span().unwrap_or_default();
        if doubled.contains(&span.start) {
            continue; // All keys of a section that stands twice stand twice.
        }
        let first = (error.message() == "duplicate key").then(|| first_of_duplicate(text, &span)).flatten();
        match first {
            Some((first, name)) => {
                doubled = section_of(text, &span);
                let message = format!("`{name}` stands here twice");
                let (second, first) = (there(&span), there(&first));
                report.two_places(second, &message, first, "it stands first").help("keep one of them");
            }
            None => {
                let help = unquoted(text, &span);
                let message = format!("this is not TOML: {}", error.message());
                let diagnostic = report.error(Scope::Node, there(&span), &message);
                if let Some(help) = help {
                    diagnostic.help(help);
                }
            }
        }
        report.is_certain();
    }
}

/// From the header at `span` to the next one; empty where there is no header.
fn section_of(text: &str, span: &Range<usize>) -> Range<usize> {
    let line = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    if !text[line..].trim_start().starts_with('[') {
        return 0..0;
    }
    let end = text[span.end..].find("\n[").map_or(text.len(), |next| span.end + next);
    span.start..end
}

/// What to do about `kind = tmp117`.
fn unquoted(text: &str, span: &Range<usize>) -> Option<String> {
    let start = text.get(..span.start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let (key, value) = text[start..].lines().next()?.split_once('=')?;
    let word = value.split('#').next()?.trim();
    let is_text = word.starts_with(|c: char| c.is_alphabetic() || c == '/') && !word.contains(['"', '\'']);
    // The text itself is not repeated: it may be a password.
    is_text.then(|| format!("a text needs quotes: {} = \"…\"", key.trim()))
}

/// Where the key at `second` stands for the first time, and what it is called.
///
/// The tree has one key of the two, so the second is given a name that nothing else has; then both are in the tree.
fn first_of_duplicate(text: &str, second: &Range<usize>) -> Option<(Range<usize>, String)> {
    let written = text.get(second.clone())?;
    let key = format!("{written} = 0");
    let name = DeTable::parse(&key).ok()?.get_ref().keys().next()?.get_ref().to_string();
    let stand_in = (0..).map(|n| format!("second-{n}")).find(|name| !text.contains(name.as_str()))?;
    let renamed = [&text[..second.start], &stand_in, &text[second.end..]].concat();
    let (table, _) = DeTable::parse_recoverable(&renamed);
    let document = Document::new(table.get_ref(), 0);
    let (pointer, _) = document.places().find(|(pointer, _)| pointer.ends_with(&stand_in))?;
    let parent = pointer.strip_suffix(&stand_in)?.strip_suffix('/')?;
    let first = child_pointer(parent, &name);
    let place = document.has(&first).then(|| document.place(&first).key)?;
    (place.end <= second.start).then_some((place, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(String, usize)> {
        let (_, errors) = DeTable::parse_recoverable(text);
        let (place, name) = first_of_duplicate(text, &errors[0].span()?)?;
        Some((name, text[..place.start].matches('\n').count() + 1))
    }

    #[test]
    fn both_places_of_a_duplicate_are_found() {
        assert_eq!(first("[a.b]\nx = 1\n[c]\nx = 1\nx = 2"), Some(("x".into(), 4)));
        assert_eq!(first("[a]\n[a.\"b c\"]\ny = 1\n[ a . 'b c' ]\ny = 2"), Some(("b c".into(), 2)));
        assert_eq!(first("a.b = 1\na.b = 2"), Some(("b".into(), 1)));
        assert_eq!(first("a = { b = 1, b = 2 }"), Some(("b".into(), 1)));
    }
}
