//! What a plugin has to say when it is started once.

use std::sync::Mutex;

use sedge_host::install;
use sedge_host::outside::{Carrier, End, Line, Start};
use sedge_plugin::PluginError;
use sedge_plugin::context::BoxFuture;
use sedge_protocol::{ToNode, ToPlugin};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// Says these messages: the first at once, the others after the welcome. Then it ends, or says nothing more.
struct Says(Mutex<Vec<ToNode>>, bool);

impl Carrier for Says {
    fn start(&self, _: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        let (to, mut heard) = mpsc::channel(4);
        let (tell, from) = mpsc::channel(4);
        let (ended, end) = oneshot::channel();
        let says = std::mem::take(&mut *self.0.lock().unwrap());
        let hangs = self.1;
        tokio::spawn(async move {
            let mut says = says.into_iter();
            if let Some(first) = says.next() {
                drop(tell.send(first).await);
                match heard.recv().await {
                    Some(ToPlugin::Welcome { settings, grants, .. }) => {
                        assert_eq!((settings, grants), (json!({ "port": 1 }), Default::default()));
                    }
                    _ => return,
                }
            }
            for message in says {
                let asks = matches!(message, ToNode::Ask { .. });
                drop(tell.send(message).await);
                if asks {
                    assert!(matches!(heard.recv().await, Some(ToPlugin::Error { id: 1, .. })));
                }
            }
            if hangs {
                std::future::pending::<()>().await;
            }
            drop(ended.send(End::Broken("it exited with status 1".into())));
        });
        Box::pin(async { Ok(Line { to, from, end, guard: Box::new(()) }) })
    }

    fn isolation(&self) -> String {
        String::new()
    }
}

fn say(value: serde_json::Value) -> ToNode {
    serde_json::from_value(value).unwrap()
}

async fn probe(says: Vec<ToNode>, hangs: bool) -> Result<String, String> {
    let bench = Bench::new();
    let more = "[settings.schema.properties.port]\ntype = \"integer\"\ndefault = 1\n[[tool]]\nname = \"pump_set\"\ndescription = \"x\"\n";
    bench.at.write("pump/plugin.toml", manifest("pump", "1.0.0", more));
    let folder = bench.at.path("pump");
    let declaration = sedge_host::read(&folder).unwrap();
    install::probe(&Says(Mutex::new(says), hangs), &folder, &declaration).await
}

fn hello(plugin: &str, version: &str, protocol: &str) -> ToNode {
    say(json!({ "type": "hello", "protocol": protocol, "plugin": plugin, "version": version }))
}

fn ready(tools: &[&str]) -> ToNode {
    let tool = |name: &&str| json!(sedge_plugin::Tool::new(sedge_plugin::Name::new(name).unwrap(), "x"));
    say(json!({ "type": "ready", "tools": tools.iter().map(tool).collect::<Vec<_>>() }))
}

#[tokio::test(start_paused = true)]
async fn a_plugin_loads_when_it_is_what_its_manifest_says() {
    let well = || hello("pump", "1.0.0", "1.0");
    let asks = || say(json!({ "type": "ask", "id": 1, "do": "load", "key": "x" }));
    for (says, expected) in [
        (vec![well(), ready(&["pump_set"])], Ok("it loads, with 1 tool")),
        (vec![well(), asks(), ready(&["pump_set"])], Ok("it loads, with 1 tool")),
        (
            vec![well(), say(json!({ "type": "failed", "why": "settings", "message": "port is missing" }))],
            Ok("it loads; without settings and grants it says: port is missing"),
        ),
        (vec![well(), ready(&[])], Err("it does not offer tools that its manifest declares: `pump_set`")),
        (
            vec![well(), ready(&["pump_set", "pump_evil"])],
            Err("it offers tools that its manifest does not declare: `pump_evil`"),
        ),
        (vec![hello("tank", "1.0.0", "1.0")], Err("it says that it is `tank`, and its manifest `pump`")),
        (
            vec![hello("pump", "2.0.0", "1.0")],
            Err("it says that it is version 2.0.0, and its manifest 1.0.0"),
        ),
        (
            vec![hello("pump", "1.0.0", "2.0")],
            Err("it speaks version 2.0 of the protocol, and this sedge 1.0"),
        ),
        (vec![ready(&[])], Err("its first message is no hello")),
        (vec![], Err("it exited with status 1")),
        (vec![well()], Err("it exited with status 1")),
    ] {
        assert_eq!(probe(says, false).await, expected.map(str::to_owned).map_err(str::to_owned));
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_says_nothing_does_not_load() {
    assert_eq!(
        probe(vec![hello("pump", "1.0.0", "1.0")], true).await,
        Err("it was not ready within 30s".into())
    );
}
