//! NXP PCF8574 and PCF8574A: eight pins on I2C.
//!
//! Datasheet: NXP PCF8574; PCF8574A. A pin is strong when low (25 mA) and weak when high (0.1 mA): a load goes between the
//! supply and the pin, with `active_low = true`. A pin that is read is left high. It has no registers and no id: any
//! chip that answers at its address is taken for one. After power-on all pins are high; that is noticed by a pin that is
//! driven low and is high, and cannot be where none is low.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;
use serde_json::{Value as Json, json};

use crate::sensors::shared::expander::{Outputs, SET, held};

const fn pin(name: &'static str) -> Field {
    Field::new(name, Unit::None).kind(FieldKind::State)
}

/// Settings of a `kind = "pcf8574"` device.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The pins that are driven, 0 to 7; the others are read.
    outputs: Vec<u8>,
    /// On is the low level, of all pins that are driven.
    active_low: bool,
    /// What the driven pins are when the node starts, stops and fails: true is on.
    safe: bool,
}

/// A PCF8574.
pub struct Pcf8574 {
    device: I2cDevice,
    outputs: Outputs,
}

impl Sensor for Pcf8574 {
    const KIND: &'static str = "pcf8574";
    const TITLE: &'static str = "NXP PCF8574 port expander, eight pins";
    const ADDRESSES: &'static [u8] =
        &[0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F];
    const FIELDS: &'static [Field] =
        &[pin("p0"), pin("p1"), pin("p2"), pin("p3"), pin("p4"), pin("p5"), pin("p6"), pin("p7")];
    const OPERATIONS: &'static [Operation] = &[SET];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let Settings { outputs, active_low, safe } = settings;
        let mut chip = Self { device, outputs: Outputs::new(8, &outputs, active_low, safe)? };
        chip.drive(chip.outputs.safe)?;
        Ok(chip)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let levels = self.levels()?;
        self.outputs.push(frame, Self::FIELDS, levels);
        Ok(())
    }

    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError> {
        if operation != SET.name {
            return Err(SensorError::Garbage(format!("it cannot `{operation}`").into()));
        }
        let (wanted, levels) = self.outputs.set(args)?;
        // A chip that was reset is told as such; to go on would switch its other pins as well.
        self.levels()?;
        self.drive(levels)?;
        match (self.levels()? ^ levels) >> wanted.pin & 1 {
            0 => Ok(json!(wanted)),
            _ => Err(held(wanted.pin)),
        }
    }

    fn close(&mut self) {
        let _ = self.drive(self.outputs.safe);
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated { switch: Curve::new(seed, 0.0, 1.0), latch: 0xFF })
    }
}

impl Pcf8574 {
    fn drive(&mut self, levels: u16) -> Result<(), BusError> {
        let [_, outputs] = levels.to_be_bytes();
        let [_, inputs] = (!self.outputs.mask).to_be_bytes();
        self.device.write(&[outputs | inputs])?;
        self.outputs.levels = levels;
        Ok(())
    }

    /// The levels of all pins.
    fn levels(&mut self) -> Result<u16, SensorError> {
        let mut levels = [0];
        self.device.read(&mut levels)?;
        let levels = levels[0].into();
        if levels & self.outputs.mask & !self.outputs.levels != 0 {
            let text = "a pin that is driven low is high (the chip has lost its supply, or a short)";
            return Err(SensorError::Garbage(text.into()));
        }
        Ok(levels)
    }
}

/// A switch pulls pin 7 down at times; nothing is wired to the others.
struct Simulated {
    switch: Curve,
    latch: u8,
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], _: std::time::Duration) -> Result<(), BusError> {
        self.latch = bytes.last().copied().unwrap_or(self.latch);
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], now: std::time::Duration) -> Result<(), BusError> {
        let pulled = if self.switch.at(now) > 0.0 { 0x80 } else { 0 };
        buffer.fill(self.latch & !pulled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::SimBus;
    use sedge_plugin::testing::HandClock;

    use super::*;

    fn open(active_low: bool) -> (SimBus, Pcf8574) {
        let bus = SimBus::new("test", Arc::new(HandClock::default()));
        bus.attach(0x20, Pcf8574::simulate(1));
        let settings = Settings { outputs: vec![0, 2], active_low, safe: false };
        let driver = Pcf8574::open(bus.device(0x20), settings).unwrap();
        (bus, driver)
    }

    fn read(driver: &mut Pcf8574) -> Result<Vec<bool>, SensorError> {
        let mut frame = Frame::default();
        driver.read(&mut frame)?;
        Ok(frame.samples.iter().map(|sample| sample.value == Ok(Value::Bool(true))).collect())
    }

    /// The pins as the chip has them.
    fn pins(bus: &SimBus) -> u8 {
        let mut pins = [0];
        bus.device(0x20).read(&mut pins).unwrap();
        pins[0] & 0x7F
    }

    #[test]
    fn a_pin_is_switched_and_told_and_off_when_the_driver_is_closed() {
        for (active_low, off, on) in [(false, 0b111_1010, 0b111_1110), (true, 0x7F, 0b111_1011)] {
            let (bus, mut driver) = open(active_low);
            assert_eq!(pins(&bus), off);
            let args = json!({ "pin": 2, "on": true });
            assert_eq!(driver.operate("set", &args), Ok(args));
            assert_eq!(pins(&bus), on);
            let told = read(&mut driver).unwrap();
            assert_eq!(told[..4], [false, true, true, true], "pin 1 and 3 are read, and high");
            driver.close();
            assert_eq!(pins(&bus), off);
        }
    }

    #[test]
    fn a_pin_that_is_read_is_not_switched() {
        let (bus, mut driver) = open(false);
        let error = driver.operate("set", &json!({ "pin": 1, "on": false })).err();
        assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
        assert_eq!(pins(&bus), 0b111_1010);
    }

    #[test]
    fn a_chip_that_was_without_supply_is_noticed_and_not_switched() {
        let (bus, mut driver) = open(false);
        bus.attach(0x20, Pcf8574::simulate(1));
        assert!(matches!(read(&mut driver), Err(SensorError::Garbage(_))));
        let error = driver.operate("set", &json!({ "pin": 2, "on": true })).err();
        assert!(matches!(error, Some(SensorError::Garbage(_))), "{error:?}");
        assert_eq!(pins(&bus), 0x7F, "it is left as it is");
    }

    #[test]
    fn a_pin_that_is_held_is_not_told_as_switched() {
        struct Shorted;
        impl I2cModel for Shorted {
            fn write(&mut self, _: &[u8], _: std::time::Duration) -> Result<(), BusError> {
                Ok(())
            }
            fn read(&mut self, buffer: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
                buffer.fill(0);
                Ok(())
            }
        }
        let (bus, mut driver) = open(false);
        bus.attach(0x20, Box::new(Shorted));
        assert_eq!(driver.operate("set", &json!({ "pin": 2, "on": true })), Err(held(2)));
    }
}
