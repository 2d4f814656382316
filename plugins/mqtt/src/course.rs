//! What a connection remembers: how things have gone, what the broker has said, what is being read from the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sedge_plugin::BoxFuture;
use sedge_plugin::journal::Batch;

use crate::asking::Asking;
use crate::link::Fault;
use crate::outbox::Wish;

/// So many connections that were cut between our SUBSCRIBE and its answer, one after another: without it, then.
pub(crate) const CUT_SUBSCRIBING: u32 = 3;

/// What the broker has said on this connection.
#[derive(Default)]
pub(crate) struct Heard {
    /// Topics about which was complained.
    pub(crate) complaints: BTreeSet<String>,
    /// Topics at which it refuses readings, and why.
    pub(crate) refusing: BTreeMap<String, &'static str>,
    /// When what it had refused was sent again last.
    pub(crate) reopened: Option<Duration>,
    /// Readings that it took, until the journal is told.
    pub(crate) arrived: Vec<u64>,
    pub(crate) asking: Asking,
}

/// What is being read from the journal.
pub(crate) struct Fetch {
    pub(crate) wish: Option<Wish>,
    pub(crate) batch: BoxFuture<'static, Batch>,
    /// Whether it is waited for that the journal grows.
    pub(crate) waits: bool,
    pub(crate) grown: BoxFuture<'static, ()>,
    /// Whether it is waited for that more of the backlog may go.
    pub(crate) paced: bool,
    pub(crate) pace: BoxFuture<'static, ()>,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            wish: None,
            batch: Box::pin(std::future::pending()),
            waits: false,
            grown: Box::pin(std::future::pending()),
            paced: false,
            pace: Box::pin(std::future::pending()),
        }
    }
}

/// What the broker has of the node beyond its components.
pub(crate) struct Sweep {
    pub(crate) begun: bool,
    /// When it has taken long enough.
    pub(crate) time: BoxFuture<'static, ()>,
    /// How many of the node's own subscriptions were answered, or left out.
    pub(crate) answered: usize,
    /// Its subscriptions that the broker has not answered yet.
    pub(crate) unanswered: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { begun: false, time: Box::pin(std::future::pending()), answered: 0, unanswered: 0 }
    }
}

/// How things have gone so far.
#[derive(Default)]
pub(crate) struct Course {
    /// Whether it was said that there is a connection.
    pub(crate) connected: bool,
    /// The kind of fault that was said last, since then.
    pub(crate) told: Option<Kind>,
    /// Connections that ended soon after they began, one after another.
    pub(crate) unsteady: u32,
    /// Whether the broker of the last one would say why it ends one.
    pub(crate) tells_why: bool,
    /// Connections that ended between our SUBSCRIBE and its answer, one after another.
    pub(crate) cut_subscribing: u32,
    /// Whether this connection goes without the subscription to calls.
    pub(crate) deaf: bool,
    /// Whether the subscription to calls is to be answered before there is another one.
    pub(crate) alone: bool,
}

impl Course {
    /// A connection that was up has ended.
    pub(crate) fn ended(&mut self, fault: &Fault, calls_answered: bool) {
        if self.deaf {
            // Once more with it: the broker may have learnt better.
            self.cut_subscribing = CUT_SUBSCRIBING - 1;
        } else if matches!(fault, Fault::Lost(_)) && !calls_answered {
            self.cut_subscribing += 1;
        }
        if self.cut_subscribing >= CUT_SUBSCRIBING {
            // It is known why.
            self.unsteady = 0;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unreachable,
    Lost,
    Tls,
    Login,
    TakenOver,
    Unsteady,
    Protocol,
}

pub(crate) fn kind(fault: &Fault) -> Kind {
    match fault {
        Fault::Unreachable(_) => Kind::Unreachable,
        Fault::Lost(_) => Kind::Lost,
        Fault::Tls(_) => Kind::Tls,
        Fault::Login(_) => Kind::Login,
        Fault::TakenOver(_) => Kind::TakenOver,
        Fault::Unsteady { .. } => Kind::Unsteady,
        Fault::Protocol(_) => Kind::Protocol,
    }
}
