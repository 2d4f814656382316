//! What the fault proxy does to a connection.

use std::time::Duration;

use super::{APART, HALF_OPEN, RECONNECT, SLOW, Scenario, WARY};
use crate::Trouble;
use crate::broker::Keeps;
use crate::stage::{Outcome, Setting, Stage, play};

const SOME: u64 = 10;
const ENOUGH: u64 = 100;

/// Breaks something, `times` times, with readings flowing before each.
async fn broken(
    setting: Setting,
    times: u32,
    act: impl AsyncFn(&mut Stage) -> Result<(), Trouble>,
) -> Result<Outcome, Trouble> {
    with(setting, times, "", RECONNECT, act).await
}

/// The same, with more in the config and another limit for the recovery.
async fn with(
    setting: Setting,
    times: u32,
    more: &str,
    limit: Duration,
    act: impl AsyncFn(&mut Stage) -> Result<(), Trouble>,
) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        stage.setup.more = more.into();
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            stage.pause(0, 300).await;
            act(stage).await?;
            stage.recovers(limit).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const STALLED: Scenario = Scenario {
    name: "wire-stalled",
    what: "nothing passes and nothing is closed, until the node finds out",
    times: [1, 10],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            let before = stage.counts();
            stage.proxy.order(|orders| orders.stall = true);
            let found = stage.promptly("finding the half-open connection", HALF_OPEN, |count| {
                count.attempts > before.attempts
            });
            let found = found.await;
            stage.proxy.order(|orders| orders.stall = false);
            found.map(drop)
        }))
    },
};

pub(super) const RESET: Scenario = Scenario {
    name: "wire-reset",
    what: "the connection is reset",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            stage.proxy.reset();
            Ok(())
        }))
    },
};

pub(super) const FLAPPING: Scenario = Scenario {
    name: "wire-flapping",
    what: "the connection is reset again and again, as if somebody else had the node's id",
    times: [5, 50],
    at_once: 5,
    play: |setting, times| {
        Box::pin(with(setting, times, "", WARY, async |stage| {
            stage.proxy.reset();
            Ok(())
        }))
    },
};

pub(super) const SUSPICIOUS: Scenario = Scenario {
    name: "wire-flapping-311",
    what: "the same with MQTT 3.1.1, whose brokers never say why",
    times: [3, 15],
    at_once: 3,
    play: |setting, times| {
        Box::pin(with(setting, times, "protocol = \"3.1.1\"\n", SLOW, async |stage| {
            stage.proxy.reset();
            Ok(())
        }))
    },
};

pub(super) const CUT: Scenario = Scenario {
    name: "wire-cut",
    what: "the connection is cut after so many bytes, mostly within a packet",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            let before = stage.counts();
            let bytes = stage.random.usize(0..4000);
            stage.proxy.order(|orders| orders.cut_after = Some(bytes));
            let limit = RECONNECT + RECONNECT;
            stage.reconnects(before, limit).await
        }))
    },
};

pub(super) const SLICED: Scenario = Scenario {
    name: "wire-sliced",
    what: "every byte comes alone, with resets in between",
    times: [2, 20],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            stage.proxy.order(|orders| orders.slices = true);
            stage.flowing(SOME).await?;
            stage.proxy.reset();
            Ok(())
        }))
    },
};

pub(super) const SWALLOWED: Scenario = Scenario {
    name: "puback-swallowed",
    what: "PUBACKs do not arrive, then the connection is reset",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            let count = stage.random.u32(1..=10);
            stage.proxy.order(|orders| orders.swallow = count);
            stage.pause(100, 600).await;
            stage.proxy.order(|orders| orders.swallow = 0);
            stage.proxy.reset();
            Ok(())
        }))
    },
};

pub(super) const DOUBLED: Scenario = Scenario {
    name: "publish-doubled",
    what: "a PUBLISH arrives twice, and is acknowledged twice",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            stage.proxy.order(|orders| orders.double = 1);
            stage.pause(0, 100).await;
            Ok(())
        }))
    },
};

pub(super) const GARBAGE: Scenario = Scenario {
    name: "wire-garbage",
    what: "bytes that are no MQTT come from the broker",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            let before = stage.counts();
            let length = stage.random.usize(1..200);
            let mut garbage: Vec<u8> = std::iter::repeat_with(|| stage.random.u8(..)).take(length).collect();
            // Kind 0 is forbidden, so that it cannot be mistaken for a packet by chance.
            garbage[0] &= 0x0F;
            stage.proxy.order(|orders| orders.garbage = Some(garbage));
            let limit = HALF_OPEN + RECONNECT;
            stage.reconnects(before, limit).await
        }))
    },
};

pub(super) const FORGOTTEN: Scenario = Scenario {
    name: "session-forgotten",
    what: "the connection is reset, and the broker says that it knows no session",
    times: [6, 100],
    at_once: APART,
    play: |setting, times| {
        Box::pin(broken(setting, times, async |stage| {
            stage.proxy.order(|orders| orders.forget_session = true);
            stage.proxy.reset();
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        }))
    },
};
