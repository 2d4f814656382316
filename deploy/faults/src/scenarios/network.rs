//! The network between the node and its broker is cut.

use std::time::Duration;

use super::{APART, RECONNECT, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::network::Network;
use crate::stage::{Outcome, Setting, Stage, play};

const SOME: u64 = 20;
const ENOUGH: u64 = 300;

pub(super) const DOWN: Scenario = Scenario {
    name: "network-down",
    what: "the cable is pulled for longer than the node waits for a sign of life",
    times: [1, 10],
    at_once: APART,
    play: |setting, times| Box::pin(cut(setting, times, How::Pulled, [11_000, 14_000], RECONNECT)),
};

pub(super) const DROPPED: Scenario = Scenario {
    name: "network-drops",
    what: "every packet is dropped for a while",
    times: [2, 20],
    at_once: APART,
    play: |setting, times| Box::pin(cut(setting, times, How::Dropped, [500, 3000], RECONNECT)),
};

#[derive(Clone, Copy)]
enum How {
    Pulled,
    Dropped,
}

async fn cut(
    setting: Setting,
    times: u32,
    how: How,
    ms: [u64; 2],
    limit: Duration,
) -> Result<Outcome, Trouble> {
    let network = Network::new()?;
    let stage = Stage::listening(&setting, Keeps::Nothing, network.here).await?;
    play(stage, ENOUGH, async |stage| {
        stage.setup.prefix = network.prefix();
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            let set = |broken: bool| match how {
                How::Pulled => network.plug(!broken),
                How::Dropped => network.drop_all(broken),
            };
            set(true)?;
            stage.pause(ms[0], ms[1]).await;
            set(false)?;
            stage.recovers(limit).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}
