//! Whether a node answers: what a watchdog outside of the process may rely on.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, TokioClock, node_info};
use sedge_plugin::prelude::*;

use super::support::{Does, Script, Stage, id};

const S: Duration = Duration::from_secs(1);

/// Opened by a test, for whoever blocks a thread.
type Gate = Arc<(Mutex<bool>, Condvar)>;

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

/// Blocks the thread, though not for ever: a test that fails must end.
fn wait(gate: &Gate) {
    let open = gate.0.lock().unwrap();
    drop(gate.1.wait_timeout_while(open, 60 * S, |open| !*open).unwrap());
}

/// Blocks its keeper: hooks are told by a keeper, not by an actor.
struct Stuck;
impl Plugin for Stuck {
    type Args = Gate;
    const MANIFEST: Manifest = Manifest::new("stuck", "1.0.0", "Blocks whoever asks for its hooks.");
    async fn setup(_: &Gate, _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(_: &mut impl Hooks<Self>, gate: &Gate, _: &Context) {
        wait(gate);
    }
}

/// Blocks the thread of its actor.
struct Blocks(Gate);
impl Plugin for Blocks {
    type Args = Gate;
    const MANIFEST: Manifest = Manifest::new("blocks", "1.0.0", "Blocks a thread of the node.");
    async fn setup(gate: &Gate, _: Context) -> Result<Self, PluginError> {
        Ok(Self(gate.clone()))
    }
    fn every(&self) -> Option<Duration> {
        Some(S)
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        wait(&self.0);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_is_stuck_does_not_answer_and_is_named() {
    let gate = Gate::default();
    let node = Node::new(node_info("stage"), Arc::new(TokioClock::default()));
    let node = node.start(vec![PluginSpec::new::<Stuck>(id("stuck"), gate.clone())]).await;
    assert_eq!(node.answers(S).await, Err("the keeper of stuck".into()));
    open(&gate);
    assert_eq!(node.answers(60 * S).await, Ok(()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_while_a_plugin_blocks_a_thread() {
    let gate = Gate::default();
    let node = Node::new(node_info("stage"), Arc::new(TokioClock::default()));
    let node = node.start(vec![PluginSpec::new::<Blocks>(id("blocks"), gate.clone())]).await;
    for _ in 0..10 {
        assert_eq!(node.answers(30 * S).await, Ok(()));
    }
    open(&gate);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_answers_whatever_its_plugins_do() {
    let stage = Stage::start(|log| {
        let script = || Script::new(log);
        vec![
            ("hangs", script().tick(S, Does::Hangs)),
            ("hangs-at-setup", script().setup(Does::Hangs)),
            ("fails", script().tick(S, Does::Fails)),
            ("fails-at-setup", script().setup(Does::Fails)),
            ("panics", script().tick(S, Does::Panics)),
            ("lacks", script().setup(Does::Lacks)),
            ("misconfigured", script().setup(Does::IsMisconfigured)),
            ("slow-to-end", script().tick(S, Does::Fails).teardown(Does::Hangs)),
        ]
    })
    .await;
    for _ in 0..100 {
        assert_eq!(stage.node.answers(S).await, Ok(()), "{:?}", stage.states());
        tokio::time::sleep(3 * S).await;
    }
    let handle = stage.node.handle();
    let mut stopping = std::pin::pin!(stage.node.stop());
    loop {
        tokio::select! {
            () = &mut stopping => break,
            () = tokio::time::sleep(S) => assert_eq!(handle.answers(S).await, Ok(()), "while it stops"),
        }
    }
    assert_eq!(handle.answers(S).await, Ok(()), "nobody is left to be asked");
}
