//! How a node touches the world: buses and lines, on Linux or simulated.
//!
//! - [`I2cBus`]: one thread that owns a bus and the drivers of the devices on it.
//! - [`Lines`]: the lines of a GPIO chip.
//! - [`SimBus`]: both of them without hardware.
//! - [`SystemClock`]: the time.
//! - [`Worker`]: one thread that owns what may block; what the rest is built on.
//!
//! ```
//! use std::sync::Arc;
//! use sedge_hal::{SimBus, SystemClock};
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! let relay = bus.lines().output(17, false, false).unwrap();
//! relay.set(true).unwrap();
//! assert_eq!(bus.level(17), Some(true));
//! ```
//!
//! Hardware libraries are linked here and nowhere else. It must not know what a sensor means, log per
//! transfer, or read the config.

mod clock;
mod i2c;
mod lines;
mod sim;
mod worker;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

pub use clock::SystemClock;
pub use i2c::{Adapter, I2cBus};
pub use lines::{LineError, Lines, OutputLine};
pub use sim::SimBus;
pub use worker::{Worker, WorkerError};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{i2c_bus, lines};
#[cfg(target_os = "linux")]
pub use linux::{i2c_bus, lines};
