//! Makes a plugin of a driver: cadence, place, health and topics, which a driver's author inherits.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use sedge_hal::{SimBus, SystemClock};
//! use sedge_plugin::{Id, Plugin, testing::{TestNode, block_on}};
//! use sedge_plugins::{sensor::{SensorArgs, SensorPlugin}, sensors};
//!
//! let kind = sensors::kind("bme280").unwrap();
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! bus.simulate(&Id::new("kitchen").unwrap(), 0x76, kind);
//! let args = SensorArgs {
//!     kind, bus: bus.i2c().unwrap(), bus_name: "i2c-1".into(), address: 0x76,
//!     every: Duration::from_secs(10), settings: serde_json::json!({}),
//! };
//! let node = TestNode::new();
//! let mut plugin = block_on(SensorPlugin::setup(&args, node.context("kitchen"))).unwrap();
//! block_on(plugin.tick()).unwrap();
//! assert_eq!(node.submitted()[0].frame.samples.len(), 3);
//! ```
//!
//! It does not try a failed read again: the next beat does, and the supervisor opens the device anew after
//! some failures.

use std::time::Duration;

use sedge_hal::I2cBus;
use sedge_plugin::prelude::*;

use crate::AUTHOR;

/// What a sensor is given: outlives its restarts.
pub struct SensorArgs {
    /// What it is.
    pub kind: &'static SensorKind,
    /// The bus that it sits on.
    pub bus: I2cBus,
    /// What the config calls that bus.
    pub bus_name: String,
    /// Its address, 7 bits.
    pub address: u8,
    /// How often it is read.
    pub every: Duration,
    /// Its own settings, which fit the schema of its kind.
    pub settings: serde_json::Value,
}

impl SensorArgs {
    /// Where it is: `i2c-1/0x76`.
    pub fn place(&self) -> String {
        format!("{}/{:#04x}", self.bus_name, self.address)
    }
}

/// A sensor on a bus.
pub struct SensorPlugin {
    ctx: Context,
    bus: I2cBus,
    every: Duration,
    name: String,
}

impl Plugin for SensorPlugin {
    type Args = SensorArgs;
    const MANIFEST: Manifest =
        Manifest::new("sensor", env!("CARGO_PKG_VERSION"), "Reads a sensor and submits what it says.")
            .author(AUTHOR)
            .category(Category::Sensor);

    fn declares(id: &Id, _: &SensorArgs) -> Claims {
        Claims { sensors: vec![id.clone()], ..Claims::default() }
    }

    async fn setup(args: &SensorArgs, ctx: Context) -> Result<Self, PluginError> {
        let place = args.place();
        let SensorArgs { kind, bus, address, every, settings, .. } = args;
        let version = Self::MANIFEST.version;
        let descriptor = SensorDescriptor::new(ctx.id().clone(), kind.kind, version, &place, kind.fields);
        ctx.announce(descriptor.every(*every));
        let name = format!("{} at {place}", kind.kind);
        match bus.open(ctx.id(), *address, kind, settings.clone()).await {
            Ok(()) => Ok(Self { ctx, bus: bus.clone(), every: *every, name }),
            Err(SensorError::Bus(BusError::Gone(text))) => Err(PluginError::Unmet(text)),
            Err(SensorError::Settings(text)) => Err(PluginError::Settings(text)),
            Err(error) => Err(failed(&name, &error)),
        }
    }

    fn every(&self) -> Option<Duration> {
        Some(self.every)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let frame = self.measure().await.map_err(|error| failed(&self.name, &error))?;
        self.ctx.submit(self.ctx.id(), frame).await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.bus.close(self.ctx.id()).await.map_err(|error| failed(&self.name, &error))
    }
}

impl SensorPlugin {
    /// While the conversion runs the bus serves others.
    async fn measure(&self) -> Result<Frame, SensorError> {
        if let Some(conversion) = self.bus.start(self.ctx.id()).await? {
            self.ctx.sleep(conversion).await;
        }
        self.bus.read(self.ctx.id()).await
    }
}

fn failed(name: &str, error: &SensorError) -> PluginError {
    PluginError::failed(format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use sedge_hal::SimBus;
    use sedge_plugin::testing::{TestNode, block_on};
    use serde_json::json;

    use super::*;
    use crate::sensors;

    fn args(bus: I2cBus, kind: &str, settings: serde_json::Value) -> SensorArgs {
        let kind = sensors::kind(kind).unwrap();
        let (address, every) = (kind.addresses[0], Duration::from_secs(10));
        SensorArgs { kind, bus, bus_name: "i2c-1".into(), address, every, settings }
    }

    /// A node with a simulated bus, both on one clock.
    fn simulated(kind: &str) -> (TestNode, SimBus, SensorArgs) {
        let node = TestNode::new();
        let bus = SimBus::new("i2c-1", node.clock());
        let args = args(bus.i2c().unwrap(), kind, json!({}));
        bus.simulate(&Id::new("x").unwrap(), args.address, args.kind);
        (node, bus, args)
    }

    fn setup(node: &TestNode, args: &SensorArgs) -> Result<SensorPlugin, PluginError> {
        block_on(SensorPlugin::setup(args, node.context("x")))
    }

    #[test]
    fn it_is_announced_with_its_place_and_cadence_and_submits_all_of_its_fields() {
        let (node, _bus, args) = simulated("bme280");
        let mut plugin = setup(&node, &args).unwrap();
        let sensor = &node.sensors()["x"];
        assert_eq!((sensor.place.as_str(), sensor.interval), ("i2c-1/0x76", Some(Duration::from_secs(10))));
        assert_eq!(plugin.every(), sensor.interval);
        block_on(plugin.tick()).unwrap();
        let draft = node.submitted().remove(0);
        assert!(sensor.fields.keys().all(|field| draft.frame.get(field.as_str()).is_some()), "{draft:?}");
    }

    #[test]
    fn a_conversion_is_awaited_on_the_clock_before_it_is_read() {
        let (node, _bus, args) = simulated("tmp117");
        let mut plugin = setup(&node, &args).unwrap();
        block_on(plugin.tick()).unwrap();
        assert_eq!(node.submitted()[0].taken.up_ms, 140);
    }

    #[test]
    fn a_wire_that_comes_off_fails_the_beat_and_back_on_it_reads_again() {
        let (node, bus, args) = simulated("bme280");
        let mut plugin = setup(&node, &args).unwrap();
        bus.detach(0x76);
        let error = block_on(plugin.tick()).unwrap_err();
        assert!(error.to_string().starts_with("bme280 at i2c-1/0x76: no device answers"), "{error}");
        assert!(matches!(setup(&node, &args), Err(PluginError::Failed(_))));
        bus.simulate(&Id::new("x").unwrap(), 0x76, args.kind);
        let mut plugin = setup(&node, &args).unwrap();
        block_on(plugin.tick()).unwrap();
        assert_eq!(node.submitted().len(), 1);
    }

    #[test]
    fn a_missing_bus_is_an_unmet_need_and_wrong_settings_are_wrong_settings() {
        let node = TestNode::new();
        let missing = I2cBus::new("i2c-1", |_| Err(BusError::Gone("enable it".into()))).unwrap();
        let error = setup(&node, &args(missing, "bme280", json!({}))).err();
        assert_eq!(error, Some(PluginError::Unmet("enable it".into())));

        let bus = SimBus::new("i2c-1", node.clock()).i2c().unwrap();
        let error = setup(&node, &args(bus, "bme280", json!({ "ofset": 1 }))).err();
        assert!(matches!(&error, Some(PluginError::Settings(text)) if text.contains("ofset")), "{error:?}");
    }

    #[test]
    fn after_its_teardown_the_driver_is_closed() {
        let (node, _bus, args) = simulated("bme280");
        let mut plugin = setup(&node, &args).unwrap();
        block_on(plugin.teardown()).unwrap();
        assert_eq!(block_on(args.bus.read(&Id::new("x").unwrap())), Err(SensorError::Closed));
    }

    #[test]
    fn two_sensors_share_a_bus() {
        let (node, bus, args) = simulated("bme280");
        let other = SensorArgs { address: 0x77, ..self::args(args.bus.clone(), "bme280", json!({})) };
        bus.simulate(&Id::new("y").unwrap(), 0x77, other.kind);
        let mut x = setup(&node, &args).unwrap();
        let mut y = block_on(SensorPlugin::setup(&other, node.context("y"))).unwrap();
        block_on(async { (x.tick().await.unwrap(), y.tick().await.unwrap()) });
        let drafts = node.submitted();
        assert_ne!(drafts[0].frame, drafts[1].frame, "each follows its own curve");
    }
}
