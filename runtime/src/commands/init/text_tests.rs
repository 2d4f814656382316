//! What is written passes the check, whatever was found and wished for.

use std::path::Path;

use sedge_hal::SysfsKind;
use sedge_hal::scan::{Found, GpioChip, Presence};
use sedge_plugin::{Attachment, Every, Id, SensorKind};
use sedge_plugins::sensors::KINDS;
use serde_json::Value as Json;

use super::super::Broker;
use super::super::board::Board;
use super::*;
use crate::commands::scan::{Around, Device, Look};
use crate::load::Loaded;

const TEMPLATES: [Template; 3] = [Template::Edge, Template::Ha, Template::Full];

fn look(found: Vec<Found>) -> Look {
    Look {
        bus: "i2c-1".into(),
        place: "/dev/i2c-1".into(),
        configured: false,
        found: Ok(found),
        expected: Vec::new(),
        multiplexers: Vec::new(),
        kernel: Default::default(),
    }
}

fn found(address: u8, certain: &[&'static SensorKind], possible: &[&'static SensorKind]) -> Found {
    Found {
        address,
        presence: Presence::Answers,
        certain: certain.to_vec(),
        possible: possible.to_vec(),
        multiplexer: false,
    }
}

/// Kinds on I2C, each with an address that no other one of them has.
fn chips() -> Vec<(&'static SensorKind, u8)> {
    let mut taken = std::collections::BTreeSet::new();
    let mut chip = |kind: &&'static SensorKind| match kind.attachment {
        Attachment::I2c { addresses, .. } => {
            Some((*kind, *addresses.iter().find(|address| taken.insert(**address))?))
        }
        _ => None,
    };
    KINDS.iter().filter_map(|kind| chip(&kind)).collect()
}

fn device(kind: &'static SensorKind, number: usize) -> Option<(String, Result<Vec<Device>, String>)> {
    let Attachment::Files { place, .. } = kind.attachment else { return None };
    SysfsKind::of(place.bus)?;
    let class = ["w1", "iio", "hwmon"].into_iter().find(|class| *class == place.bus)?;
    let shown = sedge_hal::scan::Shown {
        folder: format!("28-{number:012x}"),
        what: place.names.first().copied().unwrap_or("x").into(),
    };
    let address = shown.folder.clone();
    let device = Device { class, bus: None, shown, address, kinds: vec![kind], sensors: Vec::new() };
    Some((class.into(), Ok(vec![device])))
}

fn board(found: Vec<Found>, guesses: bool) -> Board {
    let devices = KINDS.iter().enumerate().filter_map(|(number, kind)| device(kind, number)).collect();
    let chip = GpioChip { path: "/dev/gpiochip0".into(), label: "pinctrl-bcm2711".into(), lines: 58 };
    let around = Around {
        looks: vec![look(found)],
        devices,
        spi: vec!["/dev/spidev0.0".into()],
        chips: vec![chip],
        notes: Vec::new(),
    };
    let mut board = Board::of(around);
    board.choose_certain(guesses);
    board
}

fn written(board: &Board, template: Template, broker: &Broker, login: &Login, every: u64) -> String {
    let id = Id::new("pi-1").unwrap();
    let file = Path::new("/etc/sedge/sedge.toml");
    let plan = Plan { id: Ok(&id), broker: Ok(broker), login, every: Every::secs(every), template, file };
    text(&plan, board, Names::of(&Json::Null))
}

fn broker(url: &str) -> Broker {
    Broker { url: url.into(), user: None }
}

/// Checks a text; gives it as it was understood.
fn checked(text: &str) -> sedge_config::Config {
    let loaded = Loaded::new("sedge.toml", text.to_owned());
    let told: Vec<String> = loaded.diagnostics.iter().map(|d| d.one_line()).collect();
    assert!(told.is_empty() && loaded.refused.is_empty(), "{told:?} {:?}\n{text}", loaded.refused);
    loaded.config.unwrap()
}

/// The settings that are comments made active.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn every_kind_that_can_be_found_makes_a_config_without_a_warning() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut other = fastrand::Rng::with_seed(8);
    let mut half = || other.bool();
    let chips = chips();
    for round in 0..12 {
        let mut some = Vec::new();
        for (kind, address) in chips.iter().filter(|_| round == 0 || half()) {
            some.push(match random.u8(0..3) {
                0 => found(*address, &[], &[kind]),
                1 => found(*address, &[], &[kind, chips[0].0]),
                _ => found(*address, &[kind], &[]),
            });
        }
        let (count, guesses) = (some.len(), random.bool());
        let sure =
            some.iter().filter(|found| (guesses && !found.may_store()) || !found.certain.is_empty()).count();
        let board = board(some, guesses);
        for template in TEMPLATES {
            let url =
                ["mqtt://127.0.0.1:1883", "mqtts://b.lan:8883", "wss://b.lan/mqtt", "mqtt://b.lan:1883"];
            let text = written(
                &board,
                template,
                &broker(url[random.usize(0..4)]),
                &Login::Nothing,
                1 + random.u64(0..90),
            );
            let config = checked(&text);
            let devices = board.items.len() - count;
            assert_eq!(config.sensors.len(), sure + devices, "{text}");
            assert_eq!(config.node.id.unwrap().as_str(), "pi-1");
        }
    }
}

#[test]
fn what_stands_in_comments_works_once_they_are_none() {
    for template in TEMPLATES {
        let empty = Board::of(Around::default());
        let text = written(&empty, template, &broker("mqtt://127.0.0.1:1883"), &Login::Nothing, 10);
        assert_eq!(checked(&uncommented(&text)).sensors.len(), 1, "{text}");
        // Guesses, SPI, GPIO lines.
        let (kind, address) = chips()[0];
        let text = written(
            &board(vec![found(address, &[], &[kind])], false),
            template,
            &broker("mqtts://b"),
            &Login::Nothing,
            10,
        );
        let without = checked(&text).sensors.len();
        let with = checked(&uncommented(&text));
        assert_eq!((with.sensors.len(), with.gpios.len()), (without + 2, 2), "{text}");
    }
}

#[test]
fn a_password_is_not_in_the_text() {
    let user = Broker { url: "mqtts://b".into(), user: Some("o\"neill".into()) };
    let empty = Board::of(Around::default());
    let text = written(
        &empty,
        Template::Edge,
        &user,
        &Login::Credential("/etc/sedge/credentials/mqtt-password".into()),
        10,
    );
    let config = checked(&text);
    assert_eq!(config.mqtt.username.as_deref(), Some("o\"neill"));
    assert!(config.mqtt.password_file.is_none(), "the credential is taken without being named: {text}");
    let text =
        written(&empty, Template::Edge, &user, &Login::File("/home/pi/credentials/mqtt-password".into()), 10);
    assert_eq!(checked(&text).mqtt.password_file.unwrap(), Path::new("/home/pi/credentials/mqtt-password"));
}

#[test]
fn where_nothing_is_found_the_next_step_is_in_the_text() {
    let mut board = Board::of(Around::default());
    board.no_i2c = Some("run `sudo raspi-config`".into());
    let text = written(&board, Template::Edge, &broker("mqtt://127.0.0.1:1883"), &Login::Nothing, 10);
    for part in ["There is no I2C bus yet: run `sudo raspi-config`", "sedge sensor scan", "#[sensor.kitchen]"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(checked(&text).sensors.is_empty());
    let unseen = Board::unseen(Path::new("/"));
    let text = written(&unseen, Template::Edge, &broker("mqtt://127.0.0.1:1883"), &Login::Nothing, 10);
    assert!(text.contains("Nobody looked for sensors"), "{text}");
}

#[test]
fn a_multiplexer_gets_a_bus_that_is_explained() {
    let mux = Found { multiplexer: true, ..found(0x70, &[], &[]) };
    let text = written(
        &board(vec![mux], false),
        Template::Edge,
        &broker("mqtt://127.0.0.1:1883"),
        &Login::Nothing,
        10,
    );
    assert!(
        text.contains("[bus.mux-70-0]") && checked(&text).buses.iter().any(|bus| bus.kind == "tca9548a"),
        "{text}"
    );
}
