//! The messages as others wrote their programs for: a change here breaks plugins that exist.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-protocol` writes them anew; read the difference before you keep it.

use std::fs;
use std::path::PathBuf;

use sedge_protocol::{Decoder, Encoding, MAX_MESSAGE, Message, encode};

use crate::every;

#[test]
fn what_a_plugin_says_stays_as_it_is() {
    is_golden("to_node.jsonl", &every::to_node());
}

#[test]
fn what_a_node_says_stays_as_it_is() {
    is_golden("to_plugin.jsonl", &every::to_plugin());
}

fn is_golden<M: Message + PartialEq + std::fmt::Debug>(file: &str, messages: &[M]) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let lines: Vec<u8> =
        messages.iter().flat_map(|message| encode(message, Encoding::Json).expect("a line")).collect();
    if std::env::var_os("SEDGE_GOLDEN").is_some() {
        fs::write(&file, &lines).expect("a golden file");
    }
    let golden = fs::read_to_string(&file).expect("a golden file");
    assert_eq!(String::from_utf8(lines).expect("UTF-8"), golden);

    let mut decoder = Decoder::<M>::new(MAX_MESSAGE);
    decoder.push(golden.as_bytes());
    for message in messages {
        assert_eq!(decoder.next().expect("a message").as_ref(), Some(message));
    }
    decoder.finish().expect("nothing is left");
}
