//! One chip goes or stumbles; its neighbours on the same wires do not care.

use serde_json::Value as Json;

use super::{LATER, SOON, Stage, has_value, unbroken};

/// Looks at all of them.
pub fn look(stage: &mut Stage) {
    let neighbours = ["warmth", "light"];
    let since = neighbours.map(|sensor| stage.watch.heard.count(sensor));

    stage.promise("a chip that goes is told of", |stage| {
        stage.guest.say("detach 0x76")?;
        stage.amiss("air", SOON, &["no device answers", "timed out"])
    });
    stage.promise("its neighbours are read all the while", |stage| {
        stage.watch.until(SOON, |heard| {
            [0, 1].iter().all(|&i| heard.count(neighbours[i]) >= since[i] + 5).then_some(())
        })?;
        let [warmth, light] = [0, 1].map(|i| unbroken(&stage.watch.heard, neighbours[i], since[i], 5));
        Ok(format!("{}, {}", warmth?, light?))
    });
    stage.promise("back again it is read again", |stage| {
        stage.guest.say("attach 0x76")?;
        stage.reading("air", LATER, has_value)
    });
    stage.promise("bits that turn around on the wires are no reading", |stage| {
        let since = stage.watch.heard.count("damp");
        stage.guest.say("corrupt 0x44 1000")?;
        let told = stage.amiss("damp", SOON, &["checksum"])?;
        stage.guest.say("corrupt 0x44 0")?;
        stage.reading("damp", LATER, has_value)?;
        let plausible =
            |fields: &Json| fields["temperature"].as_f64().is_none_or(|t| (10.0..30.0).contains(&t));
        let wrong = stage.watch.heard.since("damp", since).iter().find(|reading| !plausible(&reading.fields));
        wrong.map_or(Ok(told), |reading| Err(reading.fields.to_string()))
    });
    stage.promise("a byte that is not acknowledged costs no restart", |stage| {
        let restarts = |stage: &Stage| stage.watch.heard.health["warmth"]["restarts"].as_u64();
        let (before, since) = (restarts(stage), stage.watch.heard.count("warmth"));
        stage.guest.say("nack 0x49 1")?;
        stage.watch.until(SOON, |heard| (heard.count("warmth") > since + 2).then_some(()))?;
        let after = restarts(stage);
        let numbers = unbroken(&stage.watch.heard, "warmth", since, 2)?;
        if before == after { Ok(numbers) } else { Err(format!("restarts: {before:?}, then {after:?}")) }
    });
}
