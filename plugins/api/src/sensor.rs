//! A sensor's driver: one small file around an `embedded-hal` driver crate, or around a few registers.
//!
//! The author writes what is special to the chip. Cadence, address, backoff, health and topics are inherited.
//!
//! ```
//! use sedge_plugin::prelude::*;
//! use sedge_plugin::sim::{RegisterFile, Curve};
//!
//! pub struct Lm75 { device: I2cDevice }
//!
//! impl Sensor for Lm75 {
//!     const KIND: &'static str = "lm75";
//!     const TITLE: &'static str = "NXP LM75 temperature sensor";
//!     const ADDRESSES: &'static [u8] = &[0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F];
//!     const FIELDS: &'static [Field] = &[Field::new("temperature", Unit::Celsius).class("temperature").range(-55.0, 125.0)];
//!     type Device = I2cDevice;
//!     type Config = NoSettings;
//!
//!     fn open(device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> { Ok(Self { device }) }
//!
//!     fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
//!         let raw = self.device.read_u16_be(0x00)?;
//!         frame.push("temperature", f32::from(raw.cast_signed() >> 5) * 0.125);
//!         Ok(())
//!     }
//!     fn simulate(seed: u64) -> Box<dyn I2cModel> {
//!         let room = Curve::new(seed, 21.0, 3.0);
//!         Box::new(RegisterFile::live(move |chip, now| {
//!             let raw = ((room.at(now) / 0.125) as i16) << 5;
//!             chip.set(0x00, &raw.to_be_bytes());
//!         }))
//!     }
//! }
//! ```
//!
//! A driver blocks its bus's thread and nothing else. It must not sleep long (see [`Sensor::start`]), log, or keep time.

use std::borrow::Cow;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::device::{BusError, I2cDevice};
use crate::field::Field;
use crate::reading::Frame;
use crate::sim::I2cModel;

/// The settings of a sensor that has none.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// A driver of one kind of sensor.
pub trait Sensor: Send + Sized + 'static {
    /// The word in the config: `kind = "bme280"`.
    const KIND: &'static str;
    /// Maker, part and what it measures.
    const TITLE: &'static str;
    /// The addresses that the chip can have, the usual one first.
    const ADDRESSES: &'static [u8];
    /// What it measures.
    const FIELDS: &'static [Field];
    /// What it sits on. [`I2cDevice`] is the only one so far.
    type Device;
    /// Its own settings. Unknown keys are to be refused: `#[serde(deny_unknown_fields)]`.
    type Config: DeserializeOwned + JsonSchema;

    /// Makes it ready: checks that the right chip is there, resets and configures it.
    fn open(device: Self::Device, config: Self::Config) -> Result<Self, SensorError>;

    /// Begins a conversion that takes long, and says how long. [`read`](Self::read) is called after that time; the bus
    /// serves others meanwhile.
    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(None)
    }

    /// Takes one reading: every field of [`FIELDS`](Self::FIELDS), as a value or as missing with a reason.
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError>;

    /// A simulation of the chip at register level, whose values follow a slow curve. One seed, one curve.
    fn simulate(seed: u64) -> Box<dyn I2cModel>;
}

/// Why a sensor could not be opened or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SensorError {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Another chip is there.
    #[error("another chip answers: its id is {found:#04x}, this kind has {expected:#04x}")]
    WrongDevice {
        /// The id that the kind has.
        expected: u32,
        /// The id that was read.
        found: u32,
    },
    /// A checksum did not fit.
    #[error("the checksum does not fit (a disturbed wire)")]
    Checksum,
    /// The device was not ready in time.
    #[error("the device was not ready in time")]
    NotReady,
    /// The device answered something that makes no sense.
    #[error("{0}")]
    Garbage(Cow<'static, str>),
    /// Its settings are wrong.
    #[error("{0}")]
    Settings(Cow<'static, str>),
    /// It was not opened, or its driver was dropped after a panic.
    #[error("the device is not open")]
    Closed,
    /// The driver has a bug: it panicked.
    #[error("the driver panicked: {0}")]
    Panicked(String),
}

/// An opened sensor of any kind.
pub trait Driver: Send {
    /// See [`Sensor::start`].
    fn start(&mut self) -> Result<Option<Duration>, SensorError>;
    /// See [`Sensor::read`].
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError>;
}

/// A wrapper, so that `driver.read(…)` in the tests of a driver can only mean [`Sensor::read`].
struct Opened<S>(S);

impl<S: Sensor> Driver for Opened<S> {
    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.0.start()
    }
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        self.0.read(frame)
    }
}

/// Opens a device with its settings.
pub type Open = fn(I2cDevice, &serde_json::Value) -> Result<Box<dyn Driver>, SensorError>;

/// A row of the table of kinds: all that a node knows of a kind without opening one.
#[derive(Clone, Copy)]
pub struct SensorKind {
    /// The word in the config.
    pub kind: &'static str,
    /// Maker, part and what it measures.
    pub title: &'static str,
    /// Its possible addresses, the usual one first.
    pub addresses: &'static [u8],
    /// What it measures.
    pub fields: &'static [Field],
    /// JSON Schema of its own settings.
    pub schema: fn() -> serde_json::Value,
    /// Opens one.
    pub open: Open,
    /// Simulates one.
    pub simulate: fn(u64) -> Box<dyn I2cModel>,
}

impl SensorKind {
    /// The row of an I2C sensor.
    pub const fn i2c<S: Sensor<Device = I2cDevice>>() -> Self {
        Self {
            kind: S::KIND,
            title: S::TITLE,
            addresses: S::ADDRESSES,
            fields: S::FIELDS,
            schema: || schemars::schema_for!(S::Config).to_value(),
            open: |device, settings| {
                let config = S::Config::deserialize(settings)
                    .map_err(|e| SensorError::Settings(e.to_string().into()))?;
                Ok(Box::new(Opened(S::open(device, config)?)))
            },
            simulate: S::simulate,
        }
    }
}
