//! The disk: power cuts, full, read-only, failing.

use std::time::Duration;

use super::{RECONNECT, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::disk::{Mounted, Refuses};
use crate::proxy::Gate;
use crate::stage::{Outcome, Setting, Stage, play};

const SOME: u64 = 10;
const ENOUGH: u64 = 200;

/// What a power cut may take besides a commit: a sync, and the way from the sensor to the journal, on a loaded machine.
const SLACK: Duration = Duration::from_millis(1500);

/// How often readings are forced onto the disk.
const COMMITS: [(&str, Duration); 3] =
    [("1s", Duration::from_secs(1)), ("200ms", Duration::from_millis(200)), ("each", Duration::ZERO)];

/// Changes and syncs of a start within which the power is cut.
const START_STEPS: u64 = 60;

/// How long a start may take until its last step.
const START: Duration = Duration::from_millis(1500);

/// A stage whose node keeps its data on a disk of ours.
async fn with_disk(setting: &Setting) -> Result<(Stage, Mounted, Duration), Trouble> {
    let mut stage = Stage::new(setting, Keeps::Nothing).await?;
    // Beside the folder of the run, which goes first.
    let mounted = Mounted::within(&setting.folder)?;
    stage.setup.data = mounted.at().map(Into::into);
    // Small, so that segments are recycled within a run.
    let (commit, takes) = COMMITS[stage.random.usize(0..COMMITS.len())];
    stage.setup.more = format!("[outbox]\nmax_bytes = \"2MiB\"\ncommit = \"{commit}\"\n");
    Ok((stage, mounted, takes + SLACK))
}

pub(super) const CUT_STEADY: Scenario = Scenario {
    name: "power-cut",
    what: "the power is cut at a random moment, with the broker there or not",
    times: [6, 300],
    at_once: 20,
    play: |setting, times| Box::pin(cut_steady(setting, times)),
};

async fn cut_steady(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let (stage, mounted, window) = with_disk(&setting).await?;
    play(stage, ENOUGH, async |stage| {
        for _ in 0..times {
            stage.start()?;
            stage.flowing(SOME).await?;
            if stage.random.bool() {
                stage.proxy.order(|orders| orders.gate = Gate::Refuse);
                stage.proxy.reset();
            }
            stage.pause(100, 3500).await;
            stage.kill(window, true).await?;
            mounted.cut(&mut stage.random);
            stage.proxy.order(|orders| orders.gate = Gate::Open);
            stage.outcome.faults += 1;
        }
        again(stage).await
    })
    .await
}

pub(super) const CUT_FIRST: Scenario = Scenario {
    name: "power-cut-first-start",
    what: "the power is cut in the first start, on an empty disk",
    times: [3, 120],
    at_once: 1,
    play: |setting, times| Box::pin(cut_first(setting, times)),
};

async fn cut_first(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let (stage, mounted, window) = with_disk(&setting).await?;
    play(stage, SOME, async |stage| {
        for _ in 0..times {
            cut_while_starting(stage, &mounted, window).await?;
        }
        again(stage).await
    })
    .await
}

pub(super) const CUT_RECOVERY: Scenario = Scenario {
    name: "power-cut-recovery",
    what: "the power is cut while the node runs, and again while it recovers from that",
    times: [3, 120],
    at_once: 10,
    play: |setting, times| Box::pin(cut_recovery(setting, times)),
};

async fn cut_recovery(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let (stage, mounted, window) = with_disk(&setting).await?;
    play(stage, ENOUGH, async |stage| {
        for _ in 0..times {
            stage.start()?;
            stage.flowing(SOME).await?;
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.proxy.reset();
            stage.pause(500, 2500).await;
            stage.kill(window, true).await?;
            mounted.cut(&mut stage.random);
            cut_while_starting(stage, &mounted, window).await?;
            stage.proxy.order(|orders| orders.gate = Gate::Open);
        }
        again(stage).await
    })
    .await
}

/// The power goes with a step of the start that is drawn, or after a while where there are not so many.
async fn cut_while_starting(stage: &mut Stage, mounted: &Mounted, window: Duration) -> Result<(), Trouble> {
    let step = stage.random.u64(1..=START_STEPS);
    {
        let mut disk = mounted.disk();
        disk.cut_at = Some(disk.steps + step);
    }
    stage.start()?;
    tokio::task::block_in_place(|| mounted.wait_off(START));
    // A node that gave up because of its disk has broken a promise.
    stage.kill(window, true).await?;
    mounted.cut(&mut stage.random);
    stage.outcome.faults += 1;
    Ok(())
}

async fn again(stage: &mut Stage) -> Result<(), Trouble> {
    stage.start()?;
    stage.recovers(RECONNECT + RECONNECT).await?;
    stage.flowing(SOME).await
}

pub(super) const FULL: Scenario = Scenario {
    name: "disk-full",
    what: "the disk is full for a while, the broker away, then both come back",
    times: [1, 10],
    at_once: 2,
    play: |setting, times| {
        Box::pin(refusing(setting, times, |used, _| Refuses { capacity: Some(used), ..Refuses::default() }))
    },
};

pub(super) const READ_ONLY: Scenario = Scenario {
    name: "disk-read-only",
    what: "the disk is read-only for a while, the broker away, then both come back",
    times: [1, 10],
    at_once: 2,
    play: |setting, times| {
        Box::pin(refusing(setting, times, |_, _| Refuses { read_only: true, ..Refuses::default() }))
    },
};

pub(super) const FAILING: Scenario = Scenario {
    name: "disk-failing",
    what: "writes and syncs fail now and then (EIO), the broker away, then both are well",
    times: [1, 10],
    at_once: 2,
    play: |setting, times| {
        Box::pin(refusing(setting, times, |_, random| Refuses {
            writes: Some(random.u64(2..20)),
            syncs: Some(random.u64(1..4)),
            ..Refuses::default()
        }))
    },
};

async fn refusing(
    setting: Setting,
    times: u32,
    draw: fn(u64, &mut fastrand::Rng) -> Refuses,
) -> Result<Outcome, Trouble> {
    let (stage, mounted, _) = with_disk(&setting).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            stage.proxy.order(|orders| orders.gate = Gate::Refuse);
            stage.proxy.reset();
            stage.pause(200, 800).await;
            {
                let mut disk = mounted.disk();
                disk.refuses = draw(disk.used(), &mut stage.random);
            }
            stage.pause(1500, 3000).await;
            // Readings flow while the disk does not work.
            stage.proxy.order(|orders| orders.gate = Gate::Open);
            stage.recovers(RECONNECT).await?;
            stage.flowing(SOME).await?;
            mounted.disk().refuses = Refuses::default();
            stage.flowing(SOME).await?;
            stage.outcome.faults += 1;
        }
        Ok(())
    })
    .await
}
