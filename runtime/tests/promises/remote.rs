//! What nodes promise each other: readings and tools of one are used on another.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rumqttc::v5::mqttbytes::QoS;
use sedge_actors::{Guard, Node, PluginSpec, RunningNode, Subscription, Surroundings, node_info};
use sedge_hal::SystemClock;
use sedge_mqtt::{Import, MqttBridge, RemoteImport, Settings};
use sedge_plugin::clock::rfc3339;
use sedge_plugin::prelude::*;
use sedge_plugin::testing::MemoryJournal;
use sedge_plugin::topics::Deliver;
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

use super::brokers::{Broker, Kind};
use super::clients::{V5, within};
use super::program::{Config, Running, code, json, run, stdout};

const AT_LEAST_ONCE: QoS = QoS::AtLeastOnce;
const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius)];

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// What a test holds of a puppet.
#[derive(Default)]
struct Strings {
    ctx: Mutex<Option<Context>>,
    /// Calls that may end.
    gate: Option<Semaphore>,
}

/// Has a sensor `air` and some tools.
struct Puppet(Arc<Strings>);

impl Plugin for Puppet {
    type Args = Arc<Strings>;
    const MANIFEST: Manifest = Manifest::new("puppet", "1.0.0", "Does as a test says.");

    async fn setup(args: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(id("air"), "puppet", "1.0.0", "nowhere", FIELDS));
        *args.ctx.lock().unwrap() = Some(ctx);
        Ok(Self(args.clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.tools();
    }
}

impl Tools for Puppet {
    fn tools(&self) -> Vec<Tool> {
        let tool = |name| Tool::new(Name::new(name).unwrap(), "For tests.");
        vec![tool("hello"), tool("locked"), tool("steps"), tool("never")]
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        match call.tool.as_str() {
            "hello" => Ok(json!({ "to": call.from })),
            "locked" => Err(ToolError::new(ToolErrorCode::Denied, "it is locked")),
            "steps" => {
                call.progress.report(0.5, "half");
                Ok(json!("done"))
            }
            _ => {
                let gate = self.0.gate.as_ref().unwrap();
                gate.acquire().await.unwrap().forget();
                Ok(json!("at last"))
            }
        }
    }
}

/// A whole node, but for its hardware.
struct Whole {
    node: RunningNode,
    strings: Arc<Strings>,
    readings: Subscription<Deliver>,
}

impl Whole {
    async fn start(broker: &Broker, name: &str, import: Option<Import>, guards: Vec<Guard>) -> Self {
        let strings = Arc::new(Strings { gate: Some(Semaphore::new(0)), ..Strings::default() });
        // Each start has a boot of its own.
        static BOOT: AtomicU32 = AtomicU32::new(1);
        let info = NodeInfo { boot: Boot(BOOT.fetch_add(1, Ordering::Relaxed)), ..node_info(name) };
        let journal = Arc::new(MemoryJournal::default());
        let around = Surroundings { journal: Some(journal), ..Surroundings::default() };
        let node = Node::within(info, Arc::new(SystemClock), around).guards(guards);
        let options = Options { capacity: 1024, ..Options::default() };
        let readings = node.bus().subscribe::<Deliver>(&id("test"), options);
        let bridge = PluginSpec::new::<MqttBridge>(id("mqtt"), settings(broker));
        let mut specs = vec![bridge, PluginSpec::new::<Puppet>(id("puppet"), strings.clone())];
        specs.extend(import.map(|import| PluginSpec::new::<RemoteImport>(id("others"), import)));
        Self { node: node.start(specs).await, strings, readings }
    }

    async fn read(&self, temperature: f64) {
        let ctx = self.strings.ctx.lock().unwrap().clone().unwrap();
        let mut frame = Frame::default();
        frame.push("temperature", temperature);
        ctx.submit(&id("air"), frame).await.unwrap();
    }

    /// The next reading of another node.
    async fn imported(&mut self) -> Arc<Reading> {
        within(async {
            loop {
                let reading = self.readings.next().await;
                if reading.origin.is_some() {
                    return reading;
                }
            }
        })
        .await
    }

    /// Has the other one measure until this one hears of it.
    async fn hears(&mut self, other: &Self) -> Arc<Reading> {
        let known = |node: &RunningNode| node.directory().sensor(&id("green-air")).is_some();
        self.until(known).await;
        other.read(21.5).await;
        self.imported().await
    }

    async fn until(&self, done: impl Fn(&RunningNode) -> bool) {
        within(async {
            while !done(&self.node) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Until the tools of another node are known.
    async fn reaches(&self, other: &str) {
        let other = id(other);
        self.until(|node| node.directory().nodes.get(&other).is_some_and(|node| node.tools.len() == 4)).await;
    }

    async fn call(&self, path: &str, args: Json) -> Result<Json, ToolError> {
        let call = ToolCall::new(path.parse::<sedge_plugin::ToolPath>().unwrap(), args);
        within(self.node.call(call)).await.result
    }

    async fn refused(&self, path: &str) -> (ToolErrorCode, String) {
        let error = self.call(path, json!({})).await.unwrap_err();
        (error.code, error.message)
    }

    fn health(&self) -> String {
        let directory = self.node.directory();
        directory.plugin("others").and_then(|status| status.reason.clone()).unwrap_or_default()
    }
}

fn settings(broker: &Broker) -> Settings {
    Settings::at(broker.address.ip().to_string(), broker.address.port())
}

fn import(broker: &Broker, node: Option<&str>) -> Import {
    Import {
        broker: settings(broker),
        node: node.map(id),
        except: Default::default(),
        sensors: vec!["*".into()],
        tools: vec!["*".into()],
        backlog: true,
        max_age: std::time::Duration::from_secs(300),
    }
}

/// The node `green`, and `house`, which imports it.
async fn pair(broker: &Broker, guards: Vec<Guard>) -> (Whole, Whole) {
    let green = Whole::start(broker, "green", None, Vec::new()).await;
    let house = Whole::start(broker, "house", Some(import(broker, Some("green"))), guards).await;
    (green, house)
}

async fn brokers() -> Vec<Broker> {
    let mut brokers = Vec::new();
    for kind in [Kind::Embedded, Kind::Mosquitto] {
        brokers.extend(Broker::start(kind).await);
    }
    brokers
}

#[tokio::test]
async fn a_reading_of_another_node_is_one_of_this_node_and_keeps_its_origin() {
    for broker in brokers().await {
        let (mut green, mut house) = pair(&broker, Vec::new()).await;
        let reading = house.hears(&green).await;
        let own = within(green.readings.next()).await;
        assert_eq!((reading.sensor.as_str(), reading.seq), ("green-air", 1));
        assert_eq!(reading.frame.get("temperature"), Some(&Value::Number(21.5)));
        assert_eq!(reading.taken.wall_ms, own.taken.wall_ms, "when it was measured, not when it came");
        let origin = Origin { node: id("green"), sensor: id("air"), boot: own.boot, seq: own.seq };
        assert_eq!(reading.origin.as_deref(), Some(&origin));
        let directory = house.node.directory();
        let sensor = directory.sensor(&id("green-air")).unwrap();
        assert_eq!((sensor.node.clone(), sensor.place.as_str()), (Some(id("green")), "green/air"));
        assert_eq!(house.node.latest(&id("green-air")), Some(reading));
    }
}

#[tokio::test]
async fn two_nodes_that_import_each_other_publish_nothing_twice() {
    for broker in brokers().await {
        let mut watcher = V5::connect(broker.address, "watcher").await;
        watcher.subscribe("sedge/v1/+/reading/+", AT_LEAST_ONCE).await;
        let mut green = Whole::start(&broker, "green", Some(import(&broker, None)), Vec::new()).await;
        let mut house = Whole::start(&broker, "house", Some(import(&broker, None)), Vec::new()).await;
        house.hears(&green).await;
        green.until(|node| node.directory().sensor(&id("house-air")).is_some()).await;
        house.read(1.0).await;
        assert_eq!(green.imported().await.sensor.as_str(), "house-air");
        green.read(2.0).await;
        assert_eq!(house.imported().await.seq, 2);
        for topic in ["green/reading/air", "house/reading/air", "green/reading/air"] {
            assert_eq!(watcher.message().await.topic, format!("sedge/v1/{topic}"));
        }
        let sensors: Vec<String> = house.node.directory().sensors.keys().map(ToString::to_string).collect();
        assert_eq!(sensors, ["air", "green-air"], "neither its own nor what is imported there");
        let mut late = V5::connect(broker.address, "late").await;
        late.subscribe("sedge/v1/house/info", AT_LEAST_ONCE).await;
        let info: Json = serde_json::from_slice(&late.message().await.payload).unwrap();
        assert_eq!(info["sensors"], json!(["air"]));
    }
}

#[tokio::test]
async fn an_interlock_may_depend_on_another_node() {
    for broker in brokers().await {
        let guard = Guard {
            tools: vec!["hello".into()],
            only_if: sedge_plugin::expr::parse("green-air.temperature > 20").ok(),
            ..Guard::new(id("warm"))
        };
        let (green, mut house) = pair(&broker, vec![guard]).await;
        let (code, why) = house.refused("hello").await;
        assert_eq!(code, ToolErrorCode::Denied);
        assert!(why.contains("nobody can tell"), "{why}");
        house.hears(&green).await;
        assert!(house.call("hello", json!({})).await.is_ok());
        green.read(19.0).await;
        house.imported().await;
        assert!(house.refused("hello").await.1.contains("which is not so"));
    }
}

#[tokio::test]
async fn a_tool_of_another_node_is_called_like_one_of_this_node() {
    for broker in brokers().await {
        let guard = Guard { tools: vec!["green/lo*".into()], deny: vec!["*".into()], ..Guard::new(id("no")) };
        let (_green, house) = pair(&broker, vec![guard]).await;
        house.reaches("green").await;
        assert_eq!(house.call("green/hello", json!({})).await, Ok(json!({ "to": "node:house" })));
        assert_eq!(
            house.call("house/hello", json!({})).await,
            Ok(json!({ "to": "" })),
            "its own, by its full name"
        );
        let (code, why) = house.refused("green/locked").await;
        assert_eq!((code, why.contains("guard `no`")), (ToolErrorCode::Denied, true), "{why}");
        let (code, why) = house.refused("green/helo").await;
        assert_eq!(
            (code, why.contains("did you mean `green/hello`")),
            (ToolErrorCode::NotFound, true),
            "{why}"
        );
        assert_eq!(house.refused("grene/hello").await.0, ToolErrorCode::NotFound);
        let error = house.call("green/hello", json!({ "x": 1 })).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::BadArgs);
        let (told, heard) = std::sync::mpsc::channel();
        let progress = Progress::to(move |update| drop(told.send(update.text)));
        let path: sedge_plugin::ToolPath = "green/steps".parse().unwrap();
        let outcome = within(house.node.call(ToolCall { progress, ..ToolCall::new(path, json!({})) })).await;
        assert_eq!((outcome.result, heard.try_recv().as_deref()), (Ok(json!("done")), Ok("half")));
        assert_eq!((outcome.node, outcome.by), (Some(id("green")), Some(id("others"))));
    }
}

#[tokio::test]
async fn what_a_tool_of_another_node_refuses_is_told_and_none_waits_for_another() {
    for broker in brokers().await {
        let (green, house) = pair(&broker, Vec::new()).await;
        house.reaches("green").await;
        assert_eq!(house.refused("green/locked").await, (ToolErrorCode::Denied, "it is locked".into()));
        let limit = Some(std::time::Duration::from_millis(300));
        let path: sedge_plugin::ToolPath = "green/never".parse().unwrap();
        let outcome =
            within(house.node.call(ToolCall { timeout: limit, ..ToolCall::new(path, json!({})) })).await;
        assert_eq!(outcome.result.unwrap_err().code, ToolErrorCode::Timeout);
        let both = async {
            tokio::join!(house.call("green/never", json!({})), house.call("house/hello", json!({})))
        };
        let open = async { green.strings.gate.as_ref().unwrap().add_permits(2) };
        let ((late, own), ()) = within(async { tokio::join!(both, open) }).await;
        assert_eq!((late, own.is_ok()), (Ok(json!("at last")), true));
    }
}

#[tokio::test]
async fn what_a_node_had_goes_with_it_and_comes_back_with_it() {
    for broker in brokers().await {
        let (green, mut house) = pair(&broker, Vec::new()).await;
        house.reaches("green").await;
        house.hears(&green).await;
        green.node.stop().await;
        let gone = |node: &RunningNode| node.directory().sensor(&id("green-air")).is_none();
        house.until(gone).await;
        house.until(|node| node.directory().nodes[&id("green")].tools.is_empty()).await;
        assert_eq!(
            house.refused("green/hello").await,
            (ToolErrorCode::Unavailable, "node `green` is away".into())
        );
        house
            .until(|node| {
                !gone(node) || node.directory().plugin("others").is_some_and(|s| s.reason.is_some())
            })
            .await;
        assert_eq!(house.health(), "offline: green");
        let green = Whole::start(&broker, "green", None, Vec::new()).await;
        house.reaches("green").await;
        house.hears(&green).await;
        assert!(house.call("green/hello", json!({})).await.is_ok());
    }
}

#[tokio::test]
async fn what_came_already_is_not_imported_again_and_what_is_late_is_not_the_latest() {
    for broker in brokers().await {
        let mut far = V5::connect(broker.address, "far").await;
        let sensor = json!({ "type": "x", "plugin": "x@1", "where": "-", "fields": {} }).to_string();
        far.publish("sedge/v1/green/sensor/air", &sensor, AT_LEAST_ONCE, true).await;
        far.publish("sedge/v1/green/status", "online", AT_LEAST_ONCE, true).await;
        let mut house =
            Whole::start(&broker, "house", Some(import(&broker, Some("green"))), Vec::new()).await;
        house.until(|node| node.directory().sensor(&id("green-air")).is_some()).await;
        let start = SystemClock.wall_ms().unwrap() - 60_000;
        let frame = |seq: i64| json!({ "ts": rfc3339(start + seq * 1000), "seq": seq, "boot": "9f3c21ab", "fields": { "v": seq } });
        let live = "sedge/v1/green/reading/air";
        let backlog = "sedge/v1/green/backlog/air";
        far.publish(live, &frame(5).to_string(), AT_LEAST_ONCE, false).await;
        far.publish(live, "nonsense", AT_LEAST_ONCE, false).await;
        far.publish(backlog, &json!([frame(3), frame(4), frame(5)]).to_string(), AT_LEAST_ONCE, false).await;
        far.publish(backlog, &json!([frame(3), frame(2)]).to_string(), AT_LEAST_ONCE, false).await;
        let mut seqs = Vec::new();
        for _ in 0..4 {
            seqs.push(house.imported().await.origin.clone().unwrap().seq);
        }
        assert_eq!(seqs, [5, 3, 4, 2]);
        let latest = |house: &Whole| house.node.latest(&id("green-air")).unwrap().origin.clone().unwrap().seq;
        assert_eq!(latest(&house), 5);
        far.publish(live, &frame(5).to_string(), AT_LEAST_ONCE, false).await;
        far.publish(live, &frame(6).to_string(), AT_LEAST_ONCE, false).await;
        assert_eq!(house.imported().await.origin.as_ref().unwrap().seq, 6, "and not the fifth again");
        assert_eq!(latest(&house), 6);
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_not_taken_over() {
    for broker in brokers().await {
        let mut far = V5::connect(broker.address, "far").await;
        let sensor = json!({ "type": "x", "plugin": "x@1", "where": "-", "fields": {} }).to_string();
        // Both would be `a-b-c`.
        for (node, sensor_of) in [("a", "b-c"), ("a-b", "c")] {
            far.publish(&format!("sedge/v1/{node}/sensor/{sensor_of}"), &sensor, AT_LEAST_ONCE, true).await;
            far.publish(&format!("sedge/v1/{node}/status"), "online", AT_LEAST_ONCE, true).await;
        }
        let house = Whole::start(&broker, "house", Some(import(&broker, None)), Vec::new()).await;
        house.until(|node| node.directory().sensor(&id("a-b-c")).is_some()).await;
        house
            .until(|node| node.directory().plugin("others").is_some_and(|status| status.reason.is_some()))
            .await;
        let health = house.health();
        assert!(health.contains("would be `a-b-c` here, which is a"), "{health}");
    }
}

#[tokio::test]
async fn the_command_line_shows_a_fleet_and_forgets_who_is_no_more() {
    for broker in brokers().await {
        let url = format!("mqtt://{}", broker.address);
        let cli = async |args: &[&str]| run(&[args, &["--broker", &url]].concat()).await;
        let green = Whole::start(&broker, "green", None, Vec::new()).await;
        let mut far = V5::connect(broker.address, "far").await;
        far.subscribe("sedge/v1/green/info", AT_LEAST_ONCE).await;
        far.message().await;
        assert_eq!(code(&cli(&["node", "status"]).await), 0);
        far.publish("sedge/v1/gone/status", "offline", AT_LEAST_ONCE, true).await;
        let listed = json(&cli(&["node", "list", "--json"]).await);
        let told = |at: usize| (listed[at]["node"].as_str().unwrap(), listed[at]["status"].as_str().unwrap());
        assert_eq!((told(0), told(1)), (("gone", "offline"), ("green", "online")));
        assert_eq!(listed[1]["info"]["sensors"], json!(["air"]));
        let table = stdout(&cli(&["node", "list"]).await);
        assert!(table.starts_with("NODE ") && table.contains("\ngone   offline"), "{table}");
        assert!(stdout(&cli(&["node", "info", "green"]).await).contains("hello, locked, never, steps"));
        assert_eq!(code(&cli(&["node", "status"]).await), 3, "some are not well");
        assert_eq!(code(&cli(&["node", "status", "gone"]).await), 1, "none is");
        assert_eq!(code(&cli(&["node", "decommission", "green", "--yes"]).await), 1, "it is online");
        assert_eq!(code(&cli(&["node", "decommission", "gone"]).await), 2, "it was not said to be meant");
        assert_eq!(code(&cli(&["node", "decommission", "gone", "--yes"]).await), 0);
        assert_eq!(json(&cli(&["node", "list", "--json"]).await).as_array().unwrap().len(), 1);
        assert_eq!(code(&cli(&["node", "info", "gone"]).await), 1);
        drop(green);
    }
}

#[tokio::test]
async fn a_section_of_the_config_brings_a_node_in() {
    for broker in brokers().await {
        let green = Whole::start(&broker, "green", None, Vec::new()).await;
        let config = Config::new(&format!(
            "[node]\nid = \"house\"\n[mqtt]\nurl = \"mqtt://{}\"\n[remote.green]\n[plugin.system]\nenabled = false\n",
            broker.address
        ));
        let file = config.file();
        let mut node = Running::logged(&["run", "-c", &file]);
        node.line_with("Runs.").await;
        let last = async || json(&run(&["readings", "last", "-c", &file, "--json"]).await);
        let readings = within(async {
            loop {
                green.read(21.5).await;
                let readings = last().await;
                if readings.as_array().is_some_and(|all| !all.is_empty()) {
                    break readings;
                }
            }
        })
        .await;
        assert_eq!(
            (&readings[0]["sensor"], &readings[0]["fields"]["temperature"]),
            (&json!("green-air"), &json!(21.5))
        );
        let tools = json(&run(&["tool", "list", "--local", "-c", &file, "--json"]).await);
        let names: Vec<_> =
            tools.as_array().unwrap().iter().map(|tool| (&tool["node"], &tool["name"])).collect();
        assert!(names.contains(&(&json!("green"), &json!("hello"))), "{names:?}");
        let output = run(&["tool", "call", "green/hello", "--local", "-c", &file, "--json"]).await;
        assert_eq!(json(&output)["result"], json!({ "to": "node:house" }), "{output:?}");
        let listed = json(&run(&["plugin", "list", "-c", &file, "--json"]).await);
        let row = listed.as_array().unwrap().iter().find(|row| row["id"] == "green").unwrap();
        assert_eq!((&row["kind"], &row["state"]), (&json!("remote"), &json!("running")));
        node.signal("TERM").await;
        assert_eq!(node.ended().await, 0);
    }
}
