//! What came from the node and waits for the one thread that handles it.
//!
//! It is bounded by what the node may send: calls up to [`IN_FLIGHT`], events up to the credit. It must not hold up whoever
//! reads the line, since answers come over it too.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use sedge_protocol::{CREDIT, Call, IN_FLIGHT, ToPlugin};
use serde_json::Value as Json;

use crate::executor::lock;

/// What there is to do next.
pub(super) enum Turn {
    Welcome(Box<ToPlugin>),
    Call {
        id: u64,
        call: Call,
    },
    Event {
        topic: String,
        message: Json,
    },
    /// A call that was given up before it began. It keeps its turn: a plugin that never gets there hangs, and the node is to
    /// notice.
    GivenUp {
        id: u64,
    },
    Ping {
        id: u64,
    },
    /// The line has ended.
    End(String),
}

#[derive(Default)]
pub(super) struct Inbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    turns: VecDeque<Turn>,
    ping: Option<u64>,
    calls: usize,
    events: usize,
    end: Option<String>,
    waker: Option<Waker>,
    /// The call under way, and whether somebody waits for it.
    running: Option<(u64, Arc<AtomicBool>)>,
    finished: bool,
}

impl Inbox {
    /// Takes a turn; no where there are too many of its sort.
    pub(super) fn push(&self, turn: Turn) -> bool {
        let mut waiting = lock(&self.0);
        let room = match &turn {
            Turn::Call { .. } => take(&mut waiting.calls, IN_FLIGHT),
            Turn::Event { .. } => take(&mut waiting.events, CREDIT as usize),
            Turn::Welcome(_) => waiting.turns.is_empty(),
            Turn::GivenUp { .. } | Turn::Ping { .. } | Turn::End(_) => true,
        };
        if !room {
            return false;
        }
        match turn {
            Turn::Ping { id } => waiting.ping = Some(id),
            // The first reason counts.
            Turn::End(why) => drop(waiting.end.get_or_insert(why)),
            turn => waiting.turns.push_back(turn),
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        true
    }

    /// The next turn: whether it is alive first; what came before the end, after it, nobody waits for.
    pub(super) async fn next(&self) -> Turn {
        poll_fn(|context| {
            let mut waiting = lock(&self.0);
            waiting.running = None;
            if let Some(why) = waiting.end.take() {
                return Poll::Ready(Turn::End(why));
            }
            if let Some(id) = waiting.ping.take() {
                return Poll::Ready(Turn::Ping { id });
            }
            match waiting.turns.pop_front() {
                Some(turn) => {
                    match &turn {
                        Turn::Call { .. } | Turn::GivenUp { .. } => waiting.calls -= 1,
                        Turn::Event { .. } => waiting.events -= 1,
                        _ => {}
                    }
                    Poll::Ready(turn)
                }
                None => {
                    waiting.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A call begins; `open` while somebody waits for it.
    pub(super) fn begin(&self, id: u64, open: &Arc<AtomicBool>) {
        lock(&self.0).running = Some((id, open.clone()));
    }

    /// What the call that has begun comes to; none where nobody waits for it any more: it is dropped where it waits.
    pub(super) async fn unless_given_up<T>(
        &self,
        open: &AtomicBool,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let mut call = pin!(call);
        poll_fn(|context| {
            lock(&self.0).waker = Some(context.waker().clone());
            match call.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if open.load(Ordering::Relaxed) => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        })
        .await
    }

    /// Nobody waits for this call any more. One that has not begun never will.
    pub(super) fn cancel(&self, id: u64) {
        let mut waiting = lock(&self.0);
        if let Some((_, open)) = waiting.running.as_ref().filter(|(running, _)| *running == id) {
            open.store(false, Ordering::Relaxed);
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
        let waits = |turn: &&mut Turn| matches!(turn, Turn::Call { id: one, .. } if *one == id);
        if let Some(turn) = waiting.turns.iter_mut().find(waits) {
            *turn = Turn::GivenUp { id };
        }
    }

    /// All is done.
    pub(super) fn finish(&self) {
        lock(&self.0).finished = true;
    }

    pub(super) fn is_finished(&self) -> bool {
        lock(&self.0).finished
    }
}

fn take(count: &mut usize, most: usize) -> bool {
    let room = *count < most;
    *count += usize::from(room);
    room
}
