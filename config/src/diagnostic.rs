//! What is wrong with the file, for people and for machines.
//!
//! One line for logs and topics, a quoted line of source for the terminal, JSON for tools. It must not repeat a secret:
//! messages are scrubbed when they are made, and of the text it has a copy in which the secrets are masked.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::secret::{Masked, scrubbed};

/// Some editors begin a file with it; it takes no column.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something of the node will not run.
    Error,
    /// Everything runs, but perhaps not as it was meant.
    Warning,
}

/// One mistake, or something to think about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The node cannot start.
    pub fatal: bool,
    /// The id of the one component that cannot start.
    pub component: Option<String>,
    /// The file's name; `environment` for a variable, which the message names; `--set KEY` for a flag.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The place in bytes.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub help: Option<String>,
    /// What the wrong setting is for, in one line.
    pub note: Option<String>,
    /// Another place that has to do with it.
    pub related: Option<Related>,
    /// What it is about, without its secrets.
    #[serde(skip)]
    pub(crate) quoted: Arc<Quoted>,
}

/// A text that may be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Quoted {
    /// A variable or a flag has no lines that a person could count.
    pub(crate) is_file: bool,
    pub(crate) masked: Masked,
}

/// A second place of a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Related {
    /// As in [`Diagnostic::file`], with the name of the variable.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The place in bytes.
    pub span: Range<usize>,
    /// What is there.
    pub label: String,
    /// The text that it is in.
    #[serde(skip)]
    pub(crate) quoted: Arc<Quoted>,
}

impl Diagnostic {
    /// `sedge.toml:12:1: unknown key `modee`; did you mean `mode`? allowed: …`
    #[must_use]
    pub fn one_line(&self) -> String {
        let place = place(self.quoted.is_file.then_some((self.line, self.column)), Some(&self.file));
        let mut line = format!("{place}: {}", self.message);
        if let Some(related) = &self.related {
            let place = related.quoted.is_file.then_some((related.line, related.column));
            let elsewhere = place.is_none() || related.file != self.file;
            line.push_str(&format!("; {} at ", related.label));
            line.push_str(&self::place(place, elsewhere.then_some(&related.file)));
        }
        line + &self.more()
    }

    /// Quotes the line, as rustc does. `colour` is for a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let primary = AnnotationKind::Primary.span(self.quoted.masked.range(&self.span));
        let mut snippet =
            Snippet::source(self.quoted.masked.text.as_str()).path(&self.file).annotation(primary);
        let mut other = None;
        if let Some(related) = &self.related {
            let masked = &related.quoted.masked;
            let context = AnnotationKind::Context.span(masked.range(&related.span)).label(&related.label);
            if Arc::ptr_eq(&related.quoted, &self.quoted) {
                snippet = snippet.annotation(context);
            } else {
                let source = Snippet::source(masked.text.as_str()).path(&related.file);
                other = Some(source.annotation(context));
            }
        }
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let notes = self.note.as_ref().map(|note| Level::NOTE.message(note));
        let helps = self.help.as_ref().map(|help| Level::HELP.message(help));
        let group = Group::with_title(level.primary_title(&self.message)).element(snippet).elements(other);
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group.elements(notes).elements(helps)])
    }

    /// What it says, wherever that stands.
    pub(crate) fn without_place(&self) -> String {
        let related = self.related.as_ref().map(|related| related.label.as_str()).unwrap_or_default();
        [&self.message, "; ", related, &self.more()].concat()
    }

    fn more(&self) -> String {
        let parts = [("; ", &self.help), (" — ", &self.note)];
        parts
            .iter()
            .flat_map(|(before, more)| more.iter().flat_map(|more| [*before, more.as_str()]))
            .collect()
    }

    pub(crate) fn help(&mut self, help: impl AsRef<str>) -> &mut Self {
        self.help = Some(one_line(help.as_ref()));
        self
    }
}

/// `file:line:column`, as far as it is known.
fn place(position: Option<(usize, usize)>, file: Option<&String>) -> String {
    match (file, position) {
        (Some(file), Some((line, column))) => format!("{file}:{line}:{column}"),
        (Some(file), None) => file.clone(),
        (None, Some((line, column))) => format!("{line}:{column}"),
        (None, None) => String::new(),
    }
}

/// On one line, without control characters and without passwords of URLs.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in scrubbed(text).chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Line and column of an offset, both counted from 1, the column in characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..within(text, &(offset..offset)).start];
    let line = before.rfind('\n').map_or(before, |newline| &before[newline + 1..]);
    let line = line.trim_start_matches(BYTE_ORDER_MARK);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A range cut to what the text has.
pub(crate) fn within(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    start..text.floor_char_boundary(span.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_and_in_characters() {
        let text = "ab\nüx = 1\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 2), (1, 3));
        assert_eq!(position(text, text.find('x').unwrap_or(0)), (2, 2));
        assert_eq!(position(text, 4), (2, 1), "within a character");
        assert_eq!(position(text, 1000), (3, 1));
        assert_eq!(position("", 7), (1, 1));
    }
}
