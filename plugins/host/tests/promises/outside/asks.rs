//! What a plugin outside may ask of its node: what was granted, and what it has by itself.

use std::sync::{Arc, Mutex};

use sedge_actors::PluginSpec;
use sedge_plugin::http::{HttpClient, HttpError, Request, Response};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use super::{PUMP, Setting, Slow, ask, id};

const ASKING: &str = r#"
[requests]
i2c.gauge = [0x20, 0x21]
gpio.valve = "out"
gpio.float = "in"
tools = ["slow_*"]
hosts = ["api.example.org", "*.weather.org"]
"#;

fn all(args: &mut sedge_host::outside::OutsideArgs) {
    args.grants = serde_json::from_value(json!({
        "i2c": { "gauge": { "bus": "i2c-1", "address": 0x21 }, "other": { "bus": "i2c-1", "address": 0x50 } },
        "gpio": { "valve": { "bus": "gpio", "line": 4 }, "float": { "bus": "gpio", "line": 5 } },
        "tools": ["*"],
        "hosts": ["*"],
        "config": true,
    }))
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_had_without_a_grant_and_the_answer_says_what_to_write() {
    let (stage, mut plugin) = Setting::new("pump", &format!("{PUMP}{ASKING}")).start().await;
    for (asked, grant) in [
        (
            json!({ "do": "i2c", "device": "gauge", "operations": [{ "read": 1 }] }),
            "i2c.gauge = { bus = \"…\", address = 0x20 }",
        ),
        (json!({ "do": "gpio", "line": "valve", "set": true }), "gpio.valve = { bus = \"…\", line = 0 }"),
        (json!({ "do": "call", "tool": "slow_who" }), "tools = [\"slow_who\"]"),
        (
            json!({ "do": "http", "method": "GET", "url": "https://api.example.org/now" }),
            "hosts = [\"api.example.org\"]",
        ),
    ] {
        let error = plugin.ask(1, ask(asked)).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Denied);
        let words = format!("write `grant = {{ {grant} }}` in [plugin.attic]");
        assert!(error.message.contains(&words), "{error}");
    }
    assert_eq!(stage.hardware.done(), Vec::<String>::new());
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_its_manifest_does_not_ask_for_it_does_not_get_even_where_it_is_granted() {
    let mut setting = Setting::new("pump", &format!("{PUMP}{ASKING}"));
    setting.change = all;
    let (stage, mut plugin) = setting.start().await;
    for asked in [
        json!({ "do": "i2c", "device": "other", "operations": [{ "read": 1 }] }),
        json!({ "do": "gpio", "line": "heater", "set": true }),
        json!({ "do": "gpio", "line": "float", "set": true }),
        json!({ "do": "call", "tool": "relay_set" }),
        json!({ "do": "http", "method": "GET", "url": "https://evil.org/" }),
        json!({ "do": "http", "method": "GET", "url": "https://api.example.org:8443/" }),
        json!({ "do": "directory" }),
        json!({ "do": "latest", "sensor": "air" }),
    ] {
        let error = plugin.ask(1, ask(asked.clone())).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Denied, "{asked}");
        assert!(error.message.contains("manifest"), "{error}");
    }
    assert_eq!(stage.hardware.done(), Vec::<String>::new());
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_granted_is_done_at_the_place_that_the_grant_names() {
    let mut setting = Setting::new("pump", &format!("{PUMP}{ASKING}"));
    setting.change = all;
    setting.others.push(Slow::spec());
    let (stage, mut plugin) = setting.start().await;
    let operations = json!([{ "write": "00ff" }, { "read": 2 }, { "read": 1 }]);
    let read = plugin.ask(1, ask(json!({ "do": "i2c", "device": "gauge", "operations": operations }))).await;
    assert_eq!(read, Ok(json!({ "read": ["2121", "21"] })));
    let set = plugin.ask(2, ask(json!({ "do": "gpio", "line": "valve", "set": true }))).await;
    assert_eq!(set, Ok(json!({ "level": true })));
    let called = plugin.ask(3, ask(json!({ "do": "call", "tool": "slow_who" }))).await;
    assert_eq!(called, Ok(json!("attic")), "who calls is said by the node");
    assert_eq!(stage.hardware.done(), ["i2c i2c-1 0x21", "gpio attic 4 Set(true)"]);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn transfers_without_end_are_refused() {
    let mut setting = Setting::new("pump", &format!("{PUMP}{ASKING}"));
    setting.change = all;
    let (stage, mut plugin) = setting.start().await;
    for operations in
        [json!([]), json!(vec![json!({ "read": 1 }); 65]), json!(vec![json!({ "read": 65535 }); 2])]
    {
        let error =
            plugin.ask(1, ask(json!({ "do": "i2c", "device": "gauge", "operations": operations }))).await;
        assert_eq!(error.unwrap_err().code, ToolErrorCode::BadRequest);
    }
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn its_own_tools_it_cannot_call() {
    let mut setting = Setting::new("pump", &format!("{PUMP}\n[requests]\ntools = [\"*\"]\n"));
    setting.change = all;
    let (stage, mut plugin) = setting.start().await;
    let error = plugin.ask(1, ask(json!({ "do": "call", "tool": "attic_set" }))).await.unwrap_err();
    assert!(error.message.contains("its own tool"), "{error}");
    stage.node.stop().await;
}

/// Answers with a redirect, and remembers what it was asked.
#[derive(Clone, Default)]
struct Web(Arc<Mutex<Vec<Request>>>);

impl HttpClient for Web {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        self.0.lock().unwrap().push(request);
        let headers = vec![("location".to_owned(), "https://evil.org/".to_owned())];
        let answer = Response { status: 302, headers, body: b"gone".to_vec(), ..Response::default() };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_to_a_granted_host_and_no_redirect_leads_out_of_it() {
    let web = Web::default();
    let mut setting = Setting::new("pump", &format!("{PUMP}{ASKING}"));
    setting.change = all;
    setting.around.http = Some(Arc::new(web.clone()));
    let (stage, mut plugin) = setting.start().await;
    let url = "https://a.weather.org/now";
    let http = ask(
        json!({ "do": "http", "method": "get", "url": url, "headers": { "x": "y" }, "timeout_ms": 600_000 }),
    );
    let answer = plugin.ask(1, http).await;
    let expected = json!({ "status": 302, "headers": { "location": "https://evil.org/" }, "body": "gone" });
    assert_eq!(answer, Ok(expected));
    let sent = web.0.lock().unwrap().pop().unwrap();
    assert_eq!((sent.method, sent.url.as_str(), sent.follow), ("GET", url, false));
    assert_eq!(sent.timeout.as_secs(), 60, "no longer than that");
    let header = json!({ "do": "http", "method": "GET", "url": url, "headers": { "Host": "b.internal" } });
    assert_eq!(plugin.ask(2, ask(header)).await.unwrap_err().code, ToolErrorCode::BadRequest);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_speaks_for_sensors_of_its_own_id_and_for_no_others() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    for sensor in ["attic", "attic-out"] {
        let fields = json!({ "level": { "unit": "%", "min": 0, "max": 100 } });
        let announce = json!({ "do": "announce", "sensor": sensor, "fields": fields, "interval_ms": 1000 });
        assert_eq!(plugin.ask(1, ask(announce)).await, Ok(Json::Null));
        let submit = json!({ "do": "submit", "sensor": sensor, "frame": { "level": 4.5, "flow": null } });
        assert_eq!(plugin.ask(2, ask(submit)).await, Ok(Json::Null));
        let reading = stage.node.latest(&id(sensor)).unwrap();
        assert_eq!(reading.frame.get("level"), Some(&4.5.into()));
        let latest = plugin.ask(3, ask(json!({ "do": "latest", "sensor": sensor }))).await.unwrap();
        assert_eq!(
            (&latest["fields"], &latest["err"]),
            (&json!({ "flow": null, "level": 4.5 }), &json!({ "flow": "missing" }))
        );
    }
    assert_eq!(stage.node.directory().sensors["attic-out"].plugin, "pump@1.0.0");
    for sensor in ["attica", "kitchen", "attic2"] {
        for what in [
            json!({ "do": "submit", "frame": {} }),
            json!({ "do": "announce", "fields": {} }),
            json!({ "do": "withdraw" }),
        ] {
            let mut what = what;
            what["sensor"] = sensor.into();
            let error = plugin.ask(4, ask(what)).await.unwrap_err();
            assert!(error.message.contains("those are `attic` and `attic-…`"), "{error}");
        }
    }
    let error =
        plugin.ask(5, ask(json!({ "do": "submit", "sensor": "attic", "frame": { "level": [] } }))).await;
    assert!(error.unwrap_err().message.contains("`level` is a list"));
    assert_eq!(plugin.ask(6, ask(json!({ "do": "withdraw", "sensor": "attic-out" }))).await, Ok(Json::Null));
    assert!(!stage.node.directory().sensors.contains_key("attic-out"));
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sensor_of_a_section_with_a_longer_id_is_that_ones() {
    let mut setting = Setting::new("pump", PUMP);
    setting.others = vec![PluginSpec::new::<Slow>(id("attic-hall"), ())];
    let (stage, mut plugin) = setting.start().await;
    for (sensor, is_own) in
        [("attic-hall", false), ("attic-hall-2", false), ("attic-halls", true), ("attic", true)]
    {
        let announced = plugin.ask(1, ask(json!({ "do": "announce", "sensor": sensor, "fields": {} }))).await;
        assert_eq!(announced.is_ok(), is_own, "{sensor}: {announced:?}");
    }
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_star_grants_no_tool_of_another_node() {
    let mut setting =
        Setting::new("pump", &format!("{PUMP}[requests]\ntools = [\"*\", \"green*/pump_*\"]\n"));
    setting.change =
        |args| args.grants = serde_json::from_value(json!({ "tools": ["*", "green*/pump_*"] })).unwrap();
    let (stage, mut plugin) = setting.start().await;
    for (tool, code) in [
        ("house/pump_set", ToolErrorCode::Denied),
        ("greenhouse/lamp_set", ToolErrorCode::Denied),
        ("greenhouse/pump_set", ToolErrorCode::NotFound),
        ("pump_never", ToolErrorCode::NotFound),
    ] {
        let error = plugin.ask(1, ask(json!({ "do": "call", "tool": tool }))).await.unwrap_err();
        assert_eq!(error.code, code, "{tool}: {error}");
    }
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn it_says_how_it_fares_and_counts_what_it_likes() {
    let (mut stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    assert_eq!(
        plugin.ask(1, ask(json!({ "do": "degraded", "reason": "half a wire" }))).await,
        Ok(Json::Null)
    );
    let status = stage.reaches("attic", State::Degraded).await;
    assert_eq!(status.reason.as_deref(), Some("half a wire"));
    assert_eq!(
        plugin.ask(2, ask(json!({ "do": "metric", "name": "litres", "add": 3 }))).await,
        Ok(Json::Null)
    );
    let both = ask(json!({ "do": "metric", "name": "litres", "add": 3, "set": 1.0 }));
    assert_eq!(plugin.ask(3, both).await.unwrap_err().code, ToolErrorCode::BadRequest);
    let unknown = ask(json!({ "do": "make_coffee" }));
    assert_eq!(plugin.ask(4, unknown).await.unwrap_err().code, ToolErrorCode::BadRequest);
    let event = json!({ "do": "event", "kind": "leak", "severity": "error", "text": "wet" });
    let mut refused = 0;
    for number in 10..60 {
        refused += usize::from(plugin.ask(number, ask(event.clone())).await.is_err());
    }
    assert_eq!(refused, 30, "twenty at once");
    stage.node.stop().await;
}

const HOLDING: &str = "\n[requests]\ndata = true\nconfig = true\n";

#[tokio::test(start_paused = true)]
async fn the_config_and_a_directory_of_its_own_are_had_where_they_are_granted_and_nowhere_else() {
    let folder = crate::Folder::new();
    for granted in [false, true] {
        let mut setting = Setting::new("pump", &format!("{PUMP}{HOLDING}"));
        setting.around.data = Some(folder.0.clone());
        setting.around.config = Arc::new(json!({ "broker": { "password": "***" } }));
        if granted {
            setting.change = |args| {
                args.grants = serde_json::from_value(json!({ "data": true, "config": true })).unwrap();
            };
        }
        let (stage, mut plugin, welcome) =
            setting.play(async |plugin, declared| plugin.greet(declared).await).await;
        let sedge_protocol::ToPlugin::Welcome { data_dir, config, .. } = welcome else {
            panic!("no welcome")
        };
        assert_eq!(config.is_some(), granted);
        assert_eq!(data_dir.is_some(), granted);
        assert_eq!(plugin.start.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned()), data_dir);
        let directory = plugin.ask(1, ask(json!({ "do": "directory" }))).await;
        match data_dir {
            Some(path) => {
                assert!(
                    std::path::Path::new(&path).starts_with(&folder.0) && path.contains("attic"),
                    "{path}"
                );
                assert!(std::path::Path::new(&path).is_dir());
                assert_eq!(directory.unwrap()["plugins"]["attic"]["kind"], "pump");
            }
            None => {
                let error = directory.unwrap_err();
                assert!(
                    error.message.contains("write `grant = { config = true }` in [plugin.attic]"),
                    "{error}"
                );
            }
        }
        stage.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_its_manifest_does_not_ask_for_it_does_not_get() {
    let folder = crate::Folder::new();
    let mut setting = Setting::new("pump", PUMP);
    setting.around.data = Some(folder.0.clone());
    setting.change =
        |args| args.grants = serde_json::from_value(json!({ "data": true, "config": true })).unwrap();
    let (stage, plugin, welcome) = setting.play(async |plugin, declared| plugin.greet(declared).await).await;
    let sedge_protocol::ToPlugin::Welcome { data_dir, config, .. } = welcome else { panic!("no welcome") };
    assert_eq!((data_dir, config, &plugin.start.data_dir), (None, None, &None));
    stage.node.stop().await;
}

/// A client over which the node breaks.
struct Broken;

impl HttpClient for Broken {
    fn send(&self, _: Request) -> sedge_plugin::context::BoxFuture<'static, Result<Response, HttpError>> {
        panic!("a bug of the node")
    }
}

#[tokio::test(start_paused = true)]
async fn an_ask_over_which_the_node_breaks_is_answered_and_breaks_nothing_else() {
    let mut setting = Setting::new("pump", &format!("{PUMP}{ASKING}"));
    setting.change = all;
    setting.around.http = Some(Arc::new(Broken));
    let (stage, mut plugin) = setting.start().await;
    let http = ask(json!({ "do": "http", "method": "GET", "url": "https://api.example.org/" }));
    let error = plugin.ask(1, http).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (ToolErrorCode::Internal, "the node broke over it: a bug")
    );
    assert_eq!(plugin.ask(1, ask(json!({ "do": "load", "key": "x" }))).await, Ok(Json::Null));
    assert_eq!(stage.node.directory().plugin("attic").unwrap().state, State::Running);
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_sensor_that_is_not_its_own_are_refused_before_anybody_looks_at_them() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    let raw = json!({ "do": "submit_raw", "sensor": "kitchen", "format": "acme", "bytes": "00" });
    let error = plugin.ask(1, ask(raw)).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Denied);
    assert!(error.message.contains("those are `attic` and `attic-…`"), "{error}");
    stage.node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_announces_so_many_sensors_and_no_more() {
    let (stage, mut plugin) = Setting::new("pump", PUMP).start().await;
    for n in 0..=64 {
        let announce = json!({ "do": "announce", "sensor": format!("attic-{n}"), "fields": {} });
        let answer = plugin.ask(1, ask(announce)).await;
        assert_eq!(
            answer.map_err(|error| error.code),
            if n < 64 { Ok(Json::Null) } else { Err(ToolErrorCode::Busy) }
        );
    }
    stage.node.stop().await;
}
