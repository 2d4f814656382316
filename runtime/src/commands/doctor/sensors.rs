//! Whether the chips of the config are there. None is opened: one that the node reads is not disturbed.

use sedge_config::Sensor;
use sedge_hal::scan::{self, Care, Found, Presence};
use sedge_plugin::Attachment;

use super::buses::folder_of;
use super::node::There;
use super::{DEADLINE, Finding, Patient, late};
use crate::commands::hardware::{Hardware, address, kinds};
use crate::extend;

pub(super) async fn check(patient: &Patient, node: Option<&There>) -> Vec<Finding> {
    let hardware = Hardware::open(patient.config.clone(), patient.folder.clone());
    let mut found = Vec::new();
    // One after another would add up; a bus has a thread of its own.
    let buses = hardware.i2c();
    let looks: Vec<_> = buses.iter().map(|bus| on(patient, &hardware, bus.id.as_str(), node)).collect();
    for look in join(looks).await {
        found.extend(look);
    }
    found.extend(patient.config.sensors.iter().filter_map(|sensor| shown(patient, sensor)));
    found
}

/// Whether the kernel shows the device of a sensor.
fn shown(patient: &Patient, sensor: &Sensor) -> Option<Finding> {
    let kind = extend::sensor(&sensor.kind).filter(|_| sensor.enabled && sensor.fault.is_none())?;
    let Attachment::Files { place, .. } = kind.attachment else { return None };
    let bus = patient.config.buses.iter().find(|bus| Some(bus.id.as_str()) == sensor.bus.as_deref())?;
    // That there is no folder, or nothing in it, is told of the bus.
    let all = scan::shown(&bus.kind, &folder_of(patient, bus)?).ok().filter(|all| !all.is_empty())?;
    let fits = |shown: &&scan::Shown| place.names.is_empty() || place.names.contains(&shown.what.as_str());
    let wanted = sensor.address.as_ref().map(ToString::to_string);
    let is_it = |shown: &&scan::Shown| {
        wanted.as_ref().is_none_or(|name| *name == shown.folder || *name == shown.what)
    };
    let there: Vec<&str> = all.iter().filter(fits).map(|shown| shown.folder.as_str()).collect();
    let count = all.iter().filter(fits).filter(is_it).count();
    let listed = if there.is_empty() { "none that fits".to_owned() } else { there.join(", ") };
    let what = wanted.clone().unwrap_or_else(|| format!("a {}", sensor.kind));
    Some(match count {
        1 => Finding::ok(&name(sensor), format!("the kernel shows {what} on {}", bus.id)),
        0 => Finding::fail(
            &name(sensor),
            format!("the kernel does not show {what} on {}; it shows {listed}", bus.id),
            "check the wiring, or correct `address` in its section; `sedge sensor scan` writes it",
        ),
        _ => Finding::fail(
            &name(sensor),
            format!("more than one device of {} fits: {listed}", bus.id),
            "say which by `address = \"…\"` in its section",
        ),
    })
}

/// Waits for all of them at once.
async fn join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(result) = future.as_mut().poll(context) {
                *done = Some(result);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn name(sensor: &Sensor) -> String {
    format!("sensor {}", sensor.id)
}

/// The sensors on a bus.
async fn on(patient: &Patient, hardware: &Hardware, bus: &str, node: Option<&There>) -> Vec<Finding> {
    let Some(section) = hardware.section(bus) else { return Vec::new() };
    let wanted = |sensor: &&Sensor| sensor.enabled && sensor.fault.is_none();
    let sensors: Vec<(&Sensor, u8)> =
        hardware.on(bus).filter(wanted).filter_map(|sensor| Some((sensor, address(sensor)?))).collect();
    // Of a picture of a machine nothing can be asked.
    let simulated =
        section.kind == "sim" || hardware.parents(section).last().is_some_and(|bus| bus.kind == "sim");
    if sensors.is_empty() || !(patient.is_here() || simulated) {
        return Vec::new();
    }
    if let Some(node) = node {
        return sensors.iter().filter_map(|(sensor, _)| read(sensor, node)).collect();
    }
    let Ok(bus) = hardware.bus(bus) else { return Vec::new() };
    let addresses: Vec<u8> = sensors.iter().map(|(_, address)| *address).collect();
    let asked = bus.with_ways(move |ways| {
        let kinds = kinds();
        let at = |address: u8| scan::at(ways, address, &kinds, Care::Identify);
        let answers: Result<Vec<_>, _> = addresses.into_iter().map(at).collect();
        Ok(answers?)
    });
    match tokio::time::timeout(DEADLINE, asked).await {
        // That the bus is not there is told of the bus.
        Ok(Err(_)) => Vec::new(),
        Ok(Ok(answers)) => sensors
            .iter()
            .zip(answers)
            .map(|((sensor, address), found)| judged(sensor, *address, found))
            .collect(),
        Err(_) => {
            vec![late(&format!("bus {}", section.id), "a device holds the bus: switch its supply off and on")]
        }
    }
}

/// What the node says of a sensor; nothing where it does not have it, or says it below.
fn read(sensor: &Sensor, node: &There) -> Option<Finding> {
    let well =
        node.plugins.iter().any(|plugin| plugin["id"] == sensor.id.as_str() && plugin["state"] == "running");
    well.then(|| Finding::ok(&name(sensor), "the node reads it"))
}

fn judged(sensor: &Sensor, address: u8, found: Option<Found>) -> Finding {
    let bus = sensor.bus.as_deref().unwrap_or_default();
    let place = format!("{address:#04x} on {bus}");
    let scan = format!(
        "`sedge sensor scan --bus {bus}` shows who answers; check the wiring, the supply and the address"
    );
    let is = |kinds: &[&sedge_plugin::SensorKind]| kinds.iter().any(|kind| kind.kind == sensor.kind);
    let Some(found) = found else {
        return match has_identity(&sensor.kind) {
            true => Finding::fail(&name(sensor), format!("nobody answers at {place}"), scan),
            false => Finding::warn(
                &name(sensor),
                format!("nobody answers a bare read at {place}; some chips do so only after a command"),
                format!("`sedge sensor read {}` tells; {scan}", sensor.id),
            ),
        };
    };
    match &found.presence {
        Presence::Answers if is(&found.certain) => {
            Finding::ok(&name(sensor), format!("a {} answers at {place}, its id fits", sensor.kind))
        }
        Presence::Answers if is(&found.possible) => Finding::ok(
            &name(sensor),
            format!("somebody answers at {place}; a {} has no id to tell it by", sensor.kind),
        ),
        Presence::Answers => {
            let others: Vec<&str> = found.certain.iter().map(|kind| kind.kind).collect();
            let others = if others.is_empty() { "not known".into() } else { others.join(" or ") };
            Finding::fail(
                &name(sensor),
                format!("another chip than a {} answers at {place}: {others}", sensor.kind),
                "correct `kind` or `address` in its section; `sedge sensor scan` writes it",
            )
        }
        Presence::Kernel => Finding::fail(
            &name(sensor),
            format!("a driver of the kernel has {place}"),
            "take its `dtoverlay` out of the boot config, or read it through the kernel (`hwmon`, `iio`)",
        ),
        Presence::Failed(error) => Finding::fail(&name(sensor), format!("{place}: {error}"), scan),
    }
}

fn has_identity(kind: &str) -> bool {
    let kind = extend::sensor(kind).map(|kind| kind.attachment);
    matches!(kind, Some(Attachment::I2c { identity: Some(_), .. }))
}
