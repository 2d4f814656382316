//! The node as a service of systemd: says when it is ready, how it fares, and that it lives.
//!
//! | what is said | when |
//! |---|---|
//! | `READY=1` | the first start of every plugin is over, well or not |
//! | `EXTEND_TIMEOUT_USEC` | a start takes long and goes on: a large journal, many plugins |
//! | `STATUS=` | what `systemctl status` shows: `13 plugins run, 1 amiss: kitchen (no answer at 0x76)` |
//! | `RELOADING=1`, `READY=1` | the config is read again; it was applied, or refused |
//! | `WATCHDOG=1` | all keepers of plugins have answered, and the journal is at work |
//! | `STOPPING=1` | it ends |
//!
//! Without `NOTIFY_SOCKET` nothing is said and nothing runs. Try it: `systemd-notify --help` has no listener, but
//! `socat -u UNIX-RECV:/tmp/n -` and `NOTIFY_SOCKET=/tmp/n sedge run` do.
//!
//! It must not feed the watchdog by a timer alone, wait for systemd, or pass on a line that a plugin has made up.

mod notify;
mod patience;
mod status;
mod watchdog;

use std::env::var_os;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sedge_actors::NodeHandle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

use crate::exit::Failure;
use crate::outbox::Outbox;
use notify::{Notifier, Say};
use patience::extend;
use status::{Notes, line, shown, tell_status};
use watchdog::{Within, feed};

/// How long a reload may take; beyond it the node does not answer.
const RELOAD: Duration = Duration::from_secs(300);

/// How long the journal may be away at the disk; beyond it the node does not answer. A card takes seconds, a node whose journal
/// does not come back delivers nothing.
const JOURNAL: Duration = Duration::from_secs(120);

/// What is told to systemd; nothing where nobody listens.
pub(crate) struct Service {
    manager: Option<Manager>,
}

struct Manager {
    notifier: Arc<Notifier>,
    /// How often systemd wants to hear of the node.
    watchdog: Option<Duration>,
    notes: watch::Sender<Notes>,
    reloading: Arc<Mutex<Option<Instant>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Service {
    /// What systemd has said in the environment. Begins to ask for patience with the start.
    pub(crate) fn from_environment() -> Self {
        let notifier = var_os("NOTIFY_SOCKET").and_then(|socket| Notifier::to(&socket));
        let text = |name| var_os(name).and_then(|text| text.into_string().ok());
        let watchdog = watchdog::asked_for(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id());
        Self::with(notifier, watchdog)
    }

    fn with(notifier: Option<Notifier>, watchdog: Option<Duration>) -> Self {
        let manager = notifier.map(|notifier| {
            let notifier = Arc::new(notifier);
            let tasks = Mutex::new(vec![tokio::spawn(extend(notifier.clone()))]);
            let (notes, reloading) = (watch::Sender::default(), Arc::default());
            Manager { notifier, watchdog, notes, reloading, tasks }
        });
        Self { manager }
    }

    /// What the start is about.
    pub(crate) fn starts(&self, what: &str) {
        let Some(manager) = &self.manager else { return };
        manager.notifier.tell(&[Say::Status(&format!("Starting: {}", shown(what)))]);
    }

    /// The node is up: tells so, and from now on how it fares.
    pub(crate) fn runs(&self, node: &NodeHandle, outbox: Option<&Outbox>) {
        let Some(manager) = &self.manager else { return };
        manager.end_tasks();
        manager.notifier.tell(&[Say::Ready, Say::Status(&line(&node.directory(), &Notes::default()))]);
        let (notifier, notes) = (manager.notifier.clone(), manager.notes.clone());
        let mut tasks = vec![tokio::spawn(tell_status(notifier, node.clone(), notes.clone()))];
        if let Some(outbox) = outbox {
            tasks.push(tokio::spawn(note_trouble(outbox.trouble(), notes)));
        }
        if let Some(every) = manager.watchdog {
            debug!(?every, "systemd watches this node.");
            let (notifier, notes) = (manager.notifier.clone(), manager.notes.clone());
            let (node, outbox, reloading) = (node.clone(), outbox.cloned(), manager.reloading.clone());
            let ask = move |within| pulse(node.clone(), outbox.clone(), *lock(&reloading), within);
            tasks.push(tokio::spawn(feed(Within::of(every), notifier, notes, ask)));
        }
        manager.tasks().extend(tasks);
    }

    /// The config is read again.
    pub(crate) async fn reloads<T>(
        &self,
        reload: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let Some(manager) = &self.manager else { return reload.await };
        *lock(&manager.reloading) = Some(Instant::now());
        manager.notifier.tell(&[Say::Reloading, Say::Status("Reads its config again.")]);
        let outcome = reload.await;
        *lock(&manager.reloading) = None;
        manager.notifier.tell(&[Say::Ready]);
        manager.notes.send_modify(|notes| {
            notes.reloads += 1;
            notes.refused = outcome.as_ref().err().map(|why| shown(why));
        });
        outcome
    }

    /// It ends, as it was told.
    pub(crate) fn stops(&self) {
        let Some(manager) = &self.manager else { return };
        manager.notifier.tell(&[Say::Stopping, Say::Status("Stops.")]);
        manager.notes.send_modify(|notes| notes.stops = true);
    }

    /// It ends because of that, and of a mistake in its config where there is one.
    pub(crate) fn fails(&self, failure: &Failure, mistake: Option<&str>) {
        let Some(manager) = &self.manager else { return };
        manager.end_tasks();
        let text = match (failure, mistake) {
            (Failure::ConfigShown, Some(mistake)) => format!("The config is refused: {}", shown(mistake)),
            (Failure::Config(why), _) => format!("The config is refused: {}", shown(why)),
            _ => format!("Ended: {}", shown(&failure.to_string())),
        };
        manager.notifier.tell(&[Say::Status(&text)]);
    }
}

impl Manager {
    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        lock(&self.tasks)
    }

    fn end_tasks(&self) {
        self.tasks().drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

/// Asks the node whether it lives: the keepers of its plugins, its journal, and whoever reads the config again.
async fn pulse(
    node: NodeHandle,
    outbox: Option<Outbox>,
    reloading: Option<Instant>,
    within: Duration,
) -> Result<(), String> {
    node.answers(within).await?;
    if let Some(outbox) = &outbox {
        outbox.is_at_work(JOURNAL)?;
    }
    match reloading.map(|since| since.elapsed()).filter(|lasts| *lasts > RELOAD) {
        Some(lasts) => Err(format!("the reload of the config, for {} s", lasts.as_secs())),
        None => Ok(()),
    }
}

/// What the disk of the journal does stands in the status.
async fn note_trouble(mut trouble: watch::Receiver<Option<String>>, notes: watch::Sender<Notes>) {
    loop {
        let now = trouble.borrow_and_update().as_deref().map(shown);
        notes.send_if_modified(|notes| std::mem::replace(&mut notes.journal, now.clone()) != now);
        if trouble.changed().await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
