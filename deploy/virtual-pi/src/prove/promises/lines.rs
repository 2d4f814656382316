//! GPIO: the kernel finds the edges by asking, 25 times a second, so that pulses here are slow.

use serde_json::json;

use super::{SOON, Stage};
use crate::prove::Outcome;

/// The line of the relay, see `node.toml`.
const PUMP: u8 = 5;
/// The line of the counter.
const FLOW: u8 = 3;
const PULSES: u64 = 7;

/// Looks at all of them.
pub fn look(stage: &mut Stage) {
    stage.promise("a relay is switched over MQTT, and the level is on the line", |stage| {
        switched(stage, true)?;
        switched(stage, false)
    });
    stage.promise("every pulse on a line is counted", counted);
}

/// Switches the relay, and looks at the line from outside.
pub(super) fn switched(stage: &mut Stage, on: bool) -> Outcome {
    let result = stage.watch.call("pump_set", &json!({ "on": on }), SOON)?;
    let levels: u8 = stage.guest.say("levels")?.parse().map_err(|_| "no levels")?;
    let seen = format!("{} and the levels are {levels:#010b}", result["result"]);
    let fits = result["ok"] == true && levels & 1 << PUMP == u8::from(on) << PUMP;
    if fits { Ok(seen) } else { Err(format!("{result}: {seen}")) }
}

/// Gives pulses, and looks whether the counter goes on by as many and no further.
pub(super) fn counted(stage: &mut Stage) -> Outcome {
    stage.fails_for_good("flow")?;
    let count = |stage: &mut Stage| {
        let since = stage.watch.heard.count("flow");
        let next = stage.watch.until(SOON, |heard| heard.since("flow", since).first().cloned())?;
        let count = next.fields["pulses"].as_f64();
        count.map(|count| count as u64).ok_or(format!("no count in {}", next.fields))
    };
    let why = |why| format!("the counter: {why}");
    let before = count(stage).map_err(why)?;
    stage.guest.say(&format!("pulse {FLOW} {PULSES}"))?;
    let now = stage.watch.until(SOON, |heard| {
        let count = heard.readings.get("flow")?.last()?.fields["pulses"].as_f64()? as u64;
        (count >= before + PULSES).then_some(count)
    });
    now.map_err(why)?;
    // One more: it must stay there.
    match count(stage)? {
        now if now == before + PULSES => Ok(format!("{PULSES} pulses, {before} to {now}")),
        now => Err(format!("{PULSES} pulses, {before} to {now}")),
    }
}
