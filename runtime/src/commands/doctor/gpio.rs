//! Whether the lines of the config are free, or ours.

use sedge_config::Gpio;
use sedge_hal::{LineError, scan};

use super::{Finding, Patient, under};
use crate::buses::device_named;

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    patient.config.gpios.iter().filter(|gpio| gpio.enabled).filter_map(|gpio| line(patient, gpio)).collect()
}

fn line(patient: &Patient, gpio: &Gpio) -> Option<Finding> {
    let name = format!("gpio {}", gpio.id);
    if let Some(fault) = &gpio.fault {
        return Some(Finding::fail(&name, fault, "correct its section; `sedge check` shows where"));
    }
    let section = patient.config.buses.iter().find(|bus| bus.id.as_str() == gpio.bus)?;
    let chip = device_named(section).filter(|_| section.kind == "gpio")?;
    let chip = under(&patient.root, &chip);
    let line = gpio.line;
    Some(match scan::line_user(&chip, line.into()) {
        Ok(None) => Finding::ok(&name, format!("line {line} of {} is free", chip.display())),
        Ok(Some(by)) if by == "sedge" => Finding::ok(&name, format!("line {line} is ours")),
        Ok(Some(by)) => Finding::fail(
            &name,
            format!("line {line} of {} is in use by {by}", chip.display()),
            "stop what uses it, choose another line, or take its `dtoverlay` out of the boot config; `gpioinfo` lists all",
        ),
        // That there is no chip is told of its bus.
        Err(LineError::Gone(_)) => return None,
        Err(error) => Finding::fail(&name, error.to_string(), "correct `line` in its section"),
    })
}
