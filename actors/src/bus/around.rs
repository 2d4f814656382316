//! Runs a thing within what its subscribers wrap around it.
//!
//! A wrapper that fails is left out: the rest is run with what the wrapper was given, or what the rest gave back stands
//! where it has run. So the thing itself runs at most once, whatever its wrappers do. A wrapper's time is its own: the
//! time of what it wraps does not count.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use sedge_plugin::topic::{Around, Next, Topic};
use sedge_plugin::{BoxFuture, PluginError};
use tokio::time::Instant;

use super::dispatch::{amiss, well};
use super::table::{Action, Slots};
use super::{Bus, panic_text};

/// A wrapper is looked at again after this long at the earliest, while what it wraps runs.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

type Outcome<T> = Result<<T as Topic>::Answer, PluginError>;
type Wrap<T> = dyn Fn(<T as Topic>::Message, Next<T>) -> BoxFuture<'static, Outcome<T>> + Send + Sync;

/// One subscriber's wrapper.
pub(crate) struct Wrapper<T: Topic<Kind = Around>>(pub(crate) Box<Wrap<T>>);

/// What a wrapper wraps, and what became of it.
struct Rest<T: Topic<Kind = Around>> {
    /// None once it was begun.
    core: Option<Next<T>>,
    began: Option<Instant>,
    spent: Duration,
    answer: Option<Outcome<T>>,
}

impl<T: Topic<Kind = Around>> Rest<T> {
    /// The time that is not the wrapper's own.
    fn time(&self, now: Instant) -> Duration {
        self.spent + self.began.map(|began| now.duration_since(began)).unwrap_or_default()
    }
}

type Shared<T> = Arc<Mutex<Rest<T>>>;

/// What is wrapped runs. Ends with it, also where a wrapper drops it halfway: from then on the time is the wrapper's.
struct Running<T: Topic<Kind = Around>>(Shared<T>);

impl<T: Topic<Kind = Around>> Drop for Running<T> {
    fn drop(&mut self) {
        let mut rest = lock(&self.0);
        rest.spent = rest.time(Instant::now());
        rest.began = None;
    }
}

fn lock<T: Topic<Kind = Around>>(rest: &Shared<T>) -> MutexGuard<'_, Rest<T>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `core` within the wrappers from the one of number `at`.
pub(crate) fn run<T: Topic<Kind = Around>>(
    bus: Bus,
    slots: Slots<T>,
    at: usize,
    message: T::Message,
    core: Next<T>,
) -> BoxFuture<'static, Outcome<T>>
where
    T::Message: Clone,
    T::Answer: Clone + Sync,
{
    Box::pin(async move {
        let Some(slot) = slots.get(at).cloned() else { return core.run(message).await };
        let wrapper = match &slot.action {
            Action::Around(wrapper) => wrapper.downcast_ref::<Wrapper<T>>(),
            _ => None,
        };
        let Some(wrapper) = wrapper else { return run(bus, slots, at + 1, message, core).await };
        let rest =
            Arc::new(Mutex::new(Rest { core: Some(core), began: None, spent: Duration::ZERO, answer: None }));
        let next = next(bus.clone(), slots.clone(), at + 1, rest.clone());
        let given = message.clone();
        let outcome = match catch_unwind(AssertUnwindSafe(|| (wrapper.0)(message, next))) {
            Ok(wrapping) => within(slot.options.deadline, wrapping, &rest).await,
            Err(panic) => Err(PluginError::failed(format!("panicked: {}", panic_text(panic.as_ref())))),
        };
        let error = match outcome {
            Ok(answer) => {
                well(&slot);
                return Ok(answer);
            }
            Err(error) => error,
        };
        let (core, answer) = {
            let mut rest = lock(&rest);
            (rest.core.take(), rest.answer.take())
        };
        if answer.as_ref().is_some_and(|answer| matches!(answer, Err(inner) if *inner == error)) {
            return Err(error); // It passed on what went wrong further in, and was told of there.
        }
        amiss::<T, ()>(&bus, &slot, &error.to_string());
        match (core, answer) {
            (Some(core), _) => run(bus, slots, at + 1, given, core).await,
            (None, Some(answer)) => answer,
            (None, None) => Err(PluginError::failed(format!("`{}` gave it up halfway: {error}", slot.owner))),
        }
    })
}

/// The rest, as the wrapper before it sees it.
fn next<T: Topic<Kind = Around>>(bus: Bus, slots: Slots<T>, at: usize, rest: Shared<T>) -> Next<T>
where
    T::Message: Clone,
    T::Answer: Clone + Sync,
{
    Next::new(move |message| {
        Box::pin(async move {
            let core = lock(&rest).core.take();
            let Some(core) = core else { return Err(PluginError::failed("the rest runs once")) };
            lock(&rest).began = Some(Instant::now());
            let _running = Running(rest.clone());
            let answer = run(bus, slots, at, message, core).await;
            lock(&rest).answer = Some(answer.clone());
            answer
        })
    })
}

/// Waits for a wrapper as long as it may take by itself.
async fn within<T: Topic<Kind = Around>>(
    deadline: Duration,
    mut wrapping: BoxFuture<'static, Outcome<T>>,
    rest: &Shared<T>,
) -> Outcome<T> {
    let began = Instant::now();
    loop {
        let now = Instant::now();
        let own = now.duration_since(began).saturating_sub(lock(rest).time(now));
        let Some(left) = deadline.checked_sub(own).filter(|left| !left.is_zero()) else {
            return Err(PluginError::failed(format!("it did not end within {deadline:?} of its own")));
        };
        let polled =
            std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| wrapping.as_mut().poll(cx))) {
                Ok(Poll::Ready(outcome)) => Poll::Ready(outcome),
                Ok(Poll::Pending) => Poll::Pending,
                Err(panic) => {
                    let text = format!("panicked: {}", panic_text(panic.as_ref()));
                    Poll::Ready(Err(PluginError::failed(text)))
                }
            });
        tokio::select! {
            outcome = polled => return outcome,
            () = tokio::time::sleep(left.max(SHORTEST_LOOK)) => {}
        }
    }
}
