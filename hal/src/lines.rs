//! GPIO lines: the pins of a chip, each claimed by one owner at a time.
//!
//! ```
//! use sedge_hal::{LineError, SimBus, SystemClock};
//! let chip = SimBus::new("gpio0", std::sync::Arc::new(SystemClock)).lines();
//! let pump = chip.output(17, false, false).unwrap();
//! assert!(matches!(chip.output(17, false, false), Err(LineError::Taken { line: 17, .. })));
//! drop(pump);
//! assert!(chip.output(17, false, false).is_ok());
//! ```
//!
//! Setting a line is one short system call, so it is done where it is asked for. A line that is let go keeps
//! its level on a simulated chip; on a real one the kernel decides. Whoever needs a level afterwards must set
//! it before letting go.

use std::sync::Arc;

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Somebody else has it.
    #[error("line {line} is in use by {by}; choose another line, or stop what uses it")]
    Taken {
        /// Its number on the chip.
        line: u32,
        /// Who has it, as the kernel names it.
        by: String,
    },
    /// The chip has fewer lines.
    #[error("there is no line {line}: the chip has lines 0 to {last}")]
    NoSuchLine {
        /// What was asked for.
        line: u32,
        /// The highest line that there is.
        last: u32,
    },
    /// The chip is not there, or not for us. Says what to do.
    #[error("{0}")]
    Gone(String),
    /// Anything else.
    #[error("line {line}: {why}")]
    Failed {
        /// Its number on the chip.
        line: u32,
        /// What the kernel said.
        why: String,
    },
}

/// A chip that has lines.
pub(crate) trait Chip: Send + Sync {
    fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<Box<dyn Output>, LineError>;
}

/// A claimed line. Levels are logical: `active_low` is applied below.
pub(crate) trait Output: Send + Sync {
    fn set(&self, on: bool) -> Result<(), LineError>;
    fn get(&self) -> Result<bool, LineError>;
}

/// The lines of a chip. Cheap to clone.
#[derive(Clone)]
pub struct Lines(Arc<dyn Chip>);

impl Lines {
    pub(crate) fn new(chip: impl Chip + 'static) -> Self {
        Self(Arc::new(chip))
    }

    /// Claims a line as an output that is `initial` from the first moment on. With `active_low`, on is the
    /// low level.
    ///
    /// # Errors
    /// When there is no such chip or line, or somebody has it. The chip is looked for at each call.
    pub fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<OutputLine, LineError> {
        Ok(OutputLine(self.0.output(line, initial, active_low)?))
    }
}

/// A line that we drive. Let go when it is dropped.
pub struct OutputLine(Box<dyn Output>);

impl OutputLine {
    /// Drives it.
    ///
    /// # Errors
    /// When the chip went away.
    pub fn set(&self, on: bool) -> Result<(), LineError> {
        self.0.set(on)
    }

    /// What it is now.
    ///
    /// # Errors
    /// When the chip went away.
    pub fn get(&self) -> Result<bool, LineError> {
        self.0.get()
    }
}
