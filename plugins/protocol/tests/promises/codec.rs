//! Whatever comes in whatever pieces: messages, or a reason.

use std::fmt::Debug;

use proptest::prelude::*;
use sedge_protocol::{Ask, CodecError, Decoder, Encoding, MAX_MESSAGE, Message, ToNode, encode};

use crate::every;

const PONG: &[u8] = b"{\"type\":\"pong\",\"id\":7}\n";

fn decoder(max: usize, encoding: Encoding) -> Decoder<ToNode> {
    let mut decoder = Decoder::new(max);
    decoder.switch(encoding);
    decoder
}

/// All that comes out when `bytes` come in pieces of this many.
fn decode<M: Message>(bytes: &[u8], encoding: Encoding, piece: usize) -> Result<Vec<M>, CodecError> {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    decoder.switch(encoding);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.push(piece);
        while let Some(message) = decoder.next()? {
            messages.push(message);
        }
    }
    decoder.finish().map(|()| messages)
}

fn comes_back<M: Message + PartialEq + Debug>(messages: &[M], piece: usize) {
    for encoding in [Encoding::Json, Encoding::Msgpack] {
        let bytes: Vec<u8> =
            messages.iter().flat_map(|message| encode(message, encoding).expect("encoded")).collect();
        assert_eq!(decode::<M>(&bytes, encoding, piece).expect("decoded"), messages, "{encoding:?}");
    }
}

#[test]
fn every_message_comes_back_in_both_encodings() {
    for piece in [1, 3, 7, 4096] {
        comes_back(&every::to_node(), piece);
        comes_back(&every::to_plugin(), piece);
    }
}

proptest! {
    #[test]
    fn any_message_of_a_plugin_comes_back(
        messages in prop::collection::vec(every::any_to_node(), 0..4),
        piece in 1..200usize,
    ) {
        comes_back(&messages, piece);
    }

    #[test]
    fn any_message_of_a_node_comes_back(
        messages in prop::collection::vec(every::any_to_plugin(), 0..4),
        piece in 1..200usize,
    ) {
        comes_back(&messages, piece);
    }

    #[test]
    fn any_bytes_give_messages_or_a_reason_that_can_be_shown(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        is_json: bool,
        piece in 1..200usize,
    ) {
        let encoding = if is_json { Encoding::Json } else { Encoding::Msgpack };
        if let Err(error) = decode::<ToNode>(&bytes, encoding, piece) {
            let text = error.to_string();
            prop_assert!(text.chars().count() < 400, "{text}");
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn a_carriage_return_and_blank_lines_are_nothing() {
    let text = b"\r\n\n  \n{\"type\":\"pong\",\"id\":7}\r\n\n{\"type\":\"pong\",\"id\":8}\n \n";
    for piece in 1..30 {
        let messages: Vec<ToNode> = decode(text, Encoding::Json, piece).expect("two messages");
        assert_eq!(messages, [ToNode::Pong { id: 7 }, ToNode::Pong { id: 8 }]);
    }
}

#[test]
fn a_frame_of_two_gigabytes_is_refused_by_its_head() {
    let mut decoder = decoder(MAX_MESSAGE, Encoding::Msgpack);
    decoder.push(&0x8000_0000_u32.to_be_bytes());
    let error = decoder.next().expect_err("too long");
    assert!(matches!(error, CodecError::TooLong { announced: Some(0x8000_0000), .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("a message of 2147483648 bytes, where 1048576 are allowed"),
        "{error}"
    );
}

#[test]
fn a_line_without_an_end_is_refused_once_it_is_too_long() {
    let mut decoder = decoder(64, Encoding::Json);
    decoder.push(&[b'a'; 64]);
    assert_eq!(decoder.next(), Ok(None));
    decoder.push(b"a");
    let error = decoder.next().expect_err("too long");
    assert_eq!(
        error.to_string(),
        format!(
            "a message of more than 64 bytes, where 64 are allowed; it begins with `{}…`",
            "a".repeat(59)
        )
    );
    decoder.push(PONG);
    assert_eq!(decoder.next(), Err(error), "nothing can be read after it");
}

#[test]
fn a_message_may_be_as_long_as_is_allowed_and_no_longer() {
    let max = PONG.len() - 1;
    for (max, is_read) in [(max, true), (max - 1, false)] {
        let mut decoder = decoder(max, Encoding::Json);
        decoder.push(PONG);
        assert_eq!(decoder.next().is_ok(), is_read);
    }
    let frame = encode(&ToNode::Pong { id: 7 }, Encoding::Msgpack).expect("a frame");
    for (max, is_read) in [(frame.len() - 4, true), (frame.len() - 5, false)] {
        let mut decoder = decoder(max, Encoding::Msgpack);
        decoder.push(&frame);
        assert_eq!(decoder.next().is_ok(), is_read);
    }
}

#[test]
fn half_a_message_at_the_end_is_said() {
    let mut decoder = decoder(MAX_MESSAGE, Encoding::Json);
    decoder.push(&PONG[..9]);
    assert_eq!(decoder.next(), Ok(None));
    let error = decoder.finish().expect_err("half a message");
    assert_eq!(
        error.to_string(),
        "the line ended within a message, 9 bytes after its beginning: `{\"type\":\"`"
    );
    assert_eq!(self::decoder(MAX_MESSAGE, Encoding::Json).finish(), Ok(()));
}

#[test]
fn what_is_no_message_is_quoted() {
    let cases: [(&[u8], &str); 4] = [
        (
            b"Hello, \x1b[31mworld\n",
            "`Hello, ·[31mworld` is not a message: expected value at line 1 column 1",
        ),
        (b"[1, 2]\n", "`[1, 2]` is not a message: "),
        (b"{\"type\":\"pong\"}\n", "`{\"type\":\"pong\"}` is not a message: missing field `id`"),
        (b"\xff\xfe\n", "`\u{fffd}\u{fffd}` is not a message: "),
    ];
    for (bytes, says) in cases {
        let error = decode::<ToNode>(bytes, Encoding::Json, 100).expect_err("no message");
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

#[test]
fn a_frame_holds_one_message_and_nothing_else() {
    let mut frame = encode(&ToNode::Pong { id: 7 }, Encoding::Msgpack).expect("a frame");
    frame.push(0xc0);
    frame[3] += 1;
    let error = decode::<ToNode>(&frame, Encoding::Msgpack, 100).expect_err("one byte more");
    assert!(error.to_string().ends_with("1 bytes follow its end"), "{error}");
}

#[test]
fn messages_of_a_later_version_are_skipped_and_counted() {
    let later = b"{\"type\":\"dance\",\"with\":[1,{}]}\n";
    let mut decoder = decoder(MAX_MESSAGE, Encoding::Json);
    decoder.push(&[later, PONG, later].concat());
    assert_eq!(decoder.next(), Ok(Some(ToNode::Pong { id: 7 })));
    assert_eq!(decoder.next(), Ok(None));
    assert_eq!(decoder.skipped(), 2);
}

#[test]
fn what_a_later_version_asks_is_not_skipped_since_somebody_waits() {
    let text = b"{\"type\":\"ask\",\"id\":3,\"do\":\"dance\",\"with\":1}\n";
    let messages: Vec<ToNode> = decode(text, Encoding::Json, 100).expect("a message");
    assert_eq!(messages, [ToNode::Ask { id: 3, ask: Ask::Unknown }]);
}

#[test]
fn what_a_message_has_beyond_what_is_known_is_ignored() {
    let text = b"{\"type\":\"pong\",\"id\":7,\"mood\":{\"a\":[1]}}\n";
    assert_eq!(decode::<ToNode>(text, Encoding::Json, 100), Ok(vec![ToNode::Pong { id: 7 }]));
}

#[test]
fn the_encoding_changes_between_two_messages() {
    let mut decoder = decoder(MAX_MESSAGE, Encoding::Json);
    decoder.push(PONG);
    assert!(decoder.next().expect("a line").is_some());
    decoder.switch(Encoding::Msgpack);
    decoder.push(&encode(&ToNode::Pong { id: 9 }, Encoding::Msgpack).expect("a frame"));
    assert_eq!(decoder.next(), Ok(Some(ToNode::Pong { id: 9 })));
    decoder.switch(Encoding::Unknown);
    assert_eq!(decoder.next(), Err(CodecError::NoSuchEncoding));
}

#[test]
fn deep_nesting_is_refused_in_both_encodings() {
    for deep in [100, 200, 100_000] {
        let json =
            format!("{{\"type\":\"ok\",\"id\":1,\"result\":{}{}}}\n", "[".repeat(deep), "]".repeat(deep));
        assert_eq!(decode::<ToNode>(json.as_bytes(), Encoding::Json, 4096).is_ok(), deep == 100);

        let mut body = b"\x83\xa4type\xa2ok\xa2id\x01\xa6result".to_vec();
        body.extend(std::iter::repeat_n(0x91, deep));
        body.push(0xc0);
        let mut frame = u32::try_from(body.len()).expect("small").to_be_bytes().to_vec();
        frame.extend(body);
        assert_eq!(decode::<ToNode>(&frame, Encoding::Msgpack, 4096).is_ok(), deep == 100);
    }
}

#[test]
fn what_is_announced_within_a_frame_is_not_believed() {
    // A text, an array and a map of four billion, each with nothing in it.
    for head in [0xdb, 0xdd, 0xdf] {
        let mut body = b"\x83\xa4type\xa2ok\xa2id\x01\xa6result".to_vec();
        body.extend([head, 0xff, 0xff, 0xff, 0xff]);
        let mut frame = u32::try_from(body.len()).expect("small").to_be_bytes().to_vec();
        frame.extend(body);
        assert!(decode::<ToNode>(&frame, Encoding::Msgpack, 4096).is_err());
    }
}
