//! Texas Instruments TMP117: temperature to ±0.1 °C on I2C.
//!
//! Datasheet: SNOSD82D. One conversion per reading (one-shot mode, eight samples averaged), so that the chip
//! sleeps and does not warm itself in between.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

const RESULT: u8 = 0x00;
const CONFIGURATION: u8 = 0x01;
const DEVICE_ID: u8 = 0x0F;

const TMP117_ID: u16 = 0x0117;
/// The top four bits are the revision of the silicon.
const IDENTITY: Identity = Identity::word(&[DEVICE_ID], TMP117_ID).mask(0x0FFF);
/// MOD = one-shot, AVG = 8 samples (section 7.6.1.2).
const ONE_SHOT: u16 = 0b11 << 10 | 0b01 << 5;
const DATA_READY: u16 = 1 << 13;
/// Eight samples of at most 17.5 ms (section 6.5).
const CONVERSION: Duration = Duration::from_millis(140);
/// What the result register holds before the first conversion: -256 °C.
const UNMEASURED: u16 = 0x8000;

/// Settings of a `kind = "tmp117"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every reading, to correct for warmth from the board. °C.
    #[serde(default)]
    offset: f32,
}

/// A TMP117.
pub struct Tmp117 {
    device: I2cDevice,
    settings: Settings,
}

impl Sensor for Tmp117 {
    const KIND: &'static str = "tmp117";
    const TITLE: &'static str = "Texas Instruments TMP117 temperature sensor";
    const ADDRESSES: &'static [u8] = &[0x48, 0x49, 0x4A, 0x4B];
    const IDENTITY: Option<Identity> = Some(IDENTITY);
    const FIELDS: &'static [Field] =
        &[Field::new("temperature", Unit::Celsius).class("temperature").precision(3).range(-55.0, 150.0)];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        IDENTITY.check(&mut device)?;
        Ok(Self { device, settings })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        let [high, low] = ONE_SHOT.to_be_bytes();
        self.device.write(&[CONFIGURATION, high, low])?;
        Ok(Some(CONVERSION))
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if self.device.read_u16_be(CONFIGURATION)? & DATA_READY == 0 {
            return Err(SensorError::NotReady);
        }
        let raw = self.device.read_u16_be(RESULT)?;
        if raw == UNMEASURED {
            return Err(SensorError::NotReady);
        }
        frame.push("temperature", celsius(raw) + self.settings.offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated::new(seed))
    }
}

/// Two's complement, 7.8125 m°C per bit.
fn celsius(raw: u16) -> f32 {
    f32::from(raw.cast_signed()) / 128.0
}

/// Its registers are words. The result register keeps the former result until a conversion has had its time.
struct Simulated {
    room: Curve,
    pointer: u8,
    started: Option<Duration>,
    ready: bool,
    result: u16,
}

impl Simulated {
    fn new(seed: u64) -> Self {
        let room = Curve::new(seed, 21.0, 3.0);
        Self { room, pointer: RESULT, started: None, ready: false, result: UNMEASURED }
    }
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
        if let [register, ..] = bytes {
            self.pointer = *register;
        }
        if let [CONFIGURATION, high, low] = *bytes
            && u16::from_be_bytes([high, low]) & ONE_SHOT == ONE_SHOT
        {
            (self.started, self.ready) = (Some(now), false);
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
        if self.started.take_if(|started| now >= *started + CONVERSION).is_some() {
            self.result = ((self.room.at(now) * 128.0) as i16).cast_unsigned();
            self.ready = true;
        }
        let word = match self.pointer {
            RESULT => self.result,
            // Reading it clears the flag.
            CONFIGURATION if std::mem::take(&mut self.ready) => DATA_READY,
            DEVICE_ID => TMP117_ID,
            _ => 0,
        };
        for (to, from) in buffer.iter_mut().zip(word.to_be_bytes().into_iter().cycle()) {
            *to = from;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::SimBus;
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::{RegisterFile, Wire};
    use sedge_plugin::testing::HandClock;

    use super::*;

    #[test]
    fn the_datasheets_table_is_converted() {
        // Table 7-1.
        for (raw, value) in [
            (0x8000, -256.0),
            (0xF380, -25.0),
            (0xFFF0, -0.125),
            (0xFFFF, -0.007_812_5),
            (0x0000, 0.0),
            (0x0001, 0.007_812_5),
            (0x0010, 0.125),
            (0x0080, 1.0),
            (0x0C80, 25.0),
            (0x3200, 100.0),
            (0x7FFF, 255.992_19),
        ] {
            assert_eq!(celsius(raw), value, "{raw:#06x}");
        }
    }

    #[test]
    fn another_chip_is_refused_with_its_id_and_a_revision_is_not() {
        let open = |id: [u8; 2]| {
            let chip = RegisterFile::new(&[(DEVICE_ID, &id)]);
            Tmp117::open(I2cDevice::new(0x48, Wire::to(0x48, chip), NoDelay), Settings { offset: 0.0 })
        };
        assert!(open([0x31, 0x17]).is_ok());
        assert_eq!(
            open([0x00, 0x75]).err(),
            Some(SensorError::WrongDevice { expected: 0x0117, found: 0x75 })
        );
    }

    #[test]
    fn a_reading_is_there_after_the_conversion_and_not_before() {
        let clock = Arc::new(HandClock::default());
        let bus = SimBus::new("test", clock.clone());
        bus.attach(0x48, Tmp117::simulate(1));
        let mut driver = Tmp117::open(bus.device(0x48), Settings { offset: 100.0 }).unwrap();
        let mut frame = Frame::default();
        let time = driver.start().unwrap().unwrap();
        assert_eq!(driver.read(&mut frame), Err(SensorError::NotReady));
        clock.advance(time);
        driver.read(&mut frame).unwrap();
        assert!(driver.start().unwrap().is_some());
        assert_eq!(driver.read(&mut frame), Err(SensorError::NotReady), "the former result is not a new one");
        let expected = Curve::new(1, 21.0, 3.0).at(time) + 100.0;
        assert!(
            matches!(frame.get("temperature"), Some(Value::Number(n)) if (n - expected).abs() < 0.01),
            "{frame:?}"
        );
    }
}
