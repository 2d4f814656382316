//! The roll call: whether every keeper still answers.
//!
//! Why: something outside of the process, such as systemd's watchdog, restarts a node whose supervision is stuck, and must
//! leave alone a node that heals itself. So it is the keepers who are asked, not the plugins: a plugin that hangs has a keeper
//! that sees to it, and says so.
//!
//! ```text
//! Roll::call ──number──▶ Voice of each keeper ──the number it heard──▶ Roll
//! ```
//!
//! A keeper answers at every place where it waits. One that returned has nothing left to keep and is not asked; one that
//! panicked never answers again.
//!
//! It must not ask a plugin: what a plugin does with its time is no sign of how the node fares.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::Id;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Keepers that are named where several do not answer.
const MOST_NAMED: usize = 5;

/// All keepers of a node.
#[derive(Default)]
pub(crate) struct Roll {
    /// The number of the newest call.
    calls: watch::Sender<u64>,
    /// Told when somebody answered, or left.
    answered: Notify,
    seats: Mutex<BTreeMap<u64, (Id, Arc<Mark>)>>,
    next: AtomicU64,
}

/// What a keeper has answered.
struct Mark {
    heard: AtomicU64,
    over: AtomicBool,
}

/// A place in the roll: with the hand on a keeper, and gone with it.
pub(crate) struct Seat {
    roll: Arc<Roll>,
    number: u64,
}

/// With the keeper itself.
pub(crate) struct Voice {
    roll: Arc<Roll>,
    calls: watch::Receiver<u64>,
    mark: Arc<Mark>,
}

impl Roll {
    /// A keeper begins.
    pub(crate) fn enter(self: &Arc<Self>, id: &Id) -> (Seat, Voice) {
        let calls = self.calls.subscribe();
        // Whoever is new has nothing to answer yet.
        let heard = AtomicU64::new(*calls.borrow());
        let mark = Arc::new(Mark { heard, over: AtomicBool::new(false) });
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.seats().insert(number, (id.clone(), mark.clone()));
        (Seat { roll: self.clone(), number }, Voice { roll: self.clone(), calls, mark })
    }

    /// Asks all keepers, and waits for their answers.
    ///
    /// # Errors
    /// With the names of those that have not answered within the time.
    pub(crate) async fn call(&self, within: Duration) -> Result<(), String> {
        let mut number = 0;
        self.calls.send_modify(|calls| {
            *calls += 1;
            number = *calls;
        });
        let until = Instant::now() + within;
        loop {
            let mut answered = pin!(self.answered.notified());
            answered.as_mut().enable();
            let silent = self.silent(number);
            if silent.is_empty() {
                return Ok(());
            }
            if tokio::time::timeout_at(until, answered).await.is_err() {
                return Err(told(&silent));
            }
        }
    }

    fn silent(&self, number: u64) -> Vec<Id> {
        let has_answered =
            |mark: &Mark| mark.over.load(Ordering::Acquire) || mark.heard.load(Ordering::Acquire) >= number;
        self.seats().values().filter(|(_, mark)| !has_answered(mark)).map(|(id, _)| id.clone()).collect()
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<u64, (Id, Arc<Mark>)>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `the keeper of kitchen`; `the keepers of attic, kitchen and 2 more`.
fn told(silent: &[Id]) -> String {
    let names: Vec<&str> = silent.iter().take(MOST_NAMED).map(Id::as_str).collect();
    let keepers = if silent.len() == 1 { "keeper" } else { "keepers" };
    let more = silent.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the {keepers} of {}{more}", names.join(", "))
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.roll.seats().remove(&self.number);
        self.roll.answered.notify_waiters();
    }
}

impl Voice {
    /// Waits until it is asked, and answers.
    pub(crate) async fn answer(&mut self) {
        if self.calls.changed().await.is_err() {
            std::future::pending::<()>().await; // The roll is gone, and nobody asks any more.
        }
        self.mark.heard.store(*self.calls.borrow_and_update(), Ordering::Release);
        self.roll.answered.notify_waiters();
    }

    /// Answers for as long as something takes that ends by itself.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                () = self.answer() => {}
                done = &mut work => return done,
            }
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        // A keeper that breaks is missed; one that is done is not.
        if !std::thread::panicking() {
            self.mark.over.store(true, Ordering::Release);
            self.roll.answered.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn roll(names: &[&str]) -> (Arc<Roll>, Vec<(Seat, Voice)>) {
        let roll = Arc::<Roll>::default();
        let all = names.iter().map(|name| roll.enter(&Id::new(name).unwrap())).collect();
        (roll, all)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_answer_is_named() {
        let (roll, mut all) = roll(&["attic", "kitchen"]);
        assert_eq!(roll.call(S).await, Err("the keepers of attic, kitchen".into()));
        let (_kitchen, mut voice) = all.pop().unwrap();
        let answering = tokio::spawn(async move { voice.meanwhile(std::future::pending::<()>()).await });
        assert_eq!(roll.call(S).await, Err("the keeper of attic".into()));
        drop(all);
        assert_eq!(roll.call(S).await, Ok(()));
        answering.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_keeper_that_is_done_is_not_missed_and_one_that_broke_is() {
        let (roll, mut all) = roll(&["broken", "done"]);
        let (_done, voice) = all.pop().unwrap();
        drop(voice);
        let (_broken, voice) = all.pop().unwrap();
        let broke = tokio::spawn(async move {
            let _voice = voice;
            panic!("it broke");
        });
        assert!(broke.await.is_err());
        assert_eq!(roll.call(S).await, Err("the keeper of broken".into()));
    }
}
