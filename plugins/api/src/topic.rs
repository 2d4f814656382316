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
//! | [`Around`] | wraps the rest ([`Hooks::around`]) | the answer as the outermost one left it |
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

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Id;
use crate::context::BoxFuture;
use crate::plugin::{Plugin, PluginError};

/// A hook topic.
pub trait Topic: Send + Sync + 'static {
    /// What is sent over it.
    type Message: Send + Sync + 'static;
    /// What a subscriber answers; `()` for [`Observe`] and [`Chain`].
    type Answer: Send + 'static;
    /// One of [`Observe`], [`Chain`], [`Collect`], [`First`], [`Around`].
    type Kind: Kind;
    /// Its name, for people: `deliver`.
    const NAME: &'static str;
    /// Who fires it, when, and what a subscriber may do.
    const DOC: &'static str;
    /// Whether an observer that comes late, or again after a restart, gets the last message; of each
    /// [key](Self::key), where messages have one. Such a topic takes a lock when it is fired.
    const HISTORIC: bool = false;

    /// What a message is about, for subscriptions to [some](Options::only) of them.
    fn key(message: &Self::Message) -> Option<&Id> {
        let _ = message;
        None
    }
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
/// Each subscriber wraps those after it, and what is fired itself: middleware.
pub struct Around;

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

impl Kind for Around {
    const NAME: &'static str = "around";
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

/// How a chain ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Chained<M> {
    /// All steps ran; this is what the last one left.
    Passed(M),
    /// A step stopped it.
    Vetoed {
        /// The message as that step was shown it.
        message: M,
        /// Whose step it was.
        by: Id,
        /// Why.
        reason: String,
    },
}

type Outcome<T> = Result<<T as Topic>::Answer, PluginError>;
type Rest<T> = Box<dyn FnOnce(<T as Topic>::Message) -> BoxFuture<'static, Outcome<T>> + Send>;

/// What a wrapper of an [`Around`] topic wraps. It can be run once, or not at all.
pub struct Next<T: Topic<Kind = Around>>(Rest<T>);

impl<T: Topic<Kind = Around>> Next<T> {
    /// For tests of a wrapper, and for the bus.
    pub fn new(rest: impl FnOnce(T::Message) -> BoxFuture<'static, Outcome<T>> + Send + 'static) -> Self {
        Self(Box::new(rest))
    }

    /// Runs the rest. The time that it takes is not the wrapper's.
    ///
    /// # Errors
    /// When a wrapper further in gave it up halfway.
    pub async fn run(self, message: T::Message) -> Outcome<T> {
        (self.0)(message).await
    }
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

/// A mark that goes before all priorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Place {
    /// Before all that are not marked so.
    First,
    /// As the priority says.
    #[default]
    Normal,
    /// After all that are not marked so.
    Last,
}

/// How a subscription wants to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Lower runs earlier; ties run in the order of activation, then of registration. 100 unless told otherwise.
    pub priority: i32,
    /// Before or after all others, whatever their priority.
    pub place: Place,
    /// Only messages [about](Topic::key) these; none for all messages.
    pub only: Option<Arc<BTreeSet<Id>>>,
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
            place: Place::Normal,
            only: None,
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

    /// The defaults, before all others.
    pub fn first() -> Self {
        Self { place: Place::First, ..Self::default() }
    }

    /// The defaults, after all others.
    pub fn last() -> Self {
        Self { place: Place::Last, ..Self::default() }
    }

    /// Only messages about these: the readings of some sensors.
    pub fn only(self, keys: impl IntoIterator<Item = Id>) -> Self {
        Self { only: Some(Arc::new(keys.into_iter().collect())), ..self }
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

    /// Wraps `T`: what the later ones do, and the thing itself. It runs in the caller and may change what goes in and
    /// what comes out, or answer without running the rest. One that fails is left out: what it was given goes on, or what
    /// came back already. It holds no `&mut self`, because the plugin must hear others while the rest runs.
    fn around<T: Topic<Kind = Around>>(
        &mut self,
        options: Options,
        wrapper: impl Fn(T::Message, Next<T>) -> BoxFuture<'static, Result<T::Answer, PluginError>>
        + Send
        + Sync
        + 'static,
    ) where
        T::Message: Clone,
        T::Answer: Clone + Sync;

    /// Offers the plugin's tools.
    fn tools(&mut self)
    where
        P: crate::tool::Tools;

    /// Registers a service: a plugin of its own that runs while this one does, as `PLUGIN-NAME`. It is started after
    /// this one's set-up, kept alive like any plugin, and stopped before this one's teardown.
    fn service<S: Plugin>(&mut self, name: &str, args: S::Args);
}
