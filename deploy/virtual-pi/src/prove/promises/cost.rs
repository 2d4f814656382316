//! What a reading costs. A figure: an emulated processor is no Pi, and nothing is promised of it.

use super::{LATER, Stage};
use crate::prove::Outcome;

const READINGS: usize = 20;

/// Measures it.
pub fn look(stage: &mut Stage) {
    let cost = measure(stage);
    stage.proof.figure("CPU per reading of a BME280, once a second, alone, to MQTT, on emulated cores", cost);
}

fn measure(stage: &mut Stage) -> Outcome {
    let others = [
        "board",
        "clock",
        "absent",
        "owned",
        "hwmon",
        "warmth",
        "light",
        "damp",
        "nobody",
        "pump",
        "flow",
        "sandboxed",
        "hungry",
    ];
    for sensor in others {
        stage.guest.run(&format!("sedge plugin disable {sensor} -c /etc/node.toml"))?;
        // It takes seconds, and whoever says nothing to a broker for too long is put out.
        stage.watch.catch_up()?;
    }
    after(stage, 5)?;
    let (before, all) = (cpu(stage)?, all(stage));
    after(stage, READINGS)?;
    let (used, all) = (cpu(stage)? - before, self::all(stage) - all);
    Ok(format!("{:.0} µs ({READINGS} of {all} readings were its)", used as f64 / 1000.0 / all as f64))
}

fn all(stage: &Stage) -> usize {
    stage.watch.heard.readings.values().map(Vec::len).sum()
}

/// Waits for so many more readings.
fn after(stage: &mut Stage, readings: usize) -> Result<(), String> {
    stage.watch.catch_up()?;
    let since = stage.watch.heard.count("air");
    stage.watch.until(LATER, |heard| (heard.count("air") >= since + readings).then_some(()))
}

/// What the node has used, in nanoseconds.
fn cpu(stage: &mut Stage) -> Result<u64, String> {
    let used = stage.guest.run("cat /proc/$(cat /run/sedge.pid)/task/*/schedstat")?;
    let words = used.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
    Ok(words.sum())
}
