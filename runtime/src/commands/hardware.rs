//! The hardware of a config, for commands that look at it without a node.
//!
//! It opens buses and no drivers: what is there is only looked at. Devices of simulated buses are put there, also those of
//! sensors that are switched off, as they would be in the world.

use std::path::PathBuf;
use std::sync::Arc;

use sedge_config::{Bus as Section, Config, Sensor};
use sedge_hal::{Bus, Seat, SystemClock};
use sedge_plugin::SensorKind;
use sedge_plugins::sensors::KINDS;

use crate::assemble::seat;
use crate::buses::{Buses, Opened};
use crate::extend;

/// Buses that were opened, and the config that named them.
pub struct Hardware {
    /// What the config says.
    pub config: Config,
    buses: Buses,
}

impl Hardware {
    /// Opens the buses of a config that lies in `folder`. What cannot be opened is told when it is asked for.
    pub fn open(config: Config, folder: PathBuf) -> Self {
        let mut buses = Buses::new(Arc::new(SystemClock), folder);
        buses.open(&config.buses);
        for sensor in config.sensors.iter().filter(|sensor| sensor.fault.is_none()) {
            if let (Some(bus), Some(kind)) = (&sensor.bus, extend::sensor(&sensor.kind)) {
                buses.simulate(bus, &sensor.id, &seat(kind, sensor.address.clone()), kind, 0);
            }
        }
        Self { config, buses }
    }

    /// A bus that devices sit on.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn bus(&self, name: &str) -> Result<Bus, String> {
        match self.buses.get(name)? {
            Opened::Bus(bus) | Opened::Sim(_, bus) => Ok(bus.clone()),
            _ => Err(format!("devices cannot sit on `{name}`")),
        }
    }

    /// The section of a bus.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.config.buses.iter().find(|bus| bus.id.as_str() == name)
    }

    /// The buses of chips on I2C, each after the one that it is on. Of simulated ones those that such chips are on, or
    /// nothing at all.
    pub fn i2c(&self) -> Vec<&Section> {
        let mut all: Vec<&Section> = self.config.buses.iter().filter(|bus| self.is_i2c(bus)).collect();
        all.sort_by_key(|bus| self.parents(bus).len());
        all
    }

    fn is_i2c(&self, bus: &Section) -> bool {
        let name = bus.id.as_str();
        match bus.kind.as_str() {
            "i2c" | "tca9548a" => true,
            "sim" => {
                let parent = self.config.buses.iter().any(|other| other.parent.as_deref() == Some(name));
                let mut kinds = self.on(name).map(|sensor| extend::sensor(&sensor.kind));
                let chips = kinds.any(|kind| kind.is_some_and(|kind| kind.bus() == "i2c"));
                let empty =
                    self.on(name).next().is_none() && !self.config.gpios.iter().any(|gpio| gpio.bus == name);
                parent || chips || empty
            }
            _ => false,
        }
    }

    /// The sensors on a bus.
    pub fn on<'a>(&'a self, bus: &'a str) -> impl Iterator<Item = &'a Sensor> {
        self.config.sensors.iter().filter(move |sensor| sensor.bus.as_deref() == Some(bus))
    }

    /// The buses that a bus is on, nearest first.
    pub fn parents(&self, bus: &Section) -> Vec<&Section> {
        let mut all: Vec<&Section> = Vec::new();
        let mut next = bus.parent.as_deref();
        while let Some(parent) = next.and_then(|name| self.section(name)) {
            if all.iter().any(|known| known.id == parent.id) {
                break;
            }
            all.push(parent);
            next = parent.parent.as_deref();
        }
        all
    }

    /// The multiplexers on a bus, each with the names of its channels' buses.
    pub fn multiplexers(&self, bus: &str) -> Vec<(u8, Vec<String>)> {
        let mut all: Vec<(u8, Vec<String>)> = Vec::new();
        for channel in self.config.buses.iter().filter(|other| other.parent.as_deref() == Some(bus)) {
            let written = channel.settings.get("address").and_then(serde_json::Value::as_u64);
            let address = written.and_then(|address| u8::try_from(address).ok()).unwrap_or(0x70);
            match all.iter_mut().find(|known| known.0 == address) {
                Some(known) => known.1.push(channel.id.to_string()),
                None => all.push((address, vec![channel.id.to_string()])),
            }
        }
        all
    }
}

/// The I2C address of a sensor.
pub fn address(sensor: &Sensor) -> Option<u8> {
    let kind = extend::sensor(&sensor.kind).filter(|kind| kind.bus() == "i2c")?;
    match seat(kind, sensor.address.clone()) {
        Seat::Number(address) => Some(address),
        _ => None,
    }
}

/// All kinds of sensors that this program has.
pub fn kinds() -> Vec<&'static SensorKind> {
    KINDS.iter().chain(&extend::added().sensors).collect()
}
