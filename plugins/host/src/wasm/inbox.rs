//! What has come for a component, and whether it may run on.
//!
//! The component's thread takes its work from here and waits here for answers; a task puts in what comes on the line, so that a
//! cancellation is heard while the component runs. Both sides hold the lock for a moment only.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::{CREDIT, Call, IN_FLIGHT, ToPlugin};
use serde_json::Value as Json;

/// How long a call that nobody waits for any more may take to notice it.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// The most that waits to be done: the events that a plugin may be sent, and the calls; a ping and a welcome besides.
const ROOM: usize = CREDIT as usize + IN_FLIGHT + 16;

/// Something to do.
#[derive(Debug)]
pub(super) enum Work {
    Welcome(Box<ToPlugin>),
    Call {
        id: u64,
        call: Call,
    },
    Event {
        topic: String,
        message: Json,
    },
    Ping {
        id: u64,
    },
    /// A call that was cancelled before it began.
    Cancelled {
        id: u64,
    },
}

/// Why it may not run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Halt {
    #[error("it was stopped")]
    Killed,
    #[error("it did not finish within {} ms, and was stopped", .0.as_millis())]
    Late(Duration),
    #[error("it went on with a call that was cancelled, and was stopped")]
    Cancelled,
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    /// The ask whose answer is waited for, and the answer.
    asked: Option<u64>,
    answer: Option<Result<Json, ToolError>>,
    current: Option<Current>,
    killed: bool,
    /// Nothing comes any more.
    closed: bool,
}

/// What is being done.
struct Current {
    id: Option<u64>,
    began: Instant,
    budget: Duration,
    cancelled: Option<Instant>,
}

impl Current {
    fn new(id: Option<u64>, budget: Duration) -> Self {
        Self { id, began: Instant::now(), budget, cancelled: None }
    }
}

impl State {
    fn halt(&self) -> Option<Halt> {
        let now = Instant::now();
        if self.killed {
            return Some(Halt::Killed);
        }
        let current = self.current.as_ref()?;
        if current.cancelled.is_some_and(|at| now.duration_since(at) >= CANCEL_GRACE) {
            return Some(Halt::Cancelled);
        }
        (now.duration_since(current.began) >= current.budget).then_some(Halt::Late(current.budget))
    }

    /// Until when it may wait.
    fn until(&self) -> Option<Instant> {
        let current = self.current.as_ref()?;
        let cancelled = current.cancelled.map(|at| at + CANCEL_GRACE);
        let budget = current.began.checked_add(current.budget);
        cancelled.into_iter().chain(budget).min()
    }

    fn is_cancelled(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.cancelled.is_some())
    }
}

/// What has come for one component.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in what has come. False: the node sends more than it may.
    pub(super) fn put(&self, message: ToPlugin) -> bool {
        let mut state = self.lock();
        let work = match message {
            ToPlugin::Welcome { .. } => Work::Welcome(Box::new(message)),
            ToPlugin::Call { id, call } => Work::Call { id, call },
            ToPlugin::Event { topic, message } => Work::Event { topic, message },
            ToPlugin::Ping { id } => Work::Ping { id },
            ToPlugin::Cancel { id } => {
                state.cancel(id);
                self.changed.notify_all();
                return true;
            }
            ToPlugin::Ok { id, result } => {
                state.answered(id, Ok(result));
                self.changed.notify_all();
                return true;
            }
            ToPlugin::Error { id, error } => {
                state.answered(id, Err(error));
                self.changed.notify_all();
                return true;
            }
            ToPlugin::Unknown => return true,
        };
        if state.work.len() >= ROOM {
            return false;
        }
        state.work.push_back(work);
        self.changed.notify_all();
        true
    }

    /// Nothing comes any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// It is to end at once.
    pub(super) fn kill(&self) {
        self.lock().killed = true;
        self.changed.notify_all();
    }

    /// What is to be done next; nothing when it is to end.
    pub(super) fn take(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.killed {
                return None;
            }
            if let Some(work) = state.work.pop_front() {
                // Under the same lock, so that there is no moment in which a cancellation finds it nowhere.
                if let Work::Call { id, .. } = work {
                    state.current = Some(Current::new(Some(id), Duration::MAX));
                }
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Something begins that may take so long.
    pub(super) fn begin(&self, id: Option<u64>, budget: Duration) {
        let mut state = self.lock();
        let taken = state.current.take().filter(|current| id.is_some() && current.id == id);
        let cancelled = taken.and_then(|current| current.cancelled);
        state.current = Some(Current { cancelled, ..Current::new(id, budget) });
    }

    /// It is over.
    pub(super) fn finish(&self) {
        self.lock().current = None;
    }

    /// The call under way.
    pub(super) fn current(&self) -> Option<u64> {
        self.lock().current.as_ref().and_then(|current| current.id)
    }

    /// Whether it was told to end from outside.
    pub(super) fn is_killed(&self) -> bool {
        self.lock().killed
    }

    /// Why it may not run on; nothing if it may.
    pub(super) fn halt(&self) -> Option<Halt> {
        self.lock().halt()
    }

    /// An ask is about to be sent.
    pub(super) fn ask(&self, id: u64) {
        let mut state = self.lock();
        state.asked = Some(id);
        state.answer = None;
    }

    /// Waits for the answer.
    pub(super) fn answer(&self) -> Result<Result<Json, ToolError>, Halt> {
        let gone = |code, text: &str| Ok(Err(ToolError::new(code, text)));
        let mut state = self.lock();
        loop {
            if let Some(halt) = state.halt() {
                return Err(halt);
            }
            if let Some(answer) = state.answer.take() {
                state.asked = None;
                return Ok(answer);
            }
            if state.is_cancelled() {
                state.asked = None;
                return gone(ToolErrorCode::Expired, "the call was cancelled");
            }
            if state.closed {
                return gone(ToolErrorCode::Unavailable, "the node is gone");
            }
            state = self.wait(state, None);
        }
    }

    /// Waits so long, or until the call is cancelled.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Halt> {
        let until = Instant::now() + time;
        let mut state = self.lock();
        loop {
            if let Some(halt) = state.halt() {
                return Err(halt);
            }
            if Instant::now() >= until || state.is_cancelled() {
                return Ok(());
            }
            state = self.wait(state, Some(until));
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        let until = until.into_iter().chain(state.until()).min();
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl State {
    fn cancel(&mut self, cancelled: u64) {
        if let Some(current) = self.current.as_mut().filter(|current| current.id == Some(cancelled)) {
            current.cancelled.get_or_insert_with(Instant::now);
        }
        for work in &mut self.work {
            if matches!(work, Work::Call { id, .. } if *id == cancelled) {
                *work = Work::Cancelled { id: cancelled };
            }
        }
    }

    fn answered(&mut self, id: u64, answer: Result<Json, ToolError>) {
        if self.asked == Some(id) {
            self.answer = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_is_not_lost_wherever_the_call_is() {
        let cancel = ToPlugin::Cancel { id: 7 };
        let call = || ToPlugin::Call { id: 7, call: Call::Read };
        let inbox = Inbox::default();
        assert!(inbox.put(call()) && inbox.put(cancel.clone()));
        assert!(matches!(inbox.take(), Some(Work::Cancelled { id: 7 })), "before it is taken");

        assert!(inbox.put(call()));
        assert!(matches!(inbox.take(), Some(Work::Call { id: 7, .. })));
        assert!(inbox.put(cancel.clone()));
        inbox.begin(Some(7), Duration::from_secs(60));
        assert!(inbox.lock().is_cancelled(), "after it is taken, before it begins");

        inbox.begin(Some(8), Duration::from_secs(60));
        assert!(!inbox.lock().is_cancelled(), "another call");
        assert!(inbox.put(cancel));
        assert!(!inbox.lock().is_cancelled(), "one that is over");
    }

    #[test]
    fn there_is_room_for_what_may_be_sent_and_for_no_more() {
        let inbox = Inbox::default();
        let event = || ToPlugin::Event { topic: "deliver".into(), message: Json::Null };
        let taken = (0..10_000).take_while(|_| inbox.put(event())).count();
        assert_eq!(taken, ROOM);
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_forgotten() {
        let inbox = Inbox::default();
        inbox.begin(None, Duration::from_secs(60));
        inbox.ask(2);
        inbox.put(ToPlugin::Ok { id: 1, result: Json::Null });
        inbox.put(ToPlugin::Ok { id: 2, result: 5.into() });
        assert_eq!(inbox.answer(), Ok(Ok(5.into())));
    }
}
