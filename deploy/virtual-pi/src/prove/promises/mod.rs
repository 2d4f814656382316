//! The promises, in the order in which they are looked at.
//!
//! - [`devices`]: what answers is read, what does not is told of.
//! - [`lines`]: the GPIO lines, with a relay and a counter.
//! - [`faults`]: chips that go and come, bytes that are lost.
//! - [`adapter`]: the whole bus goes and comes.
//! - [`plugins`]: plugins from outside, within the bounds that a real kernel sets them.
//! - [`cost`]: what a reading costs; a figure.

pub mod adapter;
pub mod cost;
pub mod devices;
pub mod faults;
pub mod lines;
pub mod plugins;

use std::time::Duration;

use serde_json::Value as Json;

use super::guest::Guest;
use super::qmp::Qmp;
use super::watch::{Heard, Reading, Watch};
use super::{Outcome, Proof};

/// How long the guest may take to boot: half a minute where nothing else runs.
const BOOT: Duration = Duration::from_secs(180);
/// How long something may take that the node does at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// How long something may take that the node tries again now and then: it does so every minute.
pub(crate) const LATER: Duration = Duration::from_secs(100);

/// Everything that a promise needs to be looked at.
pub struct Stage {
    /// What the node says.
    pub watch: Watch,
    /// What can be broken.
    pub guest: Guest,
    /// The devices of the Pi's own bus.
    pub qmp: Qmp,
    /// What was seen.
    pub proof: Proof,
}

impl Stage {
    /// Waits until the guest has booted and its node is there.
    ///
    /// # Errors
    /// When it does not come, or cannot be talked to.
    pub fn begin(broker: &str, control: &str, qmp: &str) -> Result<Self, String> {
        let mut watch = Watch::open(broker)?;
        watch.until(BOOT, |heard| heard.online).map_err(|why| format!("no node: {why}"))?;
        Ok(Self { watch, guest: Guest::connect(control)?, qmp: Qmp::connect(qmp)?, proof: Proof::default() })
    }

    /// All of them; then the guest is told to end.
    ///
    /// # Errors
    /// When a promise was not kept.
    pub fn all(mut self) -> Outcome {
        devices::look(&mut self);
        lines::look(&mut self);
        faults::look(&mut self);
        adapter::look(&mut self);
        plugins::look(&mut self);
        cost::look(&mut self);
        self.guest.say("end")?;
        self.proof.end()
    }

    /// Notes a promise and what became of it.
    pub(crate) fn promise(&mut self, promise: &str, look: impl FnOnce(&mut Self) -> Outcome) {
        let outcome = self.watch.catch_up().and_then(|()| look(self));
        self.proof.note(promise, outcome);
    }

    /// The next reading of a sensor for which `fits` holds; else the last one that came, or how the sensor fares.
    pub(crate) fn reading(
        &mut self,
        sensor: &str,
        patience: Duration,
        fits: impl Fn(&Json) -> bool,
    ) -> Outcome {
        self.watch.catch_up()?;
        self.fails_for_good(sensor)?;
        let since = self.watch.heard.count(sensor);
        let found = self.watch.until(patience, |heard| {
            heard.since(sensor, since).iter().find(|reading| fits(&reading.fields)).cloned()
        });
        found.map(|reading| reading.fields.to_string()).map_err(|why| {
            let heard = &self.watch.heard;
            let last = heard.since(sensor, since).last().map(|reading| reading.fields.to_string());
            format!(
                "{why}: {}",
                last.unwrap_or_else(|| format!("no reading; it is {:?}", heard.state(sensor)))
            )
        })
    }

    /// Waits until a sensor does not run, for a reason that names one of `words`.
    pub(crate) fn amiss(&mut self, sensor: &str, patience: Duration, words: &[&str]) -> Outcome {
        self.fails_for_good(sensor)?;
        let found = self.watch.until(patience, |heard| {
            let (state, reason) = heard.state(sensor)?;
            let fits = words.iter().any(|word| reason.contains(word));
            (!is_well(state) && fits).then(|| format!("{state}, {reason}"))
        });
        found.map_err(|why| format!("{why}: it is {:?}", self.watch.heard.state(sensor)))
    }

    /// There is nothing to wait for where the config is wrong.
    pub(super) fn fails_for_good(&self, sensor: &str) -> Result<(), String> {
        match self.watch.heard.state(sensor) {
            Some(("failed", reason)) => Err(format!("failed, {reason}")),
            _ => Ok(()),
        }
    }
}

/// Whether a reading says anything: one that failed has its fields without values.
pub(crate) fn has_value(fields: &Json) -> bool {
    fields.as_object().is_some_and(|fields| fields.values().any(|value| !value.is_null()))
}

fn is_well(state: &str) -> bool {
    matches!(state, "running" | "starting" | "discovered")
}

/// Whether the readings of a sensor from the `since`th on, at least `least` of them, are numbered without a hole.
pub(crate) fn unbroken(heard: &Heard, sensor: &str, since: usize, least: usize) -> Outcome {
    // The one before counts too: a hole could be right behind it.
    let readings = heard.since(sensor, since.saturating_sub(1));
    let numbers = |readings: &[Reading]| readings.iter().map(|reading| reading.seq).collect::<Vec<_>>();
    let follows = |pair: &[Reading]| pair[1].seq == pair[0].seq + 1 && pair[1].boot == pair[0].boot;
    match readings {
        [first, .., last] if readings.len() > least && readings.windows(2).all(follows) => {
            Ok(format!("{sensor} {} to {}", first.seq, last.seq))
        }
        _ => Err(format!("{sensor} has {:?}", numbers(readings))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(numbers: &[u64]) -> Heard {
        let readings = numbers.iter().map(|&seq| Reading { seq, boot: "b".into(), fields: Json::Null });
        Heard { readings: [("air".into(), readings.collect())].into(), ..Heard::default() }
    }

    #[test]
    fn a_hole_is_seen_also_right_behind_the_one_before() {
        assert_eq!(unbroken(&heard(&[4, 5, 6]), "air", 1, 2), Ok("air 4 to 6".into()));
        assert!(unbroken(&heard(&[4, 6, 7]), "air", 1, 2).is_err());
        assert!(unbroken(&heard(&[4, 5]), "air", 1, 2).is_err(), "too few");
        assert!(unbroken(&heard(&[]), "air", 0, 0).is_err());
    }
}
