//! A component that does what a test tells it to, also what no component should.
//!
//! It speaks to the interface directly, without the SDK: what the node does must not depend on what a guest is written with.

use std::cell::Cell;

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "../../../protocol/wit", world: "plugin" });

use sedge::plugin::{clock, delay, i2c, log, node, store};

struct Probe;

thread_local! {
    static EVENTS: Cell<u64> = const { Cell::new(0) };
}

fn tool_error(code: &str, message: impl ToString) -> String {
    json!({ "code": code, "message": message.to_string() }).to_string()
}

/// Never ends, and is not to be optimised away.
fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

impl Guest for Probe {
    fn hello() -> String {
        json!({ "protocol": "1.0", "plugin": "probe", "version": "1.0.0", "sdk": "none" }).to_string()
    }

    fn start(welcome: String) -> String {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
        let welcome: Value = serde_json::from_str(&welcome).unwrap();
        match welcome["settings"]["start"].as_str() {
            Some("failed") => return json!({ "type": "failed", "why": "unmet", "message": "no pump" }).to_string(),
            Some("trap") => panic!("no start today"),
            Some("loop") => spin(),
            Some("garbage") => return "ready!".into(),
            Some("load") => {
                let kept = store::load("count").unwrap();
                log::write(log::Level::Info, &format!("kept {kept:?}"));
            }
            _ => {}
        }
        json!({ "type": "ready", "every_ms": 1000 }).to_string()
    }

    fn call(call: String) -> Result<String, String> {
        let call: Value = serde_json::from_str(&call).unwrap();
        let args = &call["args"];
        match call["do"].as_str().unwrap() {
            "read" => read("device"),
            "tool" => match call["tool"].as_str().unwrap() {
                "echo" => Ok(args.to_string()),
                "i2c" => read(args["device"].as_str().unwrap()),
                "address" => Ok(json!(i2c::address(args["device"].as_str().unwrap())).to_string()),
                "loop" => spin(),
                "panic" => panic!("the pump is on fire"),
                "grow" => {
                    let bytes = args["bytes"].as_u64().unwrap() as usize;
                    let mut hoard: Vec<Vec<u8>> = Vec::new();
                    while hoard.len() * 65536 < bytes {
                        hoard.push(vec![hoard.len() as u8; 65536]);
                    }
                    Ok(json!(std::hint::black_box(hoard).len() * 65536).to_string())
                }
                "try_grow" => {
                    let mut hoard: Vec<u8> = Vec::new();
                    let bytes = args["bytes"].as_u64().unwrap() as usize;
                    Ok(json!(hoard.try_reserve_exact(bytes).is_ok()).to_string())
                }
                "recurse" => Ok(json!(recurse(1)).to_string()),
                "delay" => {
                    delay::delay_ns(args["ns"].as_u64().unwrap());
                    Ok("null".into())
                }
                "ask" => node::ask(&args["ask"].to_string()),
                "progress" => {
                    node::progress(Some(0.5), "half");
                    Ok("null".into())
                }
                "save" => {
                    store::save("count", args["value"].as_str().unwrap()).map_err(|e| tool_error("failed", e))?;
                    Ok("null".into())
                }
                "load" => Ok(json!(store::load("count").map_err(|e| tool_error("failed", e))?).to_string()),
                "clock" => Ok(json!({ "up_ms": clock::up_ms(), "wall_ms": clock::wall_ms() }).to_string()),
                "events" => Ok(json!(EVENTS.get()).to_string()),
                "long" => Ok(json!("x".repeat(args["bytes"].as_u64().unwrap() as usize)).to_string()),
                "garbage" => Ok("{".into()),
                "flood" => loop {
                    log::write(log::Level::Info, "flood");
                },
                other => Err(tool_error("not_found", other)),
            },
            "stop" => Ok("null".into()),
            _ => Ok("null".into()),
        }
    }

    fn event(_topic: String, _message: String) {
        EVENTS.set(EVENTS.get() + 1);
    }
}

/// The chip's identity and a byte of its, as a driver would.
fn read(device: &str) -> Result<String, String> {
    let operations = [i2c::Operation::Write(vec![0xD0]), i2c::Operation::Read(1)];
    match i2c::transaction(device, &operations) {
        Ok(read) => Ok(json!({ "identity": read[0][0] }).to_string()),
        Err(error) => Err(tool_error("failed", error.name())),
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + room[(depth % 64) as usize]
}

export!(Probe);
