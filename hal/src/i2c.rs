//! An I2C bus: one thread that owns the bus and the drivers of the devices on it.
//!
//! A driver blocks while it talks, and a device that holds the clock line blocks it for as long as the kernel
//! lets it. So a bus has its own thread, and a device that hangs holds up its bus and nothing else.
//!
//! ```
//! # use sedge_plugin::{Id, I2cDevice, SensorError, BusError};
//! # use sedge_plugin::testing::block_on;
//! use sedge_hal::I2cBus;
//! // An adapter that is not there is no error until a device is opened.
//! let bus = I2cBus::new("i2c-1", |_address| Err(BusError::Gone("no such bus".into()))).unwrap();
//! let error = block_on(bus.read(&Id::new("kitchen").unwrap())).unwrap_err();
//! assert_eq!(error, SensorError::Closed);
//! ```
//!
//! It knows no cadence and no deadline, and it does not try again: its callers do.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sedge_plugin::{BusError, Driver, Frame, I2cDevice, Id, SensorError, SensorKind};

use crate::worker::{Worker, WorkerError, text_of};

/// An I2C adapter: where a bus gets its devices from. Owned by the thread of the bus.
pub trait Adapter: Send + 'static {
    /// The way to the device at `address` (7 bits). Asked for anew whenever a device is opened, so that an
    /// adapter may come and go.
    ///
    /// # Errors
    /// [`BusError::Gone`] when there is no such adapter, with what a person can do about it.
    fn device(&mut self, address: u8) -> Result<I2cDevice, BusError>;
}

impl<F: FnMut(u8) -> Result<I2cDevice, BusError> + Send + 'static> Adapter for F {
    fn device(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        self(address)
    }
}

/// A handle to a bus and the drivers on it. Cheap to clone; the thread ends when the last one is dropped.
#[derive(Clone)]
pub struct I2cBus {
    worker: Worker<Devices>,
}

impl I2cBus {
    /// A bus over `adapter`, with a thread called `name`.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(name: &str, adapter: impl Adapter) -> io::Result<Self> {
        let adapter = Box::new(adapter);
        Ok(Self { worker: Worker::spawn(name, move || Devices { adapter, open: BTreeMap::new() })? })
    }

    /// Opens the device of sensor `id`: drops a former driver of it, then makes the chip ready.
    ///
    /// # Errors
    /// What the driver says; [`BusError::Gone`] when there is no such bus.
    pub async fn open(
        &self,
        id: &Id,
        address: u8,
        kind: &'static SensorKind,
        settings: serde_json::Value,
    ) -> Result<(), SensorError> {
        let id = id.clone();
        self.ask(move |devices| devices.open(id, address, kind, &settings)).await
    }

    /// Begins a conversion; see [`Sensor::start`](sedge_plugin::Sensor::start).
    ///
    /// # Errors
    /// What the driver says; [`SensorError::Closed`] when the device is not open.
    pub async fn start(&self, id: &Id) -> Result<Option<Duration>, SensorError> {
        let id = id.clone();
        self.ask(move |devices| devices.with(id, |driver| driver.start())).await
    }

    /// Takes a reading.
    ///
    /// # Errors
    /// What the driver says; [`SensorError::Closed`] when the device is not open.
    pub async fn read(&self, id: &Id) -> Result<Frame, SensorError> {
        let id = id.clone();
        self.ask(move |devices| {
            devices.with(id, |driver| {
                let mut frame = Frame::default();
                driver.read(&mut frame).map(|()| frame)
            })
        })
        .await
    }

    /// Drops the driver of sensor `id`, if there is one.
    ///
    /// # Errors
    /// When the bus is too busy to hear of it.
    pub async fn close(&self, id: &Id) -> Result<(), SensorError> {
        let id = id.clone();
        self.ask(move |devices| {
            devices.close(&id);
            Ok(())
        })
        .await
    }

    async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Devices) -> Result<R, SensorError> + Send + 'static,
    ) -> Result<R, SensorError> {
        match self.worker.ask(work).await {
            Ok(result) => result,
            Err(WorkerError::Panicked(text)) => Err(SensorError::Panicked(text)),
            Err(error @ WorkerError::Busy) => {
                Err(BusError::Other(format!("the bus is {error}").into()).into())
            }
            Err(WorkerError::Ended) => Err(BusError::Gone("the thread of the bus has ended".into()).into()),
        }
    }
}

/// What the thread of a bus owns.
struct Devices {
    adapter: Box<dyn Adapter>,
    open: BTreeMap<Id, Box<dyn Driver>>,
}

impl Devices {
    fn open(
        &mut self,
        id: Id,
        address: u8,
        kind: &'static SensorKind,
        settings: &serde_json::Value,
    ) -> Result<(), SensorError> {
        self.close(&id);
        let device = self.adapter.device(address)?;
        let driver = (kind.open)(device, settings)?;
        self.open.insert(id, driver);
        Ok(())
    }

    /// A driver that panics is dropped: nobody knows what state it is in.
    fn with<R>(
        &mut self,
        id: Id,
        work: impl FnOnce(&mut dyn Driver) -> Result<R, SensorError>,
    ) -> Result<R, SensorError> {
        let driver = self.open.get_mut(&id).ok_or(SensorError::Closed)?;
        let result = catch_unwind(AssertUnwindSafe(|| work(driver.as_mut())));
        result.unwrap_or_else(|panic| {
            self.close(&id);
            Err(SensorError::Panicked(text_of(panic.as_ref())))
        })
    }

    fn close(&mut self, id: &Id) {
        let driver = self.open.remove(id);
        // A driver may panic while it is dropped too; it is gone all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(driver)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use sedge_plugin::device::NoDelay;
    use sedge_plugin::prelude::*;
    use sedge_plugin::sim::{RegisterFile, Wire};
    use sedge_plugin::testing::block_on;
    use serde_json::json;

    use super::*;

    /// Reads one byte. Panics over 0xFF, and while it is dropped after that.
    struct Touchy {
        device: I2cDevice,
        hurt: bool,
    }

    impl Drop for Touchy {
        fn drop(&mut self) {
            assert!(!self.hurt, "again");
        }
    }

    impl Sensor for Touchy {
        const KIND: &'static str = "touchy";
        const TITLE: &'static str = "Panics";
        const ADDRESSES: &'static [u8] = &[0x10];
        const FIELDS: &'static [Field] = &[Field::new("byte", Unit::None)];
        type Device = I2cDevice;
        type Config = NoSettings;

        fn open(device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
            Ok(Self { device, hurt: false })
        }
        fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
            let byte = self.device.read_u8(0)?;
            self.hurt = byte == 0xFF;
            assert!(!self.hurt, "ouch");
            frame.push("byte", u32::from(byte));
            Ok(())
        }
        fn simulate(_: u64) -> Box<dyn I2cModel> {
            Box::new(RegisterFile::new(&[]))
        }
    }

    static TOUCHY: SensorKind = SensorKind::i2c::<Touchy>();

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    /// At 0x10 all is well, at 0x11 stands what makes the driver panic.
    fn bus() -> I2cBus {
        I2cBus::new("test", |address| {
            let byte = if address == 0x11 { 0xFF } else { 0x07 };
            Ok(I2cDevice::new(address, Wire::to(address, RegisterFile::new(&[(0, &[byte])])), NoDelay))
        })
        .unwrap()
    }

    #[test]
    fn a_driver_that_panics_is_dropped_and_the_others_go_on() {
        let bus = bus();
        block_on(async {
            bus.open(&id("well"), 0x10, &TOUCHY, json!({})).await.unwrap();
            bus.open(&id("bad"), 0x11, &TOUCHY, json!({})).await.unwrap();
            assert_eq!(bus.read(&id("bad")).await, Err(SensorError::Panicked("ouch".into())));
            assert_eq!(bus.read(&id("bad")).await, Err(SensorError::Closed));
            assert_eq!(bus.read(&id("well")).await.unwrap().get("byte"), Some(&Value::Number(7.0)));
            bus.open(&id("bad"), 0x10, &TOUCHY, json!({})).await.unwrap();
            bus.read(&id("bad")).await.unwrap();
        });
    }

    #[test]
    fn a_device_that_was_closed_is_not_read() {
        let bus = bus();
        block_on(async {
            bus.open(&id("x"), 0x10, &TOUCHY, json!({})).await.unwrap();
            assert_eq!(bus.start(&id("x")).await, Ok(None));
            bus.close(&id("x")).await.unwrap();
            bus.close(&id("x")).await.unwrap();
            assert_eq!(bus.start(&id("x")).await, Err(SensorError::Closed));
        });
    }

    #[test]
    fn a_bus_that_appears_later_is_used_then() {
        let there = Arc::new(AtomicBool::new(false));
        let seen = there.clone();
        let bus = I2cBus::new("test", move |address| {
            if !seen.load(Ordering::Relaxed) {
                return Err(BusError::Gone("no bus".into()));
            }
            Ok(I2cDevice::new(address, Wire::to(address, RegisterFile::new(&[])), NoDelay))
        })
        .unwrap();
        block_on(async {
            let error = bus.open(&id("x"), 0x10, &TOUCHY, json!({})).await.unwrap_err();
            assert_eq!(error, SensorError::Bus(BusError::Gone("no bus".into())));
            there.store(true, Ordering::Relaxed);
            bus.open(&id("x"), 0x10, &TOUCHY, json!({})).await.unwrap();
            bus.read(&id("x")).await.unwrap();
        });
    }

    #[test]
    fn opening_again_drops_the_former_driver_first() {
        static ALIVE: AtomicU32 = AtomicU32::new(0);
        struct Once;
        impl Drop for Once {
            fn drop(&mut self) {
                ALIVE.fetch_sub(1, Ordering::Relaxed);
            }
        }
        impl Driver for Once {
            fn start(&mut self) -> Result<Option<Duration>, SensorError> {
                Ok(None)
            }
            fn read(&mut self, _: &mut Frame) -> Result<(), SensorError> {
                Ok(())
            }
        }
        static ONCE: SensorKind = SensorKind {
            open: |_, _| match ALIVE.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(Box::new(Once)),
                _ => Err(SensorError::NotReady),
            },
            ..TOUCHY
        };
        let bus = bus();
        block_on(async {
            bus.open(&id("x"), 0x10, &ONCE, json!({})).await.unwrap();
            bus.open(&id("x"), 0x10, &ONCE, json!({})).await.unwrap();
        });
    }
}
