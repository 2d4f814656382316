use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop, proptest};
use sedge_actors::{Node, PluginSpec, RestartPolicy, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::PluginStateChanged;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::support::{Did, Does, Numbers, Script, Stage, id};

const S: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_plugin_that_panics_is_restarted_and_the_others_never_notice() {
    let mut stage = Stage::start(|log| {
        vec![("calm", Script::new(log).tick(S, Does::Well)), ("wild", Script::new(log).tick(S, Does::Panics))]
    })
    .await;
    let status = stage.reaches("wild", State::BackingOff).await;
    assert_eq!(status.reason.as_deref(), Some("panicked: it panicked"));
    let status = stage.reaches("wild", State::Running).await;
    assert_eq!(status.restarts, 1);
    let calm = stage.node.directory().plugins["calm"].clone();
    assert_eq!((calm.state, calm.restarts), (State::Running, 0));
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_hangs_is_ended_and_restarted() {
    let mut stage = Stage::start(|log| vec![("stuck", Script::new(log).tick(S, Does::Hangs))]).await;
    let began = Instant::now();
    let status = stage.reaches("stuck", State::BackingOff).await;
    assert!(status.reason.unwrap().contains("hung"));
    assert!(began.elapsed() < 31 * S, "by its deadline, not by the watch from outside");
    stage.reaches("stuck", State::Running).await;
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn three_errors_in_a_row_restart_a_plugin_and_a_success_between_them_does_not() {
    let mut tick = None;
    let mut stage = Stage::start(|log| {
        let script = Script::new(log).tick(S, Does::Fails);
        tick = Some(script.tick.clone());
        vec![("flaky", script)]
    })
    .await;
    let tick = tick.unwrap();
    stage.reaches("flaky", State::Degraded).await;
    *tick.lock().unwrap() = Does::Well;
    let status = stage.reaches("flaky", State::Running).await;
    assert_eq!((status.reason, status.restarts), (None, 0), "well again, without a restart");
    *tick.lock().unwrap() = Does::Fails;
    stage.did();
    let status = stage.reaches("flaky", State::BackingOff).await;
    assert_eq!(status.reason.as_deref(), Some("it broke (3 times in a row)"));
    let did: Vec<_> = stage.did().into_iter().map(|(_, did)| did).collect();
    assert_eq!(did, [Did::Tick, Did::Tick, Did::Tick, Did::Teardown]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_setup_leaves_the_rest_running_and_is_tried_again() {
    let mut setup = None;
    let mut stage = Stage::start(|log| {
        let broken = Script::new(log).setup(Does::Fails);
        setup = Some(broken.setup.clone());
        vec![("broken", broken), ("sound", Script::new(log))]
    })
    .await;
    assert_eq!(stage.states()["sound"], State::Running);
    stage.reaches("broken", State::BackingOff).await;
    *setup.unwrap().lock().unwrap() = Does::Well;
    let status = stage.reaches("broken", State::Running).await;
    assert_eq!(status.reason, None);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_keeps_failing_rests_and_is_probed_for_ever() {
    let mut setup = None;
    let mut stage = Stage::start(|log| {
        let script = Script::new(log).setup(Does::Panics);
        setup = Some(script.setup.clone());
        vec![("broken", script)]
    })
    .await;
    let status = stage.reaches("broken", State::Resting).await;
    assert!(status.reason.unwrap().contains("its setup panicked"));
    stage.did();
    let began = Instant::now();
    stage.next_did().await;
    stage.next_did().await;
    assert!(began.elapsed() >= 30 * S, "now and then, not all the time");
    *setup.unwrap().lock().unwrap() = Does::Well;
    stage.reaches("broken", State::Running).await;
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_never_ends_neither_holds_up_the_start_nor_the_stop() {
    let began = Instant::now();
    let stage =
        Stage::start(|log| vec![("slow", Script::new(log).setup(Does::Hangs)), ("next", Script::new(log))])
            .await;
    assert_eq!(stage.states()["next"], State::Running);
    assert_eq!(stage.states()["slow"], State::Starting);
    assert!(began.elapsed() < 5 * S);
    stage.stop().await;
    assert!(began.elapsed() < 10 * S);
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_lacks_is_a_reason_to_skip_it_and_it_comes_when_that_appears() {
    let mut setup = None;
    let mut stage = Stage::start(|log| {
        let script = Script::new(log).setup(Does::Lacks);
        setup = Some(script.setup.clone());
        vec![("probe", script)]
    })
    .await;
    let status = stage.reaches("probe", State::Skipped).await;
    assert_eq!(status.reason.as_deref(), Some("no such device"));
    *setup.unwrap().lock().unwrap() = Does::Well;
    stage.reaches("probe", State::Running).await;
    stage.stop().await;
}

/// Panics while it subscribes.
struct Clumsy;
impl Plugin for Clumsy {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("clumsy", "1.0.0", "Panics while it subscribes.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(_: &mut impl Hooks<Self>, _: &(), _: &Context) {
        panic!("tangled wires");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_subscribing_is_a_failure_like_any_other() {
    let node = Node::new(node_info("clumsy"), Arc::new(HandClock::default()));
    let node = node.start(vec![PluginSpec::new::<Clumsy>(id("clumsy"), ())]).await;
    let status = node.directory().plugins["clumsy"].clone();
    assert_eq!(
        (status.state, status.reason.as_deref()),
        (State::BackingOff, Some("its hooks panicked: tangled wires"))
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_full_queue_did_not_take_is_told_in_the_status() {
    let mut stage = Stage::start(|log| vec![("ear", Script::new(log))]).await;
    // All at once: the plugin gets no turn in between, and its queue holds 256.
    for n in 0..300 {
        stage.node.bus().publish::<Numbers>(n).await;
    }
    let status = loop {
        let status = stage.states.next().await;
        if status.dropped > 0 {
            break status;
        }
    };
    assert_eq!((status.state, status.dropped), (State::Running, 44));
    stage.stop().await;
}

/// Spawns a task that never ends by itself, and panics after a second.
struct Parent;
impl Plugin for Parent {
    type Args = mpsc::Sender<&'static str>;
    const MANIFEST: Manifest = Manifest::new("parent", "1.0.0", "Spawns.");
    async fn setup(args: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        struct Child(mpsc::Sender<&'static str>);
        impl Drop for Child {
            fn drop(&mut self) {
                self.0.try_send("ended").unwrap();
            }
        }
        let child = Child(args.clone());
        // It holds on to the context, as tasks do: that must not keep it alive.
        let own = ctx.clone();
        ctx.spawn(async move {
            child.0.try_send("begun").unwrap();
            own.sleep(3600 * S).await;
        });
        ctx.sleep(S).await;
        Ok(Self)
    }
    fn every(&self) -> Option<Duration> {
        Some(S)
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        panic!("dropped everything")
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_spawned_ends_with_it() {
    let (told, mut tells) = mpsc::channel(100);
    let node = Node::new(node_info("parent"), Arc::new(HandClock::default()));
    let node = node.start(vec![PluginSpec::new::<Parent>(id("parent"), told)]).await;
    for expected in ["begun", "ended", "begun", "ended"] {
        assert_eq!(tells.recv().await, Some(expected));
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn wrong_settings_fail_a_plugin_and_it_is_not_tried_again() {
    let mut stage = Stage::start(|log| vec![("wrong", Script::new(log).setup(Does::IsMisconfigured))]).await;
    stage.reaches("wrong", State::Failed).await;
    stage.did();
    tokio::time::sleep(3600 * S).await;
    assert_eq!(stage.did(), []);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn plugins_start_in_order_and_stop_in_reverse() {
    let mut stage = Stage::start(|log| ["a", "b", "c"].map(|name| (name, Script::new(log))).into()).await;
    let order = |did: Vec<(String, Did)>, what: Did| -> String {
        did.into_iter().filter(|(_, did)| *did == what).map(|(id, _)| id).collect()
    };
    assert_eq!(order(stage.did(), Did::Setup), "abc");
    let mut did = stage.stop().await;
    let did = std::iter::from_fn(|| did.try_recv().ok()).map(|(id, did)| (id.to_string(), did)).collect();
    assert_eq!(order(did, Did::Teardown), "cba");
}

#[tokio::test(start_paused = true)]
async fn a_teardown_that_hangs_or_panics_does_not_hold_up_the_rest() {
    let stage = Stage::start(|log| {
        vec![
            ("last", Script::new(log)),
            ("hangs", Script::new(log).teardown(Does::Hangs)),
            ("panics", Script::new(log).teardown(Does::Panics)),
        ]
    })
    .await;
    let began = Instant::now();
    let mut did = stage.stop().await;
    assert!(began.elapsed() < 20 * S);
    let ended = std::iter::from_fn(|| did.try_recv().ok()).filter(|(_, did)| *did == Did::Teardown).count();
    assert_eq!(ended, 3);
}

#[tokio::test(start_paused = true)]
async fn stopping_delivers_what_was_queued() {
    // It is in the middle of them when it is told to stop.
    let stage = Stage::start(|log| vec![("ear", Script::new(log).hear(Does::Dawdles))]).await;
    for n in 0..100 {
        stage.node.bus().publish::<Numbers>(n).await;
    }
    let mut did = stage.stop().await;
    let heard: Vec<_> = std::iter::from_fn(|| did.try_recv().ok())
        .filter_map(|(_, did)| if let Did::Heard(n) = did { Some(n) } else { None })
        .collect();
    assert_eq!(heard, (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_old_one_is_torn_down_before_the_new_one_is_set_up() {
    let mut stage = Stage::start(|log| vec![("line", Script::new(log).tick(S, Does::Panics))]).await;
    stage.reaches("line", State::BackingOff).await;
    stage.reaches("line", State::Running).await;
    let did: Vec<_> = stage.did().into_iter().map(|(_, did)| did).collect();
    assert_eq!(did[..4], [Did::Setup, Did::Tick, Did::Teardown, Did::Setup]);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn stopping_or_failing_removes_all_subscriptions_and_a_restart_does_not_double_them() {
    let mut stage = Stage::start(|log| vec![("wild", Script::new(log).hear(Does::Panics))]).await;
    let topics = |stage: &Stage| -> Vec<_> {
        stage
            .node
            .bus()
            .topics()
            .into_iter()
            .filter(|topic| topic.subscribers.iter().any(|s| s.plugin.as_str() == "wild"))
            .collect()
    };
    let before = topics(&stage);
    assert_eq!(
        before.iter().map(|topic| topic.name).collect::<Vec<_>>(),
        ["numbers", "process", "tool_registry_build"]
    );
    stage.node.bus().publish::<Numbers>(1).await;
    stage.reaches("wild", State::BackingOff).await;
    assert_eq!(topics(&stage), []);
    stage.reaches("wild", State::Running).await;
    assert_eq!(topics(&stage), before);
    stage.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_node_runs_even_if_all_plugins_fail() {
    let stage = Stage::start(|log| {
        vec![
            ("a", Script::new(log).setup(Does::Panics)),
            ("b", Script::new(log).setup(Does::Fails)),
            ("c", Script::new(log).setup(Does::IsMisconfigured)),
        ]
    })
    .await;
    tokio::time::sleep(600 * S).await;
    assert_eq!(stage.states().len(), 3);
    assert!(
        stage
            .states()
            .values()
            .all(|state| matches!(state, State::Resting | State::Failed | State::BackingOff))
    );
    stage.stop().await;
}

/// A clock whose hands a test turns.
#[derive(Default)]
struct HandClock(AtomicU64);
impl Clock for HandClock {
    fn up(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
    fn wall_ms(&self) -> Option<i64> {
        None
    }
}

/// Blocks its thread in its first tick until it is let go.
struct Blocking {
    args: Arc<BlockingArgs>,
}
struct BlockingArgs {
    blocked: mpsc::Sender<()>,
    let_go: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}
impl Plugin for Blocking {
    type Args = Arc<BlockingArgs>;
    const MANIFEST: Manifest = Manifest::new("blocking", "1.0.0", "Blocks its thread once.");
    async fn setup(args: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self { args: args.clone() })
    }
    fn every(&self) -> Option<Duration> {
        Some(S)
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        let let_go = self.args.let_go.lock().unwrap().take();
        if let Some(let_go) = let_go {
            self.args.blocked.try_send(()).unwrap();
            let _ = let_go.recv();
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_is_given_up_and_the_plugin_started_anew() {
    let (blocked, mut is_blocked) = mpsc::channel(1);
    let (let_go, held) = std::sync::mpsc::channel();
    let clock = Arc::new(HandClock::default());
    let node = Node::new(node_info("blocking"), clock.clone());
    let mut states = node.bus().subscribe::<PluginStateChanged>(&id("ear"), Options::default());
    let args = Arc::new(BlockingArgs { blocked, let_go: Mutex::new(Some(held)) });
    let policy =
        RestartPolicy { first: Duration::ZERO, watch: Duration::from_millis(1), ..RestartPolicy::default() };
    let node = node.start(vec![PluginSpec::new::<Blocking>(id("blocking"), args).policy(policy)]).await;
    is_blocked.recv().await.unwrap();
    clock.0.store(3600, Ordering::SeqCst);
    let mut seen = Vec::new();
    while seen.last() != Some(&(State::Running, 1)) {
        let status = states.next().await;
        seen.push((status.state, status.restarts));
    }
    assert!(seen.contains(&(State::BackingOff, 0)), "{seen:?}");
    let_go.send(()).unwrap();
    node.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn whatever_plugins_do_the_sound_one_keeps_ticking(script in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..4), 1..6)) {
        let does = |n: u8| [Does::Well, Does::Fails, Does::Panics, Does::Hangs, Does::Lacks, Does::IsMisconfigured][usize::from(n)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut stage = Stage::start(|log| {
                let mut plugins = vec![("sound", Script::new(log).tick(S, Does::Well))];
                let names = ["a", "b", "c", "d", "e"];
                for ((setup, tick, teardown), name) in script.iter().zip(names) {
                    plugins.push((name, Script::new(log).setup(does(*setup)).tick(S, does(*tick)).teardown(does(*teardown))));
                }
                plugins
            }).await;
            stage.did();
            tokio::time::sleep(120 * S).await;
            let ticks = stage.did().into_iter().filter(|(id, did)| id == "sound" && *did == Did::Tick).count();
            assert!((119..=121).contains(&ticks), "{ticks}");
            assert_eq!(stage.node.directory().plugins["sound"].restarts, 0);
            stage.stop().await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_stands_for_something_ends_with_it_and_not_at_its_next_handler() {
    struct Stands(Context);
    impl Plugin for Stands {
        type Args = ();
        const MANIFEST: Manifest = Manifest::new("stands", "1.0.0", "Stands for something that ends.");
        async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
            let inner = ctx.clone();
            ctx.spawn(async move {
                inner.sleep(3 * S).await;
                inner.fail("it was killed by signal 11");
                inner.fail("and more");
            });
            Ok(Self(ctx))
        }
        async fn teardown(&mut self) -> Result<(), PluginError> {
            self.0.store("torn_down", true).await
        }
    }
    let node = Node::new(node_info("stage"), Arc::new(sedge_actors::TokioClock::default()));
    let mut states = node.bus().subscribe::<PluginStateChanged>(&id("test"), Options::default());
    let began = Instant::now();
    let node = node.start(vec![PluginSpec::new::<Stands>(id("stands"), ())]).await;
    let failed = loop {
        let status = states.next().await;
        if status.state == State::BackingOff {
            break status;
        }
    };
    assert_eq!((failed.reason.as_deref(), began.elapsed()), (Some("it was killed by signal 11"), 3 * S));
    loop {
        let status = states.next().await;
        if status.state == State::Running {
            assert_eq!(status.restarts, 1);
            break;
        }
    }
    node.stop().await;
}
