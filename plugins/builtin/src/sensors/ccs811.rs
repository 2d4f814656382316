//! ams CCS811: volatile organic compounds on I2C, and the carbon dioxide that usually comes with as many.
//!
//! Datasheet: ams CCS811, application note AN000369 for its start. It measures every 1 s, computes for the temperature and
//! humidity of its settings, wants 20 min to warm up after each start and 48 h once in its life. It holds the clock, which
//! the I2C of a Raspberry Pi 4 and older does not bear well: 10 kHz or `dtoverlay=i2c-gpio` help.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

use crate::sensors::shared::climate::Air;
use crate::sensors::shared::sensirion::{CommandChip, Reply};

const STATUS: u8 = 0x00;
const MODE: u8 = 0x01;
const RESULT: u8 = 0x02;
const ENVIRONMENT: u8 = 0x05;
const HARDWARE: u8 = 0x20;
const START: u8 = 0xF4;
const RESET: [u8; 5] = [0xFF, 0x11, 0xE5, 0x72, 0x8A];

const CCS811_ID: u8 = 0x81;
const RUNNING: u8 = 1 << 7;
const HAS_PROGRAM: u8 = 1 << 4;
const READY: u8 = 1 << 3;
const ERROR: u8 = 1 << 0;
/// A measurement every second.
const EVERY_SECOND: u8 = 1 << 4;
const PERIOD: Duration = Duration::from_millis(1100);

/// What the bits of the error register say, lowest first.
const ERRORS: [&str; 6] = [
    "the chip was written to a register that is none",
    "the chip was read at a register that is none",
    "the chip was told a mode that is none",
    "the sensor's resistance is out of range",
    "the heater's current is out of range",
    "the heater's voltage is not right",
];

/// A CCS811.
pub struct Ccs811 {
    device: I2cDevice,
}

impl Sensor for Ccs811 {
    const KIND: &'static str = "ccs811";
    const TITLE: &'static str = "ams CCS811 gas sensor (VOC and equivalent CO2)";
    const ADDRESSES: &'static [u8] = &[0x5A, 0x5B];
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[HARDWARE], CCS811_ID));
    const FIELDS: &'static [Field] = &[
        Field::new("eco2", Unit::PartsPerMillion).class("carbon_dioxide").precision(0).range(400.0, 29_206.0),
        Field::new("tvoc", Unit::PartsPerBillion)
            .class("volatile_organic_compounds_parts")
            .precision(0)
            .range(0.0, 32_768.0),
    ];
    type Device = I2cDevice;
    type Config = Air;

    fn open(mut device: I2cDevice, settings: Air) -> Result<Self, SensorError> {
        let (temperature, humidity) = settings.checked()?;
        let found = device.read_u8(HARDWARE)?;
        if found != CCS811_ID {
            return Err(SensorError::WrongDevice { expected: CCS811_ID.into(), found: found.into() });
        }
        device.write(&RESET)?;
        device.delay_ms(3);
        if device.read_u8(STATUS)? & HAS_PROGRAM == 0 {
            return Err(SensorError::Garbage("the chip has no valid program".into()));
        }
        device.write(&[START])?;
        device.delay_ms(2);
        if device.read_u8(STATUS)? & RUNNING == 0 {
            return Err(SensorError::Garbage("the chip does not start its program".into()));
        }
        let [h1, h0] = ((humidity * 512.0) as u16).to_be_bytes();
        let [t1, t0] = (((temperature + 25.0) * 512.0) as u16).to_be_bytes();
        device.write(&[ENVIRONMENT, h1, h0, t1, t0])?;
        device.write_u8(MODE, EVERY_SECOND)?;
        Ok(Self { device })
    }

    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        Ok(if self.device.read_u8(STATUS)? & READY == 0 { Some(PERIOD) } else { None })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let mut result = [0; 6];
        self.device.write_read(&[RESULT], &mut result)?;
        let [c1, c0, v1, v0, status, error] = result;
        if status & ERROR != 0 {
            return Err(SensorError::Garbage(what_is_wrong(error).into()));
        }
        if status & RUNNING == 0 {
            return Err(SensorError::Garbage("the chip does not run any more (a weak supply?)".into()));
        }
        if status & READY == 0 {
            return Err(SensorError::NotReady);
        }
        let [eco2, tvoc] = [[c1, c0], [v1, v0]].map(u16::from_be_bytes);
        if eco2 < 400 {
            // Until the first measurement is done.
            ["eco2", "tvoc"].into_iter().for_each(|field| frame.missing(field, "no_value"));
            return Ok(());
        }
        frame.push("eco2", u32::from(eco2));
        frame.push("tvoc", u32::from(tvoc));
        Ok(())
    }

    fn close(&mut self) {
        // Idle: the heater is off.
        let _ = self.device.write_u8(MODE, 0);
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let mut chip = Simulated { curves: curves(seed), running: false, since: None };
        Box::new(CommandChip::new(move |bytes, now| chip.answer(bytes, now)))
    }
}

fn what_is_wrong(error: u8) -> String {
    let says = ERRORS.iter().enumerate().filter(|(bit, _)| error >> bit & 1 == 1).map(|(_, text)| *text);
    match says.collect::<Vec<_>>() {
        says if says.is_empty() => format!("the chip reports an error ({error:#04x})"),
        says => says.join("; "),
    }
}

fn curves(seed: u64) -> (Curve, Curve) {
    (Curve::new(seed, 700.0, 250.0), Curve::new(seed ^ 0x1000, 150.0, 120.0))
}

struct Simulated {
    curves: (Curve, Curve),
    running: bool,
    /// Since when it measures, or since when it was last read.
    since: Option<Duration>,
}

impl Simulated {
    fn answer(&mut self, bytes: &[u8], now: Duration) -> Reply<u8> {
        let ready = self.since.is_some_and(|since| now >= since + Duration::from_secs(1));
        let status = HAS_PROGRAM | if self.running { RUNNING } else { 0 } | if ready { READY } else { 0 };
        let bytes = match *bytes {
            [HARDWARE] => vec![CCS811_ID],
            [STATUS] => vec![status],
            [START] => {
                self.running = true;
                Vec::new()
            }
            [MODE, mode] if self.running => {
                self.since = (mode == EVERY_SECOND).then_some(now);
                Vec::new()
            }
            [RESULT] => {
                if ready {
                    self.since = Some(now);
                }
                let ([c1, c0], [v1, v0]) = (
                    (self.curves.0.at(now) as u16).to_be_bytes(),
                    (self.curves.1.at(now) as u16).to_be_bytes(),
                );
                vec![c1, c0, v1, v0, status, 0]
            }
            [ENVIRONMENT, _, _, _, _] if self.running => Vec::new(),
            _ if bytes == RESET => {
                (self.running, self.since) = (false, None);
                Vec::new()
            }
            _ => return None,
        };
        Some((Duration::ZERO, bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::{Bench, assert_near, reason};

    /// A chip that says this of its result.
    fn saying(result: [u8; 6]) -> Bench<Ccs811> {
        let mut chip = Simulated { curves: curves(1), running: false, since: None };
        let chip = CommandChip::new(move |bytes, now| match bytes {
            [RESULT] => Some((Duration::ZERO, result.to_vec())),
            bytes => chip.answer(bytes, now),
        });
        Bench::open(Box::new(chip), json!({})).unwrap()
    }

    #[test]
    fn a_reading_waits_for_the_next_measurement() {
        let mut bench = Bench::<Ccs811>::simulated(1, json!({ "temperature": 20, "humidity": 40 }));
        for _ in 0..2 {
            assert_eq!(bench.take(), Err(SensorError::NotReady));
            assert_eq!(bench.start(), Ok(Some(PERIOD)));
            bench.wait(PERIOD);
            let frame = bench.take().unwrap();
            let (eco2, tvoc) = curves(1);
            assert_near(&frame, "eco2", eco2.at(bench.now()), 1.0);
            assert_near(&frame, "tvoc", tvoc.at(bench.now()), 1.0);
        }
    }

    #[test]
    fn the_error_register_is_put_in_words() {
        let error = saying([0x01, 0x90, 0, 0, RUNNING | READY | ERROR, 1 << 4 | 1 << 5]).read().err();
        let expected = "the heater's current is out of range; the heater's voltage is not right";
        assert_eq!(error, Some(SensorError::Garbage(expected.into())));
        assert_eq!(what_is_wrong(0x80), "the chip reports an error (0x80)");
    }

    #[test]
    fn a_chip_that_forgot_its_program_or_measured_nothing_yet_gives_no_number() {
        let stopped = saying([0x01, 0x90, 0, 0, HAS_PROGRAM, 0]).read();
        assert!(matches!(stopped, Err(SensorError::Garbage(_))), "{stopped:?}");
        let frame = saying([0, 0, 0, 0, RUNNING | READY, 0]).read().unwrap();
        assert_eq!([reason(&frame, "eco2"), reason(&frame, "tvoc")], [Some("no_value"); 2]);
    }

    #[test]
    fn another_chip_and_one_without_a_program_are_refused() {
        let with = |id: u8| {
            let chip = sedge_plugin::sim::RegisterFile::new(&[(HARDWARE, &[id])]);
            Bench::<Ccs811>::open(Box::new(chip), json!({})).err()
        };
        assert_eq!(with(0x61), Some(SensorError::WrongDevice { expected: 0x81, found: 0x61 }));
        assert!(matches!(with(CCS811_ID), Some(SensorError::Garbage(_))));
    }
}
