//! The one thread that starts processes.
//!
//! Why one: the kernel ends a child when the *thread* that started it ends (`PR_SET_PDEATHSIG`), and a runtime's threads come
//! and go. This one stays until the node ends.

use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

static THREAD: Mutex<Option<SyncSender<Job>>> = Mutex::new(None);

/// How many starts may wait at once.
const WAITING: usize = 64;

/// Runs it there. Whoever no longer waits for what it gives has that dropped.
pub(super) async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move || drop(answer.send(job())));
    match thread()?.try_send(job) {
        Ok(()) => answered.await.map_err(|_| "the start was broken off".to_owned()),
        Err(TrySendError::Full(_)) => Err(format!("{WAITING} programs are being started already")),
        Err(TrySendError::Disconnected(_)) => Err("the thread that starts programs is gone".to_owned()),
    }
}

fn thread() -> Result<SyncSender<Job>, String> {
    let mut thread = THREAD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(jobs) = &*thread {
        return Ok(jobs.clone());
    }
    let (jobs, todo) = sync_channel::<Job>(WAITING);
    let forks = move || {
        for job in todo {
            // A job that panics must not end the thread, and every plugin with it.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        }
    };
    let builder = std::thread::Builder::new().name("sedge-fork".into()).stack_size(128 * 1024);
    builder.spawn(forks).map_err(|error| format!("no thread to start programs from: {error}"))?;
    *thread = Some(jobs.clone());
    Ok(jobs)
}
