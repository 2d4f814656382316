//! A plugin outside as a kind of sensor, as a processor, and as a step of a call.

use std::time::Duration;

use sedge_host::outside::Role;
use sedge_plugin::grant::I2cGrant;
use sedge_plugin::prelude::*;
use sedge_protocol::{Call, SensorWelcome, ToNode, ToPlugin};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::{PUMP, Setting, Slow, ask, id};

const GAUGE: &str = r#"
category = "sensor"
[entry]
command = ["gauge"]
[sensor]
bus = "i2c"
addresses = [0x20]
[sensor.fields.level]
unit = "%"
min = 0.0
max = 100.0
[sensor.fields.flow]
unit = "L/min"
"#;

fn gauge() -> Setting {
    let device = Some(I2cGrant { bus: "i2c-1".into(), address: 0x20 });
    let role = Role::Sensor { every: Duration::from_secs(10), place: "i2c-1/0x20".into(), device };
    Setting { role, ..Setting::new("gauge", GAUGE) }
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_sensor_is_read_as_often_as_its_section_says() {
    let (mut stage, mut plugin, welcome) =
        gauge().play(async |plugin, declared| plugin.greet(declared).await).await;
    stage.reaches("attic", State::Running).await;
    let ToPlugin::Welcome { sensor, grants, .. } = welcome else { panic!("no welcome") };
    assert_eq!(sensor, Some(SensorWelcome { every_ms: 10_000, address: Some(0x20) }));
    assert_eq!(grants.i2c["device"].address, 0x20);
    let described = stage.node.directory().sensors["attic"].clone();
    assert_eq!((described.kind.as_str(), described.place.as_str()), ("gauge", "i2c-1/0x20"));
    assert_eq!(
        (described.interval, described.fields["level"].max),
        (Some(Duration::from_secs(10)), Some(100.0))
    );
    let begun = Instant::now();
    for n in 0..3_u64 {
        let (number, call) = plugin.called().await;
        assert_eq!((call, begun.elapsed().as_secs()), (Call::Read, n * 10));
        // It reads its device while it is asked for the reading.
        let transfer = ask(json!({ "do": "i2c", "device": "device", "operations": [{ "read": 1 }] }));
        assert_eq!(plugin.ask(n, transfer).await, Ok(json!({ "read": ["20"] })));
        plugin.answer(number, json!({ "level": n, "flow": { "missing": "crc" } })).await;
        sleep(Duration::from_millis(10)).await;
        let reading = stage.node.latest(&id("attic")).unwrap();
        assert_eq!((reading.seq, reading.frame.get("level")), (n + 1, Some(&Value::Number(n as f64))));
    }
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_is_missing_with_its_reason_and_the_plugin_has_failed_once() {
    let (mut stage, mut plugin) = gauge().start().await;
    let error = |json: Json| serde_json::from_value::<ToolError>(json).unwrap();
    let told = error(
        json!({ "code": "failed", "message": "no answer from 0x20", "data": { "reason": "no_answer" } }),
    );
    for (answer, reason) in [
        (Some(ToNode::Error { id: 0, error: told }), "no_answer"),
        (Some(ToNode::Ok { id: 0, result: json!({ "levle": 3 }) }), "garbage"),
    ] {
        let (number, _) = plugin.called().await;
        plugin
            .say(match answer.unwrap() {
                ToNode::Error { error, .. } => ToNode::Error { id: number, error },
                ToNode::Ok { result, .. } => ToNode::Ok { id: number, result },
                other => other,
            })
            .await;
        let status = stage.reaches("attic", State::Degraded).await;
        assert!(status.reason.is_some());
        sleep(Duration::from_millis(10)).await;
        let reading = stage.node.latest(&id("attic")).unwrap();
        assert_eq!(reading.frame.samples.len(), 2);
        assert!(reading.frame.samples.iter().all(|sample| sample.value == Err(reason.into())), "{reading:?}");
    }
    let (number, _) = plugin.called().await;
    plugin.answer(number, json!({ "level": 3 })).await;
    stage.reaches("attic", State::Running).await;
    let reading = stage.node.latest(&id("attic")).unwrap();
    assert_eq!(
        reading.frame.samples.iter().filter(|sample| sample.value.is_err()).count(),
        1,
        "flow was not told"
    );
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_does_not_come_is_missing_for_that_reason() {
    let (stage, mut plugin) = gauge().start().await;
    let (number, _) = plugin.called().await;
    sleep(Duration::from_millis(10_100)).await;
    let reading = stage.node.latest(&id("attic")).unwrap();
    assert!(reading.frame.samples.iter().all(|sample| sample.value == Err("timeout".into())), "{reading:?}");
    let told = [plugin.hear().await, plugin.hear().await];
    assert!(told.contains(&Some(ToPlugin::Cancel { id: number })), "{told:?}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_wishes_to_be_ticked_is() {
    let (stage, mut plugin, ()) = Setting::new("pump", PUMP)
        .play(async |plugin, declared| {
            plugin.begin(declared).await;
            let ToNode::Ready { tools, .. } = sedge_host::outside::testing::ready(declared) else {
                unreachable!()
            };
            plugin.say(ToNode::Ready { tools, every_ms: Some(5000) }).await;
        })
        .await;
    for _ in 0..3 {
        let (number, call) = plugin.called().await;
        assert_eq!(call, Call::Tick);
        plugin.answer(number, Json::Null).await;
    }
    stage.node.stop().await;
}

/// A node on which `slow` submits nothing, and whose processor is played.
fn processor(stage: Stage) -> Setting {
    let only = Some([id("room")].into());
    let role = Role::Processor { stage, sensors: only, priority: 50 };
    let mut setting =
        Setting { role, ..Setting::new("smoother", "category = \"processor\"\n[entry]\ncommand = [\"x\"]") };
    setting.others.push(source());
    setting
}

pub fn source() -> sedge_actors::PluginSpec {
    sedge_actors::PluginSpec::new::<Source>(id("source"), ())
}

/// Submits a reading of two sensors each time its tool is called.
struct Source(Context);

impl Plugin for Source {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("source", "1.0.0", "Makes readings.");
    async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
        for sensor in ["room", "cellar"] {
            ctx.announce(SensorDescriptor::new(
                id(sensor),
                "x",
                "1",
                "here",
                &[Field::new("level", Unit::None)],
            ));
        }
        Ok(Self(ctx))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        hooks.tools();
    }
}

impl Tools for Source {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(Name::new("measure").unwrap(), "Measures.")]
    }
    async fn call(&mut self, _: ToolCall) -> Result<Json, ToolError> {
        for sensor in ["cellar", "room"] {
            let mut frame = Frame::default();
            frame.push("level", 7.0);
            self.0.submit(&id(sensor), frame).await.map_err(|error| ToolError::failed(error.to_string()))?;
        }
        Ok(Json::Null)
    }
}

#[tokio::test(start_paused = true)]
async fn a_processor_changes_what_was_measured_of_its_sensors() {
    let (stage, mut plugin) = processor(Stage::Process).start().await;
    let measured = stage.call("measure", json!({}));
    let (number, call) = plugin.called().await;
    let Call::Step { topic, mut message } = call else { panic!("no step") };
    assert_eq!(
        (topic.as_str(), &message["sensor"], &message["fields"]),
        ("process", &json!("room"), &json!({ "level": 7 }))
    );
    message["fields"]["level"] = json!({ "value": 8, "quality": "estimated" });
    message["sensor"] = "cellar".into();
    plugin.answer(number, json!({ "replace": message })).await;
    measured.await.unwrap().unwrap();
    let reading = stage.node.latest(&id("room")).unwrap();
    let sample = &reading.frame.samples[0];
    assert_eq!((sample.number(), sample.quality), (Some(8.0), Quality::Estimated));
    assert_eq!(stage.node.latest(&id("cellar")).unwrap().frame.get("level"), Some(&7.0.into()));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_validator_says_no_and_an_answer_that_is_none_counts_as_none() {
    let (stage, mut plugin) = processor(Stage::Validate).start().await;
    for (answer, quality) in
        [(json!({ "veto": "implausible" }), Quality::Rejected), (json!("maybe"), Quality::Ok)]
    {
        let measured = stage.call("measure", json!({}));
        let (number, _) = plugin.called().await;
        plugin.answer(number, answer).await;
        measured.await.unwrap().unwrap();
        assert_eq!(stage.node.latest(&id("room")).unwrap().frame.samples[0].quality, quality);
    }
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_late_once_is_left_out_and_the_plugin_lives_on() {
    let (stage, mut plugin) = processor(Stage::Process).start().await;
    let measured = stage.call("measure", json!({}));
    let (number, _) = plugin.called().await;
    // The source's tool has five seconds, as the step has: either may be the first to give up.
    let _ = measured.await.unwrap();
    assert_eq!(plugin.hear().await, Some(ToPlugin::Cancel { id: number }));
    plugin.answer(number, json!("pass")).await;
    sleep(Duration::from_secs(8)).await;
    assert!(stage.node.directory().plugin("attic").unwrap().state.is_active());
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_granted_vetoes_a_call() {
    let mut setting =
        Setting::new("pump", &format!("{PUMP}\n[[hook]]\ntopic = \"pre_tool_execute\"\ntimeout = \"2s\"\n"));
    setting.change =
        |args| args.grants = serde_json::from_value(json!({ "topics": ["pre_tool_execute"] })).unwrap();
    setting.others.push(Slow::spec());
    let (stage, mut plugin) = setting.start().await;
    let called = stage.call("slow_who", json!({}));
    let (number, call) = plugin.called().await;
    let Call::Step { message, .. } = call else { panic!("no step") };
    assert_eq!((&message["tool"], &message["from"]), (&json!("slow_who"), &json!("cli")));
    plugin.answer(number, json!({ "veto": "not at night" })).await;
    let error = called.await.unwrap().unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ToolErrorCode::Denied, "`attic` says no: not at night")
    );
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_are_made_a_frame_by_the_plugin_that_knows_their_format() {
    let manifest = format!("{PUMP}\n[[hook]]\ntopic = \"extract\"\n");
    let mut setting = Setting::new("pump", &manifest);
    setting.change = |args| args.grants = serde_json::from_value(json!({ "topics": ["extract"] })).unwrap();
    let (stage, mut plugin) = setting.start().await;
    let announce = json!({ "do": "announce", "sensor": "attic", "fields": { "level": { "unit": "%" } } });
    assert_eq!(plugin.ask(1, ask(announce)).await, Ok(Json::Null));
    let submit = json!({ "do": "submit_raw", "sensor": "attic", "format": "acme", "bytes": "07ff" });
    let mut submit_raw = async |asked: u64, answer: Json| {
        plugin.say(ToNode::Ask { id: asked, ask: ask(submit.clone()) }).await;
        let (number, call) = plugin.called().await;
        let message = json!({ "sensor": "attic", "format": "acme", "bytes": "07ff" });
        assert_eq!(call, Call::Answer { topic: "extract".into(), message });
        plugin.answer(number, answer).await;
        match plugin.hear().await {
            Some(ToPlugin::Ok { result, .. }) => Ok(result),
            Some(ToPlugin::Error { error, .. }) => Err(error.message),
            other => panic!("expected an answer, heard {other:?}"),
        }
    };
    assert_eq!(submit_raw(2, json!({ "level": 7, "flow": { "missing": "crc" } })).await, Ok(Json::Null));
    let reading = stage.node.latest(&id("attic")).unwrap();
    assert_eq!(reading.frame.get("level"), Some(&7.0.into()));
    for answer in [Json::Null, json!("what?")] {
        let error = submit_raw(3, answer).await.unwrap_err();
        assert!(error.contains("no plugin makes sense of these bytes of format `acme`"), "{error}");
    }
    assert_eq!(stage.node.latest(&id("attic")).unwrap().seq, 1, "nothing was made up");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_of_its_manifest_is_its_tool_as_this_instance_offers_it() {
    let manifest = format!(
        "{PUMP}\n[[command]]\nname = \"pump\"\nabout = \"Switches the pump.\"\ntool = \"pump_set\"\n"
    );
    let (stage, _plugin) = Setting::new("pump", &manifest).start().await;
    let commands = stage.node.commands().await;
    let commands: Vec<_> = commands.iter().map(|one| (one.name.as_str(), one.tool.as_str())).collect();
    assert_eq!(commands, [("pump", "attic_set")]);
    stage.node.stop().await;
}
