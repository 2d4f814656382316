//! Any bytes as `plugin.toml`: no panic, and every mistake is one line with its place in the file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let Err(mistakes) = sedge_host::parse(Path::new("/nowhere/pump"), bytes) else { return };
    assert!(!mistakes.is_empty());
    let lines = text.split('\n').count();
    for mistake in mistakes {
        let at = mistake.at.expect("a place");
        assert!((1..=lines).contains(&at.line));
        assert!(!mistake.to_string().contains(char::is_control));
    }
});
