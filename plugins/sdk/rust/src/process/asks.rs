//! What a plugin has asked its node for, until the answer is there.
//!
//! It must not let more than the limit be under way, nor leave anybody waiting when the line has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use sedge_plugin::{ToolError, ToolErrorCode};
use sedge_protocol::IN_FLIGHT;
use serde_json::Value as Json;

use crate::executor::lock;

pub(super) type Answer = Result<Json, ToolError>;

#[derive(Default)]
pub(super) struct Asks {
    under_way: Mutex<UnderWay>,
    room: Condvar,
}

#[derive(Default)]
struct UnderWay {
    last: u64,
    most: Option<usize>,
    asks: BTreeMap<u64, Arc<Ask>>,
    waiting: Vec<Waker>,
    closed: Option<String>,
}

/// One that waits for its answer.
#[derive(Default)]
pub(super) struct Ask {
    state: Mutex<(Option<Answer>, Option<Waker>)>,
    answered: Condvar,
}

impl Asks {
    /// So many may be under way at once.
    pub(super) fn limit(&self, most: usize) {
        lock(&self.under_way).most = Some(most.max(1));
    }

    /// Begins one, once there is room.
    pub(super) fn poll_begin(&self, context: &Context<'_>) -> Poll<Result<(u64, Arc<Ask>), ToolError>> {
        let mut under_way = lock(&self.under_way);
        let begun = under_way.begin();
        if begun.is_none() && !under_way.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            under_way.waiting.push(context.waker().clone());
        }
        begun.map_or(Poll::Pending, Poll::Ready)
    }

    /// Begins one, and blocks until there is room.
    pub(super) fn begin(&self) -> Result<(u64, Arc<Ask>), ToolError> {
        let mut under_way = lock(&self.under_way);
        loop {
            if let Some(begun) = under_way.begin() {
                return begun;
            }
            under_way = self.room.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An answer came, or it could not be asked. One to nothing that was asked is nothing.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        let mut under_way = lock(&self.under_way);
        if let Some(ask) = under_way.asks.remove(&id) {
            ask.set(answer);
        }
        under_way.waiting.drain(..).for_each(Waker::wake);
        self.room.notify_all();
    }

    /// No answer will come any more.
    pub(super) fn close(&self, why: &str) {
        let mut under_way = lock(&self.under_way);
        under_way.closed.get_or_insert_with(|| why.into());
        for ask in std::mem::take(&mut under_way.asks).into_values() {
            ask.set(Err(closed(why)));
        }
        under_way.waiting.drain(..).for_each(Waker::wake);
        self.room.notify_all();
    }
}

impl UnderWay {
    fn begin(&mut self) -> Option<Result<(u64, Arc<Ask>), ToolError>> {
        if let Some(why) = &self.closed {
            return Some(Err(closed(why)));
        }
        if self.asks.len() >= self.most.unwrap_or(IN_FLIGHT) {
            return None;
        }
        self.last += 1;
        let ask = Arc::new(Ask::default());
        self.asks.insert(self.last, ask.clone());
        Some(Ok((self.last, ask)))
    }
}

impl Ask {
    fn set(&self, answer: Answer) {
        let mut state = lock(&self.state);
        state.0 = Some(answer);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
        self.answered.notify_all();
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Answer> {
        let mut state = lock(&self.state);
        if let Some(answer) = state.0.take() {
            return Poll::Ready(answer);
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn wait(&self) -> Answer {
        let mut state = lock(&self.state);
        loop {
            if let Some(answer) = state.0.take() {
                return answer;
            }
            state = self.answered.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn closed(why: &str) -> ToolError {
    ToolError::new(ToolErrorCode::Unavailable, why)
}
