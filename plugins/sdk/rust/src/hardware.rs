//! Hardware that a plugin was granted, by the labels of its manifest.
//!
//! ```no_run
//! # use sedge_plugin::prelude::*;
//! # fn setup(ctx: &Context) -> Result<(), BusError> {
//! // In the manifest `[requests] i2c.pump = [0x20]`, in the config `grant = { i2c = { pump = { bus = "i2c-1", address = 0x20 } } }`.
//! let mut pump = sedge_sdk::i2c(ctx.id(), "pump")?;
//! pump.write_u8(0x09, 1)?;
//! # Ok(())
//! # }
//! ```
//!
//! A driver ([`sedge_plugin::Sensor`]) is handed its device and needs none of this. What is compiled in is granted nothing here: it is given
//! its hardware by whoever composes the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use sedge_plugin::grant::I2cGrant;
use sedge_plugin::{BusError, I2cDevice, Id, ToolError, ToolErrorCode};
use sedge_protocol::{Ask, GpioOperation};

use crate::executor::lock;
use crate::link::{self, Link};

/// What each plugin of this process was granted, and the way to its node.
static GRANTED: Mutex<BTreeMap<Id, Granted>> = Mutex::new(BTreeMap::new());

/// The way to the node, and the devices by their labels.
type Granted = (Arc<dyn Link>, BTreeMap<String, I2cGrant>);

/// A start of the plugin was granted these devices.
pub(crate) fn granted(plugin: &Id, link: &Arc<dyn Link>, i2c: BTreeMap<String, I2cGrant>) {
    lock(&GRANTED).insert(plugin.clone(), (link.clone(), i2c));
}

/// The device on I2C that a label reaches.
///
/// # Errors
/// [`BusError::Other`] where no device of that label was granted.
pub fn i2c(plugin: &Id, label: &'static str) -> Result<I2cDevice, BusError> {
    let granted = lock(&GRANTED);
    let device = granted.get(plugin).and_then(|(link, devices)| Some((link, devices.get(label)?)));
    match device {
        Some((link, device)) => Ok(link::device(link, label, device.address)),
        None => Err(BusError::Other(format!("the I2C device `{label}` was not granted").into())),
    }
}

/// Sets a line, high or low.
///
/// # Errors
/// `denied` where it was not granted; what the line says.
pub fn gpio_set(plugin: &Id, line: &str, level: bool) -> Result<(), ToolError> {
    gpio(plugin, line, GpioOperation::Set(level)).map(drop)
}

/// The level of a line.
///
/// # Errors
/// As [`gpio_set`].
pub fn gpio_get(plugin: &Id, line: &str) -> Result<bool, ToolError> {
    gpio(plugin, line, GpioOperation::Get(true))
}

fn gpio(plugin: &Id, line: &str, operation: GpioOperation) -> Result<bool, ToolError> {
    let link = lock(&GRANTED).get(plugin).map(|(link, _)| link.clone());
    let denied = || ToolError::new(ToolErrorCode::Denied, format!("the line `{line}` was not granted"));
    let answer = link.ok_or_else(denied)?.ask_now(Ask::Gpio { line: line.to_owned(), operation })?;
    Ok(answer["level"] == true)
}
