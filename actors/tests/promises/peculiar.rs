//! Promises about plugins that do something peculiar: each is made of a few closures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, RunningNode, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Deliver, PluginStateChanged, Process};
use sedge_plugin::{BoxFuture, ToolErrorCode};
use serde_json::{Value as Json, json};

use super::support::{Numbers, id};

const S: Duration = Duration::from_secs(1);
const FIELDS: &[Field] = &[Field::new("level", Unit::Percent)];

type Act = Box<dyn Fn(Context) -> BoxFuture<'static, Result<(), PluginError>> + Send + Sync>;

fn act<F>(does: impl Fn(Context) -> F + Send + Sync + 'static) -> Act
where
    F: Future<Output = Result<(), PluginError>> + Send + 'static,
{
    Box::new(move |ctx| Box::pin(does(ctx)))
}

/// Takes that long.
fn pauses(time: Duration) -> Act {
    act(move |ctx| async move {
        ctx.sleep(time).await;
        Ok(())
    })
}

/// What the plugin does; nothing, unless told otherwise. Clones share it.
#[derive(Clone)]
struct Habits(Arc<Inner>);
struct Inner {
    setup: Act,
    tick: Act,
    hear: Act,
    step: Act,
    /// How often its parts ran.
    ticks: AtomicU32,
    teardowns: AtomicU32,
    panics_when_dropped: bool,
}

impl Default for Inner {
    fn default() -> Self {
        let nothing = || act(|_| async { Ok(()) });
        let none = AtomicU32::default;
        Self {
            setup: nothing(),
            tick: nothing(),
            hear: nothing(),
            step: nothing(),
            ticks: none(),
            teardowns: none(),
            panics_when_dropped: false,
        }
    }
}

struct Peculiar {
    ctx: Context,
    habits: Habits,
}

impl Plugin for Peculiar {
    type Args = Habits;
    const MANIFEST: Manifest = Manifest::new("peculiar", "1.0.0", "Does what closures say.");
    async fn setup(habits: &Habits, ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "peculiar", "1.0.0", "nowhere", FIELDS));
        (habits.0.setup)(ctx.clone()).await?;
        Ok(Self { ctx, habits: habits.clone() })
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Habits, _: &Context) {
        hooks.observe::<Numbers>(Options::default());
        hooks.observe::<PluginStateChanged>(Options::default());
        hooks.chain::<Process>(Options::default());
        hooks.tools();
    }
    fn every(&self) -> Option<Duration> {
        Some(60 * S)
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        self.habits.0.ticks.fetch_add(1, Ordering::SeqCst);
        (self.habits.0.tick)(self.ctx.clone()).await
    }
    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.habits.0.teardowns.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for Peculiar {
    fn drop(&mut self) {
        assert!(!self.habits.0.panics_when_dropped || std::thread::panicking(), "dropped");
    }
}

impl Observer<Numbers> for Peculiar {
    async fn observe(&mut self, _: Arc<u64>) -> Result<(), PluginError> {
        (self.habits.0.hear)(self.ctx.clone()).await
    }
}

impl Observer<PluginStateChanged> for Peculiar {
    async fn observe(&mut self, _: Arc<PluginStatus>) -> Result<(), PluginError> {
        Ok(())
    }
}

impl Link<Process> for Peculiar {
    async fn step(&mut self, draft: Arc<Draft>) -> Result<Step<Draft>, PluginError> {
        (self.habits.0.step)(self.ctx.clone()).await?;
        // Whatever it makes of the reading, it stays the reading of its sensor.
        Ok(Step::Replace(Draft { sensor: id("elsewhere"), ..Draft::clone(&draft) }))
    }
}

impl Tools for Peculiar {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(Name::from_id(self.ctx.id(), None).unwrap(), "Says hello.")]
    }
    async fn call(&mut self, _: ToolCall) -> Result<Json, ToolError> {
        Ok(json!("hello"))
    }
}

async fn node(plugins: &[(&str, &Habits)]) -> RunningNode {
    let node = Node::new(node_info("peculiar"), Arc::new(TokioClock::default()));
    let specs =
        plugins.iter().map(|(name, habits)| PluginSpec::new::<Peculiar>(id(name), Habits::clone(habits)));
    node.start(specs.collect()).await
}

fn habits(change: impl FnOnce(&mut Inner)) -> Habits {
    let mut inner = Inner::default();
    change(&mut inner);
    Habits(Arc::new(inner))
}

fn call(tool: &str) -> ToolCall {
    ToolCall::new(Name::new(tool).unwrap(), json!({}))
}

fn level() -> Frame {
    let mut frame = Frame::default();
    frame.push("level", 4.0);
    frame
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_fails_is_counted_though_other_handlers_succeed() {
    // Its own degradation is a state change, which it observes well.
    let broken = habits(|h| h.tick = act(|_| async { Err(PluginError::failed("no line")) }));
    let node = node(&[("p", &broken)]).await;
    tokio::time::sleep(200 * S).await;
    assert!(node.directory().plugins["p"].restarts >= 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_slow_messages_are_not_taken_for_a_blocked_thread() {
    let slow = habits(|h| h.hear = pauses(S / 2));
    let node = node(&[("p", &slow)]).await;
    for n in 0..200 {
        node.bus().publish::<Numbers>(n).await;
    }
    tokio::time::sleep(60 * S).await;
    let status = node.directory().plugins["p"].clone();
    assert_eq!((status.state, status.restarts), (State::Running, 0));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_panics_while_it_is_dropped_is_restarted_like_any_other() {
    let clumsy = habits(|h| {
        h.panics_when_dropped = true;
        h.tick = act(|_| async { Err(PluginError::unmet("gone")) });
    });
    let node = node(&[("p", &clumsy)]).await;
    tokio::time::sleep(200 * S).await;
    assert!(node.directory().plugins["p"].restarts >= 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_tears_down_a_plugin_in_the_middle_of_a_long_tick() {
    let long = habits(|h| h.tick = pauses(50 * S));
    let node = node(&[("p", &long)]).await;
    let mut states = node.bus().subscribe::<PluginStateChanged>(&id("ear"), Options::default());
    let began = tokio::time::Instant::now();
    node.stop().await;
    assert!(began.elapsed() < 5 * S);
    assert_eq!(long.0.teardowns.load(Ordering::SeqCst), 1);
    assert_eq!(states.next().await.state, State::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_tick_does_not_lose_the_tools() {
    let slow = habits(|h| h.tick = pauses(20 * S));
    let node = node(&[("p", &slow)]).await;
    tokio::time::sleep(25 * S).await;
    assert_eq!(node.call(call("p")).await.result, Ok(json!("hello")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_would_wait_for_its_own_plugin_is_told_at_once() {
    let itself = habits(|h| {
        h.hear = act(|ctx| async move {
            let error = ctx.call(call("p")).await.result.unwrap_err();
            assert_eq!(error.code, ToolErrorCode::Failed);
            assert!(error.message.contains("wait for itself"), "{}", error.message);
            // It is a step of the chain that its own reading goes through: skipped, the reading goes on.
            ctx.submit(ctx.id(), level()).await
        });
    });
    let node = node(&[("p", &itself)]).await;
    let mut ear = node.bus().subscribe::<Deliver>(&id("ear"), Options::default());
    let began = tokio::time::Instant::now();
    node.bus().publish::<Numbers>(1).await;
    ear.next().await;
    assert!(began.elapsed() < S);
    assert_eq!(node.directory().plugins["p"].restarts, 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_may_change_what_was_measured_and_not_whose_it_is() {
    let sender = habits(|h| h.tick = act(|ctx| async move { ctx.submit(&id("sender"), level()).await }));
    let ear_node = Node::new(node_info("peculiar"), Arc::new(TokioClock::default()));
    let mut ear = ear_node.bus().subscribe::<Deliver>(&id("ear"), Options::default());
    let specs = [("other", habits(|_| ())), ("sender", sender)];
    let node = ear_node
        .start(specs.map(|(name, habits)| PluginSpec::new::<Peculiar>(id(name), habits)).into())
        .await;
    assert_eq!(ear.next().await.sensor, id("sender"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_of_its_own_that_panics_restarts_a_plugin() {
    let parent = habits(|h| {
        h.setup = act(|ctx| async move {
            let own = ctx.clone();
            ctx.spawn(async move {
                own.sleep(10 * S).await;
                panic!("the child fell")
            });
            Ok(())
        });
    });
    let node = node(&[("p", &parent)]).await;
    let mut states = node.bus().subscribe::<PluginStateChanged>(&id("ear"), Options::default());
    let status = states.next().await;
    assert_eq!(status.reason.as_deref(), Some("a task of its own panicked"));
    assert_eq!(parent.0.teardowns.load(Ordering::SeqCst), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_failed_for_good_takes_its_sensors_and_tools_along() {
    let wrong = habits(|h| {
        h.tick = act(|ctx| async move {
            ctx.sleep(10 * S).await;
            Err(PluginError::Settings("not so".into()))
        });
    });
    let node = node(&[("p", &wrong)]).await;
    assert!(node.directory().sensors.contains_key("p"));
    tokio::time::sleep(15 * S).await;
    let directory = node.directory();
    assert_eq!(
        (directory.plugins["p"].state, directory.sensors.len(), directory.tools.len()),
        (State::Failed, 0, 0)
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_of_itself_stays_though_its_handlers_work() {
    let wordy = habits(|h| {
        h.setup = act(|ctx| async move {
            ctx.degraded(Some("no broker".into()));
            Ok(())
        });
    });
    let node = node(&[("p", &wordy)]).await;
    tokio::time::sleep(200 * S).await;
    let status = node.directory().plugins["p"].clone();
    assert_eq!((status.state, status.reason.as_deref()), (State::Degraded, Some("no broker")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_former_start_has_no_say_any_more() {
    static FIRST: std::sync::Mutex<Option<Context>> = std::sync::Mutex::new(None);
    let forgetful = habits(|h| {
        h.setup = act(|ctx| async move {
            FIRST.lock().unwrap().get_or_insert(ctx);
            Ok(())
        });
        h.hear = act(|_| async { panic!("start me anew") });
    });
    let node = node(&[("p", &forgetful)]).await;
    node.bus().publish::<Numbers>(1).await;
    tokio::time::sleep(5 * S).await;
    assert_eq!(node.directory().plugins["p"].restarts, 1);
    let first = FIRST.lock().unwrap().clone().unwrap();
    assert!(first.submit(&id("p"), level()).await.is_err());
    first.withdraw(&id("p"));
    assert!(node.directory().sensors.contains_key("p"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_plugin_that_breaks_is_counted() {
    let broken = habits(|h| h.hear = act(|_| async { panic!("broke") }));
    let node = node(&[("p", &broken)]).await;
    for n in 0..100 {
        node.bus().publish::<Numbers>(n).await;
    }
    tokio::time::sleep(5 * S).await;
    assert_eq!(node.directory().plugins["p"].dropped, 99);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_plugin_that_feeds_itself_leaves_room_for_others() {
    let (heard, mut hears) = tokio::sync::mpsc::channel(1);
    let greedy = habits(|h| {
        h.hear = act(move |ctx| {
            let heard = heard.clone();
            async move {
                let _ = heard.try_send(());
                ctx.publish::<Numbers>(1).await;
                Ok(())
            }
        });
    });
    let node = node(&[("p", &greedy), ("calm", &habits(|_| ()))]).await;
    node.bus().publish::<Numbers>(1).await;
    hears.recv().await.unwrap();
    assert_eq!(node.call(call("calm")).await.result, Ok(json!("hello")));
    assert_eq!(node.call(call("p")).await.result, Ok(json!("hello")));
    node.stop().await;
}
