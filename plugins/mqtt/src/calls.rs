//! The ledger of calls: which run, which were answered, and to whom an answer goes. Pure: time is told to it.
//!
//! A call with an id of its own is run once. Repeated while it runs, the repeat waits for the same answer; repeated
//! later, it gets the same answer again, until the call's deadline has passed. So a caller that heard nothing may
//! ask again without switching the pump twice.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use sedge_plugin::ToolCall;

use crate::wire::{self, Base};

/// Calls that may run at a time.
pub(crate) const MAX_RUNNING: usize = 16;

/// Answers that are remembered.
const MAX_REMEMBERED: usize = 256;

/// Places to which one answer goes.
const MAX_REPLIES: usize = 4;

/// Where an answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) topic: String,
    pub(crate) correlation: Option<Vec<u8>>,
}

impl Reply {
    /// The place that the caller asked for, where it may; otherwise `otherwise`.
    pub(crate) fn to(
        base: &Base,
        asked: Option<String>,
        correlation: Option<Vec<u8>>,
        otherwise: String,
    ) -> Self {
        match asked.filter(|topic| base.may_reply_to(topic)) {
            Some(topic) => Self { topic, correlation },
            None => Self { topic: otherwise, correlation },
        }
    }
}

/// Names a call: who calls, and the caller's own id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) from: String,
    pub(crate) id: String,
}

/// What is called, and with what: the same for a call that is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Print(u64);

impl Print {
    pub(crate) fn of(call: &ToolCall) -> Self {
        let mut hasher = DefaultHasher::new();
        (call.tool.as_str(), wire::json(&call.args)).hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[derive(Debug)]
struct Entry {
    print: Print,
    stand: Stand,
}

#[derive(Debug)]
enum Stand {
    Running(Vec<Reply>),
    Answered { payload: Vec<u8>, until: Duration },
}

/// What is to be done with a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is to be run, and [`Ledger::finish`] to be told.
    Run,
    /// It was run already: this is the answer.
    Again(Vec<u8>),
    /// It runs already; its answer will go to this caller too.
    Joined,
    /// The caller used its id for another call.
    Another,
    /// Too many run.
    Busy,
    /// It runs already, and too many wait for its answer.
    Crowded,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<Key, Entry>,
    running: usize,
}

impl Ledger {
    /// A call came, at `now`. Without a key it cannot be repeated.
    pub(crate) fn admit(&mut self, now: Duration, key: Option<&Key>, print: Print, reply: &Reply) -> Verdict {
        if let Some(entry) = key.and_then(|key| self.entries.get_mut(key)) {
            let same = entry.print == print;
            match &mut entry.stand {
                Stand::Answered { until, .. } if *until <= now => {}
                _ if !same => return Verdict::Another,
                Stand::Answered { payload, .. } => return Verdict::Again(payload.clone()),
                Stand::Running(replies) if replies.contains(reply) => return Verdict::Joined,
                Stand::Running(replies) if replies.len() >= MAX_REPLIES => return Verdict::Crowded,
                Stand::Running(replies) => {
                    replies.push(reply.clone());
                    return Verdict::Joined;
                }
            }
        }
        if self.running >= MAX_RUNNING {
            return Verdict::Busy;
        }
        self.running += 1;
        if let Some(key) = key {
            self.make_room(now);
            self.entries.insert(key.clone(), Entry { print, stand: Stand::Running(vec![reply.clone()]) });
        }
        Verdict::Run
    }

    /// A call that was to be run has its answer, which is remembered `until` then. Gives whom to tell.
    pub(crate) fn finish(
        &mut self,
        key: Option<&Key>,
        reply: &Reply,
        payload: &[u8],
        until: Duration,
    ) -> Vec<Reply> {
        self.running -= 1;
        let Some(key) = key else { return vec![reply.clone()] };
        let Some(entry) = self.entries.get_mut(key) else { return vec![reply.clone()] };
        match std::mem::replace(&mut entry.stand, Stand::Answered { payload: payload.into(), until }) {
            Stand::Running(replies) => replies,
            Stand::Answered { .. } => vec![reply.clone()],
        }
    }

    /// A call that was to be run is not run after all, and nothing of it is remembered. Gives whom to tell.
    pub(crate) fn withdraw(&mut self, key: Option<&Key>, reply: &Reply) -> Vec<Reply> {
        self.running -= 1;
        match key.and_then(|key| self.entries.remove(key)).map(|entry| entry.stand) {
            Some(Stand::Running(replies)) => replies,
            Some(Stand::Answered { .. }) | None => vec![reply.clone()],
        }
    }

    /// Forgets what is out of date, and if need be the answer that would be so next.
    fn make_room(&mut self, now: Duration) {
        if self.entries.len() < MAX_REMEMBERED {
            return;
        }
        self.entries.retain(|_, entry| !matches!(entry.stand, Stand::Answered { until, .. } if until <= now));
        let answered = self.entries.iter().filter_map(|(key, entry)| match entry.stand {
            Stand::Answered { until, .. } => Some((until, key)),
            Stand::Running(_) => None,
        });
        let oldest = answered.min_by_key(|(until, _)| *until).map(|(_, key)| key.clone());
        if let (true, Some(oldest)) = (self.entries.len() >= MAX_REMEMBERED, oldest) {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOON: Duration = Duration::from_secs(30);
    const SET: Print = Print(1);
    const GET: Print = Print(2);

    fn key(id: &str) -> Key {
        Key { from: "cli".into(), id: id.into() }
    }

    fn reply(topic: &str) -> Reply {
        Reply { topic: topic.into(), correlation: None }
    }

    #[test]
    fn a_call_is_run_once_and_answered_as_often_as_it_is_repeated() {
        let (mut ledger, key) = (Ledger::default(), key("1"));
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")), Verdict::Run);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("b")), Verdict::Joined);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("b")), Verdict::Joined);
        assert_eq!(ledger.finish(Some(&key), &reply("a"), b"done", SOON), [reply("a"), reply("b")]);
        assert_eq!(
            ledger.admit(Duration::ZERO, Some(&key), SET, &reply("c")),
            Verdict::Again(b"done".into())
        );
        assert_eq!(ledger.admit(SOON, Some(&key), SET, &reply("c")), Verdict::Run, "its time has passed");
    }

    #[test]
    fn a_call_that_is_withdrawn_leaves_no_trace() {
        let (mut ledger, key) = (Ledger::default(), key("1"));
        for _ in 0..MAX_RUNNING + 1 {
            assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")), Verdict::Run);
            assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("b")), Verdict::Joined);
            assert_eq!(ledger.withdraw(Some(&key), &reply("a")), [reply("a"), reply("b")]);
        }
        assert_eq!(ledger.admit(Duration::ZERO, None, SET, &reply("a")), Verdict::Run);
        assert_eq!(ledger.withdraw(None, &reply("a")), [reply("a")]);
    }

    #[test]
    fn the_same_id_of_another_caller_is_another_call() {
        let mut ledger = Ledger::default();
        let other = Key { from: "agent".into(), ..key("1") };
        for key in [key("1"), other] {
            assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")), Verdict::Run);
        }
    }

    #[test]
    fn an_id_that_was_used_for_another_call_is_refused_until_it_is_forgotten() {
        let (mut ledger, key) = (Ledger::default(), key("1"));
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")), Verdict::Run);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), GET, &reply("a")), Verdict::Another);
        assert_eq!(ledger.finish(Some(&key), &reply("a"), b"done", SOON), [reply("a")]);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), GET, &reply("a")), Verdict::Another);
        assert_eq!(
            ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")),
            Verdict::Again(b"done".into())
        );
        assert_eq!(ledger.admit(SOON, Some(&key), GET, &reply("a")), Verdict::Run);
    }

    #[test]
    fn a_call_is_another_by_its_tool_and_by_its_arguments() {
        let call = |tool: &str, args| ToolCall {
            id: "1".into(),
            from: "cli".into(),
            ..ToolCall::new(sedge_plugin::Name::new(tool).unwrap(), args)
        };
        let on = Print::of(&call("set", json!({ "on": true })));
        assert_eq!(on, Print::of(&call("set", json!({ "on": true }))));
        assert_ne!(on, Print::of(&call("set", json!({ "on": false }))));
        assert_ne!(on, Print::of(&call("get", json!({ "on": true }))));
    }

    #[test]
    fn nobody_who_repeats_a_running_call_goes_without_an_answer() {
        let (mut ledger, key) = (Ledger::default(), key("1"));
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("0")), Verdict::Run);
        for n in 1..MAX_REPLIES {
            let reply = reply(&n.to_string());
            assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply), Verdict::Joined);
        }
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("more")), Verdict::Crowded);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("0")), Verdict::Joined);
        assert_eq!(ledger.finish(Some(&key), &reply("0"), b"", SOON).len(), MAX_REPLIES);
    }

    #[test]
    fn more_calls_than_may_run_are_refused_until_one_has_ended() {
        let mut ledger = Ledger::default();
        for _ in 0..MAX_RUNNING {
            assert_eq!(ledger.admit(Duration::ZERO, None, SET, &reply("a")), Verdict::Run);
        }
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key("1")), SET, &reply("a")), Verdict::Busy);
        ledger.finish(None, &reply("a"), b"", SOON);
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key("1")), SET, &reply("a")), Verdict::Run);
    }

    #[test]
    fn the_memory_is_bounded_and_loses_the_oldest_answer_first() {
        let mut ledger = Ledger::default();
        for n in 0..2 * MAX_REMEMBERED as u64 {
            let key = key(&n.to_string());
            assert_eq!(ledger.admit(Duration::ZERO, Some(&key), SET, &reply("a")), Verdict::Run);
            ledger.finish(Some(&key), &reply("a"), b"x", SOON + Duration::from_secs(n));
        }
        assert_eq!(ledger.entries.len(), MAX_REMEMBERED);
        assert_eq!(
            ledger.admit(Duration::ZERO, Some(&key("511")), SET, &reply("a")),
            Verdict::Again(b"x".into())
        );
        assert_eq!(ledger.admit(Duration::ZERO, Some(&key("0")), SET, &reply("a")), Verdict::Run);
    }
}
