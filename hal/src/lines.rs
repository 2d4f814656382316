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
//! An input tells its edges by itself; nobody has to ask again and again:
//!
//! ```
//! use sedge_hal::{Detect, InputOptions, SimBus, SystemClock};
//! # sedge_plugin::testing::block_on(async {
//! let chip = SimBus::new("gpio0", std::sync::Arc::new(SystemClock));
//! let meter = chip.lines().input(4, InputOptions { edges: Detect::Rising, ..Default::default() }).unwrap();
//! let mut edges = meter.edges();
//! chip.pulse(4, 3);
//! assert_eq!(edges.next().await.unwrap().rising, 3);
//! # });
//! ```
//!
//! Setting a line is one short system call, so it is done where it is asked for. A line that is let go keeps
//! its level on a simulated chip; on a real one the kernel decides. Whoever needs a level afterwards must set
//! it before letting go.

use std::sync::Arc;
use std::time::Duration;

use crate::edges::{Detect, EdgeStream, Inbox};
use crate::pwm::{Modulate, Pwm, PwmError, PwmOptions, software};

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
    /// It cannot do what it is to do. Says what to do instead.
    #[error("line {line} {why}")]
    Unable {
        /// Its number on the chip.
        line: u32,
        /// What it cannot do, and what to do.
        why: String,
    },
    /// It is ours no more.
    #[error("line {line} was let go")]
    LetGo {
        /// Its number on the chip.
        line: u32,
    },
    /// Anything else.
    #[error("line {line}: {why}")]
    Failed {
        /// Its number on the chip.
        line: u32,
        /// What the kernel said.
        why: String,
    },
}

/// What holds the level of an input that nobody drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// Nothing.
    None,
    /// A resistor of the chip, to the high level.
    Up,
    /// A resistor of the chip, to the low level.
    Down,
    /// As it was before.
    #[default]
    AsIs,
}

/// How an input is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputOptions {
    /// Its resistor. A chip that has none goes without, as Linux does.
    pub pull: Pull,
    /// On is the low level.
    pub active_low: bool,
    /// How long it must be still before a change counts.
    pub debounce: Option<Duration>,
    /// Which edges are told.
    pub edges: Detect,
}

/// A chip that has lines.
pub(crate) trait Chip: Send + Sync {
    fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<Box<dyn Output>, LineError>;
    fn input(&self, line: u32, options: InputOptions) -> Result<InputLine, LineError>;

    fn pwm(&self, line: u32, options: PwmOptions) -> Result<Box<dyn Modulate>, PwmError> {
        software(line, options, |initial| self.output(line, initial, false).map(OutputLine))
    }
}

/// A claimed line. Levels are logical: `active_low` is applied below.
pub(crate) trait Output: Send + Sync {
    fn set(&self, on: bool) -> Result<(), LineError>;
    fn get(&self) -> Result<bool, LineError>;
}

/// A claimed line that others drive. Dropped, it is free at once.
pub(crate) trait Input: Send + Sync {
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

    /// Claims a line as an input. Where edges are asked for, a thread waits for them in the kernel.
    ///
    /// # Errors
    /// When there is no such chip or line, somebody has it, or it cannot do what is asked.
    pub fn input(&self, line: u32, options: InputOptions) -> Result<InputLine, LineError> {
        self.0.input(line, options)
    }

    /// Claims a line as an output that a thread switches on and off, up to 200 Hz. Its deadlines are absolute, so it keeps
    /// its frequency; but each edge comes as late as the system is busy: for what is slow, not for a servo.
    ///
    /// # Errors
    /// When there is no such chip or line, somebody has it, or it cannot do what is asked.
    pub fn pwm(&self, line: u32, options: PwmOptions) -> Result<Pwm, PwmError> {
        options.check()?;
        Ok(Pwm::new(self.0.pwm(line, options)?, options))
    }
}

/// A line that we drive. Let go when it is dropped.
pub struct OutputLine(pub(crate) Box<dyn Output>);

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

/// A line that others drive. Let go when it is dropped, and its edges end with it.
pub struct InputLine {
    // Let go before its edges are ended.
    line: Box<dyn Input>,
    inbox: Closing,
}

impl InputLine {
    pub(crate) fn new(line: impl Input + 'static, inbox: Arc<Inbox>) -> Self {
        Self { line: Box::new(line), inbox: Closing(inbox) }
    }

    /// Whether it is on now; where changes are debounced, as the last one left it.
    ///
    /// # Errors
    /// When the chip went away.
    pub fn get(&self) -> Result<bool, LineError> {
        self.line.get()
    }

    /// Its edges, for one who listens.
    pub fn edges(&self) -> EdgeStream {
        EdgeStream::new(self.inbox.0.clone())
    }
}

struct Closing(Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.let_go();
    }
}
