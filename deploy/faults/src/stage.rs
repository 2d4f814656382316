//! A node, a broker, the wire between them and those who watch: everything that a scenario needs, in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::Trouble;
use crate::broker::{Broker, Keeps};
use crate::node::{Node, STEM, Setup};
use crate::oracle::{Accepted, Life, Question, Verdict, judge};
use crate::proxy::{Gate, Proxy};
use crate::stored::Stored;
use crate::tally::Tally;
use crate::tap::{Count, Tap};
use crate::witness::Witness;

/// How long readings may take to come where nothing is broken; generous, for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at whether anything is missing.
const PAUSE: Duration = Duration::from_millis(200);

/// Lines of the node's log that are shown where a promise was broken.
const LOG_LINES: usize = 15;

/// What is the same in all runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The program under test.
    pub program: PathBuf,
    /// Where the folders of the runs are made.
    pub folder: PathBuf,
    /// Whether the folder of a run that broke a promise is kept.
    pub keep: bool,
    /// What the schedule is drawn from.
    pub seed: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// How often something was broken.
    pub faults: u64,
    /// What the oracle says.
    pub verdict: Verdict,
    /// The slowest recovery, where one was waited for.
    pub slowest: Option<Duration>,
    /// What took longer than is promised.
    pub late: Vec<String>,
    /// What went wrong besides.
    pub broken: Vec<String>,
    /// The end of the node's log, where a promise was broken.
    pub log: String,
}

impl Outcome {
    /// The promises that were broken.
    pub fn complaints(&self) -> Vec<String> {
        self.broken.iter().chain(&self.late).cloned().chain(self.verdict.complaints()).collect()
    }
}

/// See the module. Dropping it ends all of it.
pub struct Stage {
    /// What is drawn for this run.
    pub random: fastrand::Rng,
    /// The broker.
    pub broker: Broker,
    /// The wire.
    pub proxy: Proxy,
    /// What is seen on the wire.
    pub tap: Arc<Tap>,
    /// The subscriber.
    pub witness: Witness,
    /// How the node is set up.
    pub setup: Setup,
    /// The node.
    pub node: Option<Node>,
    /// Lives of the node that were ended by force.
    pub lives: Vec<Life>,
    /// What came of it so far.
    pub outcome: Outcome,
    /// Whether what the broker acknowledged and did not deliver is its own loss.
    pub broker_died: bool,
    started: i64,
    keep: bool,
    folder: TempDir,
}

/// Plays a scenario on a stage, and has it judged. Fewer readings than `enough` prove nothing.
///
/// # Errors
/// When the machine does not allow it; what goes wrong otherwise is a broken promise.
pub async fn play(
    mut stage: Stage,
    enough: u64,
    act: impl AsyncFnOnce(&mut Stage) -> Result<(), Trouble>,
) -> Result<Outcome, Trouble> {
    // A run that did not go as it should is judged all the same.
    let played = match act(&mut stage).await {
        Err(not @ Trouble::NotAllowed(_)) => return Err(not),
        played => [played, stage.finish(enough).await],
    };
    stage.outcome.broken.extend(played.into_iter().filter_map(|played| Some(played.err()?.to_string())));
    let mut outcome = std::mem::take(&mut stage.outcome);
    if !outcome.complaints().is_empty() {
        outcome.log = stage.log();
        if stage.keep {
            stage.folder.disable_cleanup(true);
            outcome.broken.push(format!("its files are in {}", stage.folder().display()));
        }
    }
    Ok(outcome)
}

impl Stage {
    /// With a broker and a subscriber, and no node yet.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub async fn new(setting: &Setting, keeps: Keeps) -> Result<Self, Trouble> {
        Self::listening(setting, keeps, [127, 0, 0, 1].into()).await
    }

    /// The same, with the wire's end for the node at an address of this machine.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub async fn listening(setting: &Setting, keeps: Keeps, ip: std::net::IpAddr) -> Result<Self, Trouble> {
        let folder = tempfile::Builder::new().prefix("sedge-faults-").tempdir_in(&setting.folder);
        let folder = folder.map_err(Trouble::about("a folder"))?;
        let broker = Broker::start(folder.path(), keeps).await?;
        let tap = Arc::new(Tap::new(STEM));
        let proxy = Proxy::start((ip, 0).into(), broker.address, tap.clone()).await;
        let proxy = proxy.map_err(Trouble::about("the proxy"))?;
        let witness = Witness::start(broker.address, STEM);
        witness.connected(PATIENCE).await?;
        Ok(Self {
            random: fastrand::Rng::with_seed(setting.seed),
            setup: Setup::new(&setting.program),
            outcome: Outcome::default(),
            lives: Vec::new(),
            broker_died: false,
            started: 0,
            node: None,
            keep: setting.keep,
            broker,
            proxy,
            tap,
            witness,
            folder,
        })
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A time between two, drawn.
    pub fn between(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        Duration::from_millis(self.random.u64(least_ms..=most_ms))
    }

    /// Waits for a time that is drawn.
    pub async fn pause(&mut self, least_ms: u64, most_ms: u64) {
        let time = self.between(least_ms, most_ms);
        tokio::time::sleep(time).await;
    }

    /// Starts the node.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<(), Trouble> {
        self.setup.write(self.folder.path(), self.proxy.address)?;
        self.started = wall_ms();
        self.node = Some(self.setup.start(self.folder.path())?);
        Ok(())
    }

    /// Waits until every sensor has so many readings more at the subscriber than it has now.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn flowing(&mut self, more: u64) -> Result<(), Trouble> {
        let count = |tally: &Tally, sensor: &str| -> u64 {
            let of = tally.streams.iter().filter(|(stream, _)| stream.sensor == sensor);
            of.map(|(_, seen)| seen.readings.len() as u64).sum()
        };
        let before = self.witness.tally();
        let wanted: Vec<_> =
            self.setup.sensors.iter().map(|s| (s.clone(), count(&before, s) + more)).collect();
        let outcome = self.witness.wait("readings of every sensor", PATIENCE, |tally, _| {
            wanted.iter().all(|(sensor, least)| count(tally, sensor) >= *least)
        });
        outcome.await
    }

    /// Counts the wire's events from now on.
    pub fn counts(&self) -> Count {
        *self.tap.changes().borrow()
    }

    /// Waits for something on the wire; gives how long it took. Later than `limit` is a broken promise.
    ///
    /// # Errors
    /// When it does not happen at all.
    pub async fn promptly(
        &mut self,
        what: &str,
        limit: Duration,
        found: impl Fn(&Count) -> bool,
    ) -> Result<Duration, Trouble> {
        let begin = Instant::now();
        let patience = PATIENCE + limit;
        let mut changes = self.tap.changes();
        let outcome = tokio::time::timeout(patience, changes.wait_for(|count| found(count))).await;
        outcome.map(drop).map_err(|_| Trouble::Late { what: what.into(), seconds: patience.as_secs() })?;
        let took = begin.elapsed();
        if took > limit {
            let (took, limit) = (took.as_secs_f64(), limit.as_secs_f64());
            self.outcome.late.push(format!("{what} took {took:.1} s, {limit:.0} s are promised"));
        }
        Ok(took)
    }

    /// Waits until the broker takes readings again.
    ///
    /// # Errors
    /// When it never does.
    pub async fn recovers(&mut self, limit: Duration) -> Result<(), Trouble> {
        let before = self.counts();
        let took = self.promptly("recovery", limit, |count| count.acknowledged > before.acknowledged).await?;
        self.outcome.slowest = self.outcome.slowest.max(Some(took));
        Ok(())
    }

    /// Waits until the broker takes a connection of the node's that it had not at `before`.
    ///
    /// # Errors
    /// When it never does.
    pub async fn reconnects(&mut self, before: Count, limit: Duration) -> Result<(), Trouble> {
        let took =
            self.promptly("a new connection", limit, |count| count.connections > before.connections).await?;
        self.outcome.slowest = self.outcome.slowest.max(Some(took));
        Ok(())
    }

    /// Lets the node at the broker again, once the subscriber is there.
    ///
    /// # Errors
    /// When the subscriber does not come.
    pub async fn reopen(&self) -> Result<(), Trouble> {
        self.witness.connected(PATIENCE).await?;
        self.proxy.order(|orders| orders.gate = Gate::Open);
        Ok(())
    }

    /// Kills the node, and says how much of its end may be lost.
    ///
    /// # Errors
    /// When it has ended by itself.
    pub async fn kill(&mut self, window: Duration, may_have_holes: bool) -> Result<(), Trouble> {
        let Some(mut node) = self.node.take() else { return Ok(()) };
        let killed = node.kill().await;
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let ended = wall_ms();
        // Of a life that nobody saw nobody knows when it read its sensors first.
        let began = self.first_readings().unwrap_or(ended);
        self.lives.push(Life { began, ended, window, may_have_holes });
        killed
    }

    /// When every sensor had been read once in this life, as far as it is known.
    fn first_readings(&self) -> Option<i64> {
        let tally = self.witness.tally();
        let first = |sensor: &String| {
            let of = tally.streams.iter().filter(|(stream, _)| stream.sensor == *sensor);
            let times = of.flat_map(|(_, seen)| seen.readings.values().copied().flatten());
            times.filter(|ts| *ts >= self.started).min()
        };
        let first: Option<Vec<i64>> = self.setup.sensors.iter().map(first).collect();
        first?.into_iter().max()
    }

    /// Waits until nothing is missing, or nothing more comes; ends the node in good order; has it judged.
    async fn finish(&mut self, enough: u64) -> Result<(), Trouble> {
        // What does not come is the oracle's business.
        let patience = Instant::now() + PATIENCE;
        while !self.verdict(enough, None).is_kept() && Instant::now() < patience {
            tokio::time::sleep(PAUSE).await;
        }
        if let Some(node) = self.node.take() {
            node.stop().await?;
        }
        self.witness.catch_up(PATIENCE).await?;
        let stored = Stored::of(&self.setup, self.folder.path()).await?;
        self.outcome.verdict = self.verdict(enough, stored.as_ref());
        Ok(())
    }

    /// What the oracle says of what there is now.
    fn verdict(&self, enough: u64, stored: Option<&Stored>) -> Verdict {
        let (seen, acknowledged) = (self.witness.tally(), self.tap.tally());
        // What stands in the journal and waits there is not lost; the next start sends it.
        let due = stored.filter(|stored| stored.unseen(&seen) > stored.waiting);
        let accepted: Vec<&dyn Accepted> = due.iter().map(|stored| *stored as &dyn Accepted).collect();
        judge(&Question {
            seen: &seen,
            acknowledged: self.broker_died.then_some(&acknowledged),
            lives: &self.lives,
            sensors: &self.setup.sensors,
            every: i64::try_from(self.setup.every.as_millis()).unwrap_or(i64::MAX),
            accepted: &accepted,
            ledger: stored.map_or(&[], |stored| &stored.losses),
            enough,
        })
    }

    /// The end of the node's log.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.path().join("node.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// The wall clock.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
