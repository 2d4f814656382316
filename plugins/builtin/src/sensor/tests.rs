use sedge_hal::{Cure, Fault, SimBus};
use sedge_plugin::testing::{TestNode, block_on};
use serde_json::json;

use super::*;
use crate::sensors;

fn args(bus: Bus, kind: &str, settings: serde_json::Value) -> SensorArgs {
    let kind = sensors::kind(kind).unwrap();
    let (seat, every) = (Seat::Number(kind.addresses()[0]), Duration::from_secs(10));
    SensorArgs { kind, bus, bus_name: "i2c-1".into(), seat, every, settings, power: None }
}

/// A node with a simulated bus, both on one clock.
fn simulated(kind: &str) -> (TestNode, SimBus, SensorArgs) {
    let node = TestNode::new();
    let bus = SimBus::new("i2c-1", node.clock());
    let args = args(bus.bus().unwrap(), kind, json!({}));
    bus.simulate(&Id::new("x").unwrap(), &args.seat, args.kind);
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
    bus.simulate(&Id::new("x").unwrap(), &args.seat, args.kind);
    let mut plugin = setup(&node, &args).unwrap();
    block_on(plugin.tick()).unwrap();
    let drafts = node.submitted();
    assert_eq!(drafts.len(), 3, "the beat, the attempt to open it, and the beat that was well: {drafts:?}");
    for draft in &drafts[..2] {
        let reasons: Vec<_> = draft.frame.samples.iter().map(|sample| sample.value.clone()).collect();
        assert_eq!(reasons, [const { Err(std::borrow::Cow::Borrowed("no_answer")) }; 3]);
    }
    assert!(drafts[2].frame.get("temperature").is_some());
}

#[test]
fn a_missing_bus_is_an_unmet_need_and_wrong_settings_are_wrong_settings() {
    let node = TestNode::new();
    struct Missing;
    impl sedge_hal::Adapter for Missing {
        fn i2c(&mut self, _: u8) -> Result<I2cDevice, BusError> {
            Err(BusError::Gone("enable it".into()))
        }
    }
    let missing = Bus::new("i2c-1", node.clock(), || Missing).unwrap();
    let error = setup(&node, &args(missing, "bme280", json!({}))).err();
    assert_eq!(error, Some(PluginError::Unmet("enable it".into())));

    let bus = SimBus::new("i2c-1", node.clock()).bus().unwrap();
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
    let other = SensorArgs { seat: Seat::Number(0x77), ..self::args(args.bus.clone(), "bme280", json!({})) };
    bus.simulate(&Id::new("y").unwrap(), &other.seat, other.kind);
    let mut x = setup(&node, &args).unwrap();
    let mut y = block_on(SensorPlugin::setup(&other, node.context("y"))).unwrap();
    block_on(async { (x.tick().await.unwrap(), y.tick().await.unwrap()) });
    let drafts = node.submitted();
    assert_ne!(drafts[0].frame, drafts[1].frame, "each follows its own curve");
}

#[test]
fn what_switches_something_is_made_ready_when_it_is_told_to_and_safe_when_it_ends() {
    let (node, bus, args) = simulated("mcp23017");
    let args = SensorArgs { settings: json!({ "outputs": [0] }), ..args };
    let mut plugin = setup(&node, &args).unwrap();
    let set = plugin.tools().remove(0).name;
    let call = |plugin: &mut SensorPlugin, on: bool| {
        let args = json!({ "pin": 0, "on": on });
        block_on(Tools::call(plugin, ToolCall::new(set.clone(), args)))
    };
    let stands = || bus.device(0x20).read_u8(0x14).unwrap() & 1;
    block_on(plugin.tick()).unwrap();
    call(&mut plugin, true).unwrap();
    assert_eq!(stands(), 1);

    // A fault on which the driver is lost, and which is over before the next beat.
    bus.fault(&args.seat, Fault::Nack, Cure::Hand);
    assert!(block_on(plugin.tick()).is_ok(), "it is not due yet");
    node.clock().advance(args.every);
    assert!(block_on(plugin.tick()).is_err());
    bus.heal(&args.seat);
    call(&mut plugin, true).unwrap();
    assert_eq!(stands(), 1);
    let events = node.published::<topics::EventRaised>();
    assert!(events.iter().any(|event| event.kind.as_str() == "outputs_reset"), "{events:?}");

    // Lost again, and then it is told to end.
    bus.fault(&args.seat, Fault::Nack, Cure::Hand);
    node.clock().advance(args.every);
    assert!(block_on(plugin.tick()).is_err());
    bus.heal(&args.seat);
    assert_eq!(stands(), 1, "the chip has kept its latch");
    block_on(plugin.teardown()).unwrap();
    assert_eq!(stands(), 0);
}

#[test]
fn a_fast_sensor_is_not_given_up_for_a_fault_that_is_over_in_a_moment() {
    let (node, bus, args) = simulated("bme280");
    let args = SensorArgs { every: Duration::from_millis(10), ..args };
    let mut plugin = setup(&node, &args).unwrap();
    let mut beat = || {
        node.clock().advance(args.every);
        block_on(plugin.tick())
    };
    beat().unwrap();
    bus.fault(&args.seat, Fault::Nack, Cure::Hand);
    for _ in 0..20 {
        beat().unwrap();
        assert!(node.degraded("x").is_some(), "it is told of all the while");
    }
    bus.heal(&args.seat);
    beat().unwrap();
    assert!(node.degraded("x").is_some(), "it is not well yet");
    node.clock().advance(CALM);
    beat().unwrap();
    assert_eq!(node.degraded("x"), None);

    bus.fault(&args.seat, Fault::Nack, Cure::Hand);
    beat().unwrap();
    node.clock().advance(PATIENCE);
    assert!(beat().is_err(), "the supervisor's turn");
}
