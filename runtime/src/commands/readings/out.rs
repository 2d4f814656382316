//! Where many lines go: the terminal, a pipe, a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Written in large pieces.
pub(super) struct Out {
    to: BufWriter<Box<dyn Write + Send>>,
    file: Option<PathBuf>,
}

impl Out {
    pub(super) fn stdout() -> Self {
        Self { to: BufWriter::new(Box::new(io::stdout())), file: None }
    }

    /// A file, made anew.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path)
            .map_err(|error| Failure::Failed(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { to: BufWriter::new(Box::new(file)), file: Some(path.into()) })
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        let outcome = self.to.write_all(text.as_bytes());
        self.told(outcome)
    }

    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let outcome = writeln!(self.to, "{line}");
        self.told(outcome)
    }

    pub(super) fn end(mut self) -> Result<(), Failure> {
        let outcome = self.to.flush();
        self.told(outcome)
    }

    fn told(&self, outcome: io::Result<()>) -> Result<(), Failure> {
        outcome.map_err(|error| match &self.file {
            Some(file) => Failure::Failed(format!("cannot write {}: {error}", file.display())),
            None if error.kind() == io::ErrorKind::BrokenPipe => Failure::NobodyReads,
            None => Failure::Failed(format!("cannot print: {error}")),
        })
    }
}
