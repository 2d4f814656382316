//! The node itself is killed.

use std::time::Duration;

use super::{RECONNECT, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::proxy::Gate;
use crate::stage::{Outcome, Setting, Stage, play};

const SOME: u64 = 10;
const ENOUGH: u64 = 300;

/// From the sensor to the journal, on a loaded machine.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

pub(super) const KILLED: Scenario = Scenario {
    name: "node-killed",
    what: "the node is killed (SIGKILL) at random moments, also while it starts, with the broker there or not",
    times: [10, 300],
    at_once: 30,
    play: |setting, times| Box::pin(killed(setting, times)),
};

async fn killed(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        for _ in 0..times {
            stage.start()?;
            // A third of the lives is short: some end while they start and recover.
            if stage.random.u8(0..3) == 0 {
                stage.pause(0, 400).await;
            } else {
                let away = stage.random.bool();
                stage.flowing(SOME).await?;
                if away {
                    stage.proxy.order(|orders| orders.gate = Gate::Refuse);
                    stage.proxy.reset();
                }
                stage.pause(100, 2500).await;
            }
            stage.kill(ON_ITS_WAY, false).await?;
            stage.proxy.order(|orders| orders.gate = Gate::Open);
            stage.outcome.faults += 1;
        }
        stage.start()?;
        stage.recovers(RECONNECT + RECONNECT).await?;
        stage.flowing(SOME).await
    })
    .await
}
