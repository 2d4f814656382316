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

use serde_json::Value as Json;

use crate::device::{BusError, Device, FileDevice, I2cDevice, SpiDevice};
use crate::field::Field;
use crate::reading::Frame;
use crate::sim::{FileModel, I2cModel, SpiModel};
use crate::tool::Annotations;

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
    /// The I2C addresses that the chip can have, the usual one first.
    const ADDRESSES: &'static [u8] = &[];
    /// Where an I2C chip says what it is; for those who look for it before it is opened. [`open`](Self::open) checks it too.
    const IDENTITY: Option<Identity> = None;
    /// How a chip on SPI is spoken to.
    const SPI: SpiMode = SpiMode { mode: 0, max_hz: 1_000_000 };
    /// Where the kernel shows a device that it drives itself.
    const SYSFS: Option<Sysfs> = None;
    /// What it measures.
    const FIELDS: &'static [Field];
    /// What it can be told to do; each becomes a tool, `ID_operation`.
    const OPERATIONS: &'static [Operation] = &[];
    /// What it sits on: [`I2cDevice`], [`SpiDevice`] or [`FileDevice`].
    type Device: Device;
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

    /// Does one of its [`OPERATIONS`](Self::OPERATIONS). `args` fit the operation's schema.
    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError> {
        let _ = args;
        Err(SensorError::Garbage(format!("it cannot `{operation}`").into()))
    }

    /// Makes it safe before it is let go: outputs off. Errors have nobody to go to.
    fn close(&mut self) {}

    /// A simulation of the chip at register level, whose values follow a slow curve. One seed, one curve.
    fn simulate(seed: u64) -> Box<<Self::Device as Device>::Model>;
}

impl SensorError {
    /// The reason of a value that is missing because of it, in a word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Bus(BusError::NoAnswer | BusError::Absent(_)) => "no_answer",
            Self::Bus(BusError::Refused) => "refused",
            Self::Bus(BusError::Timeout) => "timeout",
            Self::Bus(BusError::Arbitration) => "arbitration",
            Self::Bus(BusError::Busy) => "taken",
            Self::Bus(BusError::Hung) => "hung",
            Self::Bus(BusError::Gone(_)) => "no_bus",
            Self::Bus(_) => "bus_error",
            Self::WrongDevice { .. } => "wrong_device",
            Self::Checksum => "crc",
            Self::NotReady => "not_ready",
            Self::Garbage(_) => "garbage",
            Self::Settings(_) => "settings",
            Self::Closed => "closed",
            Self::Panicked(_) => "panicked",
        }
    }
}

/// Where an I2C chip says what it is: bytes that are written, and the number that is read back, high byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// What is written: the register, or a command.
    pub register: &'static [u8],
    /// How many bytes are read, at most four.
    pub bytes: u8,
    /// Which bits count.
    pub mask: u32,
    /// What they are.
    pub value: u32,
}

impl Identity {
    /// A register of eight bits.
    pub const fn byte(register: &'static [u8], value: u8) -> Self {
        Self { register, bytes: 1, mask: 0xFF, value: value as u32 }
    }

    /// A register of sixteen bits, high byte first.
    pub const fn word(register: &'static [u8], value: u16) -> Self {
        Self { register, bytes: 2, mask: 0xFFFF, value: value as u32 }
    }

    /// Where only some of the bits count.
    pub const fn mask(self, mask: u32) -> Self {
        Self { mask, ..self }
    }

    /// Reads what a device says of itself.
    ///
    /// # Errors
    /// [`SensorError::WrongDevice`] with what was found; what the bus says.
    pub fn check(&self, device: &mut I2cDevice) -> Result<(), SensorError> {
        let mut buffer = [0; 4];
        let read = &mut buffer[..usize::from(self.bytes.min(4))];
        device.write_read(self.register, read)?;
        let found = read.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)) & self.mask;
        match found == self.value & self.mask {
            true => Ok(()),
            false => Err(SensorError::WrongDevice { expected: self.value, found }),
        }
    }
}

/// How a chip on SPI is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpiMode {
    /// Clock polarity and phase as a number, 0 to 3.
    pub mode: u8,
    /// The fastest clock that the chip takes, in hertz.
    pub max_hz: u32,
}

/// Where the kernel shows devices that it drives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysfs {
    /// The kind of bus in the config: `w1`, `iio` or `hwmon`.
    pub bus: &'static str,
    /// How the device is called there: on `w1` its family, such as `28`, else what its file `name` says. Any, where none is
    /// named.
    pub names: &'static [&'static str],
}

/// Something that a device can be told to do.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its name, the end of the tool's.
    pub name: &'static str,
    /// A short title.
    pub title: &'static str,
    /// What it does, in a sentence.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub input: fn() -> Json,
    /// What the sensor's settings say about its arguments: it may add to their schema.
    pub refine: Option<fn(&Json, &mut Json)>,
    /// Hints for callers.
    pub annotations: Annotations,
}

impl Operation {
    /// An operation that takes `A`, a struct of its arguments, and may be done twice without harm.
    pub const fn new<A: JsonSchema>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
    ) -> Self {
        let annotations =
            Annotations { read_only: false, destructive: false, idempotent: true, open_world: false };
        let input = || schemars::schema_for!(A).to_value();
        Self { name, title, description, input, refine: None, annotations }
    }

    /// With arguments that depend on the settings of the sensor: `refine` is shown them, and the schema.
    pub const fn refined(self, refine: fn(&Json, &mut Json)) -> Self {
        Self { refine: Some(refine), ..self }
    }
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
    /// See [`Sensor::operate`].
    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError>;
    /// See [`Sensor::close`].
    fn close(&mut self);
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
    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError> {
        self.0.operate(operation, args)
    }
    fn close(&mut self) {
        self.0.close();
    }
}

/// Opens a device with its settings.
pub type Open<D> = fn(D, &Json) -> Result<Box<dyn Driver>, SensorError>;

/// What a kind sits on, how one is opened and how one is simulated.
#[derive(Clone, Copy)]
pub enum Attachment {
    /// A chip on I2C.
    I2c {
        /// Its possible addresses, the usual one first.
        addresses: &'static [u8],
        /// Where it says what it is.
        identity: Option<Identity>,
        /// Opens one.
        open: Open<I2cDevice>,
        /// Simulates one.
        simulate: fn(u64) -> Box<dyn I2cModel>,
    },
    /// A chip on SPI.
    Spi {
        /// How it is spoken to.
        mode: SpiMode,
        /// Opens one.
        open: Open<SpiDevice>,
        /// Simulates one.
        simulate: fn(u64) -> Box<dyn SpiModel>,
    },
    /// A device that the kernel drives.
    Files {
        /// Where it is found.
        place: Sysfs,
        /// Opens one.
        open: Open<FileDevice>,
        /// Simulates one.
        simulate: fn(u64) -> Box<dyn FileModel>,
    },
}

/// A row of the table of kinds: all that a node knows of a kind without opening one.
#[derive(Clone, Copy)]
pub struct SensorKind {
    /// The word in the config.
    pub kind: &'static str,
    /// Maker, part and what it measures.
    pub title: &'static str,
    /// What it measures.
    pub fields: &'static [Field],
    /// What it can be told to do.
    pub operations: &'static [Operation],
    /// JSON Schema of its own settings.
    pub schema: fn() -> Json,
    /// What it sits on.
    pub attachment: Attachment,
}

impl SensorKind {
    /// The row of a sensor on I2C.
    pub const fn i2c<S: Sensor<Device = I2cDevice>>() -> Self {
        Self::row::<S>(Attachment::I2c {
            addresses: S::ADDRESSES,
            identity: S::IDENTITY,
            open: open::<S>,
            simulate: S::simulate,
        })
    }

    /// The row of a sensor on SPI.
    pub const fn spi<S: Sensor<Device = SpiDevice>>() -> Self {
        Self::row::<S>(Attachment::Spi { mode: S::SPI, open: open::<S>, simulate: S::simulate })
    }

    /// The row of a sensor that the kernel drives.
    ///
    /// # Panics
    /// While compiling, when it does not say where it is found.
    pub const fn files<S: Sensor<Device = FileDevice>>() -> Self {
        match S::SYSFS {
            Some(place) => {
                Self::row::<S>(Attachment::Files { place, open: open::<S>, simulate: S::simulate })
            }
            None => panic!("a sensor that the kernel drives says where it is found: SYSFS"),
        }
    }

    const fn row<S: Sensor>(attachment: Attachment) -> Self {
        Self {
            kind: S::KIND,
            title: S::TITLE,
            fields: S::FIELDS,
            operations: S::OPERATIONS,
            schema: || schemars::schema_for!(S::Config).to_value(),
            attachment,
        }
    }

    /// Its possible I2C addresses, the usual one first; none where it is not on I2C.
    pub const fn addresses(&self) -> &'static [u8] {
        match self.attachment {
            Attachment::I2c { addresses, .. } => addresses,
            _ => &[],
        }
    }

    /// The kind of bus in the config that it goes on, besides `sim` and `replay`.
    pub const fn bus(&self) -> &'static str {
        match self.attachment {
            Attachment::I2c { .. } => "i2c",
            Attachment::Spi { .. } => "spi",
            Attachment::Files { place, .. } => place.bus,
        }
    }
}

fn open<S: Sensor>(device: S::Device, settings: &Json) -> Result<Box<dyn Driver>, SensorError> {
    let config =
        S::Config::deserialize(settings).map_err(|error| SensorError::Settings(error.to_string().into()))?;
    Ok(Box::new(Opened(S::open(device, config)?)))
}
