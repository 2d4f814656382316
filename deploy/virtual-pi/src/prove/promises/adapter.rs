//! The whole bridge goes and comes, as something on USB does.
//!
//! The kernel takes an adapter away only when the last program has let go of it. So a node that held on to it would keep
//! it from ever coming back.

use std::time::Instant;

use super::lines::{counted, switched};
use super::{LATER, Stage, has_value, unbroken};

/// Looks at all of them.
pub fn look(stage: &mut Stage) {
    let behind = ["air", "warmth", "light", "damp", "pump", "flow"];
    let since = stage.watch.heard.count("board");

    stage.promise("an adapter that goes is let go of", |stage| {
        let mut plug = stage.guest.another()?;
        let began = Instant::now();
        plug.begin("vanish")?;
        plug.ended(LATER).map(|_| format!("{} s", began.elapsed().as_secs()))
    });
    stage.promise("what was behind it is told of", |stage| {
        let told = behind.map(|sensor| stage.amiss(sensor, LATER, &["does not exist", "gone"]));
        told.into_iter().collect::<Result<Vec<_>, _>>().map(|told| told[0].clone())
    });
    stage.promise("back again it is read again", |stage| {
        stage.guest.say("return")?;
        let seen = behind.map(|sensor| stage.reading(sensor, LATER, has_value));
        seen.into_iter().collect::<Result<Vec<_>, _>>().map(|seen| seen.join(" "))
    });
    stage.promise("its relay is switched again", |stage| switched(stage, true));
    stage.promise("its counter counts again", counted);
    stage.promise("the other bus was read all the while", |stage| {
        unbroken(&stage.watch.heard, "board", since, 5)
    });
}
