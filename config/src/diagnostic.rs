//! What is wrong with the file, for people and for machines.
//!
//! One line for logs and topics, a quoted line of source for the terminal, JSON for tools. It must not repeat a secret:
//! messages are scrubbed when they are made, the source when it is quoted.

use std::ops::Range;

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
    /// The file's name.
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
    /// Not to be quoted.
    #[serde(skip)]
    pub(crate) hidden: Vec<Range<usize>>,
}

/// A second place of a [`Diagnostic`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Related {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The place in bytes.
    pub span: Range<usize>,
    /// What is there.
    pub label: String,
}

impl Diagnostic {
    /// `sedge.toml:12:1: unknown key `modee`; did you mean `mode`? allowed: …`
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut line = format!("{}:{}:{}: {}", self.file, self.line, self.column, self.message);
        if let Some(related) = &self.related {
            line.push_str(&format!("; {} at {}:{}", related.label, related.line, related.column));
        }
        for (before, more) in [("; ", &self.help), (" — ", &self.note)] {
            line.extend(more.iter().flat_map(|more| [before, more.as_str()]));
        }
        line
    }

    /// Quotes the line, as rustc does. `text` is the file's text, `colour` is for a terminal.
    #[must_use]
    pub fn render(&self, text: &str, colour: bool) -> String {
        let masked = Masked::file(text, &self.hidden);
        let place = |span: &Range<usize>| masked.range(&within(text, span));
        let primary = AnnotationKind::Primary.span(place(&self.span));
        let mut snippet = Snippet::source(masked.text.as_str()).path(&self.file).annotation(primary);
        if let Some(related) = &self.related {
            snippet =
                snippet.annotation(AnnotationKind::Context.span(place(&related.span)).label(&related.label));
        }
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let notes = self.note.as_ref().map(|note| Level::NOTE.message(note));
        let helps = self.help.as_ref().map(|help| Level::HELP.message(help));
        let group = Group::with_title(level.primary_title(&self.message)).element(snippet);
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group.elements(notes).elements(helps)])
    }

    pub(crate) fn help(&mut self, help: impl AsRef<str>) -> &mut Self {
        self.help = Some(one_line(help.as_ref()));
        self
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
