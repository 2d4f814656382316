//! For the tests of drivers: a driver, its simulated chip and the hands of their clock.

use std::sync::Arc;
use std::time::Duration;

use sedge_hal::SimBus;
use sedge_plugin::prelude::*;
use sedge_plugin::testing::HandClock;
use serde_json::Value as Json;

/// A driver on a bench.
pub(crate) struct Bench<S> {
    clock: Arc<HandClock>,
    pub(crate) driver: S,
}

impl<S: Sensor<Device = I2cDevice>> Bench<S> {
    /// With the simulation of its kind.
    pub(crate) fn simulated(seed: u64, settings: Json) -> Self {
        Self::open(S::simulate(seed), settings).unwrap()
    }

    /// With another chip.
    pub(crate) fn open(chip: Box<dyn I2cModel>, settings: Json) -> Result<Self, SensorError> {
        let clock = Arc::new(HandClock::default());
        let bus = SimBus::new("test", clock.clone());
        bus.attach(0x40, chip);
        let driver = S::open(bus.device(0x40), serde_json::from_value(settings).unwrap())?;
        Ok(Self { clock, driver })
    }

    /// The time.
    pub(crate) fn now(&self) -> Duration {
        self.clock.up()
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Begins a conversion, and says how long it takes.
    pub(crate) fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.driver.start()
    }

    /// Reads, whether or not it is time.
    pub(crate) fn take(&mut self) -> Result<Frame, SensorError> {
        let mut frame = Frame::default();
        self.driver.read(&mut frame).map(|()| frame)
    }

    /// Takes a reading as a node does.
    pub(crate) fn read(&mut self) -> Result<Frame, SensorError> {
        if let Some(time) = self.start()? {
            self.wait(time);
        }
        self.take()
    }
}

/// The number of a field.
#[track_caller]
pub(crate) fn number(frame: &Frame, field: &str) -> f64 {
    match frame.get(field) {
        Some(Value::Number(n)) => *n,
        other => panic!("{field}: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
}

/// The number of a field is about what it should be.
#[track_caller]
pub(crate) fn assert_near(frame: &Frame, field: &str, expected: f64, tolerance: f64) {
    let near = matches!(frame.get(field), Some(Value::Number(n)) if (n - expected).abs() <= tolerance);
    assert!(near, "{field} should be {expected}: {frame:?}");
}

/// Why the value of a field is missing.
pub(crate) fn reason<'a>(frame: &'a Frame, field: &str) -> Option<&'a str> {
    frame.samples.iter().find(|sample| sample.field == field)?.value.as_ref().err().map(AsRef::as_ref)
}

/// A chip of which, after so many reads, every last byte is disturbed.
pub(crate) struct Disturbed {
    pub(crate) chip: Box<dyn I2cModel>,
    pub(crate) after: u32,
}

impl I2cModel for Disturbed {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        self.chip.write(bytes, now)
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        self.chip.read(buffer, now)?;
        match (self.after.checked_sub(1), buffer) {
            (Some(left), _) => self.after = left,
            (None, [.., last]) => *last ^= 0x01,
            (None, []) => {}
        }
        Ok(())
    }
}

/// The same in a box.
pub(crate) fn disturbed<S: Sensor<Device = I2cDevice>>(after: u32) -> Box<dyn I2cModel> {
    Box::new(Disturbed { chip: S::simulate(1), after })
}
