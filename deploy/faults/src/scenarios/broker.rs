//! The broker ends, stands still, forgets, lets nobody in, or is slow.

use std::time::Duration;

use super::{APART, HALF_OPEN, RECONNECT, SLOW, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::proxy::Gate;
use crate::stage::{Outcome, Setting, Stage, play};

/// Readings of each sensor before and between faults.
const SOME: u64 = 20;

/// Readings without which a run proves nothing.
const ENOUGH: u64 = 300;

pub(super) const KILLED: Scenario = Scenario {
    name: "broker-killed",
    what: "the broker is killed and keeps nothing",
    times: [4, 40],
    at_once: APART,
    play: |setting, times| Box::pin(ended(setting, times, How::Killed)),
};

pub(super) const RESTARTED: Scenario = Scenario {
    name: "broker-restarted",
    what: "the broker is ended in good order, and keeps its sessions",
    times: [4, 40],
    at_once: APART,
    play: |setting, times| Box::pin(ended(setting, times, How::Restarted)),
};

pub(super) const WIPED: Scenario = Scenario {
    name: "broker-wiped",
    what: "the broker is killed and its files are deleted",
    times: [2, 20],
    at_once: APART,
    play: |setting, times| Box::pin(ended(setting, times, How::Wiped)),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Killed,
    Restarted,
    Wiped,
}

async fn ended(setting: Setting, times: u32, how: How) -> Result<Outcome, Trouble> {
    let keeps = if how == How::Killed { Keeps::Nothing } else { Keeps::Sessions };
    let stage = Stage::new(&setting, keeps).await?;
    play(stage, ENOUGH, async |stage| {
        stage.broker_died = how != How::Restarted;
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            stage.pause(0, 500).await;
            match how {
                How::Restarted => stage.broker.stop().await?,
                How::Killed | How::Wiped => stage.broker.kill().await?,
            }
            if how == How::Wiped {
                stage.broker.wipe()?;
            }
            stage.pause(100, 2500).await;
            // The node is let in when the subscriber is there: what comes before would be the harness's loss.
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.broker.again(true).await?;
            stage.reopen().await?;
            stage.recovers(RECONNECT).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const FROZEN: Scenario = Scenario {
    name: "broker-frozen",
    what: "the broker is stopped where it stands (SIGSTOP): the connection is half open",
    times: [1, 10],
    at_once: APART,
    play: |setting, times| Box::pin(frozen(setting, times)),
};

async fn frozen(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            let before = stage.counts();
            stage.broker.freeze()?;
            let found = stage.promptly("finding the half-open connection", HALF_OPEN, |count| {
                count.attempts > before.attempts
            });
            let found = found.await;
            stage.pause(0, 1000).await;
            stage.broker.thaw()?;
            found?;
            stage.recovers(RECONNECT).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const REFUSING: Scenario = Scenario {
    name: "login-refused",
    what: "the broker is restarted and lets nobody in for a while",
    times: [1, 5],
    at_once: APART,
    play: |setting, times| Box::pin(refusing(setting, times)),
};

async fn refusing(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Sessions).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            let before = stage.counts();
            stage.broker.stop().await?;
            stage.broker.again(false).await?;
            stage.promptly("the refused login", SLOW, |count| count.connections > before.connections).await?;
            stage.broker.stop().await?;
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.broker.again(true).await?;
            stage.reopen().await?;
            stage.recovers(SLOW).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const TOO_LONG: Scenario = Scenario {
    name: "outage-too-long",
    what: "the broker is away for longer than there is room for readings",
    times: [1, 12],
    at_once: 1,
    play: |setting, times| Box::pin(too_long(setting, times)),
};

async fn too_long(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        let policy = ["drop_oldest", "thin", "refuse"][stage.random.usize(0..3)];
        stage.setup.every = Duration::from_millis(10);
        stage.setup.more = format!("[outbox]\nmax_bytes = \"1MiB\"\npolicy = \"{policy}\"\n");
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.proxy.reset();
            stage.pause(20_000, 30_000).await;
            stage.reopen().await?;
            stage.recovers(RECONNECT).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const SLOW_ONE: Scenario = Scenario {
    name: "broker-slow",
    what: "the broker takes fewer messages than come",
    times: [1, 10],
    at_once: APART,
    play: |setting, times| Box::pin(slow(setting, times)),
};

async fn slow(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            let pace = stage.between(20, 80);
            stage.proxy.order(|orders| orders.pace = Some(pace));
            stage.pause(3000, 6000).await;
            stage.proxy.order(|orders| orders.pace = None);
            stage.recovers(RECONNECT + Duration::from_secs(1)).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}
