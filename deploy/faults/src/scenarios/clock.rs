//! The wall clock is wrong, and steps.

use super::{APART, RECONNECT, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::clock::Wall;
use crate::proxy::Gate;
use crate::stage::{Outcome, Setting, Stage, play, wall_ms};

const SOME: u64 = 25;
const ENOUGH: u64 = 500;

/// Before this no reading was taken: 2020, in milliseconds since 1970.
const LONG_AGO: i64 = 1_577_836_800_000;

pub(super) const STEPS: Scenario = Scenario {
    name: "clock-steps",
    what: "the clock starts in 1970 and becomes right, then steps back and forth, with outages in between",
    times: [4, 80],
    at_once: APART,
    play: |setting, times| Box::pin(steps(setting, times)),
};

async fn steps(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        let wall = Wall::new(stage.folder())?;
        wall.set(60 - wall_ms() / 1000)?;
        stage.setup.variables = wall.variables();
        stage.start()?;
        for step in 0..times {
            stage.flowing(SOME).await?;
            // Readings of both sides of the step wait in the node.
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.proxy.reset();
            stage.pause(100, 1000).await;
            let seconds = match step {
                // It becomes right.
                0 => 0,
                _ => [-1, 1][stage.random.usize(0..2)] * stage.random.i64(1..86_400),
            };
            wall.set(seconds)?;
            stage.pause(100, 1000).await;
            stage.reopen().await?;
            stage.recovers(RECONNECT).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await?;
        let tally = stage.witness.tally();
        let times = tally.streams.values().flat_map(|seen| seen.readings.values().copied().flatten());
        let wrong = times.filter(|ts| *ts < LONG_AGO).count();
        if wrong > 0 {
            stage.outcome.broken.push(format!("{wrong} readings say that they were taken before 2020"));
        }
        Ok(())
    })
    .await
}
