//! What a component imports, as its way to the node; and the one component that there is in a memory.

use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use sedge_plugin::{BoxFuture, BusError, Clock, ToolError, ToolErrorCode};
use sedge_protocol::{Ask, Bytes, I2cOperation};
use serde_json::Value as Json;

use super::Component;
use super::bindings::sedge::plugin::{clock, delay, i2c, log, node, store};
use crate::executor::lock;
use crate::guest::Guest;
use crate::link::{Level, Link};

/// What the delay of a node takes at once.
const LONGEST: Duration = Duration::from_secs(10);

/// The exports, of the one component.
pub fn hello(guest: fn() -> Guest) -> String {
    with(guest, |component| component.hello())
}

/// As [`hello`].
pub fn start(guest: fn() -> Guest, welcome: &str) -> String {
    with(guest, |component| component.start(welcome))
}

/// As [`hello`].
///
/// # Errors
/// A `ToolError`.
pub fn call(guest: fn() -> Guest, call: &str) -> Result<String, String> {
    with(guest, |component| component.call(call))
}

/// As [`hello`].
pub fn event(guest: fn() -> Guest, topic: &str, message: &str) {
    with(guest, |component| component.event(topic, message));
}

fn with<T>(guest: fn() -> Guest, run: impl FnOnce(&mut Component) -> T) -> T {
    static ONE: Mutex<Option<Component>> = Mutex::new(None);
    static HOOK: Once = Once::new();
    // A panic ends the component in a trap, which says nothing.
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
    });
    let mut one = lock(&ONE);
    run(one.get_or_insert_with(|| Component::new(guest(), Arc::new(Imports))))
}

/// The imports.
struct Imports;

impl Link for Imports {
    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, ToolError>> {
        let answer = self.ask_now(ask);
        Box::pin(async { answer })
    }

    fn ask_now(&self, ask: Ask) -> Result<Json, ToolError> {
        match ask {
            Ask::Load { key } => match store::load(&key).map_err(ToolError::failed)? {
                Some(text) => read(&text),
                None => Ok(Json::Null),
            },
            Ask::Store { key, value } => {
                store::save(&key, &value.to_string()).map(|()| Json::Null).map_err(ToolError::failed)
            }
            Ask::Forget { key } => store::forget(&key).map(|()| Json::Null).map_err(ToolError::failed),
            ask => {
                let text = serde_json::to_string(&ask)
                    .map_err(|error| ToolError::new(ToolErrorCode::Internal, error.to_string()))?;
                match node::ask(&text) {
                    Ok(answer) => read(&answer),
                    Err(error) => {
                        Err(serde_json::from_str(&error).unwrap_or_else(|_| ToolError::failed(error)))
                    }
                }
            }
        }
    }

    fn log(&self, level: Level, text: &str) {
        let level = match level {
            Level::Error => log::Level::Error,
            Level::Warn => log::Level::Warn,
            Level::Info => log::Level::Info,
            Level::Debug => log::Level::Debug,
            Level::Trace => log::Level::Trace,
        };
        log::write(level, text);
    }

    fn progress(&self, _: u64, fraction: Option<f64>, text: String) {
        node::progress(fraction, &text);
    }

    fn fail(&self, reason: String) {
        panic!("{reason}");
    }

    fn delay(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let now = left.min(LONGEST);
            delay::delay_ns(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
            left -= now;
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(NodeClock)
    }

    /// Nothing comes while it waits, so it can wait for time alone.
    fn park(&self, at_most: Option<Duration>) -> bool {
        // Its clock has no finer hands.
        at_most.inspect(|time| self.delay((*time).max(Duration::from_millis(1)))).is_some()
    }

    fn unpark(&self) {}

    fn i2c(&self, device: &str, operations: Vec<I2cOperation>) -> Result<Vec<Vec<u8>>, BusError> {
        let operations: Vec<i2c::Operation> = operations
            .into_iter()
            .map(|operation| match operation {
                I2cOperation::Write(Bytes(bytes)) => i2c::Operation::Write(bytes),
                I2cOperation::Read(count) => i2c::Operation::Read(count),
            })
            .collect();
        i2c::transaction(device, &operations).map_err(|error| match error {
            i2c::Error::NotGranted => BusError::Other(
                format!("the device `{device}` was not granted, or there is none of that label").into(),
            ),
            i2c::Error::NoAcknowledge => BusError::NoAnswer,
            i2c::Error::ArbitrationLoss => BusError::Arbitration,
            i2c::Error::Timeout => BusError::Timeout,
            i2c::Error::Other => BusError::Other("the bus failed".into()),
        })
    }
}

fn read(text: &str) -> Result<Json, ToolError> {
    serde_json::from_str(text)
        .map_err(|error| ToolError::failed(format!("what the node says makes no sense: {error}")))
}

struct NodeClock;

impl Clock for NodeClock {
    fn up(&self) -> Duration {
        Duration::from_millis(clock::up_ms())
    }
    fn wall_ms(&self) -> Option<i64> {
        clock::wall_ms()
    }
}
