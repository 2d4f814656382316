//! Pulse width modulation: an output that is on for a share of the time, its duty.
//!
//! ```
//! use sedge_hal::{PwmOptions, SimBus, SystemClock};
//! let chip = SimBus::new("gpio0", std::sync::Arc::new(SystemClock));
//! let fan = chip.lines().pwm(18, PwmOptions { frequency: 25.0, initial: 0.0, safe: 1.0 }).unwrap();
//! fan.set(0.4).unwrap();
//! assert_eq!(fan.duty(), 0.4);
//! drop(fan);
//! assert_eq!(chip.level(18), Some(true), "left at its safe duty");
//! ```
//!
//! A [`PwmChip`] does it in hardware. [`Lines::pwm`](crate::Lines::pwm) does it on any line, with a thread: good for what is
//! slow, such as a heater, a fan with two wires or a lamp that may flicker. Its deadlines are absolute, so it keeps its
//! frequency; but each edge comes as late as the system is busy, by some 0.1 ms on an idle board and by several ms on one that
//! is not. So it goes to [`MOST_HZ`] and no further, and a servo wants hardware.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lines::{LineError, OutputLine};

/// The highest frequency in software.
pub const MOST_HZ: f64 = 200.0;

/// The lowest frequency of all.
const LEAST_HZ: f64 = 0.01;

/// How an output is modulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PwmOptions {
    /// In hertz.
    pub frequency: f64,
    /// The duty to begin with, 0 to 1.
    pub initial: f64,
    /// The duty that is left behind, 0 to 1.
    pub safe: f64,
}

impl PwmOptions {
    pub(crate) fn check(&self) -> Result<(), PwmError> {
        for (name, duty) in [("initial", self.initial), ("safe", self.safe)] {
            if !(0.0..=1.0).contains(&duty) {
                return Err(PwmError::Settings(format!("`{name}` is {duty}: a duty is from 0 to 1")));
            }
        }
        if !self.frequency.is_finite() || self.frequency < LEAST_HZ {
            let text = format!("a frequency of {} Hz: at least {LEAST_HZ} Hz", self.frequency);
            return Err(PwmError::Settings(text));
        }
        Ok(())
    }

    fn check_software(&self) -> Result<(), PwmError> {
        if self.frequency > MOST_HZ {
            return Err(PwmError::Settings(format!(
                "a frequency of {} Hz: in software at most {MOST_HZ} Hz; use a bus of kind `pwm` for more",
                self.frequency
            )));
        }
        if self.safe != 0.0 && self.safe != 1.0 {
            return Err(PwmError::Settings(format!(
                "`safe` is {}: in software 0 or 1, because nothing switches the line once the node has ended",
                self.safe
            )));
        }
        Ok(())
    }
}

/// Why an output is not modulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PwmError {
    /// It cannot be done as it is asked for. Says what can.
    #[error("{0}")]
    Settings(String),
    /// The line failed.
    #[error(transparent)]
    Line(#[from] LineError),
    /// There is no such chip, or it is not for us. Says what to do.
    #[error("{0}")]
    Gone(String),
    /// The channel is there, and not yet for us: the system sets the rights of a new file a moment later.
    #[error("{0}")]
    NotYet(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Something that modulates an output.
pub(crate) trait Modulate: Send + Sync {
    fn set(&self, duty: f64) -> Result<(), PwmError>;
    /// Leaves it at this duty; nothing is set after that.
    fn leave(&mut self, duty: f64) -> Result<(), PwmError>;
}

/// An output that is modulated. Dropped, it is left at its safe duty.
pub struct Pwm {
    modulate: Box<dyn Modulate>,
    duty: Mutex<f64>,
    safe: Option<f64>,
}

impl Pwm {
    /// One that is at its initial duty.
    pub(crate) fn new(modulate: Box<dyn Modulate>, options: PwmOptions) -> Self {
        Self { modulate, duty: Mutex::new(options.initial), safe: Some(options.safe) }
    }

    /// Sets its duty, 0 to 1.
    ///
    /// # Errors
    /// When the duty is none, or what is below failed.
    pub fn set(&self, duty: f64) -> Result<(), PwmError> {
        if !(0.0..=1.0).contains(&duty) {
            return Err(PwmError::Settings(format!("{duty} is no duty: from 0 to 1")));
        }
        self.modulate.set(duty)?;
        *lock(&self.duty) = duty;
        Ok(())
    }

    /// Its duty.
    pub fn duty(&self) -> f64 {
        *lock(&self.duty)
    }

    /// Leaves it at its safe duty, as dropping it does, and tells whether that went well.
    ///
    /// # Errors
    /// When what is below failed.
    pub fn end(mut self) -> Result<(), PwmError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<(), PwmError> {
        self.safe.take().map_or(Ok(()), |safe| self.modulate.leave(safe))
    }
}

impl Drop for Pwm {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

/// A chip that modulates in hardware. Cheap to clone.
#[derive(Clone)]
pub struct PwmChip(Arc<dyn Channels>);

/// The channels of a chip.
pub(crate) trait Channels: Send + Sync {
    fn open(&self, channel: u32, options: PwmOptions) -> Result<Box<dyn Modulate>, PwmError>;
}

impl PwmChip {
    pub(crate) fn new(chip: impl Channels + 'static) -> Self {
        Self(Arc::new(chip))
    }

    /// Takes a channel.
    ///
    /// # Errors
    /// When there is no such chip or channel, somebody has it, or it cannot do what is asked.
    pub fn channel(&self, channel: u32, options: PwmOptions) -> Result<Pwm, PwmError> {
        options.check()?;
        Ok(Pwm::new(self.0.open(channel, options)?, options))
    }
}

/// Modulates a line with a thread.
pub(crate) fn software(
    line: u32,
    options: PwmOptions,
    claim: impl FnOnce(bool) -> Result<OutputLine, LineError>,
) -> Result<Box<dyn Modulate>, PwmError> {
    options.check_software()?;
    let output = Arc::new(claim(options.initial == 1.0)?);
    let state = State { duty: options.initial, stop: false, failed: None };
    let shared = Arc::new((Mutex::new(state), Condvar::new()));
    let (theirs, seen) = (output.clone(), shared.clone());
    let period = Duration::from_secs_f64(1.0 / options.frequency);
    let thread = thread::Builder::new()
        .name(format!("pwm-{line}"))
        .spawn(move || run(&theirs, &seen, Schedule { begun: Instant::now(), period }))
        .map_err(|error| PwmError::Failed(format!("no thread for line {line}: {error}")))?;
    Ok(Box::new(Software { output, shared, thread: Some(thread) }))
}

struct State {
    duty: f64,
    stop: bool,
    failed: Option<LineError>,
}

type Shared = (Mutex<State>, Condvar);

struct Software {
    output: Arc<OutputLine>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Modulate for Software {
    fn set(&self, duty: f64) -> Result<(), PwmError> {
        let mut state = lock(&self.shared.0);
        if let Some(error) = &state.failed {
            return Err(error.clone().into());
        }
        state.duty = duty;
        self.shared.1.notify_one();
        Ok(())
    }

    fn leave(&mut self, duty: f64) -> Result<(), PwmError> {
        lock(&self.shared.0).stop = true;
        self.shared.1.notify_one();
        // It waits for nothing but us and its own short deadlines. One that panicked switches nothing any more.
        let _ = self.thread.take().map(JoinHandle::join);
        Ok(self.output.set(duty >= 0.5)?)
    }
}

fn run(output: &OutputLine, shared: &Shared, mut schedule: Schedule) {
    let (mutex, changed) = shared;
    let mut state = lock(mutex);
    let mut stands = None;
    while !state.stop {
        let now = Instant::now();
        let (on, until) = schedule.at(now, state.duty);
        if stands != Some(on) {
            // Not under the lock: a line behind a bus takes its time.
            drop(state);
            let result = output.set(on);
            state = lock(mutex);
            if let Err(error) = result {
                state.failed = Some(error);
                return;
            }
            stands = Some(on);
            continue;
        }
        state = match until {
            Some(until) => {
                let wait = changed.wait_timeout(state, until.saturating_duration_since(now));
                wait.unwrap_or_else(PoisonError::into_inner).0
            }
            None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

/// When the line is on. Knows no thread.
struct Schedule {
    begun: Instant,
    period: Duration,
}

impl Schedule {
    /// What the line is to be now, and until when.
    fn at(&mut self, now: Instant, duty: f64) -> (bool, Option<Instant>) {
        if duty <= 0.0 || duty >= 1.0 {
            self.begun = now;
            return (duty >= 1.0, None);
        }
        let next = self.begun + self.period;
        if now >= next {
            // Periods that were missed are not made up for.
            self.begun = if now >= next + self.period { now } else { next };
        }
        let off = self.begun + self.period.mul_f64(duty);
        if now < off { (true, Some(off)) } else { (false, Some(self.begun + self.period)) }
    }
}

/// A number is whole after any panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::lines::Output;

    const SLOW: PwmOptions = PwmOptions { frequency: 200.0, initial: 0.0, safe: 0.0 };

    /// A line that tells each change.
    struct Told(Mutex<Sender<bool>>);

    impl Output for Told {
        fn set(&self, on: bool) -> Result<(), LineError> {
            lock(&self.0).send(on).map_err(|_| LineError::Gone("unplugged".into()))
        }
        fn get(&self) -> Result<bool, LineError> {
            Ok(false)
        }
    }

    fn modulated(options: PwmOptions) -> (Pwm, Receiver<bool>) {
        let (tell, told) = channel();
        let line = OutputLine(Box::new(Told(Mutex::new(tell))));
        let modulate = software(4, options, |_| Ok(line)).unwrap();
        (Pwm::new(modulate, options), told)
    }

    #[test]
    fn a_line_is_on_for_its_share_of_each_period_and_misses_are_not_made_up_for() {
        let begun = Instant::now();
        let at = |ms: u64| begun + Duration::from_millis(ms);
        let mut schedule = Schedule { begun, period: Duration::from_millis(100) };
        for (now, expected) in [
            (0, (true, Some(at(25)))),
            (24, (true, Some(at(25)))),
            (25, (false, Some(at(100)))),
            (103, (true, Some(at(125)))),
            (126, (false, Some(at(200)))),
            (950, (true, Some(at(975)))),
            (980, (false, Some(at(1050)))),
        ] {
            assert_eq!(schedule.at(at(now), 0.25), expected, "at {now} ms");
        }
        assert_eq!(schedule.at(at(1000), 0.0), (false, None));
        assert_eq!(schedule.at(at(1000), 1.0), (true, None));
        assert_eq!(schedule.at(at(1000), 0.5), (true, Some(at(1050))), "a new beginning");
    }

    #[test]
    fn a_thread_switches_the_line_and_leaves_it_safe() {
        for safe in [0.0, 1.0] {
            let (pwm, told) = modulated(PwmOptions { safe, ..SLOW });
            assert_eq!(told.recv(), Ok(false));
            pwm.set(0.5).unwrap();
            let changes: Vec<bool> = told.iter().take(4).collect();
            assert_eq!(changes, [true, false, true, false]);
            drop(pwm);
            assert_eq!(told.iter().last(), Some(safe == 1.0), "and its thread has ended");
        }
    }

    #[test]
    fn a_line_that_is_always_on_is_switched_once() {
        let (pwm, told) = modulated(PwmOptions { initial: 1.0, ..SLOW });
        assert_eq!(told.recv(), Ok(true));
        pwm.end().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn a_line_that_fails_is_told_at_the_next_duty() {
        let (pwm, told) = modulated(SLOW);
        assert_eq!(told.recv(), Ok(false));
        drop(told);
        // The thread meets the failure once it switches; who sets is told from then on.
        while pwm.set(1.0).is_ok() {
            thread::yield_now();
        }
        assert!(pwm.end().is_err());
    }

    #[test]
    fn what_software_cannot_do_is_refused_and_says_what_can() {
        let refused = |options: PwmOptions| {
            let claim = |_| -> Result<OutputLine, LineError> { panic!("the line is not touched") };
            software(4, options, claim).err().unwrap().to_string()
        };
        assert!(refused(PwmOptions { frequency: 1000.0, ..SLOW }).contains("kind `pwm`"));
        assert!(refused(PwmOptions { safe: 0.3, ..SLOW }).contains("0 or 1"));
        for wrong in [
            PwmOptions { frequency: 0.0, ..SLOW },
            PwmOptions { frequency: f64::NAN, ..SLOW },
            PwmOptions { initial: 1.1, ..SLOW },
            PwmOptions { safe: f64::NAN, ..SLOW },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
