//! A plugin's way to its node, whatever carries it: a socket, the imports of a component.
//!
//! It must not know what a plugin does with it.

use std::sync::Arc;
use std::time::Duration;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, Operation};
use sedge_plugin::device::I2cDevice;
use sedge_plugin::{BoxFuture, BusError, Clock, ToolError};
use sedge_protocol::{Ask, Bytes, I2cOperation};
use serde_json::Value as Json;

use crate::executor::Park;

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Somebody should look at it.
    Warn,
    /// Good to know.
    Info,
    /// For whoever looks for a mistake.
    Debug,
    /// All of it.
    Trace,
}

impl Level {
    /// The word of the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// A plugin's way to its node.
#[doc(hidden)]
pub trait Link: Send + Sync + 'static {
    /// Asks for something.
    fn ask(&self, ask: Ask) -> BoxFuture<'static, Result<Json, ToolError>>;
    /// Asks for something, and blocks until it is there.
    fn ask_now(&self, ask: Ask) -> Result<Json, ToolError>;
    /// A line for the log.
    fn log(&self, level: Level, text: &str);
    /// How far a call is.
    fn progress(&self, call: u64, fraction: Option<f64>, text: String);
    /// It cannot go on, and is to be started anew.
    fn fail(&self, reason: String);
    /// Waits, and blocks meanwhile.
    fn delay(&self, time: Duration);
    /// The clock.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Waits until [`unpark`](Self::unpark), at most so long. Says no where nothing can ever wake it.
    fn park(&self, at_most: Option<Duration>) -> bool;
    /// Wakes it.
    fn unpark(&self);

    /// Transfers over I2C: one answer per read.
    ///
    /// # Errors
    /// What the bus says.
    fn i2c(&self, device: &str, operations: Vec<I2cOperation>) -> Result<Vec<Vec<u8>>, BusError> {
        let answer = self.ask_now(Ask::I2c { device: device.into(), operations }).map_err(bus_error)?;
        let read = answer.get("read").cloned().unwrap_or_else(|| Json::Array(Vec::new()));
        let read: Vec<Bytes> = serde_json::from_value(read)
            .map_err(|error| BusError::Other(format!("the node's answer makes no sense: {error}").into()))?;
        Ok(read.into_iter().map(|bytes| bytes.0).collect())
    }
}

pub(crate) struct Parker(pub(crate) Arc<dyn Link>);

impl Park for Parker {
    fn park(&self, at_most: Option<Duration>) -> bool {
        self.0.park(at_most)
    }
    fn unpark(&self) {
        self.0.unpark();
    }
}

/// What a bus said, from what the node says of it: its word is the reason of a value that is missing because of it.
fn bus_error(error: ToolError) -> BusError {
    let reason = error.data.as_ref().and_then(|data| data.get("reason")).and_then(Json::as_str);
    match reason {
        Some("no_answer") => BusError::NoAnswer,
        Some("refused") => BusError::Refused,
        Some("timeout") => BusError::Timeout,
        Some("arbitration") => BusError::Arbitration,
        Some("taken") => BusError::Busy,
        Some("hung") => BusError::Hung,
        Some("no_bus") => BusError::Gone(error.message.into()),
        _ => BusError::Other(error.message.into()),
    }
}

/// The device that a label of the plugin's reaches, through the node.
pub(crate) fn device(link: &Arc<dyn Link>, label: &'static str, address: u8) -> I2cDevice {
    I2cDevice::new(address, Bus { link: link.clone(), label, address }, Delay(link.clone()))
}

struct Bus {
    link: Arc<dyn Link>,
    label: &'static str,
    address: u8,
}

impl i2c::ErrorType for Bus {
    type Error = BusError;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        // The node would speak to the granted device whatever is named here.
        if address != self.address {
            return Err(BusError::NotGranted(address.into()));
        }
        let told = operations.iter().map(|operation| match operation {
            Operation::Write(bytes) => Ok(I2cOperation::Write(Bytes(bytes.to_vec()))),
            Operation::Read(buffer) => {
                u16::try_from(buffer.len()).map(I2cOperation::Read).map_err(|_| too_long(buffer.len()))
            }
        });
        let mut read = self.link.i2c(self.label, told.collect::<Result<_, _>>()?)?.into_iter();
        for operation in operations {
            let Operation::Read(buffer) = operation else { continue };
            let bytes = read.next().unwrap_or_default();
            if bytes.len() != buffer.len() {
                let (got, wanted) = (bytes.len(), buffer.len());
                let text = format!("the node read {got} bytes where {wanted} were asked for");
                return Err(BusError::Other(text.into()));
            }
            buffer.copy_from_slice(&bytes);
        }
        Ok(())
    }
}

fn too_long(length: usize) -> BusError {
    BusError::Other(format!("{length} bytes cannot be read at once; 65535 can").into())
}

struct Delay(Arc<dyn Link>);

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        self.0.delay(Duration::from_nanos(ns.into()));
    }
    fn delay_us(&mut self, us: u32) {
        self.0.delay(Duration::from_micros(us.into()));
    }
    fn delay_ms(&mut self, ms: u32) {
        self.0.delay(Duration::from_millis(ms.into()));
    }
}
