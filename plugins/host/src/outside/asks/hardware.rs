//! Devices and lines that were granted, by the plugin's labels.

use sedge_plugin::grant::Direction;
use sedge_plugin::{BusError, SensorError, ToolError, ToolErrorCode};
use sedge_protocol::{Bytes, GpioOperation, I2cOperation};
use serde_json::{Value as Json, json};

use super::{Asker, bad, short};

/// Parts of one transfer.
const MOST_PARTS: usize = 64;
/// Bytes of one transfer, read and written.
const MOST_BYTES: usize = 64 * 1024;

impl Asker {
    pub(super) async fn i2c(&self, label: &str, operations: Vec<I2cOperation>) -> Result<Json, ToolError> {
        let Some(device) = self.held.i2c.get(label) else {
            let label = short(label);
            return Err(match self.requests.i2c.get(&label) {
                Some(addresses) => {
                    let address = addresses.first().copied().unwrap_or_default();
                    let grant = format!("i2c.{label} = {{ bus = \"…\", address = {address:#04x} }}");
                    self.not_granted(&grant, &format!("the I2C device `{label}`"))
                }
                None => self.not_asked("i2c", &format!("the I2C device `{label}`")),
            });
        };
        let bytes = operations.iter().map(|operation| match operation {
            I2cOperation::Write(Bytes(bytes)) => bytes.len(),
            I2cOperation::Read(count) => usize::from(*count),
        });
        let (parts, bytes) = (operations.len(), bytes.sum::<usize>());
        if parts == 0 || parts > MOST_PARTS || bytes > MOST_BYTES {
            return Err(bad(format!(
                "a transfer has 1 to {MOST_PARTS} parts and at most {MOST_BYTES} bytes; found {parts} and {bytes}"
            )));
        }
        let read = self.hardware.i2c(device, operations).await.map_err(|error| broken(&error))?;
        let read: Vec<String> = read.into_iter().map(|bytes| Bytes(bytes).to_string()).collect();
        Ok(json!({ "read": read }))
    }

    pub(super) async fn gpio(&self, label: &str, operation: GpioOperation) -> Result<Json, ToolError> {
        let asked = self.requests.gpio.get(label).copied();
        let (Some(line), Some(direction)) = (self.held.gpio.get(label), asked) else {
            let label = short(label);
            let what = format!("the GPIO line `{label}`");
            return Err(match asked {
                Some(_) => self.not_granted(&format!("gpio.{label} = {{ bus = \"…\", line = 0 }}"), &what),
                None => self.not_asked("gpio", &what),
            });
        };
        if matches!((direction, operation), (Direction::In, GpioOperation::Set(_))) {
            let text =
                format!("not granted: to set `{label}`; the plugin's manifest asks for it as an input");
            return Err(ToolError::new(ToolErrorCode::Denied, text));
        }
        let level = self.hardware.gpio(self.ctx.id(), line, direction, operation).await;
        level.map(|level| json!({ "level": level })).map_err(ToolError::failed)
    }
}

/// With the reason in a word, for those who act on it: `no_answer`, `arbitration`, `timeout`.
fn broken(error: &BusError) -> ToolError {
    let reason = SensorError::Bus(error.clone()).reason();
    ToolError { data: Some(json!({ "reason": reason })), ..ToolError::failed(error.to_string()) }
}
