//! A supply that a GPIO line switches, shared by whoever hangs on it.
//!
//! A `[gpio.ID]` of kind `power` provides the line; sensors switch it off and on when nothing else brings them back. Each
//! time it comes on again the [`generation`](Supply::generation) grows, so that every sensor on it sees that its chip has
//! forgotten what it was told.
//!
//! ```
//! use std::sync::Arc;
//! use sedge_hal::{SimBus, Supply, SystemClock};
//! let chip = SimBus::new("gpio0", Arc::new(SystemClock));
//! let supply = Supply::new(Arc::new(SystemClock));
//! supply.provide(chip.lines().output(22, true, false).unwrap());
//! let off = supply.begin_off().unwrap();
//! assert_eq!(chip.level(22), Some(false));
//! off.on().unwrap();
//! assert_eq!((chip.level(22), supply.generation()), (Some(true), 1));
//! ```
//!
//! It does not wait: whoever switches it off does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::Clock;

use crate::lines::{LineError, OutputLine};

/// Why a supply was not switched off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplyError {
    /// Nobody provides its line.
    #[error("what switches it does not run")]
    NotThere,
    /// Somebody else has it off.
    #[error("it is being switched already")]
    Busy,
    /// It was off a moment ago.
    #[error("it was off a moment ago")]
    Recent,
    /// Somebody wants it off.
    #[error("it was switched off; switch it on first")]
    Off,
    /// The line failed.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// A supply that can be switched. Cheap to clone.
#[derive(Clone)]
pub struct Supply(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    generation: AtomicU64,
    state: Mutex<State>,
}

struct State {
    line: Option<OutputLine>,
    timing: Timing,
    off: bool,
    /// Somebody wants it off, until somebody wants it on.
    kept_off: bool,
    last: Option<Duration>,
    /// It had a line before.
    provided: bool,
}

/// How a supply is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long it stays off.
    pub off: Duration,
    /// How long what hangs on it needs before it can be spoken to.
    pub settle: Duration,
    /// How long it is left on at least.
    pub pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            off: Duration::from_secs(1),
            settle: Duration::from_millis(200),
            pause: Duration::from_secs(60),
        }
    }
}

impl Supply {
    /// A supply whose line nobody provides yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            line: None,
            timing: Timing::default(),
            off: false,
            kept_off: false,
            last: None,
            provided: false,
        };
        Self(Arc::new(Shared { clock, generation: AtomicU64::new(0), state: Mutex::new(state) }))
    }

    /// Sets how it is switched.
    pub fn set_timing(&self, timing: Timing) {
        self.state().timing = timing;
    }

    /// Gives it its line, which is on. If it had one before, what hangs on it may have been without power meanwhile.
    pub fn provide(&self, line: OutputLine) {
        let mut state = self.state();
        state.line = Some(line);
        (state.off, state.kept_off) = (false, false);
        if std::mem::replace(&mut state.provided, true) {
            self.0.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes its line away. Whoever has it off cannot switch it on any more.
    pub fn take(&self) -> Option<OutputLine> {
        self.state().line.take()
    }

    /// Switches it on or off for good.
    ///
    /// # Errors
    /// When nobody provides the line, somebody has it off for a moment, or it fails.
    pub fn switch(&self, on: bool) -> Result<(), SupplyError> {
        let now = self.0.clock.up();
        let mut state = self.state();
        let line = state.line.as_ref().ok_or(SupplyError::NotThere)?;
        if state.off {
            return Err(SupplyError::Busy);
        }
        line.set(on)?;
        if std::mem::replace(&mut state.kept_off, !on) && on {
            state.last = Some(now);
            self.0.generation.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// How often it came on again.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// How it is switched.
    pub fn timing(&self) -> Timing {
        self.state().timing
    }

    /// Whether it is on, by the line.
    ///
    /// # Errors
    /// When nobody provides the line, or it fails.
    pub fn is_on(&self) -> Result<bool, SupplyError> {
        let state = self.state();
        Ok(state.line.as_ref().ok_or(SupplyError::NotThere)?.get()?)
    }

    /// Switches it off, until the guard is told or dropped.
    ///
    /// # Errors
    /// When nobody provides the line, it is off already, or was off a moment ago.
    pub fn begin_off(&self) -> Result<OffGuard, SupplyError> {
        let now = self.0.clock.up();
        let mut state = self.state();
        let line = state.line.as_ref().ok_or(SupplyError::NotThere)?;
        if state.off {
            return Err(SupplyError::Busy);
        }
        if state.kept_off {
            return Err(SupplyError::Off);
        }
        if state.last.is_some_and(|last| now.saturating_sub(last) < state.timing.pause) {
            return Err(SupplyError::Recent);
        }
        line.set(false)?;
        state.off = true;
        Ok(OffGuard(Some(self.clone())))
    }

    fn end_off(&self) -> Result<(), SupplyError> {
        let now = self.0.clock.up();
        let mut state = self.state();
        state.off = false;
        state.last = Some(now);
        self.0.generation.fetch_add(1, Ordering::AcqRel);
        match &state.line {
            Some(line) if !state.kept_off => Ok(line.set(true)?),
            // Whoever took the line has switched it on, or wants it off.
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A supply that is off. Dropped, it goes on again: also when whoever waits is stopped halfway.
#[must_use]
pub struct OffGuard(Option<Supply>);

impl OffGuard {
    /// Switches it on.
    ///
    /// # Errors
    /// When the line fails.
    pub fn on(mut self) -> Result<(), SupplyError> {
        self.0.take().map_or(Ok(()), |supply| supply.end_off())
    }
}

impl Drop for OffGuard {
    fn drop(&mut self) {
        if let Some(supply) = self.0.take() {
            let _ = supply.end_off();
        }
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::HandClock;

    use super::*;
    use crate::SimBus;

    #[test]
    fn it_is_on_again_whatever_becomes_of_whoever_switched_it_off() {
        let clock = Arc::new(HandClock::default());
        let chip = SimBus::new("gpio0", clock.clone());
        let supply = Supply::new(clock.clone());
        assert_eq!(supply.begin_off().err(), Some(SupplyError::NotThere));
        supply.provide(chip.lines().output(22, true, false).unwrap());

        let off = supply.begin_off().unwrap();
        assert_eq!((chip.level(22), supply.generation()), (Some(false), 0));
        assert_eq!(supply.begin_off().err(), Some(SupplyError::Busy));
        drop(off);
        assert_eq!((chip.level(22), supply.generation()), (Some(true), 1));

        assert_eq!(supply.begin_off().err(), Some(SupplyError::Recent));
        clock.advance(Timing::default().pause);
        supply.begin_off().unwrap().on().unwrap();
        assert_eq!((chip.level(22), supply.generation()), (Some(true), 2));
    }

    #[test]
    fn what_was_switched_off_by_hand_stays_off() {
        let clock = Arc::new(HandClock::default());
        let chip = SimBus::new("gpio0", clock.clone());
        let supply = Supply::new(clock);
        assert_eq!(supply.switch(false), Err(SupplyError::NotThere));
        supply.provide(chip.lines().output(22, true, false).unwrap());
        supply.switch(true).unwrap();
        assert_eq!(supply.generation(), 0, "it was on");

        supply.switch(false).unwrap();
        assert_eq!(supply.begin_off().err(), Some(SupplyError::Off));
        assert_eq!(chip.level(22), Some(false));
        supply.switch(true).unwrap();
        assert_eq!((chip.level(22), supply.generation()), (Some(true), 1));
        assert_eq!(supply.begin_off().err(), Some(SupplyError::Recent));
    }

    #[test]
    fn a_line_that_was_gone_for_a_while_is_a_new_generation() {
        let clock = Arc::new(HandClock::default());
        let chip = SimBus::new("gpio0", clock.clone());
        let supply = Supply::new(clock);
        supply.provide(chip.lines().output(22, true, false).unwrap());
        let off = supply.begin_off().unwrap();
        assert_eq!(supply.switch(true), Err(SupplyError::Busy));
        let line = supply.take().unwrap();
        line.set(true).unwrap();
        drop(line);
        drop(off);
        assert_eq!(supply.is_on(), Err(SupplyError::NotThere));
        let before = supply.generation();
        supply.provide(chip.lines().output(22, true, false).unwrap());
        assert_eq!((supply.is_on(), supply.generation()), (Ok(true), before + 1));
    }
}
