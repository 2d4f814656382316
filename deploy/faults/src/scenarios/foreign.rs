//! What others do to a node over its broker: take its id, and publish what they like to what it listens to.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{RECONNECT, SLOW, Scenario};
use crate::Trouble;
use crate::broker::Keeps;
use crate::node;
use crate::packet::Packet;
use crate::stage::{Outcome, PATIENCE, Setting, Stage, play};

const SOME: u64 = 20;
const ENOUGH: u64 = 200;

pub(super) const NAMESAKE: Scenario = Scenario {
    name: "namesake",
    what: "a second client connects with the node's id",
    times: [1, 5],
    at_once: 5,
    play: |setting, times| Box::pin(namesake(setting, times)),
};

async fn namesake(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            let before = stage.counts();
            let about = || Trouble::about("the second client");
            let mut second = TcpStream::connect(stage.broker.address).await.map_err(about())?;
            let hello = Packet::connect(&format!("sedge-{}", node::ID), true);
            second.write_all(&hello.bytes()).await.map_err(about())?;
            let answer = Packet::read(&mut second).await.map_err(about())?;
            answer.ok_or_else(|| about()(std::io::Error::other("the broker does not let it in")))?;
            stage.pause(100, 1000).await;
            // It may have been thrown out by then.
            let _ = second.write_all(&Packet::disconnect().bytes()).await;
            drop(second);
            stage.reconnects(before, SLOW).await?;
            stage.recovers(RECONNECT).await?;
            stage.outcome.faults += 1;
        }
        stage.flowing(SOME).await
    })
    .await
}

pub(super) const MESSAGES: Scenario = Scenario {
    name: "foreign-messages",
    what: "malformed, oversized, retained and foreign messages on every topic that the node subscribes to",
    times: [1, 10],
    at_once: 2,
    play: |setting, times| Box::pin(messages(setting, times)),
};

/// What stands in the place of a wildcard.
fn names(stage: &mut Stage) -> Vec<String> {
    let drawn: String = std::iter::repeat_with(|| stage.random.alphanumeric()).take(12).collect();
    ["s1", "x", "UPPER", "ä b", "_reply", &"long".repeat(200), &drawn].map(String::from).to_vec()
}

/// What is said there.
fn payloads(stage: &mut Stage) -> Vec<Vec<u8>> {
    let noise = std::iter::repeat_with(|| stage.random.u8(..)).take(500).collect();
    vec![
        noise,
        b"\xff\xfe".to_vec(),
        b"{".to_vec(),
        b"[".repeat(20_000),
        br#"{"args":{"on":true},"id":"","from":"cli"}"#.to_vec(),
        br#"{"state":"running","since":null,"reason":null,"restarts":0}"#.to_vec(),
        vec![b'x'; 300 * 1024],
        vec![b'"'; 1024 * 1024],
        Vec::new(),
    ]
}

async fn messages(setting: Setting, times: u32) -> Result<Outcome, Trouble> {
    let stage = Stage::new(&setting, Keeps::Nothing).await?;
    play(stage, ENOUGH, async |stage| {
        stage.start()?;
        for _ in 0..times {
            stage.flowing(SOME).await?;
            for filter in stage.tap.filters() {
                for name in names(stage) {
                    for payload in payloads(stage) {
                        let topic = filter.replace(['+', '#'], &name);
                        let retain = stage.random.bool();
                        stage.witness.publish(&topic, &payload, retain, PATIENCE).await?;
                        stage.outcome.faults += 1;
                    }
                }
            }
            // What is retained comes once more with the next subscription.
            stage.proxy.reset();
            stage.recovers(RECONNECT).await?;
        }
        stage.flowing(SOME).await
    })
    .await
}
