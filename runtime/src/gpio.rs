//! Makes plugins of `[gpio.ID]` sections: joins their settings with the lines of a chip.

use std::collections::BTreeMap;

use sedge_actors::PluginSpec;
use sedge_config::Gpio;
use sedge_hal::{Lines, Supply};
use sedge_plugin::Id;
use sedge_plugins::gpio::counter::{Counter, CounterArgs};
use sedge_plugins::gpio::input::{Input, InputArgs};
use sedge_plugins::gpio::power::{Power, PowerArgs};
use sedge_plugins::gpio::pwm::{PwmArgs, PwmLine, PwmSource};
use sedge_plugins::gpio::relay::{Relay, RelayArgs};

use crate::assemble::{Barred, read};
use crate::buses::{Buses, Opened};

/// The plugin of a section.
pub fn spec(gpio: Gpio, buses: &Buses, supplies: &BTreeMap<Id, Supply>) -> PluginSpec {
    let fingerprint = buses.fingerprint(gpio.fingerprint(), &gpio.bus);
    let (id, kind) = (gpio.id.clone(), gpio.kind.clone());
    let spec = made(gpio, buses, supplies).unwrap_or_else(|barred| barred.spec(id, &kind));
    spec.fingerprint(fingerprint)
}

fn made(gpio: Gpio, buses: &Buses, supplies: &BTreeMap<Id, Supply>) -> Result<PluginSpec, Barred> {
    let Gpio { id, kind, bus: chip_name, line, settings, fault, enabled, .. } = gpio;
    Barred::check(fault, enabled)?;
    let (line, settings, bus) = (u32::from(line), settings.into_value(), buses.get(&chip_name)?);
    match kind.as_str() {
        "relay" => {
            let (lines, settings) = (lines(bus, &chip_name)?, read(settings)?);
            Ok(PluginSpec::new::<Relay>(id, RelayArgs { lines, chip_name, line, settings }))
        }
        "input" => {
            let (lines, settings) = (lines(bus, &chip_name)?, read(settings)?);
            Ok(PluginSpec::new::<Input>(id, InputArgs { lines, chip_name, line, settings }))
        }
        "counter" => {
            let (lines, settings) = (lines(bus, &chip_name)?, read(settings)?);
            Ok(PluginSpec::new::<Counter>(id, CounterArgs { lines, chip_name, line, settings }))
        }
        "power" => {
            let supply = supplies.get(&id).cloned().ok_or_else(|| format!("`{id}` has no supply"))?;
            let (lines, settings) = (lines(bus, &chip_name)?, read(settings)?);
            Ok(PluginSpec::new::<Power>(id, PowerArgs { lines, chip_name, line, supply, settings }))
        }
        "pwm" => {
            let source = match bus {
                Opened::Pwm(chip) => PwmSource::Hardware(chip.clone()),
                other => PwmSource::Software(lines(other, &chip_name)?),
            };
            let settings = read(settings)?;
            Ok(PluginSpec::new::<PwmLine>(id, PwmArgs { source, chip_name, line, settings }))
        }
        other => Err(format!("there is no kind `{other}`").into()),
    }
}

fn lines(bus: &Opened, name: &str) -> Result<Lines, String> {
    match bus {
        Opened::Gpio(lines) => Ok(lines.clone()),
        Opened::Sim(sim, _) => Ok(sim.lines()),
        Opened::Bus(_) | Opened::Replay(..) | Opened::Pwm(_) => Err(format!("`{name}` is no GPIO chip")),
    }
}
