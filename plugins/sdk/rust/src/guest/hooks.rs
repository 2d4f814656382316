//! Where a plugin outside subscribes: its topics by their names, its messages by their shapes on the wire.
//!
//! It must not run anything; what cannot be had from outside is refused once the plugin is set up, with all reasons.

use std::any::{Any, TypeId};
use std::sync::Arc;

use sedge_plugin::topic::{
    Answer, Around, Chain, Collect, First, Hooks, Kind, Link, Next, Observe, Observer, Options, Step, Topic,
};
use sedge_plugin::{BoxFuture, Id, Plugin, PluginError, Tool, ToolCall, ToolError, Tools};
use sedge_protocol::topics::{self, TopicShape};
use serde_json::Value as Json;

/// A message whose type only its topic knows.
pub(super) type Message = Arc<dyn Any + Send + Sync>;

type Handler<P, R> =
    Box<dyn for<'a> Fn(&'a mut P, Message) -> BoxFuture<'a, Result<R, PluginError>> + Send + Sync>;
type Inline = Box<dyn Fn(&Message) -> Result<Step<Json>, PluginError> + Send + Sync>;

/// What a subscriber does with a message.
pub(super) enum Does<P> {
    Observe(Handler<P, ()>),
    Step(Handler<P, Step<Json>>),
    Inline(Inline),
    Answer(Handler<P, Option<Json>>),
}

/// One subscription.
pub(super) struct Subscription<P> {
    pub(super) topic: &'static str,
    pub(super) does: Does<P>,
    shape: &'static TopicShape,
    options: Options,
    key: fn(&Message) -> Option<&Id>,
}

impl<P> Subscription<P> {
    /// The message, where it is about what was subscribed to.
    pub(super) fn message(&self, json: Json) -> Result<Option<Message>, PluginError> {
        let message = (self.shape.decode)(json)
            .map_err(|error| PluginError::failed(format!("a message of `{}`: {error}", self.topic)))?;
        let message: Message = message.into();
        let wanted = match (&self.options.only, (self.key)(&message)) {
            (Some(only), Some(key)) => only.contains(key),
            _ => true,
        };
        Ok(wanted.then_some(message))
    }
}

type Offer<P> = fn(&P) -> Vec<Tool>;
type Run<P> = for<'a> fn(&'a mut P, ToolCall) -> BoxFuture<'a, Result<Json, ToolError>>;

/// All that a plugin has subscribed to.
pub(super) struct Subscriptions<P> {
    pub(super) all: Vec<Subscription<P>>,
    pub(super) tools: Option<(Offer<P>, Run<P>)>,
    refused: Vec<String>,
}

impl<P> Default for Subscriptions<P> {
    fn default() -> Self {
        Self { all: Vec::new(), tools: None, refused: Vec::new() }
    }
}

impl<P: Plugin> Subscriptions<P> {
    /// In the order in which they run.
    pub(super) fn finish(mut self) -> Result<Self, PluginError> {
        if !self.refused.is_empty() {
            let text = format!("this cannot be had from outside of a node: {}", self.refused.join("; "));
            return Err(PluginError::Settings(text.into()));
        }
        self.all.sort_by_key(|one| (one.options.place, one.options.priority));
        Ok(self)
    }

    pub(super) fn of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Subscription<P>> {
        self.all.iter().filter(move |one| one.topic == topic)
    }

    fn add<T: Topic>(&mut self, options: Options, does: impl FnOnce(&'static TopicShape) -> Does<P>) {
        match topics::by_id(TypeId::of::<T>()) {
            Some(shape) => self.all.push(Subscription {
                topic: T::NAME,
                does: does(shape),
                shape,
                options,
                key: |message| T::key(message.downcast_ref()?),
            }),
            None => self.refused.push(format!("the topic `{}` ({})", T::NAME, T::Kind::NAME)),
        }
    }

    fn answers<T: Topic>(&mut self, options: Options)
    where
        P: Answer<T>,
    {
        self.add::<T>(options, |shape| {
            Does::Answer(Box::new(move |plugin, message| {
                Box::pin(async move {
                    let answer = plugin.answer(typed::<T>(message)?).await?;
                    Ok(answer.and_then(|answer| (shape.encode_answer)(&answer)))
                })
            }))
        });
    }
}

impl<P: Plugin> Hooks<P> for Subscriptions<P> {
    fn observe<T: Topic<Kind = Observe>>(&mut self, options: Options)
    where
        P: Observer<T>,
    {
        self.add::<T>(options, |_| {
            Does::Observe(Box::new(|plugin, message| {
                Box::pin(async move { plugin.observe(typed::<T>(message)?).await })
            }))
        });
    }

    fn chain<T: Topic<Kind = Chain>>(&mut self, options: Options)
    where
        P: Link<T>,
        T::Message: Clone,
    {
        self.add::<T>(options, |shape| {
            Does::Step(Box::new(move |plugin, message| {
                Box::pin(async move { encoded::<T>(shape, plugin.step(typed::<T>(message)?).await?) })
            }))
        });
    }

    fn inline<T: Topic<Kind = Chain>>(
        &mut self,
        options: Options,
        step: impl Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + Send + Sync + 'static,
    ) where
        T::Message: Clone,
    {
        self.add::<T>(options, |shape| {
            Does::Inline(Box::new(move |message| encoded::<T>(shape, step(&*typed::<T>(message.clone())?)?)))
        });
    }

    fn collect<T: Topic<Kind = Collect>>(&mut self, options: Options)
    where
        P: Answer<T>,
    {
        self.answers::<T>(options);
    }

    fn first<T: Topic<Kind = First>>(&mut self, options: Options)
    where
        P: Answer<T>,
    {
        self.answers::<T>(options);
    }

    fn around<T: Topic<Kind = Around>>(
        &mut self,
        _: Options,
        _: impl Fn(T::Message, Next<T>) -> BoxFuture<'static, Result<T::Answer, PluginError>>
        + Send
        + Sync
        + 'static,
    ) where
        T::Message: Clone,
        T::Answer: Clone + Sync,
    {
        self.refused.push(format!("the topic `{}` (around)", T::NAME));
    }

    fn tools(&mut self)
    where
        P: Tools,
    {
        self.tools = Some((P::tools, |plugin, call| Box::pin(plugin.call(call))));
    }

    fn service<S: Plugin>(&mut self, name: &str, _: S::Args) {
        self.refused.push(format!("the service `{name}` (make it a plugin, or a future: `Context::spawn`)"));
    }
}

fn typed<T: Topic>(message: Message) -> Result<Arc<T::Message>, PluginError> {
    let wrong = |_| PluginError::failed(format!("a message of `{}` is of another type", T::NAME));
    message.downcast().map_err(wrong)
}

fn encoded<T: Topic>(shape: &TopicShape, step: Step<T::Message>) -> Result<Step<Json>, PluginError> {
    Ok(match step {
        Step::Pass => Step::Pass,
        Step::Replace(message) => {
            let none = || PluginError::failed(format!("a message of `{}` cannot be replaced", T::NAME));
            Step::Replace((shape.encode)(&message).ok_or_else(none)?)
        }
        Step::Veto(reason) => Step::Veto(reason),
    })
}
