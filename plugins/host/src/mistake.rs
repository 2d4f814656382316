//! What is wrong with a plugin on disk, for people and for machines.
//!
//! Displayed, a mistake is one line: `pump/plugin.toml:3:1: unknown key `nmae`; did you mean `name`? …`. It must not
//! carry a control character to a terminal: what it repeats was written by strangers.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Some editors begin a file with it; it takes no column.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One mistake, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Mistake {
    /// The file, or the folder where no file can be read.
    pub file: PathBuf,
    /// Where in the file; nothing for a folder.
    pub at: Option<Position>,
    /// What was found and what is expected.
    pub message: String,
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
}

impl Position {
    /// Where a file begins.
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    /// Of an offset in bytes.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line = before.rfind('\n').map_or(before, |newline| &before[newline + 1..]);
        let line = line.trim_start_matches(BYTE_ORDER_MARK);
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl Mistake {
    pub(crate) fn in_text(file: &Path, text: &str, span: &Range<usize>, message: impl fmt::Display) -> Self {
        Self { at: Some(Position::of(text, span.start)), ..Self::of_folder(file, message) }
    }

    pub(crate) fn of_file(file: &Path, message: impl fmt::Display) -> Self {
        Self { at: Some(Position::START), ..Self::of_folder(file, message) }
    }

    pub(crate) fn of_folder(folder: &Path, message: impl fmt::Display) -> Self {
        Self { file: folder.into(), at: None, message: one_line(&message.to_string()) }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.file.to_string_lossy()))?;
        if let Some(Position { line, column }) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_and_in_characters() {
        let text = "\u{feff}ab\nüx = 1\n";
        let of = |offset| (Position::of(text, offset).line, Position::of(text, offset).column);
        assert_eq!(of(0), (1, 1));
        assert_eq!(of(3), (1, 1), "the mark takes no column");
        assert_eq!(of(text.find('x').unwrap_or(0)), (2, 2));
        assert_eq!(of(1000), (3, 1));
    }

    #[test]
    fn nothing_that_is_repeated_moves_the_cursor() {
        let mistake = Mistake::of_file(Path::new("a\u{1b}[2J/plugin.toml"), "found `\r\n`");
        assert_eq!(mistake.to_string(), "a\\u{1b}[2J/plugin.toml:1:1: found `\\r\\n`");
    }
}
