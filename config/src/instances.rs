//! All instances of a config while they are checked: each by itself, then against each other.
//!
//! It must not put an instance in the config that could not be told apart from another one.

use crate::bus::{Bus, BusKeys};
use crate::caller::{self, Caller, CallerKeys};
use crate::catalogue::{Catalogue, Section};
use crate::chains;
use crate::conflicts;
use crate::destination::{Destination, DestinationKeys};
use crate::gpio::{Gpio, GpioKeys};
use crate::guard::{self, Guard, GuardKeys};
use crate::instance::{Instance, Read, read_all};
use crate::mux;
use crate::outside;
use crate::plugin::{self, Plugin, PluginKeys};
use crate::power;
use crate::processor::{Processor, ProcessorKeys};
use crate::remote::{self, Remote, RemoteKeys};
use crate::report::{Fault, Report};
use crate::seats;
use crate::sensor::{self, Sensor, SensorKeys};
use crate::{Config, Mqtt, Node};

pub(crate) struct Instances {
    buses: Vec<Read<BusKeys>>,
    sensors: Vec<Read<SensorKeys>>,
    gpios: Vec<Read<GpioKeys>>,
    plugins: Vec<Read<PluginKeys>>,
    processors: Vec<Read<ProcessorKeys>>,
    destinations: Vec<Read<DestinationKeys>>,
    remotes: Vec<Read<RemoteKeys>>,
    guards: Vec<Read<GuardKeys>>,
    callers: Vec<Read<CallerKeys>>,
}

impl Instances {
    /// Reads each by itself.
    pub(crate) fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Self {
        let mut instances = Self {
            buses: read_all(report, catalogue),
            sensors: read_all(report, catalogue),
            gpios: read_all(report, catalogue),
            plugins: read_all(report, catalogue),
            processors: read_all(report, catalogue),
            destinations: read_all(report, catalogue),
            remotes: read_all(report, catalogue),
            guards: read_all(report, catalogue),
            callers: read_all(report, catalogue),
        };
        for bus in &mut instances.buses {
            bus.keys.parent = mux::parent(catalogue, bus);
        }
        instances.sensors.iter_mut().for_each(|sensor| sensor::check(report, catalogue, sensor));
        instances.plugins.iter().for_each(|plugin| plugin::check(report, catalogue, plugin));
        instances.guards.iter().for_each(|guard| guard::check(report, catalogue, guard));
        instances.remotes.iter().for_each(|remote| remote::check(report, remote));
        instances.guards.extend(guard::misspelt(report));
        instances.callers.iter().for_each(|caller| caller::check(report, caller));
        caller::shared_keys(report, &instances.callers);
        instances
    }

    /// Checks the instances against each other. Gives the pointers of those that have no id of their own.
    pub(crate) fn check(&self, report: &mut Report<'_>, catalogue: &Catalogue) -> Vec<String> {
        mux::check(report, catalogue, &self.buses);
        for sensor in &self.sensors {
            let Read { instance, keys, .. } = sensor;
            if let Some(bus) = &keys.bus {
                let kind = catalogue.find(Section::Sensor, &keys.kind);
                conflicts::check_bus(report, catalogue, &self.buses, instance, bus, kind);
            }
            power::check(report, catalogue, sensor, &self.gpios);
        }
        for Read { instance, keys, .. } in &self.gpios {
            if let Some(bus) = &keys.bus {
                let kind = catalogue.find(Section::Gpio, &keys.kind);
                conflicts::check_bus(report, catalogue, &self.buses, instance, bus, kind);
            }
        }
        self.check_outside(report, catalogue);
        seats::shared(report, catalogue, &self.sensors);
        seats::before_and_behind(report, catalogue, &self.buses, &self.sensors);
        conflicts::shared_lines(report, &self.gpios);
        remote::shared(report, &self.remotes);
        self.check_chains(report);
        conflicts::taken_ids(report, catalogue, self.all())
    }

    fn check_outside(&self, report: &mut Report<'_>, catalogue: &Catalogue) {
        let (sensors, plugins) = (&self.sensors, &self.plugins);
        let (processors, destinations) = (&self.processors, &self.destinations);
        let buses = &self.buses;
        sensors.iter().for_each(|read| outside::check(report, catalogue, buses, read, &read.keys.kind));
        processors.iter().for_each(|read| outside::check(report, catalogue, buses, read, &read.keys.kind));
        destinations.iter().for_each(|read| outside::check(report, catalogue, buses, read, &read.keys.kind));
        for read in plugins {
            let kind = read.keys.kind.as_deref().unwrap_or(&read.instance.name);
            outside::check(report, catalogue, buses, read, kind);
        }
        let mut granted: outside::Granted<'_> = Vec::new();
        granted.extend(sensors.iter().filter(|read| read.keys.enabled).filter_map(Read::granted));
        granted.extend(plugins.iter().filter(|read| read.keys.enabled).filter_map(Read::granted));
        granted.extend(processors.iter().filter(|read| read.keys.enabled).filter_map(Read::granted));
        granted.extend(destinations.iter().filter(|read| read.keys.enabled).filter_map(Read::granted));
        outside::shared(report, catalogue, sensors, &self.gpios, &granted);
    }

    fn check_chains(&self, report: &mut Report<'_>) {
        let processors: Vec<&Instance> = self.processors.iter().map(|read| &read.instance).collect();
        for Read { instance, keys, .. } in &self.sensors {
            chains::check_process(report, instance, keys.process.as_deref().unwrap_or_default(), &processors);
        }
        let elsewhere = |sensor: &str| self.remotes.iter().any(|remote| remote.may_bring(sensor));
        let sensors = self.sensors.iter().map(|read| &read.instance);
        let sensors: Vec<&Instance> = sensors.chain(self.gpios.iter().map(|read| &read.instance)).collect();
        for Read { instance, keys, .. } in &self.processors {
            chains::check_sensors(
                report,
                instance,
                keys.sensors.as_deref().unwrap_or_default(),
                &sensors,
                &elsewhere,
            );
        }
        for Read { instance, keys, .. } in &self.destinations {
            chains::check_sensors(
                report,
                instance,
                keys.sensors.as_deref().unwrap_or_default(),
                &sensors,
                &elsewhere,
            );
        }
    }

    /// All that share one name space; guards have their own, and so have callers.
    fn all(&self) -> Vec<&Instance> {
        let buses = self.buses.iter().map(|read| &read.instance);
        let sensors = self.sensors.iter().map(|read| &read.instance);
        let gpios = self.gpios.iter().map(|read| &read.instance);
        let plugins = self.plugins.iter().map(|read| &read.instance);
        let processors = self.processors.iter().map(|read| &read.instance);
        let destinations = self.destinations.iter().map(|read| &read.instance);
        let remotes = self.remotes.iter().map(|read| &read.instance);
        let all = buses.chain(sensors).chain(gpios).chain(plugins).chain(processors);
        all.chain(destinations).chain(remotes).collect()
    }

    /// What has an id of its own, each with its fault.
    pub(crate) fn into_config(
        self,
        report: &Report<'_>,
        losers: &[String],
        node: Node,
        mqtt: Mqtt,
    ) -> Config {
        let own = |instance: &Instance| report.fault_of(&instance.pointer);
        let buses = self.buses.clone();
        let or_bus = |instance: &Instance, bus: Option<&str>| fault(report, &buses, instance, bus);
        Config {
            node,
            mqtt,
            buses: made(self.buses, losers, |read| {
                Bus::new(or_bus(&read.instance, read.keys.parent.as_deref()), read)
            }),
            sensors: made(self.sensors, losers, |read| {
                Sensor::new(or_bus(&read.instance, read.keys.bus.as_deref()), read)
            }),
            gpios: made(self.gpios, losers, |read| {
                Gpio::new(or_bus(&read.instance, read.keys.bus.as_deref()), read)
            }),
            plugins: made(self.plugins, losers, |read| Plugin::new(own(&read.instance), read)),
            processors: made(self.processors, losers, |read| Processor::new(own(&read.instance), read)),
            destinations: made(self.destinations, losers, |read| Destination::new(own(&read.instance), read)),
            remotes: made(self.remotes, losers, |read| Remote::new(own(&read.instance), read)),
            guards: made(self.guards, &[], |read| Guard::new(report, own(&read.instance), read)),
            callers: made(self.callers, &[], |read| Caller::new(own(&read.instance), read)),
            ..Config::default()
        }
    }
}

fn made<K, I>(all: Vec<Read<K>>, losers: &[String], make: impl Fn(Read<K>) -> I) -> Vec<I> {
    all.into_iter().filter(|read| !losers.contains(&read.instance.pointer)).map(make).collect()
}

/// Why an instance cannot run: its own mistakes, or those of its bus, or of what that one is on.
fn fault(report: &Report<'_>, buses: &[Read<BusKeys>], instance: &Instance, bus: Option<&str>) -> Fault {
    let own = report.fault_of(&instance.pointer);
    let chain = bus.filter(|_| own.text.is_none()).map(|bus| mux::chain(buses, bus));
    let place = conflicts::bus_place(report, instance);
    let by = |bus: &Read<BusKeys>| {
        let what = format!("bus `{}` is misconfigured", bus.instance.name);
        report.fault_by(&place, &what, &bus.instance.pointer)
    };
    chain.into_iter().flatten().find_map(by).unwrap_or(own)
}
