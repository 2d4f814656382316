//! What a broker sends, in pieces: read or refused, within the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_mqtt::packet::{Frame, Frames, Packet, Version};

const LIMIT: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else { return };
    let version = if cut & 1 == 0 { Version::V3 } else { Version::V5 };
    let mut frames = Frames::new(LIMIT);
    for piece in bytes.chunks(usize::from(cut / 2) + 1) {
        frames.buffer().extend_from_slice(piece);
        loop {
            match frames.next() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(Frame::TooLarge { bytes, .. })) => assert!(bytes > LIMIT),
                Ok(Some(Frame::Whole { first, body })) => {
                    assert!(body.len() < LIMIT);
                    if Packet::read(version, first, body).is_err() {
                        return;
                    }
                }
            }
        }
    }
});
