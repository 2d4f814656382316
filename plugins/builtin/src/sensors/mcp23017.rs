//! Microchip MCP23017: sixteen pins on I2C.
//!
//! Datasheet: DS20001952. Pin 0 to 7 are GPA0 to GPA7, pin 8 to 15 are GPB0 to GPB7. GPA7 and GPB7 (pin 7 and 15) are for
//! output only in the newer revisions of the datasheet. It has no id: what is written is read back.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};
use serde_json::{Value as Json, json};

use crate::sensors::shared::chip::forgotten;
use crate::sensors::shared::expander::{self, Outputs, SET, held};

const IODIR: u8 = 0x00;
/// Where the control register is when it says that the registers are in two banks; else an enable that stays off.
const IOCON_BANKED: u8 = 0x05;
const IOCON: u8 = 0x0A;
const GPPU: u8 = 0x0C;
const OLAT: u8 = 0x14;
/// From [`IODIR`] to both bytes of [`OLAT`].
const ALL: usize = 0x16;

const fn pin(name: &'static str) -> Field {
    Field::new(name, Unit::None).kind(FieldKind::State)
}

/// Settings of a `kind = "mcp23017"` device.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The pins that are driven, 0 to 15; the others are read.
    outputs: Vec<u8>,
    /// The pins that are pulled up, with 100 kΩ.
    pull_ups: Vec<u8>,
    /// On is the low level, of all pins that are driven.
    active_low: bool,
    /// What the driven pins are when the node starts, stops and fails: true is on.
    safe: bool,
}

/// An MCP23017.
pub struct Mcp23017 {
    device: I2cDevice,
    outputs: Outputs,
    pull_ups: u16,
}

impl Sensor for Mcp23017 {
    const KIND: &'static str = "mcp23017";
    const TITLE: &'static str = "Microchip MCP23017 port expander, sixteen pins";
    const ADDRESSES: &'static [u8] = &[0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27];
    #[rustfmt::skip]
    const FIELDS: &'static [Field] = &[
        pin("p0"), pin("p1"), pin("p2"), pin("p3"), pin("p4"), pin("p5"), pin("p6"), pin("p7"),
        pin("p8"), pin("p9"), pin("p10"), pin("p11"), pin("p12"), pin("p13"), pin("p14"), pin("p15"),
    ];
    const OPERATIONS: &'static [Operation] = &[SET];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        let Settings { outputs, pull_ups, active_low, safe } = settings;
        let outputs = Outputs::new(16, &outputs, active_low, safe)?;
        let pull_ups = expander::mask("pull_ups", 16, &pull_ups)?;
        let mut chip = Self { device, outputs, pull_ups };
        chip.device.write_u8(IOCON_BANKED, 0)?;
        chip.device.write_u8(IOCON, 0)?;
        // The levels before the directions: no pin is at a level that nobody asked for.
        chip.drive(chip.outputs.safe)?;
        let mut registers = vec![IODIR];
        registers.extend(&chip.expected()[..usize::from(GPPU) + 2]);
        chip.device.write(&registers)?;
        chip.levels()?;
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
        // A chip that was reset drives nothing; to be told as such.
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
        let chip = RegisterFile::live(move |chip, now| {
            for (place, port) in [(IODIR, 0), (IODIR + 1, 1)] {
                let inputs = chip.get(place);
                let switch = Curve::new(seed ^ u64::from(port) << 12, 128.0, 100.0).at(now) as u8;
                let levels = switch & inputs | chip.get(OLAT + port) & !inputs;
                chip.set(OLAT - 2 + port, &[levels]);
            }
        });
        Box::new(chip.with(IODIR, &[0xFF, 0xFF]))
    }
}

impl Mcp23017 {
    /// All registers as they should be. What the pins are is the chip's to say.
    fn expected(&self) -> [u8; ALL] {
        let mut registers = [0; ALL];
        for (place, word) in [(IODIR, !self.outputs.mask), (GPPU, self.pull_ups), (OLAT, self.outputs.levels)]
        {
            registers[usize::from(place)..usize::from(place) + 2].copy_from_slice(&word.to_le_bytes());
        }
        registers
    }

    fn drive(&mut self, levels: u16) -> Result<(), BusError> {
        let [a, b] = levels.to_le_bytes();
        self.device.write(&[OLAT, a, b])?;
        self.outputs.levels = levels;
        Ok(())
    }

    /// The levels of all pins, of a chip whose registers are as they should be.
    fn levels(&mut self) -> Result<u16, SensorError> {
        let mut registers = [0; ALL];
        self.device.write_read(&[IODIR], &mut registers)?;
        let expected = self.expected();
        let (configuration, latch) = (..usize::from(GPPU) + 2, usize::from(OLAT)..);
        if registers[configuration] != expected[configuration] || registers[latch.clone()] != expected[latch]
        {
            return Err(forgotten());
        }
        let [.., a, b, _, _] = registers;
        Ok(u16::from_le_bytes([a, b]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sedge_hal::SimBus;
    use sedge_plugin::testing::HandClock;

    use super::*;

    fn open(active_low: bool) -> (SimBus, Mcp23017) {
        let bus = SimBus::new("test", Arc::new(HandClock::default()));
        bus.attach(0x20, Mcp23017::simulate(1));
        let settings = Settings { outputs: vec![0, 8, 15], pull_ups: vec![1], active_low, safe: false };
        let driver = Mcp23017::open(bus.device(0x20), settings).unwrap();
        (bus, driver)
    }

    fn register(bus: &SimBus, register: u8) -> u16 {
        bus.device(0x20).read_u16_le(register).unwrap()
    }

    #[test]
    fn a_pin_is_switched_and_told_and_off_when_the_driver_is_closed() {
        for (active_low, off, on) in [(false, 0, 0x8000), (true, 0x8101, 0x0101)] {
            let (bus, mut driver) = open(active_low);
            assert_eq!((register(&bus, IODIR), register(&bus, GPPU), register(&bus, OLAT)), (0x7EFE, 2, off));
            let args = json!({ "pin": 15, "on": true });
            assert_eq!(driver.operate("set", &args), Ok(args));
            assert_eq!(register(&bus, OLAT), on);
            let mut frame = Frame::default();
            driver.read(&mut frame).unwrap();
            let told = [0, 8, 15].map(|pin: usize| frame.samples[pin].value.clone());
            assert_eq!(told, [Ok(false.into()), Ok(false.into()), Ok(true.into())]);
            driver.close();
            assert_eq!(register(&bus, OLAT), off);
        }
    }

    #[test]
    fn the_pins_that_are_read_are_those_of_the_simulation() {
        let (_, mut driver) = open(false);
        let mut frame = Frame::default();
        driver.read(&mut frame).unwrap();
        let switch = Curve::new(1, 128.0, 100.0).at(std::time::Duration::ZERO) as u8;
        for pin in 1..8 {
            assert_eq!(frame.samples[pin].value, Ok((switch >> pin & 1 != 0).into()), "{pin}");
        }
    }

    #[test]
    fn a_chip_that_was_without_supply_is_noticed_and_not_switched() {
        let (bus, mut driver) = open(false);
        bus.attach(0x20, Mcp23017::simulate(1));
        assert_eq!(driver.read(&mut Frame::default()), Err(forgotten()));
        assert_eq!(driver.operate("set", &json!({ "pin": 0, "on": true })), Err(forgotten()));
        assert_eq!(register(&bus, OLAT), 0);
    }

    #[test]
    fn wrong_pins_are_refused() {
        let open = |outputs, pull_ups| {
            let bus = SimBus::new("test", Arc::new(HandClock::default()));
            bus.attach(0x20, Mcp23017::simulate(1));
            Mcp23017::open(bus.device(0x20), Settings { outputs, pull_ups, ..Settings::default() }).err()
        };
        assert!(matches!(open(vec![16], vec![]), Some(SensorError::Settings(_))));
        assert!(matches!(open(vec![], vec![16]), Some(SensorError::Settings(_))));
        let (_, mut driver) = self::open(false);
        let error = driver.operate("set", &json!({ "pin": 1, "on": true })).err();
        assert!(matches!(error, Some(SensorError::Settings(_))), "{error:?}");
    }
}
