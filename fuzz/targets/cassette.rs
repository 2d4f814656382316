//! Any text as a cassette: no panic, every mistake has its place, and what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_hal::{Adapter, Cassette, CassetteError, Event, Replay};

/// What is within JSON may have a fraction, whose last digit is no matter of a cassette.
fn has_json(text: &str) -> bool {
    text.contains("settings") || text.contains("operate")
}

fuzz_target!(|text: &str| {
    let whole = [text.to_owned(), format!("sedge-cassette 1\nkind: a\nbus: i2c\nseat: 0x48\n\n{text}")];
    for text in whole {
        let cassette = match Cassette::parse(&text) {
            Ok(cassette) => cassette,
            Err(CassetteError::Wrong { line, column, .. }) => {
                let at = text.split('\n').nth(line - 1).expect("a line of the text");
                // The first line may begin with a byte order mark, which is no part of it.
                return assert!(column <= at.chars().count() + 1);
            }
            Err(error) => panic!("{error}"),
        };
        let again = Cassette::parse(&cassette.to_string()).expect("what was written");
        assert!(again == cassette || has_json(&text));
        let mut replay = Replay::new(cassette, false);
        let Ok(mut device) = replay.i2c(0x48) else { continue };
        for entry in again.entries() {
            if let Event::Transfer(..) = entry.event {
                let _ = (device.read_u8(0x0F), device.write(&[0xF4, 0x25]));
            }
        }
    }
});
