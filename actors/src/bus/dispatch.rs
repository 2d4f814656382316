//! The ways of the kinds: how a message goes through the subscriptions of its topic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sedge_plugin::context::Erased;
use sedge_plugin::topic::{Around, Chain, Chained, Collect, First, Next, Step, Topic};
use sedge_plugin::topics::{Failure, OnError};
use sedge_plugin::{BoxFuture, Id, PluginError};
use tracing::{info, warn};

use super::table::{Action, Entry, Slot, Slots};
use super::{Bus, around, panic_text};

/// Runs a message through the steps of a chain.
pub(crate) async fn chain<T: Topic<Kind = Chain>>(
    bus: &Bus,
    slots: Slots<T>,
    mut message: T::Message,
) -> Chained<T::Message>
where
    T::Message: Clone,
{
    for slot in slots {
        let step = match &slot.action {
            Action::Inline(step) => inline(bus, &slot, step, &message),
            Action::Ask { .. } => {
                let shared = Arc::new(message);
                let step = ask::<T, Step<T::Message>>(bus, &slot, shared.clone()).await;
                message = Arc::try_unwrap(shared).unwrap_or_else(|shared| T::Message::clone(&shared));
                step
            }
            Action::Observe(_) | Action::Around(_) => None,
        };
        match step {
            Some(Step::Replace(next)) => message = next,
            Some(Step::Veto(reason)) => return Chained::Vetoed { message, by: slot.owner.clone(), reason },
            Some(Step::Pass) | None => {}
        }
    }
    Chained::Passed(message)
}

/// As [`chain`], where all steps run in the caller; those that do not are left out.
pub(crate) fn chain_inline<T: Topic<Kind = Chain>>(
    bus: &Bus,
    slots: &[Arc<Slot<T>>],
    mut message: T::Message,
) -> Chained<T::Message> {
    for slot in slots {
        let Action::Inline(step) = &slot.action else { continue };
        match inline(bus, slot, step, &message) {
            Some(Step::Replace(next)) => message = next,
            Some(Step::Veto(reason)) => return Chained::Vetoed { message, by: slot.owner.clone(), reason },
            Some(Step::Pass) | None => {}
        }
    }
    Chained::Passed(message)
}

/// Asks all, and then waits for each: one that is slow does not hold up the asking of the next.
pub(crate) async fn collect<T: Topic<Kind = Collect>>(
    bus: &Bus,
    slots: Slots<T>,
    message: Arc<T::Message>,
) -> Vec<(Id, T::Answer)> {
    let asked: Vec<_> =
        slots.iter().map(|slot| ask::<T, Option<T::Answer>>(bus, slot, message.clone())).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (slot, answer) in slots.iter().zip(asked) {
        if let Some(Some(answer)) = answer.await {
            answers.push((slot.owner.clone(), answer));
        }
    }
    answers
}

/// Asks one after the other until one answers.
pub(crate) async fn first<T: Topic<Kind = First>>(
    bus: &Bus,
    slots: Slots<T>,
    message: Arc<T::Message>,
) -> Option<(Id, T::Answer)> {
    for slot in slots {
        if let Some(Some(answer)) = ask::<T, Option<T::Answer>>(bus, &slot, message.clone()).await {
            return Some((slot.owner.clone(), answer));
        }
    }
    None
}

pub(crate) fn fire_chain<T: Topic<Kind = Chain>>(
    bus: Bus,
    entry: &Entry<T>,
    message: Erased,
) -> BoxFuture<'static, Result<Erased, Erased>>
where
    T::Message: Clone,
{
    fire(entry, message, |m| m, |slots, message| async move { chain(&bus, slots, message).await })
}

pub(crate) fn fire_collect<T: Topic<Kind = Collect>>(
    bus: Bus,
    entry: &Entry<T>,
    message: Erased,
) -> BoxFuture<'static, Result<Erased, Erased>> {
    fire(entry, message, |m| m, |slots, message| async move { collect(&bus, slots, Arc::new(message)).await })
}

pub(crate) fn fire_first<T: Topic<Kind = First>>(
    bus: Bus,
    entry: &Entry<T>,
    message: Erased,
) -> BoxFuture<'static, Result<Erased, Erased>> {
    fire(entry, message, |m| m, |slots, message| async move { first(&bus, slots, Arc::new(message)).await })
}

pub(crate) fn fire_around<T: Topic<Kind = Around>>(
    bus: Bus,
    entry: &Entry<T>,
    message: Erased,
) -> BoxFuture<'static, Result<Erased, Erased>>
where
    T::Message: Clone,
    T::Answer: Clone + Sync,
{
    let run = |slots, (message, core): (T::Message, Next<T>)| around::run(bus, slots, 0, message, core);
    fire(entry, message, |fired| &fired.0, run)
}

/// Runs what a message without a type is for; it comes back where it is of another one.
fn fire<T: Topic, M: Send + 'static, R: Send + 'static, F: Future<Output = R> + Send + 'static>(
    entry: &Entry<T>,
    message: Erased,
    own: fn(&M) -> &T::Message,
    run: impl FnOnce(Slots<T>, M) -> F,
) -> BoxFuture<'static, Result<Erased, Erased>> {
    match message.downcast::<M>() {
        Ok(message) => {
            let run = run(entry.slots(own(&message)).clone(), *message);
            Box::pin(async move { Ok(Box::new(run.await) as Erased) })
        }
        Err(message) => Box::pin(std::future::ready(Err(message))),
    }
}

#[inline]
fn inline<T: Topic, S>(bus: &Bus, slot: &Slot<T>, step: &S, message: &T::Message) -> Option<Step<T::Message>>
where
    S: Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + ?Sized,
{
    // The step is shown the message and owns nothing: a panic leaves nothing half done but its own state.
    match catch_unwind(AssertUnwindSafe(|| step(message))) {
        Ok(Ok(step)) => {
            well(slot);
            Some(step)
        }
        Ok(Err(error)) => amiss(bus, slot, &error.to_string()),
        Err(panic) => amiss(bus, slot, &format!("panicked: {}", panic_text(panic.as_ref()))),
    }
}

/// Asks the plugin behind a slot. None where it failed; that is logged, once per row of failures.
fn ask<T: Topic, R: Any>(
    bus: &Bus,
    slot: &Arc<Slot<T>>,
    message: Arc<T::Message>,
) -> impl Future<Output = Option<R>> + Send + use<T, R> {
    let asked = match &slot.action {
        Action::Ask { asker, hook } => Some(asker.ask(*hook, message, slot.options.deadline)),
        Action::Observe(_) | Action::Inline(_) | Action::Around(_) => None,
    };
    let (bus, slot) = (bus.clone(), slot.clone());
    async move {
        match asked?.await {
            Ok(reply) => {
                well(&slot);
                reply.downcast::<R>().ok().map(|reply| *reply)
            }
            Err(error) => amiss(&bus, &slot, &error.to_string()),
        }
    }
}

#[inline]
pub(crate) fn well<T: Topic>(slot: &Slot<T>) {
    if let Some(failures) = slot.edge.recovered() {
        info!(plugin = %slot.owner, topic = T::NAME, failures, "A hook works again.");
    }
}

#[cold]
pub(crate) fn amiss<T: Topic, R>(bus: &Bus, slot: &Slot<T>, error: &str) -> Option<R> {
    if slot.edge.failed() {
        warn!(plugin = %slot.owner, topic = T::NAME, error, "A hook failed and was skipped.");
    }
    bus.tell::<OnError>(Failure { plugin: slot.owner.clone(), what: T::NAME.into(), error: error.into() });
    None
}
