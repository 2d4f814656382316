//! Any bytes as what a plugin says, or a node, in both encodings and in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_protocol::{Decoder, Encoding, Message, ToNode, ToPlugin, encode};

const MAX: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let Some(([how, piece], bytes)) = bytes.split_first_chunk::<2>() else { return };
    let encoding = if how % 2 == 0 { Encoding::Json } else { Encoding::Msgpack };
    let piece = usize::from(*piece).max(1);
    read::<ToNode>(bytes, encoding, piece);
    read::<ToPlugin>(bytes, encoding, piece);
});

fn read<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8], encoding: Encoding, piece: usize) {
    let pieces = messages::<M>(bytes, encoding, piece);
    let whole = messages::<M>(bytes, encoding, bytes.len().max(1));
    assert_eq!(pieces.0, whole.0, "how it is cut makes no difference");
    for message in &whole.0 {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            let bytes = encode(message, encoding).expect("what is read can be written");
            // Longer than what was read, it may be too long.
            let (again, error) = messages::<M>(&bytes, encoding, bytes.len());
            assert!(bytes.len() > MAX || again.len() == 1, "{message:?} {error}");
        }
    }
}

fn messages<M: Message>(bytes: &[u8], encoding: Encoding, piece: usize) -> (Vec<M>, String) {
    let mut decoder = Decoder::<M>::new(MAX);
    decoder.switch(encoding);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, error.to_string()),
            }
        }
    }
    (messages, decoder.finish().err().map(|error| error.to_string()).unwrap_or_default())
}
