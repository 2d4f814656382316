//! How a node touches the world: buses and lines, on Linux or simulated.
//!
//! - [`Bus`]: one thread that owns a bus and the drivers of the devices on it.
//! - [`Lines`]: the lines of a GPIO chip: outputs, inputs with their [edges](Edges).
//! - [`Pwm`]: an output that is on for a share of the time, in hardware or in software.
//! - [`Cassette`]: what a device said, kept and played again.
//! - [`SimBus`]: both of them without hardware.
//! - [`Supply`]: a supply that a line switches.
//! - [`SystemClock`]: the time.
//! - [`scan`]: who is there.
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

mod bus;
mod cassette;
mod clock;
mod edges;
mod lines;
mod pwm;
pub mod scan;
mod sim;
mod supply;
mod worker;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

pub use bus::{Adapter, Begun, Bus, HANGS_AFTER, Hop, Part, Recovery, Seat, Vitals};
pub use cassette::{
    Cassette, CassetteError, Entry, Event, Got, Header, Mark, Op, Recording, Replay, Tape, replay_bus,
};
pub use clock::SystemClock;
pub use edges::{Detect, Edge, EdgeStream, Edges, LISTED};
pub use lines::{InputLine, InputOptions, LineError, Lines, OutputLine, Pull};
pub use pwm::{Pwm, PwmChip, PwmError, PwmOptions};
pub use sim::{Cure, Fault, SimBus};
pub use supply::{OffGuard, Supply, SupplyError, Timing};
pub use worker::{Worker, WorkerError};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{I2cOptions, SysfsKind, i2c_bus, lines, pwm_chip, spi_bus, sysfs_bus};
#[cfg(target_os = "linux")]
pub use linux::{I2cOptions, SysfsKind, i2c_bus, lines, pwm_chip, spi_bus, sysfs_bus};
