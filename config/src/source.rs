//! The texts that a config is made of.
//!
//! All of them share one space of offsets: each begins where the one before it ends, and one more. So a place is a
//! plain range wherever it is from, and what comes later has the greater offset. Only who shows a place has to know
//! the text that it is in. It must not know what a text means.

use std::fmt;
use std::ops::Range;

use crate::diagnostic::{one_line, position, within};

/// How a text reached the node.
#[derive(Clone, PartialEq)]
pub(crate) enum From {
    /// A file.
    File,
    /// A variable of the environment: `NAME=value`.
    Variable(Given),
    /// A flag: `--set key=value`.
    Flag(Given),
}

/// Something that was given outside of a file.
#[derive(Clone, PartialEq)]
pub(crate) struct Given {
    /// What it is called.
    pub(crate) name: String,
    /// Where its value stands in its text.
    pub(crate) value: Range<usize>,
    /// Never to be shown.
    pub(crate) secret: bool,
}

/// One text.
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) from: From,
    /// Its first offset.
    pub(crate) base: usize,
}

impl Source {
    pub(crate) fn is_file(&self) -> bool {
        self.from == From::File
    }

    /// A range of the shared offsets as one of this text.
    pub(crate) fn local(&self, span: &Range<usize>) -> Range<usize> {
        within(&self.text, &(span.start.saturating_sub(self.base)..span.end.saturating_sub(self.base)))
    }

    /// What begins a message about it.
    pub(crate) fn prefix(&self) -> String {
        match &self.from {
            From::Variable(given) => format!("{}: ", given.name),
            From::File | From::Flag(_) => String::new(),
        }
    }

    /// The source itself, for people; where there are many of a kind, which one.
    pub(crate) fn title(&self) -> String {
        one_line(&match &self.from {
            From::Variable(given) => format!("{} {}", self.name, given.name),
            From::File | From::Flag(_) => self.name.clone(),
        })
    }

    /// `sedge.toml:12:1`, `environment SEDGE__NODE__ID`, `--set`.
    pub(crate) fn located(&self, span: &Range<usize>) -> String {
        match &self.from {
            From::File => {
                let (line, column) = position(&self.text, self.local(span).start);
                format!("{}:{line}:{column}", one_line(&self.name))
            }
            From::Variable(_) => self.title(),
            From::Flag(_) => "--set".into(),
        }
    }
}

/// Without the text: it has secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title())
    }
}

/// All texts, in the order in which they were given.
#[derive(Debug)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Before a place is asked for there must be a first one.
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a text; gives its first offset.
    pub(crate) fn add(&mut self, name: &str, text: &str, from: From) -> usize {
        let base = self.0.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.0.push(Source { name: name.into(), text: text.into(), from, base });
        base
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, index: usize) -> &Source {
        &self.0[index]
    }

    /// The number of the text that an offset is in.
    pub(crate) fn index(&self, offset: usize) -> usize {
        self.0.partition_point(|source| source.base <= offset).saturating_sub(1)
    }

    /// The text that an offset is in.
    pub(crate) fn at(&self, offset: usize) -> &Source {
        self.get(self.index(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offset_belongs_to_one_text_even_where_texts_are_empty() {
        let mut sources = Sources::new();
        let bases = ["ab\nc", "", "x"].map(|text| sources.add(text, text, From::File));
        assert_eq!(bases, [0, 5, 6]);
        assert_eq!([0, 4, 5, 6, 7, 99].map(|offset| sources.index(offset)), [0, 0, 1, 2, 2, 2]);
        assert_eq!(sources.get(0).located(&(3..4)), "ab\nc:2:1".replace('\n', "\\n"));
        assert_eq!(sources.get(2).local(&(6..7)), 0..1);
    }
}
