//! Hook topics: typed places on the node's bus where plugins hear of things and change them.
//!
//! A topic is a type. It names itself, its message, and its *kind*, which fixes what a subscriber may do:
//!
//! | kind | a subscriber | the one who fires it gets |
//! |---|---|---|
//! | [`Observe`] | hears the message ([`Observer`]) | nothing; is never held up by a slow subscriber |
//! | [`Chain`] | may replace the message or stop it ([`Link`]) | the message as the last one left it |
//! | [`Collect`] | answers ([`Answer`]) | all answers, in order |
//! | [`First`] | answers or passes ([`Answer`]) | the first answer |
//!
//! Subscribing with the wrong message or to the wrong kind does not compile:
//!
//! ```compile_fail
//! use sedge_plugin::prelude::*;
//! struct Wrong;
//! // `Deliver` is observed; it has no chain to be a link of.
//! impl Link<topics::Deliver> for Wrong {
//!     async fn step(&mut self, _: std::sync::Arc<Reading>) -> Result<Step<Reading>, PluginError> { Ok(Step::Pass) }
//! }
//! ```

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::plugin::{Plugin, PluginError};

/// A hook topic.
pub trait Topic: Send + Sync + 'static {
    /// What is sent over it.
    type Message: Send + Sync + 'static;
    /// What a subscriber answers; `()` for [`Observe`] and [`Chain`].
    type Answer: Send + 'static;
    /// One of [`Observe`], [`Chain`], [`Collect`], [`First`].
    type Kind: Kind;
    /// Its name, for people: `deliver`.
    const NAME: &'static str;
    /// Who fires it, when, and what a subscriber may do.
    const DOC: &'static str;
}

/// What may be done with a topic.
pub trait Kind: 'static {
    /// For people.
    const NAME: &'static str;
}

/// Every subscriber gets the message; none of them can hold up or harm another.
pub struct Observe;
/// Subscribers run one after the other; each receives what the one before returned.
pub struct Chain;
/// Every subscriber is asked; the caller gets all answers.
pub struct Collect;
/// Subscribers are asked in order until one answers.
pub struct First;

impl Kind for Observe {
    const NAME: &'static str = "observe";
}
impl Kind for Chain {
    const NAME: &'static str = "chain";
}
impl Kind for Collect {
    const NAME: &'static str = "collect";
}
impl Kind for First {
    const NAME: &'static str = "first";
}

/// What a step of a chain does with the message it was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<M> {
    /// Goes on as it is.
    Pass,
    /// Goes on as this.
    Replace(M),
    /// Stops here, for this reason.
    Veto(String),
}

/// Hears the messages of an [`Observe`] topic.
pub trait Observer<T: Topic<Kind = Observe>>: Plugin {
    /// Called for one message after the other, in order.
    fn observe(&mut self, message: Arc<T::Message>) -> impl Future<Output = Result<(), PluginError>> + Send;
}

/// A step of a [`Chain`] topic that needs the plugin's state. One that needs none is given to [`Hooks::inline`].
pub trait Link<T: Topic<Kind = Chain>>: Plugin {
    /// Looks at the message; may replace it or stop it. An error counts as [`Step::Pass`] and is logged.
    fn step(
        &mut self,
        message: Arc<T::Message>,
    ) -> impl Future<Output = Result<Step<T::Message>, PluginError>> + Send;
}

/// Answers a [`Collect`] or a [`First`] topic.
pub trait Answer<T: Topic>: Plugin {
    /// The answer; none passes on to the next. An error is logged and counts as none.
    fn answer(
        &mut self,
        message: Arc<T::Message>,
    ) -> impl Future<Output = Result<Option<T::Answer>, PluginError>> + Send;
}

/// What happens to a message when a subscription's queue is full. Every message that is dropped is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest one in the queue goes: for those who want the newest state.
    DropOldest,
    /// The new one goes: for those who want a beginning without holes.
    DropNewest,
    /// The sender waits, at most as long as the subscription's deadline; then the new one goes. One that is sent from
    /// elsewhere meanwhile may come first.
    Wait,
}

/// How a subscription wants to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Lower runs earlier; ties run in the order of activation, then of registration. 100 unless told otherwise.
    pub priority: i32,
    /// Messages that may wait for an observer. 256 unless told otherwise.
    pub capacity: usize,
    /// When the queue is full.
    pub overflow: Overflow,
    /// How long one message may take. Five seconds unless told otherwise.
    pub deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            priority: 100,
            capacity: 256,
            overflow: Overflow::DropOldest,
            deadline: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// The defaults at another priority.
    pub fn priority(priority: i32) -> Self {
        Self { priority, ..Self::default() }
    }
}

/// Where a plugin subscribes. Exists only while the plugin is being activated: there is no way to subscribe later.
pub trait Hooks<P: Plugin> {
    /// Hears every message of `T`.
    fn observe<T: Topic<Kind = Observe>>(&mut self, options: Options)
    where
        P: Observer<T>;

    /// Is a step of `T`'s chain, with the plugin's state.
    fn chain<T: Topic<Kind = Chain>>(&mut self, options: Options)
    where
        P: Link<T>,
        T::Message: Clone;

    /// Is a step of `T`'s chain that has no state of its own and runs in the caller. It must not block.
    fn inline<T: Topic<Kind = Chain>>(
        &mut self,
        options: Options,
        step: impl Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + Send + Sync + 'static,
    ) where
        T::Message: Clone;

    /// Is one of those whose answers `T` collects.
    fn collect<T: Topic<Kind = Collect>>(&mut self, options: Options)
    where
        P: Answer<T>;

    /// Is one of those who may answer `T` first.
    fn first<T: Topic<Kind = First>>(&mut self, options: Options)
    where
        P: Answer<T>;

    /// Offers the plugin's tools.
    fn tools(&mut self)
    where
        P: crate::tool::Tools;
}
