//! What answers is read, and what does not is told of, with what the kernel says.

use serde_json::Value as Json;

use super::{LATER, SOON, Stage, has_value};

/// Looks at all of them.
pub fn look(stage: &mut Stage) {
    let number = |field: &'static str, low: f64, high: f64| {
        move |fields: &Json| fields[field].as_f64().is_some_and(|value| (low..high).contains(&value))
    };
    for (promise, sensor, field, low, high) in [
        ("a BME280 behind a kernel driver is read", "air", "temperature", 17.0, 25.0),
        ("a TMP117 behind a kernel driver is read", "warmth", "temperature", 17.0, 25.0),
        ("an SHT3x behind a kernel driver is read", "damp", "temperature", 17.0, 25.0),
        ("a BH1750 behind a kernel driver is read", "light", "illuminance", 0.0, 1000.0),
    ] {
        stage.promise(promise, |stage| stage.reading(sensor, SOON, number(field, low, high)));
    }
    for (celsius, milli) in [(23.5, 23_500), (-10.25, -10_250)] {
        stage.promise(&format!("a TMP105 on the Pi's own bus follows to {celsius} °C"), |stage| {
            stage.qmp.set("tmp", "temperature", milli)?;
            stage.reading("board", SOON, number("temperature", celsius - 0.3, celsius + 0.3))
        });
    }
    stage.promise("a DS1338 on the Pi's own bus is read", |stage| stage.reading("clock", SOON, has_value));
    stage.promise("who is absent from the Pi's own bus (EREMOTEIO) does not answer", |stage| {
        stage.amiss("absent", SOON, &["no device answers"])
    });
    stage.promise("who is absent from the bridge (ETIMEDOUT) does not answer in time", |stage| {
        stage.amiss("nobody", SOON, &["no device answers", "timed out"])
    });
    stage.promise("a chip that a kernel driver owns (EBUSY) is told of as such", |stage| {
        stage.amiss("owned", SOON, &["kernel"])
    });
    stage.promise("that chip is read through the kernel's driver", |stage| {
        stage.qmp.set("owned", "temperature", 31_000)?;
        stage.reading("hwmon", LATER, number("temperature", 30.5, 31.5))
    });
    for (bus, there) in
        [("i2c-1", &["0x48", "0x49", "0x50", "0x68"][..]), ("bridge", &["0x23", "0x44", "0x49", "0x76"])]
    {
        stage.promise(&format!("a scan finds who is on {bus}"), |stage| {
            let words = format!("NO_COLOR=1 sedge sensor scan --bus {bus} -c /etc/node.toml");
            let found = stage.guest.run(&words)?;
            let missing: Vec<_> = there.iter().filter(|address| !found.contains(**address)).collect();
            if missing.is_empty() { Ok(there.join(" ")) } else { Err(format!("no {missing:?}: {found}")) }
        });
    }
}
