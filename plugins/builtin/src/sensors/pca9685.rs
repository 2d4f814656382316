//! NXP PCA9685: sixteen PWM outputs of twelve bits on I2C, for LEDs and servos.
//!
//! Datasheet: NXP PCA9685. All outputs have one frequency: some hundred hertz for LEDs, 50 for servos. It has no id: what is
//! written is read back. All outputs are off when the node starts, stops and fails; what no software can promise is that
//! they are after the process was killed.

use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use crate::sensors::shared::chip::forgotten;

const MODE1: u8 = 0x00;
const MODE2: u8 = 0x01;
/// The first of the sixteen outputs: when it goes on and when it goes off, low byte first.
const LED0: u8 = 0x06;
const ALL_LED: u8 = 0xFA;
const PRE_SCALE: u8 = 0xFE;

const SLEEP: u8 = 1 << 4;
/// The register moves on from byte to byte.
const INCREMENT: u8 = 1 << 5;
/// Reads as set while it sleeps, after it ran.
const RESTART: u8 = 1 << 7;
/// The outputs push and pull, and change at the end of a transfer.
const TOTEM_POLE: u8 = 1 << 2;
/// In the high byte: on, or off, all the time. Off wins.
const FULL: u8 = 1 << 4;
const STEPS: u16 = 4096;
const OSCILLATOR: f64 = 25e6;

const CHANNELS: usize = 16;
const OFF: [u8; 4] = [0, 0, 0, FULL];

/// From 0x40, besides 0x70, to which all of them answer after power-on.
const ADDRESSES: [u8; 55] = {
    let mut addresses = [0; 55];
    let mut i = 0;
    while i < 55 {
        addresses[i] = if i < 48 { 0x40 + i as u8 } else { 0x41 + i as u8 };
        i += 1;
    }
    addresses
};

const fn duty_field(name: &'static str) -> Field {
    Field::new(name, Unit::None).precision(4).range(0.0, 1.0)
}

/// Settings of a `kind = "pca9685"` device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Of all outputs, 24 to 1526 Hz. The chip is off by some percent.
    frequency: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { frequency: 200.0 }
    }
}

/// The arguments of `set`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetArgs {
    /// The output, 0 to 15.
    #[schemars(range(max = 15))]
    channel: u8,
    /// Which part of the time it is on: 0 is off, 1 is on.
    #[schemars(range(min = 0.0, max = 1.0))]
    duty: f64,
}

const SET: Operation = Operation::new::<SetArgs>(
    "set",
    "Set an output",
    "Sets which part of the time an output is on; tells the duty that it has now, in steps of 1/4096.",
)
.refined(|_, schema| {
    let states = (0..CHANNELS).map(|channel| (channel.to_string(), Json::from(format!("ch{channel}_ratio"))));
    if let Some(channel) = schema.pointer_mut("/properties/channel").and_then(Json::as_object_mut) {
        channel.insert("x-states".into(), Json::Object(states.collect()));
    }
});

/// A PCA9685.
pub struct Pca9685 {
    device: I2cDevice,
    scale: u8,
}

impl Sensor for Pca9685 {
    const KIND: &'static str = "pca9685";
    const TITLE: &'static str = "NXP PCA9685 PWM controller, sixteen outputs";
    const ADDRESSES: &'static [u8] = &ADDRESSES;
    #[rustfmt::skip]
    const FIELDS: &'static [Field] = &[
        duty_field("ch0_ratio"), duty_field("ch1_ratio"), duty_field("ch2_ratio"), duty_field("ch3_ratio"),
        duty_field("ch4_ratio"), duty_field("ch5_ratio"), duty_field("ch6_ratio"), duty_field("ch7_ratio"),
        duty_field("ch8_ratio"), duty_field("ch9_ratio"), duty_field("ch10_ratio"), duty_field("ch11_ratio"),
        duty_field("ch12_ratio"), duty_field("ch13_ratio"), duty_field("ch14_ratio"), duty_field("ch15_ratio"),
    ];
    const OPERATIONS: &'static [Operation] = &[SET];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(device: I2cDevice, Settings { frequency }: Settings) -> Result<Self, SensorError> {
        let scale = pre_scale(frequency).ok_or_else(|| {
            SensorError::Settings(format!("`frequency` is 24 to 1526 Hz, not {frequency}").into())
        })?;
        let mut chip = Self { device, scale };
        chip.all_off()?;
        // The frequency can be set while it sleeps only.
        chip.device.write_u8(MODE1, SLEEP | INCREMENT)?;
        chip.device.write_u8(PRE_SCALE, scale)?;
        chip.device.write_u8(MODE2, TOTEM_POLE)?;
        chip.device.write_u8(MODE1, INCREMENT)?;
        // Its oscillator starts within 500 µs.
        chip.device.delay_ms(1);
        chip.check()?;
        Ok(chip)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        self.check()?;
        let mut outputs = [0; 4 * CHANNELS];
        self.device.write_read(&[LED0], &mut outputs)?;
        for (field, output) in Self::FIELDS.iter().zip(outputs.chunks_exact(4)) {
            frame.push(field.name, duty([output[0], output[1], output[2], output[3]]));
        }
        Ok(())
    }

    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError> {
        if operation != SET.name {
            return Err(SensorError::Garbage(format!("it cannot `{operation}`").into()));
        }
        let SetArgs { channel, duty: wanted } =
            SetArgs::deserialize(args).map_err(|error| SensorError::Settings(error.to_string().into()))?;
        if usize::from(channel) >= CHANNELS || !(0.0..=1.0).contains(&wanted) {
            return Err(SensorError::Settings("`channel` is 0 to 15 and `duty` 0 to 1".into()));
        }
        self.check()?;
        let register = LED0 + 4 * channel;
        let [on_low, on_high, off_low, off_high] = output(wanted);
        self.device.write(&[register, on_low, on_high, off_low, off_high])?;
        let mut now = [0; 4];
        self.device.write_read(&[register], &mut now)?;
        match now == output(wanted) {
            true => Ok(json!({ "channel": channel, "duty": duty(now) })),
            false => Err(SensorError::Garbage("the output did not take what was written".into())),
        }
    }

    fn close(&mut self) {
        let _ = self.all_off();
    }

    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated::new())
    }
}

impl Pca9685 {
    fn all_off(&mut self) -> Result<(), BusError> {
        self.device.write_u8(ALL_LED + 3, FULL)
    }

    /// After power-on it sleeps, at 200 Hz.
    fn check(&mut self) -> Result<(), SensorError> {
        let awake = self.device.read_u8(MODE1)? & !RESTART == INCREMENT;
        match self.device.read_u8(PRE_SCALE)? == self.scale && awake {
            true => Ok(()),
            false => Err(forgotten()),
        }
    }
}

/// Equation 1 of the datasheet.
fn pre_scale(hertz: f64) -> Option<u8> {
    let scale = (OSCILLATOR / (f64::from(STEPS) * hertz)).round() - 1.0;
    (3.0..=255.0).contains(&scale).then_some(scale as u8)
}

/// On from the beginning of each period.
fn output(duty: f64) -> [u8; 4] {
    match (duty * f64::from(STEPS)).round() as u16 {
        0 => OFF,
        STEPS.. => [0, FULL, 0, 0],
        steps => {
            let [low, high] = steps.to_le_bytes();
            [0, 0, low, high]
        }
    }
}

fn duty([on_low, on_high, off_low, off_high]: [u8; 4]) -> f64 {
    if off_high & FULL != 0 {
        return 0.0;
    }
    if on_high & FULL != 0 {
        return 1.0;
    }
    let step = |low, high| u16::from_le_bytes([low, high & 0x0F]);
    let steps = (step(off_low, off_high) + STEPS - step(on_low, on_high)) % STEPS;
    f64::from(steps) / f64::from(STEPS)
}

struct Simulated {
    registers: [u8; 256],
    pointer: u8,
}

impl Simulated {
    fn new() -> Self {
        let mut registers = [0; 256];
        registers[usize::from(MODE1)] = SLEEP | 1;
        registers[usize::from(MODE2)] = TOTEM_POLE;
        registers[usize::from(PRE_SCALE)] = 0x1E;
        (0..CHANNELS).for_each(|channel| registers[usize::from(LED0) + 4 * channel + 3] = FULL);
        Self { registers, pointer: 0 }
    }

    fn step(&mut self) {
        let on = self.registers[usize::from(MODE1)] & INCREMENT != 0;
        self.pointer = self.pointer.wrapping_add(on.into());
    }
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], _: std::time::Duration) -> Result<(), BusError> {
        let [pointer, rest @ ..] = bytes else { return Ok(()) };
        self.pointer = *pointer;
        for &byte in rest {
            let asleep = self.registers[usize::from(MODE1)] & SLEEP != 0;
            match self.pointer {
                PRE_SCALE if !asleep => {}
                ALL_LED..PRE_SCALE => {
                    let part = usize::from(self.pointer - ALL_LED);
                    (0..CHANNELS).for_each(|n| self.registers[usize::from(LED0) + 4 * n + part] = byte);
                }
                register => self.registers[usize::from(register)] = byte,
            }
            self.step();
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
        for byte in buffer {
            *byte = self.registers[usize::from(self.pointer)];
            self.step();
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

    fn open(frequency: f64) -> Result<(SimBus, Pca9685), SensorError> {
        let bus = SimBus::new("test", Arc::new(HandClock::default()));
        bus.attach(0x40, Pca9685::simulate(1));
        let driver = Pca9685::open(bus.device(0x40), Settings { frequency })?;
        Ok((bus, driver))
    }

    fn told(driver: &mut Pca9685) -> Result<Vec<Option<f64>>, SensorError> {
        let mut frame = Frame::default();
        driver.read(&mut frame)?;
        Ok(frame.samples.iter().map(Sample::number).collect())
    }

    #[test]
    fn the_datasheets_examples_are_converted() {
        // Section 7.3.5: 200 Hz; section 7.3.3: a delay of 10 % and a duty of 20 %.
        assert_eq!(pre_scale(200.0), Some(30));
        assert_eq!((pre_scale(24.0), pre_scale(1526.0)), (Some(253), Some(3)));
        assert!((duty([0x99, 0x01, 0xCC, 0x04]) - 0.2).abs() < 0.0003);
        assert_eq!(duty([0, FULL, 0, FULL]), 0.0, "off wins");
        for frequency in [0.0, -50.0, 20.0, 2000.0, f64::NAN] {
            assert!(matches!(open(frequency), Err(SensorError::Settings(_))), "{frequency}");
        }
    }

    #[test]
    fn an_output_is_set_and_told_and_all_are_off_when_the_driver_is_closed() {
        let (bus, mut driver) = open(50.0).unwrap();
        assert_eq!(told(&mut driver).unwrap(), [Some(0.0); 16]);
        for (duty, exact) in [(0.3, 1229.0 / 4096.0), (1.0, 1.0), (0.0, 0.0), (0.5, 0.5)] {
            let done = driver.operate("set", &json!({ "channel": 15, "duty": duty }));
            assert_eq!(done, Ok(json!({ "channel": 15, "duty": exact })));
            assert_eq!(told(&mut driver).unwrap()[14..], [Some(0.0), Some(exact)]);
        }
        driver.close();
        let mut output = [0; 4];
        bus.device(0x40).write_read(&[LED0 + 60], &mut output).unwrap();
        assert_eq!(duty(output), 0.0);
    }

    #[test]
    fn what_is_no_output_or_no_duty_is_refused() {
        let (_, mut driver) = open(200.0).unwrap();
        for args in [json!({ "channel": 16, "duty": 1 }), json!({ "channel": 0, "duty": 1.1 }), json!({})] {
            assert!(matches!(driver.operate("set", &args), Err(SensorError::Settings(_))), "{args}");
        }
    }

    #[test]
    fn a_chip_that_was_without_supply_is_noticed() {
        let (bus, mut driver) = open(200.0).unwrap();
        bus.attach(0x40, Pca9685::simulate(1));
        assert_eq!(told(&mut driver), Err(forgotten()));
        assert_eq!(driver.operate("set", &json!({ "channel": 0, "duty": 1 })), Err(forgotten()));
    }
}
