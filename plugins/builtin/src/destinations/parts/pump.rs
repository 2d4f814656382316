//! Hands readings, as lines, to something that may block: a file, a pipe. It has a thread of its own.
//!
//! A handler never waits for that thread. What it cannot take waits in a bounded backlog, the oldest is given up when that
//! is full, and it is tried again until it can.

use std::sync::Arc;
use std::time::Duration;

use sedge_hal::{Worker, WorkerError};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::Event;

use super::backlog::Backlog;
use super::losses::Losses;
use super::{Counters, within};
use crate::flight::Flight;

/// How often a destination looks after what it has begun.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Readings that are handed over at once.
const BATCH: usize = 256;

/// Where lines go. Runs on a thread of its own, so it may block.
pub(crate) trait Sink: 'static {
    /// Writes what it can of these, in order; one item is the lines of one reading. With nothing to write it does what is
    /// due.
    fn write(&mut self, readings: &[String], now: Now) -> Written;

    /// Puts what was written where it is safe, and lets go.
    fn close(&mut self) -> Result<(), String>;
}

/// When something is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) up: Duration,
    pub(crate) wall_ms: Option<i64>,
}

/// What came of writing.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// Readings that were written.
    pub(crate) count: usize,
    /// Something remains to be done later, also when no reading comes.
    pub(crate) unfinished: bool,
    /// What stopped it.
    pub(crate) error: Option<String>,
    /// What people are to know, once.
    pub(crate) event: Option<Event>,
}

/// Makes the lines of a reading.
pub(crate) type Encode = Box<dyn Fn(&Directory, &Reading) -> String + Send>;

/// See the [module](self).
pub(crate) struct Pump<S> {
    ctx: Context,
    worker: Worker<S>,
    encode: Encode,
    backlog: Backlog,
    flight: Flight<Result<Written, WorkerError>>,
    unfinished: bool,
    not_before: Duration,
    trouble: Option<String>,
    losses: Losses,
    counters: Counters,
}

impl<S: Sink> Pump<S> {
    pub(crate) fn new(
        ctx: Context,
        worker: Worker<S>,
        encode: Encode,
        buffer: usize,
        (cursor, sensors): (Option<Cursor>, Option<Vec<Id>>),
    ) -> Result<Self, PluginError> {
        Ok(Self {
            counters: Counters::new(&ctx, "written", "Readings that were written.")?,
            losses: Losses::new(&ctx),
            ctx,
            worker,
            encode,
            backlog: Backlog::new(buffer).fed_by(cursor, sensors),
            flight: Flight::NONE,
            unfinished: false,
            not_before: Duration::ZERO,
            trouble: None,
        })
    }

    pub(crate) async fn push(&mut self, reading: Arc<Reading>) {
        let lost = self.backlog.push(reading);
        self.counters.dropped.add(lost);
        self.losses.add(lost, self.trouble.as_deref()).await;
        self.go(false).await;
    }

    pub(crate) async fn tick(&mut self) {
        let lost = self.backlog.lost();
        self.counters.dropped.add(lost);
        self.losses.add(lost, self.trouble.as_deref()).await;
        self.go(self.unfinished).await;
    }

    async fn go(&mut self, even_empty: bool) {
        let mut even_empty = even_empty;
        loop {
            if let Some(written) = self.flight.look().await {
                self.settle(written).await;
            }
            self.backlog.refill().await;
            if self.flight.is_on() || self.ctx.clock().up() < self.not_before || !self.begin(even_empty) {
                return;
            }
            even_empty = false;
        }
    }

    /// Hands the next batch over; says whether there was something to do.
    fn begin(&mut self, even_empty: bool) -> bool {
        let batch = self.backlog.take(BATCH);
        if batch.is_empty() && !even_empty {
            return false;
        }
        let directory = self.ctx.directory();
        let lines: Vec<String> = batch.iter().map(|reading| (self.encode)(&directory, reading)).collect();
        let clock = self.ctx.clock();
        let now = Now { up: clock.up(), wall_ms: clock.wall_ms() };
        let worker = self.worker.clone();
        self.flight.begin(async move { worker.ask(move |sink| sink.write(&lines, now)).await });
        true
    }

    async fn settle(&mut self, written: Result<Written, WorkerError>) {
        let written = written.unwrap_or_else(|error| Written {
            error: Some(format!("its thread: {error}")),
            ..Written::default()
        });
        self.backlog.arrived(written.count);
        self.counters.sent.add(u64::try_from(written.count).unwrap_or(u64::MAX));
        self.unfinished = written.unfinished;
        if written.error.is_some() {
            self.counters.failed.inc();
            self.not_before = self.ctx.clock().up() + AGAIN;
        } else if written.count > 0 && self.backlog.is_relaxed() {
            self.losses.over().await;
        }
        if let Some(event) = written.event {
            self.ctx.publish::<topics::EventRaised>(event).await;
        }
        if self.trouble != written.error {
            self.trouble.clone_from(&written.error);
            self.ctx.degraded(written.error);
        }
    }

    /// Writes what is left, once, and closes; within that time, if there is one.
    pub(crate) async fn finish(&mut self, time: Option<Duration>) -> Result<(), PluginError> {
        let ctx = self.ctx.clone();
        let closed = match time {
            Some(time) => within(&ctx, time, self.wind_up()).await,
            None => Some(self.wind_up().await),
        };
        // What is in the journal is written after the next start.
        let left = if self.backlog.is_kept() { 0 } else { self.backlog.len() };
        let why = self.trouble.as_deref().unwrap_or("nobody took them in time");
        self.counters.dropped.add(u64::try_from(left).unwrap_or(u64::MAX));
        self.losses.end(u64::try_from(left).unwrap_or(u64::MAX), why).await;
        match closed {
            _ if left > 0 => Err(PluginError::failed(format!("{left} readings are lost: {why}"))),
            Some(Ok(Err(why))) => Err(PluginError::failed(why)),
            Some(Err(error)) => Err(PluginError::failed(format!("its thread: {error}"))),
            // All was written: what is late is the closing.
            Some(Ok(Ok(()))) | None => Ok(()),
        }
    }

    async fn wind_up(&mut self) -> Result<Result<(), String>, WorkerError> {
        if let Some(written) = self.flight.end().await {
            self.settle(written).await;
        }
        while self.begin(false) {
            if let Some(written) = self.flight.end().await {
                self.settle(written).await;
            }
            if self.trouble.is_some() {
                break;
            }
        }
        self.worker.ask(|sink| sink.close()).await
    }

    /// Waits for what is under way, as no handler does.
    #[cfg(test)]
    pub(crate) fn wait(&mut self) {
        if let Some(written) = sedge_plugin::testing::block_on(self.flight.end()) {
            sedge_plugin::testing::block_on(self.settle(written));
        }
    }
}
