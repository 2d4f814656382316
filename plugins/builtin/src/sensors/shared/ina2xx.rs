//! What the drivers of Texas Instruments' current monitors share: one triggered conversion of voltage and current per
//! reading, and a simulation.
//!
//! The calibration and current registers that some of the chips have are not used: the current is computed from the shunt's
//! voltage, so that no reset of the chip can falsify it.

use std::time::Duration;

use sedge_plugin::prelude::*;

use crate::sensors::shared::chip::{Converter, forgotten};

const CONFIGURATION: u8 = 0x00;
const CURRENT: u8 = 0x01;
const VOLTAGE: u8 = 0x02;
/// Averaging, conversion times and mode; the same bits in all of them.
const SETTINGS: u16 = 0x0FFF;
const TRIGGERED: u16 = 0b011;

/// The addresses that two pins choose among.
pub(crate) const ADDRESSES: &[u8] =
    &[0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x4B, 0x4C, 0x4D, 0x4E, 0x4F];

/// What tells one chip from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model {
    /// The configuration that it is given; with it a conversion begins.
    pub(crate) configuration: u16,
    /// How long that takes, at most.
    pub(crate) takes: Duration,
    /// The register and the bit which say that it is done.
    pub(crate) ready: (u8, u16),
}

/// A chip that converts when it is told to.
pub(crate) struct Monitor {
    pub(crate) device: I2cDevice,
    model: Model,
}

impl Monitor {
    pub(crate) fn new(device: I2cDevice, model: Model) -> Self {
        Self { device, model }
    }

    pub(crate) fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write_u16_be(CONFIGURATION, self.model.configuration)?;
        Ok(Some(self.model.takes))
    }

    /// The registers of the current, or the shunt's voltage, and of the voltage.
    pub(crate) fn read(&mut self) -> Result<(i16, u16), SensorError> {
        let configuration = self.device.read_u16_be(CONFIGURATION)?;
        if (configuration ^ self.model.configuration) & SETTINGS != 0 {
            return Err(forgotten());
        }
        let (register, bit) = self.model.ready;
        if self.device.read_u16_be(register)? & bit == 0 {
            return Err(SensorError::NotReady);
        }
        let current = self.device.read_u16_be(CURRENT)?.cast_signed();
        Ok((current, self.device.read_u16_be(VOLTAGE)?))
    }
}

/// Adds the three fields. `cut_off`: the current is at an end of what the chip can tell.
pub(crate) fn push(frame: &mut Frame, volts: f64, amperes: f64, cut_off: bool) {
    frame.push("voltage", volts);
    frame.push_cut_off("current", amperes, cut_off);
    frame.push_cut_off("power", volts * amperes, cut_off);
}

/// What a shunt may be.
pub(crate) fn check_shunt(ohm: f64) -> Result<f64, SensorError> {
    if (1e-5..=100.0).contains(&ohm) {
        return Ok(ohm);
    }
    Err(SensorError::Settings("`shunt_ohm` is from 0.00001 to 100".into()))
}

/// A chip with these registers, whose conversions give what `measure` says.
pub(crate) fn simulate(
    model: Model,
    words: &[(u8, u16)],
    mut measure: impl FnMut(Duration) -> (i16, u16) + Send + 'static,
) -> Box<dyn I2cModel> {
    let (register, bit) = model.ready;
    Box::new(Converter::new(
        words,
        model.takes,
        move |words, written, word| {
            let reset = word >> 15 == 1;
            if written == CONFIGURATION && reset {
                words.insert(CONFIGURATION, RESET);
            }
            words.entry(register).and_modify(|word| *word &= !bit);
            written == CONFIGURATION && !reset && word & 0b111 == TRIGGERED
        },
        move |words, now| {
            let (current, voltage) = measure(now);
            words.insert(CURRENT, current.cast_unsigned());
            words.insert(VOLTAGE, voltage);
            *words.entry(register).or_default() |= bit;
        },
    ))
}

/// What the configuration of an INA219 is after a reset.
pub(crate) const RESET: u16 = 0x399F;
