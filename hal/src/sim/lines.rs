//! Simulated GPIO lines: levels that a test can look at, and inputs that it can drive.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lock;
use crate::edges::{Detect, Inbox, KERNEL_QUEUE};
use crate::lines::{Chip, Input, InputLine, InputOptions, LineError, Output, Pull};
use crate::pwm::{Modulate, PwmError, PwmOptions};

/// As many as the chip of a Raspberry Pi has on its header and beyond.
const LAST: u32 = 53;

#[derive(Default)]
struct Line {
    high: bool,
    /// Somebody drives it from outside.
    driven: bool,
    claimed: Option<Use>,
}

enum Use {
    Output,
    Input { options: InputOptions, inbox: Arc<Inbox> },
}

impl Line {
    fn change(&mut self, high: bool, now: Duration) {
        if self.high == high {
            return;
        }
        self.high = high;
        if let Some(Use::Input { options, inbox }) = &self.claimed {
            inbox.tell(nanoseconds(now), high != options.active_low);
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct SimLines(Arc<Mutex<BTreeMap<u32, Line>>>);

impl SimLines {
    pub(super) fn level(&self, line: u32) -> Option<bool> {
        lock(&self.0).get(&line).map(|line| line.high)
    }

    /// A line that we drive is stronger.
    pub(super) fn set_input(&self, line: u32, high: bool, now: Duration) {
        let mut lines = lock(&self.0);
        let line = lines.entry(line).or_default();
        line.driven = true;
        if !matches!(line.claimed, Some(Use::Output)) {
            line.change(high, now);
        }
    }

    /// As a kernel would tell of them whose reader was away meanwhile: what does not fit into its queue is lost.
    pub(super) fn pulse(&self, line: u32, count: u32, now: Duration) {
        let mut lines = lock(&self.0);
        let Some(line) = lines.get_mut(&line) else { return };
        let Some(Use::Input { options, inbox }) = &line.claimed else { return };
        if options.debounce.is_some_and(|period| !period.is_zero()) {
            return;
        }
        let on = line.high != options.active_low;
        let wanted = [!on, on].into_iter().filter(|rising| options.edges.wants(*rising)).count() as u32;
        if wanted == 0 {
            return;
        }
        let fit = KERNEL_QUEUE / wanted;
        inbox.skip(count.saturating_sub(fit) * wanted);
        for _ in 0..count.min(fit) {
            inbox.tell(nanoseconds(now), !on);
            inbox.tell(nanoseconds(now), on);
        }
    }

    fn claim(&self, line: u32, begin: impl FnOnce(&mut Line)) -> Result<(), LineError> {
        if line > LAST {
            return Err(LineError::NoSuchLine { line, last: LAST });
        }
        let mut lines = lock(&self.0);
        let state = lines.entry(line).or_default();
        if state.claimed.is_some() {
            return Err(LineError::Taken { line, by: "sedge".into() });
        }
        begin(state);
        Ok(())
    }
}

impl Chip for SimLines {
    fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<Box<dyn Output>, LineError> {
        self.claim(line, |state| {
            *state = Line { high: initial != active_low, driven: state.driven, claimed: Some(Use::Output) };
        })?;
        Ok(Box::new(Claim { chip: self.clone(), line, active_low }))
    }

    fn input(&self, line: u32, options: InputOptions) -> Result<InputLine, LineError> {
        let mut told = None;
        self.claim(line, |state| {
            state.high = match options.pull {
                Pull::Up if !state.driven => true,
                Pull::Down if !state.driven => false,
                _ => state.high,
            };
            let inbox = Inbox::new(line, options.edges, state.high != options.active_low);
            told = Some(inbox.clone());
            state.claimed = Some(Use::Input { options, inbox });
        })?;
        let claim = Claim { chip: self.clone(), line, active_low: options.active_low };
        let inbox = told.unwrap_or_else(|| Inbox::new(line, Detect::Nothing, false));
        Ok(InputLine::new(claim, inbox))
    }

    /// It has no thread: it is at the high level while its duty is above zero.
    fn pwm(&self, line: u32, options: PwmOptions) -> Result<Box<dyn Modulate>, PwmError> {
        let output = self.output(line, options.initial > 0.0, false)?;
        Ok(Box::new(Duty(output)))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

struct Claim {
    chip: SimLines,
    line: u32,
    active_low: bool,
}

impl Claim {
    fn with<R>(&self, work: impl FnOnce(&mut Line) -> R) -> R {
        work(lock(&self.chip.0).entry(self.line).or_default())
    }
}

impl Output for Claim {
    fn set(&self, on: bool) -> Result<(), LineError> {
        self.with(|line| line.high = on != self.active_low);
        Ok(())
    }
    fn get(&self) -> Result<bool, LineError> {
        Ok(self.with(|line| line.high != self.active_low))
    }
}

impl Input for Claim {
    fn get(&self) -> Result<bool, LineError> {
        Output::get(self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.with(|line| line.claimed = None);
    }
}

struct Duty(Box<dyn Output>);

impl Modulate for Duty {
    fn set(&self, duty: f64) -> Result<(), PwmError> {
        Ok(self.0.set(duty > 0.0)?)
    }
    fn leave(&mut self, duty: f64) -> Result<(), PwmError> {
        self.set(duty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Lines;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_line_that_is_active_low_is_low_when_it_is_on() {
        let chip = SimLines::default();
        let line = Lines::new(chip.clone()).output(4, false, true).unwrap();
        assert_eq!((line.get(), chip.level(4)), (Ok(false), Some(true)));
        line.set(true).unwrap();
        assert_eq!((line.get(), chip.level(4)), (Ok(true), Some(false)));
    }

    #[test]
    fn a_line_has_one_owner_and_keeps_its_level_when_let_go() {
        let chip = SimLines::default();
        let lines = Lines::new(chip.clone());
        let line = lines.output(4, true, false).unwrap();
        assert!(matches!(lines.output(4, false, false), Err(LineError::Taken { line: 4, .. })));
        assert!(matches!(lines.input(4, InputOptions::default()), Err(LineError::Taken { .. })));
        assert_eq!(chip.level(4), Some(true), "a claim that was refused changes nothing");
        drop(line);
        assert_eq!(chip.level(4), Some(true));
        lines.output(4, false, false).unwrap();
        assert!(matches!(lines.output(LAST + 1, false, false), Err(LineError::NoSuchLine { .. })));
    }

    #[test]
    fn an_input_that_nobody_drives_is_where_its_resistor_pulls_it() {
        let lines = Lines::new(SimLines::default());
        let on = |line, pull, active_low| {
            let options = InputOptions { pull, active_low, ..InputOptions::default() };
            lines.input(line, options).unwrap().get().unwrap()
        };
        assert!(on(1, Pull::Up, false) && !on(2, Pull::Down, false) && !on(3, Pull::AsIs, false));
        assert!(!on(1, Pull::Up, true), "a contact to ground that is open");
    }

    #[test]
    fn an_input_tells_its_edges_until_it_is_let_go() {
        let chip = SimLines::default();
        let lines = Lines::new(chip.clone());
        let options = InputOptions { active_low: true, edges: Detect::Both, ..InputOptions::default() };
        chip.set_input(4, true, NOW);
        let line = lines.input(4, options).unwrap();
        let mut edges = line.edges();
        assert_eq!(line.get(), Ok(false));
        chip.set_input(4, false, Duration::from_secs(1));
        chip.set_input(4, false, Duration::from_secs(2));
        let batch = edges.take();
        assert_eq!((batch.rising, batch.falling, batch.level, line.get()), (1, 0, true, Ok(true)));
        assert_eq!(batch.first.unwrap().at_ns, 1_000_000_000);
        chip.pulse(4, 2, NOW);
        let batch = edges.take();
        assert_eq!((batch.rising, batch.falling, batch.level), (2, 2, true));
        drop(line);
        chip.set_input(4, true, NOW);
        let end = sedge_plugin::testing::block_on(edges.next());
        assert_eq!(end, Err(LineError::LetGo { line: 4 }));
    }

    #[test]
    fn pulses_beyond_the_kernels_queue_are_lost_and_counted() {
        for (edges, each) in [(Detect::Rising, 1), (Detect::Both, 2)] {
            let chip = SimLines::default();
            let line =
                Lines::new(chip.clone()).input(4, InputOptions { edges, ..InputOptions::default() }).unwrap();
            chip.pulse(4, 3000, NOW);
            let batch = line.edges().take();
            assert_eq!((batch.rising, batch.count()), (3000, 3000 * each));
            assert_eq!(batch.lost, 3000 * each - u64::from(KERNEL_QUEUE));
        }
    }

    #[test]
    fn what_is_debounced_does_not_see_what_is_short() {
        let chip = SimLines::default();
        let debounce = Some(Duration::from_millis(1));
        let options = InputOptions { debounce, edges: Detect::Both, ..InputOptions::default() };
        let line = Lines::new(chip.clone()).input(4, options).unwrap();
        chip.pulse(4, 5, NOW);
        assert_eq!(line.edges().take().count(), 0);
        chip.set_input(4, true, NOW);
        assert_eq!(line.edges().take().count(), 1);
    }

    #[test]
    fn a_duty_is_left_safe() {
        let chip = SimLines::default();
        let options = PwmOptions { frequency: 1000.0, initial: 0.0, safe: 0.3 };
        let pwm = Lines::new(chip.clone()).pwm(4, options).unwrap();
        assert_eq!((chip.level(4), pwm.duty()), (Some(false), 0.0));
        pwm.set(0.1).unwrap();
        assert_eq!((chip.level(4), pwm.duty()), (Some(true), 0.1));
        pwm.set(0.0).unwrap();
        drop(pwm);
        assert_eq!(chip.level(4), Some(true));
    }
}
