//! ROHM BH1750FVI: ambient light on I2C.
//!
//! Datasheet: BH1750FVI Rev.D. It has commands instead of registers, and nothing to tell it by: any chip that
//! answers at its address is taken for one. One measurement per reading, at high resolution; the chip
//! switches itself off after it.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const POWER_ON: u8 = 0b0000_0001;
const ONE_TIME_HIGH_RESOLUTION: u8 = 0b0010_0000;
/// The longest that a measurement at high resolution takes (electrical characteristics).
const MEASUREMENT: Duration = Duration::from_millis(180);
/// Counts per lux, at the sensitivity that it has after switching on.
const COUNTS_PER_LUX: f64 = 1.2;

/// A BH1750. It has no settings.
pub struct Bh1750 {
    device: I2cDevice,
}

impl Sensor for Bh1750 {
    const KIND: &'static str = "bh1750";
    const TITLE: &'static str = "ROHM BH1750FVI ambient light sensor";
    const ADDRESSES: &'static [u8] = &[0x23, 0x5C];
    const FIELDS: &'static [Field] =
        &[Field::new("illuminance", Unit::Lux).class("illuminance").precision(1).range(0.0, 54_612.5)];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        device.write(&[POWER_ON])?;
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write(&[ONE_TIME_HIGH_RESOLUTION])?;
        Ok(Some(MEASUREMENT))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut counts = [0; 2];
        self.device.read(&mut counts)?;
        let counts = u16::from_be_bytes(counts);
        frame.push("illuminance", lux(counts));
        if let (u16::MAX, Some(sample)) = (counts, frame.samples.last_mut()) {
            // As bright or brighter.
            sample.quality = Quality::OutOfRange;
        }
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated { room: Curve::new(seed, 400.0, 350.0), on: false, counts: 0, begun: None })
    }
}

fn lux(counts: u16) -> f64 {
    f64::from(counts) / COUNTS_PER_LUX
}

/// Keeps the former result until a measurement has had its time.
struct Simulated {
    room: Curve,
    on: bool,
    counts: u16,
    begun: Option<Duration>,
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        match bytes {
            [POWER_ON] => self.on = true,
            // A measurement switches it on by itself.
            [ONE_TIME_HIGH_RESOLUTION] => (self.on, self.begun) = (true, Some(now)),
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if let Some(begun) = self.begun
            && self.on
            && now >= begun + MEASUREMENT
        {
            self.counts = (self.room.at(now) * COUNTS_PER_LUX) as u16;
            (self.on, self.begun) = (false, None);
        }
        for (to, from) in buffer.iter_mut().zip(self.counts.to_be_bytes().into_iter().cycle()) {
            *to = from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::SimBus;
    use sedge_plugin::testing::HandClock;

    use super::*;

    #[test]
    fn the_datasheets_example_is_converted() {
        // "1000 0011 1001 0000": 28067 lx.
        assert_eq!(lux(0b1000_0011_1001_0000).round(), 28067.0);
        // Resolution: 1 count is 0.83 lx.
        assert!((lux(1) - 0.833).abs() < 0.001);
        assert_eq!(lux(u16::MAX), 54_612.5);
    }

    #[test]
    fn a_reading_is_that_of_the_measurement_that_was_started() {
        let clock = Arc::new(HandClock::default());
        let bus = SimBus::new("test", clock.clone());
        bus.attach(0x23, Bh1750::simulate(3));
        let mut driver = Bh1750::open(bus.device(0x23), NoSettings {}).unwrap();
        let mut frame = Frame::default();
        let time = driver.start().unwrap().unwrap();
        clock.advance(time);
        driver.read(&mut frame).unwrap();
        let expected = Curve::new(3, 400.0, 350.0).at(time);
        assert!(
            matches!(frame.get("illuminance"), Some(Value::Number(n)) if (n - expected).abs() < 1.0),
            "{frame:?}"
        );
    }

    #[test]
    fn more_light_than_it_can_count_is_out_of_range() {
        struct Sun;
        impl I2cModel for Sun {
            fn write(&mut self, _: &[u8], _: Duration) -> Result<(), BusError> {
                Ok(())
            }
            fn read(&mut self, buffer: &mut [u8], _: Duration) -> Result<(), BusError> {
                buffer.fill(0xFF);
                Ok(())
            }
        }
        let bus = SimBus::new("test", Arc::new(HandClock::default()));
        bus.attach(0x23, Box::new(Sun));
        let mut frame = Frame::default();
        Bh1750::open(bus.device(0x23), NoSettings {}).unwrap().read(&mut frame).unwrap();
        assert_eq!(frame.samples[0].quality, Quality::OutOfRange);
    }
}
