//! The proof: what is done to the virtual Pi, and what the node must say of it.
//!
//! Each promise is a line: `ok: …` with what was seen, or `FAILED: …` with what was not. Every wait has an end, and waits for
//! a message, never for a time to pass.
//!
//! - [`watch`]: what the node says over MQTT.
//! - [`guest`]: faults to order, see [`command`](crate::command).
//! - [`qmp`]: QEMU, which has the devices of the Pi's own bus.
//! - [`promises`]: the promises, in order.

pub mod guest;
pub mod promises;
pub mod qmp;
pub mod watch;

/// What became of a promise: what was seen, or why it was not kept.
pub type Outcome = Result<String, String>;

/// Takes note of what was kept and what was not.
#[derive(Debug, Default)]
pub struct Proof {
    kept: u32,
    failed: u32,
}

impl Proof {
    /// Notes one promise, and says so.
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    pub fn note(&mut self, promise: &str, outcome: Outcome) {
        match outcome {
            Ok(seen) => {
                self.kept += 1;
                println!("ok: {promise}: {seen}");
            }
            Err(why) => {
                self.failed += 1;
                println!("FAILED: {promise}: {why}");
            }
        }
    }

    /// Says a figure that nothing is promised of.
    #[expect(clippy::print_stdout, reason = "this is what the program is for")]
    pub fn figure(&self, what: &str, outcome: Outcome) {
        println!("measured: {what}: {}", outcome.unwrap_or_else(|why| format!("not, {why}")));
    }

    /// How it ended.
    ///
    /// # Errors
    /// When a promise was not kept.
    pub fn end(&self) -> Result<String, String> {
        let Self { kept, failed } = self;
        let summary = format!("{kept} promises kept, {failed} not");
        if *failed == 0 && *kept > 0 { Ok(summary) } else { Err(summary) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_failed_fails_the_whole_and_so_does_nothing_at_all() {
        let mut proof = Proof::default();
        assert!(proof.end().is_err());
        proof.note("a", Ok("seen".into()));
        assert!(proof.end().is_ok());
        proof.note("b", Err("not seen".into()));
        assert!(proof.end().is_err());
    }
}
