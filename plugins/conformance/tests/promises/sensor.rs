use std::time::Duration;

use sedge_conformance::chip::{CHIP, FAULT, IDENTITY, LEVEL, TOLD};
use sedge_plugin::prelude::*;
use sedge_plugin::sim::RegisterFile;
use serde_json::json;

use crate::harness::home::{Home, Instance, Part};
use crate::harness::node::{World, level};

fn attach(world: &World, address: u8, identity: u8, hundredths: u16) {
    let image: &[(u8, &[u8])] = &[(IDENTITY, &[identity]), (LEVEL, &hundredths.to_be_bytes())];
    world.bus.attach(address, Box::new(RegisterFile::new(image)));
}

fn world(home: &'static dyn Home) -> World {
    let world = World::new(home);
    attach(&world, 0x48, CHIP, 4200);
    world
}

fn chip(id: &str) -> Instance {
    Instance::new(Part::Chip, id)
}

/// Why a field of a reading has no value.
fn why(reading: &Reading, field: &str) -> Option<String> {
    let sample = reading.frame.samples.iter().find(|sample| sample.field == field)?;
    sample.value.as_ref().err().map(ToString::to_string)
}

pub async fn it_is_announced_as_it_was_declared_and_measures(home: &'static dyn Home) {
    let world = world(home);
    let mut stage = world.start(&[chip("air").settings(json!({ "offset": 0.5 }))]).await;
    let reading = stage.reading("air").await;
    assert_eq!(level(&reading), Some(42.5));
    assert_eq!(reading.frame.get("fault"), Some(&Value::Number(0.0)));
    let directory = stage.node.directory();
    let sensor = directory.sensor(&Id::new("air").unwrap()).expect("announced");
    assert_eq!((sensor.kind.as_str(), sensor.place.as_str()), ("probe-chip", "i2c-1/0x48"));
    assert_eq!(sensor.interval, Some(Duration::from_millis(50)));
    let level = &sensor.fields["level"];
    assert_eq!(
        (level.unit, level.min, level.max, level.precision),
        (Unit::Percent, Some(0.0), Some(100.0), 2)
    );
    assert_eq!(sensor.fields.len(), 2);
    stage.stop().await;
}

pub async fn it_is_read_as_often_as_its_section_says_and_never_more(home: &'static dyn Home) {
    let world = world(home);
    let began = tokio::time::Instant::now();
    let mut stage = world.start(&[chip("air")]).await;
    for seq in 1..=5 {
        assert_eq!(stage.reading("air").await.seq, seq);
    }
    assert!(began.elapsed() >= Duration::from_millis(4 * 50), "{:?}", began.elapsed());
    stage.stop().await;
}

pub async fn a_read_that_fails_is_a_reading_of_missing_values(home: &'static dyn Home) {
    let world = world(home);
    let mut stage = world.start(&[chip("air")]).await;
    assert_eq!(level(&*stage.reading("air").await), Some(42.0));
    for (fault, reason) in [(1, "crc"), (2, "not_ready")] {
        world.bus.device(0x48).write_u8(FAULT, fault).unwrap();
        let missing = loop {
            let reading = stage.reading("air").await;
            if level(&reading).is_none() {
                break reading;
            }
        };
        for field in ["level", "fault"] {
            assert_eq!(why(&missing, field).as_deref(), Some(reason));
        }
        world.bus.device(0x48).write_u8(FAULT, 0).unwrap();
        while level(&*stage.reading("air").await) != Some(42.0) {}
    }
    world.bus.detach(0x48);
    while why(&*stage.reading("air").await, "level").as_deref() != Some("no_answer") {}
    attach(&world, 0x48, CHIP, 1700);
    while level(&*stage.reading("air").await) != Some(17.0) {}
    stage.stop().await;
}

pub async fn another_chip_is_told_and_the_right_one_found(home: &'static dyn Home) {
    let world = World::new(home);
    attach(&world, 0x48, 0x77, 4200);
    let mut stage = world.start(&[chip("air")]).await;
    let reason = loop {
        let status = stage.states.next().await;
        if let Some(reason) = status.reason.clone().filter(|_| status.id.as_str() == "air") {
            break reason;
        }
    };
    assert!(reason.contains("0x77") && reason.contains("0x5e"), "{reason}");
    attach(&world, 0x48, CHIP, 4200);
    while level(&*stage.reading("air").await) != Some(42.0) {}
    stage.stop().await;
}

pub async fn it_does_what_it_is_told(home: &'static dyn Home) {
    let world = world(home);
    let mut stage = world.start(&[chip("air")]).await;
    stage.reading("air").await;
    assert_eq!(stage.call("air_set", json!({ "to": 7 })).await.unwrap(), json!({ "set": 7 }));
    assert_eq!(world.bus.device(0x48).read_u8(TOLD), Ok(7));
    let error = stage.call("air_set", json!({ "to": 256 })).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::BadArgs);
    stage.stop().await;
}

pub async fn a_driver_that_breaks_is_opened_again(home: &'static dyn Home) {
    let world = world(home);
    attach(&world, 0x49, CHIP, 1000);
    let calm = Instance { address: 0x49, ..chip("calm") };
    let mut stage = world.start(&[chip("air"), calm]).await;
    stage.reading("air").await;
    world.bus.device(0x48).write_u8(FAULT, 3).unwrap();
    loop {
        let status = stage.states.next().await;
        if status.id.as_str() == "air" && status.reason.is_some() {
            break;
        }
    }
    world.bus.device(0x48).write_u8(FAULT, 0).unwrap();
    while level(&*stage.reading("air").await) != Some(42.0) {}
    assert_eq!((stage.status("calm").state, stage.status("calm").restarts), (State::Running, 0));
    stage.stop().await;
}

pub async fn two_of_a_kind_have_a_device_each(home: &'static dyn Home) {
    let world = world(home);
    attach(&world, 0x49, CHIP, 1000);
    let other = Instance { address: 0x49, ..chip("other") };
    let mut stage = world.start(&[chip("air"), other]).await;
    assert_eq!(level(&*stage.reading("other").await), Some(10.0));
    assert_eq!(level(&*stage.reading("air").await), Some(42.0));
    stage.call("other_set", json!({ "to": 9 })).await.unwrap();
    assert_eq!(world.bus.device(0x48).read_u8(TOLD), Ok(0));
    assert_eq!(world.bus.device(0x49).read_u8(TOLD), Ok(9));
    stage.stop().await;
}
