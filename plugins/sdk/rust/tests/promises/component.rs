//! A plugin as a component: what it exports, with imports of the test's.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sedge_plugin::testing::HandClock;
use sedge_plugin::{BoxFuture, BusError, Clock, ToolError};
use sedge_protocol::{Ask, Bytes, I2cOperation};
use sedge_sdk::component::Component;
use sedge_sdk::{Guest, Level, Link};
use serde_json::{Value as Json, json};

use crate::node::{reading, welcome};
use crate::plugins::{Gauge, Probe};

/// Imports that answer at once, and remember what was asked.
#[derive(Default)]
struct Imports {
    clock: Arc<HandClock>,
    asked: Mutex<Vec<Ask>>,
    logged: Mutex<Vec<String>>,
    level: u16,
}

impl Link for Imports {
    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, ToolError>> {
        let answer = self.ask_now(ask);
        Box::pin(async { answer })
    }
    fn ask_now(&self, ask: Ask) -> Result<Json, ToolError> {
        self.asked.lock().unwrap().push(ask);
        Ok(Json::Null)
    }
    fn log(&self, _: Level, text: &str) {
        self.logged.lock().unwrap().push(text.into());
    }
    fn progress(&self, _: u64, _: Option<f64>, text: String) {
        self.logged.lock().unwrap().push(text);
    }
    fn fail(&self, reason: String) {
        panic!("{reason}");
    }
    fn delay(&self, time: Duration) {
        self.clock.advance(time);
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }
    fn park(&self, at_most: Option<Duration>) -> bool {
        at_most.inspect(|time| self.delay(*time)).is_some()
    }
    fn unpark(&self) {}
    fn i2c(&self, device: &str, operations: Vec<I2cOperation>) -> Result<Vec<Vec<u8>>, BusError> {
        assert_eq!(device, "device");
        let register = match operations.first() {
            Some(I2cOperation::Write(Bytes(bytes))) => bytes[0],
            other => panic!("{other:?}"),
        };
        Ok(match register {
            0x00 => vec![vec![0x42]],
            0x02 => vec![self.level.to_be_bytes().to_vec()],
            _ => Vec::new(),
        })
    }
}

fn started(guest: Guest, more: Json) -> (Component, Arc<Imports>) {
    let imports = Arc::new(Imports { level: 250, ..Imports::default() });
    let mut component = Component::new(guest, imports.clone());
    let welcome = serde_json::to_string(&welcome("attic", more)).unwrap();
    let ready: Json = serde_json::from_str(&component.start(&welcome)).unwrap();
    assert_eq!(ready["type"], "ready", "{ready}");
    (component, imports)
}

fn call(component: &mut Component, call: &Json) -> Result<Json, Json> {
    let answer = component.call(&call.to_string());
    answer
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|text| serde_json::from_str(&text).unwrap())
}

#[test]
fn a_component_says_who_it_is_before_its_start() {
    let component = Component::new(Guest::sensor::<Gauge>("0.3.0"), Arc::new(Imports::default()));
    let hello: Json = serde_json::from_str(&component.hello()).unwrap();
    assert_eq!((&hello["plugin"], &hello["version"]), (&json!("water-gauge"), &json!("0.3.0")));
}

#[test]
fn the_same_driver_reads_through_imports() {
    let (mut component, imports) =
        started(Guest::sensor::<Gauge>("0.3.0"), json!({ "sensor": { "every_ms": 1000, "address": 0x21 } }));
    assert_eq!(call(&mut component, &json!({ "do": "read" })), Ok(json!({ "level": 2.5 })));
    assert_eq!(imports.clock.up(), Duration::from_millis(1), "the node has waited for the conversion");
}

#[test]
fn the_same_plugin_hears_asks_and_answers_through_imports() {
    let (mut component, imports) = started(Guest::plugin::<Probe>(), json!({}));
    component.event("deliver", &reading("tank", 1, 4.0).to_string());
    let tool = |what: &str| json!({ "do": "tool", "tool": "probe_do", "args": { "what": what }, "timeout_ms": 5000 });
    assert_eq!(call(&mut component, &tool("heard")), Ok(json!([["tank", 1]])));
    assert_eq!(call(&mut component, &tool("kept")), Ok(Json::Null));
    let kept = [Ask::Load { key: "n".into() }, Ask::Store { key: "n".into(), value: json!(1) }];
    assert_eq!(*imports.asked.lock().unwrap(), kept);
    assert_eq!(call(&mut component, &tool("progress")), Ok(Json::Null));
    assert_eq!(*imports.logged.lock().unwrap(), ["half"]);
    assert_eq!(call(&mut component, &json!({ "do": "tick" })).unwrap_err()["message"], "the tick failed");
    assert_eq!(call(&mut component, &json!(3)).unwrap_err()["code"], "bad_request");
}

#[test]
#[should_panic(expected = "3 events in a row failed")]
fn a_component_whose_events_fail_traps() {
    let (mut component, _) = started(Guest::plugin::<Probe>(), json!({}));
    for seq in 1..=3 {
        component.event("deliver", &reading("tank", seq, -1.0).to_string());
    }
}
