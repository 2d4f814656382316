//! Runs a plugin's futures, on one thread.
//!
//! Why not a runtime: a plugin outside has one thing to do at a time, a few futures beside it and a few timers. What wakes it is
//! the line, a timer or itself; how it waits is the home's affair ([`Park`]).
//!
//! It must not know what it runs, nor read a clock of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sedge_plugin::{BoxFuture, Clock};

/// Futures that a plugin may have running beside its handlers.
pub(crate) const MOST_TASKS: usize = 64;

/// How the thread of a plugin waits.
pub(crate) trait Park: Send + Sync {
    /// Waits until it is woken, at most so long; for ever, where nothing is said. Says no where nothing can ever wake it.
    fn park(&self, at_most: Option<Duration>) -> bool;
    /// Wakes it.
    fn unpark(&self);
}

/// It waits for something that cannot come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stuck;

/// The futures of one plugin.
pub(crate) struct Executor {
    parker: Arc<dyn Park>,
    clock: Arc<dyn Clock>,
    tasks: Mutex<Vec<Task>>,
    timers: Mutex<BTreeMap<(Duration, u64), Waker>>,
    numbers: AtomicU64,
}

struct Task {
    future: BoxFuture<'static, ()>,
    woken: Arc<Woken>,
}

/// Whether a future wants to be looked at.
struct Woken {
    flag: AtomicBool,
    parker: Arc<dyn Park>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Release);
        self.parker.unpark();
    }
}

impl Executor {
    pub(crate) fn new(parker: Arc<dyn Park>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            parker,
            clock,
            tasks: Mutex::default(),
            timers: Mutex::default(),
            numbers: AtomicU64::new(0),
        })
    }

    /// Runs a future to its end, and the others as far as they come meanwhile.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Stuck> {
        let woken = self.woken();
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        loop {
            if woken.flag.swap(false, Ordering::AcqRel)
                && let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Ok(value);
            }
            self.run_tasks();
            let next = self.fire_timers();
            let busy = woken.flag.load(Ordering::Acquire) || self.is_any_task_woken();
            if !busy && !self.parker.park(next) {
                return Err(Stuck);
            }
        }
    }

    /// Runs a future beside the handlers. Says no where there are [`MOST_TASKS`] already.
    pub(crate) fn spawn(&self, future: BoxFuture<'static, ()>) -> bool {
        let mut tasks = lock(&self.tasks);
        let room = tasks.len() < MOST_TASKS;
        if room {
            tasks.push(Task { future, woken: self.woken() });
            self.parker.unpark();
        }
        room
    }

    /// Waits, on the clock.
    pub(crate) fn sleep(self: &Arc<Self>, time: Duration) -> BoxFuture<'static, ()> {
        let until = self.clock.up().saturating_add(time);
        Box::pin(Sleep { executor: self.clone(), until, timer: None })
    }

    fn woken(&self) -> Arc<Woken> {
        Arc::new(Woken { flag: AtomicBool::new(true), parker: self.parker.clone() })
    }

    fn run_tasks(&self) {
        // Taken out while they run: one may start another.
        let mut running = std::mem::take(&mut *lock(&self.tasks));
        running.retain_mut(|task| {
            if !task.woken.flag.swap(false, Ordering::AcqRel) {
                return true;
            }
            let waker = Waker::from(task.woken.clone());
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        let mut tasks = lock(&self.tasks);
        running.append(&mut tasks);
        *tasks = running;
    }

    fn is_any_task_woken(&self) -> bool {
        lock(&self.tasks).iter().any(|task| task.woken.flag.load(Ordering::Acquire))
    }

    /// Wakes what is due; how long it is to the next one.
    fn fire_timers(&self) -> Option<Duration> {
        let mut timers = lock(&self.timers);
        if timers.is_empty() {
            return None;
        }
        let now = self.clock.up();
        let later = timers.split_off(&(now.saturating_add(Duration::from_nanos(1)), 0));
        let due = std::mem::replace(&mut *timers, later);
        due.into_values().for_each(Waker::wake);
        timers.first_key_value().map(|((until, _), _)| until.saturating_sub(now))
    }
}

/// A timer; forgotten when it is dropped.
struct Sleep {
    executor: Arc<Executor>,
    until: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.clock.up() >= self.until {
            return Poll::Ready(());
        }
        let executor = self.executor.clone();
        let timer =
            self.timer.unwrap_or_else(|| (self.until, executor.numbers.fetch_add(1, Ordering::Relaxed)));
        self.timer = Some(timer);
        lock(&executor.timers).insert(timer, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            lock(&self.executor.timers).remove(&timer);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::HandClock;

    use super::*;

    /// Turns the clock instead of waiting.
    #[derive(Default)]
    struct Turn(Arc<HandClock>);

    impl Park for Turn {
        fn park(&self, at_most: Option<Duration>) -> bool {
            at_most.inspect(|time| self.0.advance(*time)).is_some()
        }
        fn unpark(&self) {}
    }

    fn executor() -> (Arc<Executor>, Arc<HandClock>) {
        let turn = Turn::default();
        let clock = turn.0.clone();
        (Executor::new(Arc::new(turn), clock.clone()), clock)
    }

    #[test]
    fn timers_fire_in_their_order_and_futures_run_beside_each_other() {
        let (executor, clock) = executor();
        let told = Arc::new(Mutex::new(Vec::new()));
        for seconds in [3, 1, 2] {
            let (sleep, told) = (executor.sleep(Duration::from_secs(seconds)), told.clone());
            assert!(executor.spawn(Box::pin(async move {
                sleep.await;
                lock(&told).push(seconds);
            })));
        }
        assert_eq!(executor.block_on(executor.sleep(Duration::from_secs(5))), Ok(()));
        assert_eq!(*lock(&told), [1, 2, 3]);
        assert_eq!(clock.up(), Duration::from_secs(5));
        assert!(lock(&executor.timers).is_empty() && lock(&executor.tasks).is_empty());
    }

    #[test]
    fn waiting_for_what_cannot_come_is_told() {
        let (executor, _) = executor();
        assert_eq!(executor.block_on(std::future::pending::<()>()), Err(Stuck));
    }

    #[test]
    fn a_plugin_cannot_start_futures_for_ever() {
        let (executor, _) = executor();
        let started =
            (0..MOST_TASKS + 5).filter(|_| executor.spawn(Box::pin(std::future::pending()))).count();
        assert_eq!(started, MOST_TASKS);
    }
}
