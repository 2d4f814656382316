//! A worker: one thread that owns something that may block, asked from async code.
//!
//! Linux blocks in an ioctl or in a `statvfs` of a dying stick, and nothing can wake it. So what may block
//! has a thread of its own: it holds up those who wait for it, and nobody else.
//!
//! ```
//! use sedge_hal::Worker;
//! use sedge_plugin::testing::block_on;
//! let counter = Worker::spawn("counter", || 0).unwrap();
//! block_on(counter.ask(|n| *n += 1)).unwrap();
//! assert_eq!(block_on(counter.ask(|n| *n)), Ok(1));
//! ```
//!
//! It has no deadlines: whoever asks has one. Work whose asker gave up while it was waiting is not done. A thread that does
//! not come back can be [left behind](Worker::leave): nothing can end it.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::Poll;
use std::thread;

use tokio::sync::{oneshot, watch};

/// Requests that may wait for a worker. One more is refused.
pub(crate) const CAPACITY: usize = 64;

/// Why a worker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// Its queue is full.
    #[error("busy: {CAPACITY} requests wait already")]
    Busy,
    /// The work panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// Its thread has ended.
    #[error("its thread has ended")]
    Ended,
    /// Its thread does not come back, and was left behind.
    #[error("its thread hangs")]
    Left,
}

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A cheap handle to one thread and what it owns. The thread ends when the last handle is gone and its queue
/// is empty.
pub struct Worker<S> {
    jobs: SyncSender<Job<S>>,
    progress: Arc<Progress>,
}

/// How far a thread has come.
struct Progress {
    begun: AtomicU64,
    done: AtomicU64,
    left: watch::Sender<bool>,
}

impl<S> Clone for Worker<S> {
    fn clone(&self) -> Self {
        Self { jobs: self.jobs.clone(), progress: self.progress.clone() }
    }
}

impl<S: 'static> Worker<S> {
    /// Starts a thread called `name`, which owns what `make` makes on it.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn spawn(name: &str, make: impl FnOnce() -> S + Send + 'static) -> io::Result<Self> {
        Self::spawn_with(name, Arc::default(), make)
    }

    /// The same; `token` is held as long as the thread lives.
    pub(crate) fn spawn_with(
        name: &str,
        token: Arc<()>,
        make: impl FnOnce() -> S + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(CAPACITY);
        let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = Arc::new(Progress { begun, done, left: watch::Sender::new(false) });
        let seen = progress.clone();
        thread::Builder::new().name(name.into()).spawn(move || {
            run(make(), queue, &seen);
            drop(token);
        })?;
        Ok(Self { jobs, progress })
    }

    /// The work that it is at, as a number of its own; none while it has nothing to do.
    pub fn at_work(&self) -> Option<u64> {
        let done = self.progress.done.load(Ordering::Acquire);
        let begun = self.progress.begun.load(Ordering::Acquire);
        (begun > done).then_some(begun)
    }

    /// Leaves its thread behind, with what it owns: whoever waits is told so. When the work that it is at comes to an end
    /// after all, the thread ends.
    pub fn leave(&self) {
        self.progress.left.send_replace(true);
    }

    /// Has `work` done on the thread, after what was asked before.
    ///
    /// # Errors
    /// When the queue is full, or the work panicked. What the thread owns is kept in either case.
    pub async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, WorkerError> {
        self.submit(work, false).await
    }

    /// The same, and done also when nobody waits for it any more: for what must not be left undone.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_anyway<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> R + Send + 'static,
    ) -> Result<R, WorkerError> {
        self.submit(work, true).await
    }

    async fn submit<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> R + Send + 'static,
        anyway: bool,
    ) -> Result<R, WorkerError> {
        let (reply, answer) = oneshot::channel();
        let job: Job<S> = Box::new(move |state| {
            if reply.is_closed() && !anyway {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(|| work(state)));
            // Nobody waits any more: then nobody misses the answer.
            let _ = reply.send(result.map_err(|panic| WorkerError::Panicked(text_of(panic.as_ref()))));
        });
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => WorkerError::Busy,
            TrySendError::Disconnected(_) => WorkerError::Ended,
        })?;
        let mut left = self.progress.left.subscribe();
        let mut answer = pin!(answer);
        let mut left = pin!(left.wait_for(|left| *left));
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(answer.unwrap_or(Err(WorkerError::Ended)));
            }
            let left: Pin<&mut _> = left.as_mut();
            left.poll(context).map(|_| Err(WorkerError::Left))
        })
        .await
    }
}

fn run<S>(mut state: S, queue: Receiver<Job<S>>, progress: &Progress) {
    for job in queue {
        if *progress.left.borrow() {
            return;
        }
        progress.begun.fetch_add(1, Ordering::AcqRel);
        job(&mut state);
        progress.done.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a panic said.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").into()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use sedge_plugin::testing::block_on;

    use super::*;

    /// Puts a request into the queue without waiting for its answer.
    fn begin<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_panic_is_an_error_and_the_worker_goes_on() {
        let worker = Worker::spawn("test", || 1).unwrap();
        let result = block_on(worker.ask(|n| {
            *n += 1;
            panic!("at {n}");
        }));
        assert_eq!(result, Err::<(), _>(WorkerError::Panicked("at 2".into())));
        assert_eq!(block_on(worker.ask(|n| *n)), Ok(2));
    }

    #[test]
    fn a_full_queue_refuses_and_work_that_nobody_waits_for_is_not_done() {
        let worker = Worker::spawn("test", || 0).unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (arrived, here) = mpsc::channel();
        let mut hang = pin!(worker.ask(move |_| {
            arrived.send(()).unwrap();
            held.recv().unwrap();
        }));
        assert!(begin(hang.as_mut()).is_pending());
        here.recv().unwrap();

        let mut waiting = Vec::new();
        for _ in 0..CAPACITY {
            let mut request = Box::pin(worker.ask(|n| *n += 1));
            assert!(begin(request.as_mut()).is_pending());
            waiting.push(request);
        }
        assert_eq!(begin(pin!(worker.ask(|n| *n))), Poll::Ready(Err(WorkerError::Busy)));

        waiting.truncate(3);
        release.send(()).unwrap();
        block_on(hang).unwrap();
        for request in waiting {
            block_on(request).unwrap();
        }
        assert_eq!(block_on(worker.ask(|n| *n)), Ok(3), "61 gave up");
    }

    #[test]
    fn the_thread_ends_with_the_last_handle() {
        struct Tell(mpsc::Sender<()>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (ended, end) = mpsc::channel();
        let worker = Worker::spawn("test", || Tell(ended)).unwrap();
        let other = worker.clone();
        drop(worker);
        block_on(other.ask(|_| ())).unwrap();
        assert!(end.try_recv().is_err());
        drop(other);
        end.recv().unwrap();
    }
}
