//! What a plugin outside says, heard by a task of its own for as long as it runs.
//!
//! Answers go to who waits for them, asks are carried out beside each other, events are sent as the plugin can take them, and
//! while nothing happens it is asked whether it is alive. What it must not say ends it: no garbage, however much, costs more
//! than its own line.
//!
//! It must not wait for a single ask, nor for a plugin that does not read: not longer than [`PATIENCE`].

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sedge_plugin::{Context, ToolError, ToolErrorCode};
use sedge_protocol::{Ask, IN_FLIGHT, ToNode, ToPlugin};
use tokio::sync::oneshot;
use tokio::task::{Id as TaskId, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::asks::Asker;
use super::line::Line;
use super::log::Lines;
use super::session::{Shared, ended};

/// How long a plugin that has nothing to do is left in peace.
const PEACE: Duration = Duration::from_secs(15);
/// How long it may take to answer a ping, or to read what it is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers to nothing, and other messages that make no sense where they come, before it is ended.
const NONSENSE: u32 = 100;

type Ready = oneshot::Sender<Result<ToNode, String>>;

/// See the [module](self).
pub(super) struct Talk {
    ctx: Context,
    shared: Arc<Shared>,
    line: Line,
    asker: Arc<Asker>,
    /// Taken once it is ready, or has failed.
    ready: Option<Ready>,
    quit: oneshot::Receiver<()>,
    over: oneshot::Sender<()>,
    /// Asks under way, by their tasks.
    asks: JoinSet<()>,
    ids: HashMap<TaskId, u64>,
    lines: Lines,
    nonsense: u32,
    pings: u64,
    pulse: Pulse,
}

/// Whether it is alive.
enum Pulse {
    /// Nothing was heard of it since then.
    Quiet(Instant),
    /// It was asked.
    Asked { id: u64, at: Instant },
}

impl Talk {
    pub(super) fn new(
        ctx: Context,
        shared: Arc<Shared>,
        line: Line,
        asker: Asker,
        ready: Ready,
        quit: oneshot::Receiver<()>,
        over: oneshot::Sender<()>,
    ) -> Self {
        let lines = Lines::new(ctx.id().clone());
        Self {
            ctx,
            shared,
            line,
            asker: Arc::new(asker),
            ready: Some(ready),
            quit,
            over,
            asks: JoinSet::new(),
            ids: HashMap::new(),
            lines,
            nonsense: 0,
            pings: 0,
            pulse: Pulse::Quiet(Instant::now()),
        }
    }

    pub(super) async fn run(mut self) {
        let why = loop {
            if let Err(why) = self.turn().await {
                break why;
            }
        };
        let Self { ctx, shared, line, asker, ready, over, mut asks, .. } = self;
        shared.calls().end(why.as_deref().unwrap_or("it was stopped"));
        let is_news = shared.well.load(Ordering::SeqCst);
        if let (Some(ready), Some(why)) = (ready, &why) {
            let _ = ready.send(Err(why.clone()));
        }
        // Killed, before anybody is told that it is over; and its hardware let go.
        drop(line);
        asks.shutdown().await;
        drop(asker);
        let _ = over.send(());
        if let (Some(why), true) = (why, is_news) {
            ctx.fail(why);
        }
    }

    /// Waits for the next thing to do, and does it. An error ends the talk: with the reason, or none where it was told to.
    async fn turn(&mut self) -> Result<(), Option<String>> {
        let due = self.due();
        let shared = self.shared.clone();
        let has_events = self.ready.is_none() && shared.events().has();
        tokio::select! {
            _ = &mut self.quit => Err(None),
            Some(done) = self.asks.join_next_with_id() => self.asked(done).await.map_err(Some),
            said = self.line.from.recv() => match said {
                Some(said) => self.hear(said).await.map_err(Some),
                None => Err(Some(ended(&mut self.line).await)),
            },
            permit = shared.to.reserve(), if has_events => {
                // An error means that it has ended, which is heard of on the other way.
                match permit.map(|permit| shared.events().take().map(|event| permit.send(event))) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(Some(ended(&mut self.line).await)),
                }
            }
            () = shared.wake.notified() => self.cancel().await.map_err(Some),
            () = sleep_until(due) => self.overdue().await.map_err(Some),
        }
    }

    /// When something is to be looked after, should nothing happen.
    fn due(&self) -> Instant {
        let pulse = match self.pulse {
            Pulse::Quiet(since) => since + PEACE,
            Pulse::Asked { at, .. } => at + PATIENCE,
        };
        let hung = self.shared.calls().due();
        hung.map_or(pulse, |hung| hung.min(pulse))
    }

    async fn overdue(&mut self) -> Result<(), String> {
        let now = Instant::now();
        let hung = self.shared.calls().due().is_some_and(|due| due <= now);
        if hung {
            return Err("it hangs: it went on with a call long after nobody waited for it any more".into());
        }
        match self.pulse {
            Pulse::Quiet(since) if since + PEACE <= now => {
                // A plugin that is at work is bounded by its work.
                let is_idle = self.ready.is_none() && self.ids.is_empty() && self.shared.calls().is_idle();
                if !is_idle {
                    self.pulse = Pulse::Quiet(now);
                    return Ok(());
                }
                self.pings += 1;
                self.pulse = Pulse::Asked { id: self.pings, at: now };
                self.tell(ToPlugin::Ping { id: self.pings }).await
            }
            Pulse::Asked { at, .. } if at + PATIENCE <= now => {
                match self.shared.calls().is_idle() {
                    true => Err(format!("it hangs: it has not answered a ping within {PATIENCE:?}")),
                    // Given something to do meanwhile, whose time bounds it.
                    false => {
                        self.pulse = Pulse::Quiet(now);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    async fn tell(&self, message: ToPlugin) -> Result<(), String> {
        match timeout(PATIENCE, self.shared.to.send(message)).await {
            // A line that is closed is heard of on the other way.
            Ok(_) => Ok(()),
            Err(_) => Err(format!("it hangs: it has not read what it was told for {PATIENCE:?}")),
        }
    }

    async fn cancel(&mut self) -> Result<(), String> {
        let given_up = self.shared.calls().take_untold();
        for id in given_up {
            self.tell(ToPlugin::Cancel { id }).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, said: ToNode) -> Result<(), String> {
        if let Pulse::Quiet(since) = &mut self.pulse {
            *since = Instant::now();
        }
        match said {
            ToNode::Ok { id, result } => {
                let known = self.shared.calls().answer(id, Ok(result));
                self.check(known, "an answer to a call that nobody has made, or a second one")
            }
            ToNode::Error { id, error } => {
                let known = self.shared.calls().answer(id, Err(error));
                self.check(known, "an answer to a call that nobody has made, or a second one")
            }
            // One that comes after its call was given up is no nonsense.
            ToNode::Progress { id, fraction, text } => {
                self.shared.calls().progress(id, fraction, text);
                Ok(())
            }
            ToNode::Log { level, text } => {
                self.lines.write(&level, &text);
                Ok(())
            }
            ToNode::Credit { n } => {
                self.shared.events().grant(n);
                Ok(())
            }
            ToNode::Pong { id } => {
                let answers = matches!(self.pulse, Pulse::Asked { id: asked, .. } if asked == id);
                if answers {
                    self.pulse = Pulse::Quiet(Instant::now());
                }
                self.check((1..=self.pings).contains(&id), "a pong without a ping")
            }
            ToNode::Ask { id, ask } => self.ask(id, ask).await,
            answer @ (ToNode::Ready { .. } | ToNode::Failed { .. }) => match self.ready.take() {
                Some(ready) => {
                    let _ = ready.send(Ok(answer));
                    Ok(())
                }
                None => self.check(false, "a second `ready`"),
            },
            ToNode::Hello(_) => self.check(false, "a second `hello`"),
            ToNode::Unknown => Ok(()),
        }
    }

    /// Counts what makes no sense.
    fn check(&mut self, makes_sense: bool, what: &str) -> Result<(), String> {
        if makes_sense {
            return Ok(());
        }
        self.nonsense += 1;
        self.lines.write("warn", &format!("It says what makes no sense here: {what}."));
        match self.nonsense < NONSENSE {
            true => Ok(()),
            false => Err(format!("it has said {NONSENSE} things that made no sense, the last one {what}")),
        }
    }

    /// Carries out what it asks for, beside all else.
    async fn ask(&mut self, id: u64, ask: Ask) -> Result<(), String> {
        let refused = if self.ids.values().any(|other| *other == id) {
            Some(ToolError::new(ToolErrorCode::BadRequest, format!("an ask of the number {id} is under way")))
        } else if self.ids.len() >= IN_FLIGHT {
            Some(ToolError::new(
                ToolErrorCode::Busy,
                format!("{IN_FLIGHT} asks are under way: wait for an answer"),
            ))
        } else {
            None
        };
        if let Some(error) = refused {
            return self.tell(ToPlugin::Error { id, error }).await;
        }
        let (asker, shared) = (self.asker.clone(), self.shared.clone());
        let task = self.asks.spawn(async move {
            let answer = match asker.answer(ask).await {
                Ok(result) => ToPlugin::Ok { id, result },
                Err(error) => ToPlugin::Error { id, error },
            };
            reply(&shared, id, answer).await;
        });
        self.ids.insert(task.id(), id);
        Ok(())
    }

    async fn asked(&mut self, done: Result<(TaskId, ()), JoinError>) -> Result<(), String> {
        let task = done.as_ref().map_or_else(JoinError::id, |done| done.0);
        let id = self.ids.remove(&task);
        match (done, id) {
            (Err(error), Some(id)) if error.is_panic() => {
                let error = ToolError::new(ToolErrorCode::Internal, "the node broke over it: a bug");
                self.tell(ToPlugin::Error { id, error }).await
            }
            _ => Ok(()),
        }
    }
}

/// A line that is closed is heard of by the talk.
async fn reply(shared: &Shared, id: u64, answer: ToPlugin) {
    let answer = match shared.check(&answer) {
        Ok(()) => answer,
        Err(why) => {
            let error = ToolError::new(ToolErrorCode::Failed, format!("the answer cannot be sent: {why}"));
            ToPlugin::Error { id, error }
        }
    };
    let _ = shared.to.send(answer).await;
}
