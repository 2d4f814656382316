//! What a plugin subscribed to, with its type; and the plugin itself, without.
//!
//! [`Wiring`] is filled by [`Plugin::hooks`] and knows the plugin's type. [`Loaded`] joins it with a plugin that was
//! set up, and is an [`Instance`]: what the actor drives without knowing what it drives.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use sedge_plugin::tool::Tools;
use sedge_plugin::topic::{
    Answer, Around, Chain, Collect, First, Hooks, Link, Next, Observe, Observer, Options, Step, Topic,
};
use sedge_plugin::{BoxFuture, Context, Id, Plugin, PluginError, ToolCall, ToolError, ToolErrorCode, topics};
use serde_json::Value as Json;
use tokio::sync::watch;

use super::spec::PluginSpec;
use crate::bus::table::{Action, Ask, Fire, Payload, Reply, Table};
use crate::bus::{Bell, Queue, Wrapper, fire_around, fire_chain, fire_collect, fire_first, slot};

/// How long a plugin that has just started may take to name its tools.
const TOOLS_DEADLINE: Duration = Duration::from_secs(60);
/// How long a handler may go on when its plugin is told to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// True when the plugin is told to stop.
pub(crate) type Stop = watch::Receiver<bool>;

/// What became of one message that a plugin was handed.
pub(crate) struct Handled {
    pub(crate) topic: &'static str,
    pub(crate) result: Result<(), Hitch>,
}

/// Why a message was not handled.
#[derive(Debug)]
pub(crate) enum Hitch {
    Failed(PluginError),
    /// It took longer than this; what it was doing was dropped halfway.
    Hung(Duration),
    /// The plugin was told to stop; what it was doing was dropped halfway.
    Stopped,
}

/// Waits for a handler as long as it may take, and not much longer than the plugin is to live.
pub(crate) async fn within<T>(
    deadline: Duration,
    stop: &Stop,
    handler: impl Future<Output = Result<T, PluginError>>,
) -> Result<T, Hitch> {
    let mut handler = pin!(handler);
    // Most are done at once; only those that wait need a timer.
    if let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(handler.as_mut().poll(cx))).await {
        return result.map_err(Hitch::Failed);
    }
    tokio::select! {
        result = handler => result.map_err(Hitch::Failed),
        () = tokio::time::sleep(deadline) => Err(Hitch::Hung(deadline)),
        () = stopped_for_long(stop) => Err(Hitch::Stopped),
    }
}

/// Returns when the plugin is told to stop.
pub(crate) async fn stopped(stop: &Stop) {
    let mut stop = stop.clone();
    // An error means that nobody keeps the plugin any more, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Returns when the plugin was told to stop, and had time to finish what it was doing.
pub(crate) async fn stopped_for_long(stop: &Stop) {
    stopped(stop).await;
    tokio::time::sleep(STOP_GRACE).await;
}

/// A queue of observed messages whose topic is not known here.
trait Observed<P>: Send + Sync {
    fn is_empty(&self) -> bool;
    /// Hands the oldest message to the plugin, if there is one; says how long that may take.
    fn hand_over<'a>(
        &'a self,
        plugin: &'a mut P,
        stop: &'a Stop,
    ) -> Option<(Duration, BoxFuture<'a, Handled>)>;
}

struct ObservedTopic<T: Topic> {
    queue: Arc<Queue<T::Message>>,
    deadline: Duration,
}

impl<T: Topic<Kind = Observe>, P: Observer<T>> Observed<P> for ObservedTopic<T> {
    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn hand_over<'a>(
        &'a self,
        plugin: &'a mut P,
        stop: &'a Stop,
    ) -> Option<(Duration, BoxFuture<'a, Handled>)> {
        let message = self.queue.take()?;
        let handled = async move {
            let result = within(self.deadline, stop, plugin.observe(message)).await;
            Handled { topic: T::NAME, result }
        };
        Some((self.deadline, Box::pin(handled)))
    }
}

/// A hook that is asked and answers.
trait Asked<P>: Send + Sync {
    fn answer<'a>(&'a self, plugin: &'a mut P, message: Payload)
    -> BoxFuture<'a, Result<Reply, PluginError>>;
    fn hook(&self) -> Hook;
}

/// A hook that is asked, as the actor sees it.
#[derive(Clone, Copy)]
pub(crate) struct Hook {
    pub(crate) topic: &'static str,
    pub(crate) deadline: Duration,
}

/// Says which of the plugin's traits a topic is answered by.
struct AskedTopic<T, Way> {
    deadline: Duration,
    topic: std::marker::PhantomData<fn() -> (T, Way)>,
}

struct ByLink;
struct ByAnswer;
struct ByTools;

impl<T: Topic<Kind = Chain>, P: Link<T>> Asked<P> for AskedTopic<T, ByLink> {
    fn answer<'a>(
        &'a self,
        plugin: &'a mut P,
        message: Payload,
    ) -> BoxFuture<'a, Result<Reply, PluginError>> {
        Box::pin(async move {
            let message = message.downcast::<T::Message>().map_err(|_| wrong_type::<T>())?;
            Ok(Box::new(plugin.step(message).await?) as Box<dyn Any + Send>)
        })
    }
    fn hook(&self) -> Hook {
        Hook { topic: T::NAME, deadline: self.deadline }
    }
}

impl<T: Topic, P: Answer<T>> Asked<P> for AskedTopic<T, ByAnswer> {
    fn answer<'a>(
        &'a self,
        plugin: &'a mut P,
        message: Payload,
    ) -> BoxFuture<'a, Result<Reply, PluginError>> {
        Box::pin(async move {
            let message = message.downcast::<T::Message>().map_err(|_| wrong_type::<T>())?;
            Ok(Box::new(plugin.answer(message).await?) as Box<dyn Any + Send>)
        })
    }
    fn hook(&self) -> Hook {
        Hook { topic: T::NAME, deadline: self.deadline }
    }
}

impl<P: Tools> Asked<P> for AskedTopic<topics::ToolRegistryBuild, ByTools> {
    fn answer<'a>(&'a self, plugin: &'a mut P, _: Payload) -> BoxFuture<'a, Result<Reply, PluginError>> {
        Box::pin(async move { Ok(Box::new(Some(plugin.tools())) as Box<dyn Any + Send>) })
    }
    fn hook(&self) -> Hook {
        Hook { topic: topics::ToolRegistryBuild::NAME, deadline: self.deadline }
    }
}

fn wrong_type<T: Topic>() -> PluginError {
    PluginError::failed(format!("a message of another type than {}'s", T::NAME))
}

pub(crate) type Subscribe = Box<dyn FnOnce(&mut Table, &Id, &Arc<dyn Ask>) + Send>;
type CallTool<P> = for<'a> fn(&'a mut P, ToolCall) -> BoxFuture<'a, Result<Json, ToolError>>;

/// Everything that a plugin subscribed to.
pub(crate) struct Wiring<P> {
    bell: Arc<Bell>,
    dropped: Arc<AtomicU64>,
    order: Order,
    observed: Vec<Box<dyn Observed<P>>>,
    asked: Vec<Box<dyn Asked<P>>>,
    call: Option<CallTool<P>>,
    owner: Id,
    services: Vec<PluginSpec>,
    describes: bool,
    /// Put into the table before the set-up: nothing that happens during it is missed.
    pub(crate) before: Vec<Subscribe>,
    /// Put into the table after the set-up: nobody waits for an answer from something that is not ready.
    pub(crate) after: Vec<Subscribe>,
}

impl<P: Plugin> Wiring<P> {
    fn new(args: &P::Args, ctx: &Context, dropped: Arc<AtomicU64>, order: Order) -> Self {
        let mut wiring = Self {
            bell: Arc::default(),
            dropped,
            order,
            observed: Vec::new(),
            asked: Vec::new(),
            call: None,
            owner: ctx.id().clone(),
            services: Vec::new(),
            describes: false,
            before: Vec::new(),
            after: Vec::new(),
        };
        P::hooks(&mut wiring, args, ctx);
        wiring
    }

    fn has_observed(&self) -> bool {
        self.observed.iter().any(|observed| !observed.is_empty())
    }

    fn asked<T: Topic>(&mut self, options: Options, hook: Box<dyn Asked<P>>, fire: Fire<T>) {
        let number = self.asked.len();
        self.asked.push(hook);
        let order = (self.order)();
        self.after.push(Box::new(move |table, owner, asker| {
            let action = Action::Ask { asker: asker.clone(), hook: number };
            table.insert(slot::<T>(owner, order, options, action), Some(fire));
        }));
    }
}

fn asked_topic<T: Topic, Way>(options: &Options) -> AskedTopic<T, Way> {
    AskedTopic { deadline: options.deadline, topic: std::marker::PhantomData }
}

impl<P: Plugin> Hooks<P> for Wiring<P> {
    fn observe<T: Topic<Kind = Observe>>(&mut self, options: Options)
    where
        P: Observer<T>,
    {
        let queue = Arc::new(Queue::new(&options, self.bell.clone(), self.dropped.clone()));
        self.observed.push(Box::new(ObservedTopic::<T> { queue: queue.clone(), deadline: options.deadline }));
        let order = (self.order)();
        self.before.push(Box::new(move |table, owner, _| {
            table.insert(slot::<T>(owner, order, options, Action::Observe(queue)), None);
        }));
    }

    fn chain<T: Topic<Kind = Chain>>(&mut self, options: Options)
    where
        P: Link<T>,
        T::Message: Clone,
    {
        let hook = Box::new(asked_topic::<T, ByLink>(&options));
        self.asked::<T>(options, hook, fire_chain::<T>);
    }

    fn inline<T: Topic<Kind = Chain>>(
        &mut self,
        options: Options,
        step: impl Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + Send + Sync + 'static,
    ) where
        T::Message: Clone,
    {
        let order = (self.order)();
        self.after.push(Box::new(move |table, owner, _| {
            let slot = slot::<T>(owner, order, options, Action::Inline(Box::new(step)));
            table.insert(slot, Some(fire_chain::<T>));
        }));
        self.describes |= TypeId::of::<T>() == TypeId::of::<topics::Describe>();
    }

    fn collect<T: Topic<Kind = Collect>>(&mut self, options: Options)
    where
        P: Answer<T>,
    {
        let hook = Box::new(asked_topic::<T, ByAnswer>(&options));
        self.asked::<T>(options, hook, fire_collect::<T>);
    }

    fn first<T: Topic<Kind = First>>(&mut self, options: Options)
    where
        P: Answer<T>,
    {
        let hook = Box::new(asked_topic::<T, ByAnswer>(&options));
        self.asked::<T>(options, hook, fire_first::<T>);
    }

    fn around<T: Topic<Kind = Around>>(
        &mut self,
        options: Options,
        wrapper: impl Fn(T::Message, Next<T>) -> BoxFuture<'static, Result<T::Answer, PluginError>>
        + Send
        + Sync
        + 'static,
    ) where
        T::Message: Clone,
        T::Answer: Clone + Sync,
    {
        let order = (self.order)();
        self.after.push(Box::new(move |table, owner, _| {
            let action = Action::Around(Box::new(Wrapper::<T>(Box::new(wrapper))));
            table.insert(slot::<T>(owner, order, options, action), Some(fire_around::<T>));
        }));
    }

    fn service<S: Plugin>(&mut self, name: &str, args: S::Args) {
        let id = Id::sanitized(&format!("{}-{name}", self.owner), name);
        self.services.push(PluginSpec::new::<S>(id, args).service_of(self.owner.clone()));
    }

    fn tools(&mut self)
    where
        P: Tools,
    {
        // Asked while the plugin may still be in its first tick.
        let options = Options { deadline: TOOLS_DEADLINE, ..Options::default() };
        let hook = Box::new(asked_topic::<_, ByTools>(&options));
        self.asked::<topics::ToolRegistryBuild>(options, hook, fire_collect::<topics::ToolRegistryBuild>);
        self.call = Some(|plugin, call| Box::pin(plugin.call(call)));
    }
}

/// A plugin that was set up, whatever its type.
pub(crate) trait Instance: Send {
    /// Ready when an observed message waits.
    fn poll_observed(&mut self, cx: &mut TaskContext<'_>) -> Poll<()>;
    /// Hands the oldest message of the next queue to the plugin; says how long that may take.
    fn take_observed<'a>(&'a mut self, stop: &'a Stop) -> Option<(Duration, BoxFuture<'a, Handled>)>;
    /// Whether an observed message waits.
    fn has_observed(&mut self) -> bool;
    fn hook(&self, hook: usize) -> Option<Hook>;
    /// Asks a hook.
    fn answer<'a>(
        &'a mut self,
        hook: usize,
        message: Payload,
        stop: &'a Stop,
    ) -> BoxFuture<'a, Result<Reply, Hitch>>;
    /// Runs a tool.
    fn call(&mut self, call: ToolCall) -> BoxFuture<'_, Result<Json, ToolError>>;
    fn every(&self) -> Option<Duration>;
    fn tick(&mut self) -> BoxFuture<'_, Result<(), PluginError>>;
    fn teardown(&mut self) -> BoxFuture<'_, Result<(), PluginError>>;
}

struct Loaded<P> {
    plugin: P,
    wiring: Wiring<P>,
    /// Whose queue is looked at first.
    turn: usize,
}

impl<P: Plugin> Instance for Loaded<P> {
    fn poll_observed(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.wiring.bell.poll(cx, || self.wiring.has_observed())
    }

    fn has_observed(&mut self) -> bool {
        self.wiring.has_observed()
    }

    fn take_observed<'a>(&'a mut self, stop: &'a Stop) -> Option<(Duration, BoxFuture<'a, Handled>)> {
        // Queue by queue: a flood on one topic does not starve the others.
        let queues = self.wiring.observed.len();
        let next =
            (0..queues).map(|n| (self.turn + n) % queues).find(|&n| !self.wiring.observed[n].is_empty())?;
        self.turn = next + 1;
        self.wiring.observed[next].hand_over(&mut self.plugin, stop)
    }

    fn hook(&self, hook: usize) -> Option<Hook> {
        self.wiring.asked.get(hook).map(|asked| asked.hook())
    }

    fn answer<'a>(
        &'a mut self,
        hook: usize,
        message: Payload,
        stop: &'a Stop,
    ) -> BoxFuture<'a, Result<Reply, Hitch>> {
        Box::pin(async move {
            let Some(asked) = self.wiring.asked.get(hook) else {
                return Err(Hitch::Failed(PluginError::failed("there is no such hook")));
            };
            within(asked.hook().deadline, stop, asked.answer(&mut self.plugin, message)).await
        })
    }

    fn call(&mut self, call: ToolCall) -> BoxFuture<'_, Result<Json, ToolError>> {
        match self.wiring.call {
            Some(run) => run(&mut self.plugin, call),
            None => {
                Box::pin(async { Err(ToolError::new(ToolErrorCode::Internal, "the plugin has no tools")) })
            }
        }
    }

    fn every(&self) -> Option<Duration> {
        self.plugin.every()
    }

    fn tick(&mut self) -> BoxFuture<'_, Result<(), PluginError>> {
        Box::pin(self.plugin.tick())
    }

    fn teardown(&mut self) -> BoxFuture<'_, Result<(), PluginError>> {
        Box::pin(self.plugin.teardown())
    }
}

/// Counts registrations over all plugins.
pub(crate) type Order = Box<dyn FnMut() -> u64 + Send>;

/// Sets a plugin up.
pub(crate) type Setup = BoxFuture<'static, Result<Box<dyn Instance>, PluginError>>;

/// A plugin's subscriptions, and what sets it up. Made anew for each start.
pub(crate) struct Start {
    pub(crate) before: Vec<Subscribe>,
    pub(crate) after: Vec<Subscribe>,
    pub(crate) has_tools: bool,
    /// Whether it has a say in what sensors are described as.
    pub(crate) describes: bool,
    /// What runs while it does.
    pub(crate) services: Vec<PluginSpec>,
    pub(crate) setup: Setup,
}

impl Start {
    pub(crate) fn of<P: Plugin>(
        args: Arc<P::Args>,
        ctx: Context,
        dropped: Arc<AtomicU64>,
        order: Order,
    ) -> Self {
        let mut wiring = Wiring::<P>::new(&args, &ctx, dropped, order);
        Self {
            before: std::mem::take(&mut wiring.before),
            after: std::mem::take(&mut wiring.after),
            has_tools: wiring.call.is_some(),
            describes: wiring.describes,
            services: std::mem::take(&mut wiring.services),
            setup: Box::pin(async move {
                let plugin = P::setup(&args, ctx).await?;
                Ok(Box::new(Loaded { plugin, wiring, turn: 0 }) as Box<dyn Instance>)
            }),
        }
    }
}
