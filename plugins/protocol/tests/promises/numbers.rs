//! A reading is the same on both sides of the line.

use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
use proptest::prelude::*;
use sedge_plugin::Frame;
use sedge_protocol::{Ask, Decoder, Encoding, MAX_MESSAGE, ToNode, encode, fits, frame};

use crate::every;

/// The bits of a number that a plugin has submitted, as the node reads them.
fn passed(number: f64, encoding: Encoding) -> u64 {
    let mut sent = Frame::default();
    sent.push("level", number);
    let ask = Ask::Submit { sensor: every::id("attic"), frame: frame::encode(&sent) };
    let mut decoder = Decoder::<ToNode>::new(MAX_MESSAGE);
    decoder.switch(encoding);
    decoder.push(&encode(&ToNode::Ask { id: 1, ask }, encoding).expect("encoded"));
    let Ok(Some(ToNode::Ask { ask: Ask::Submit { frame, .. }, .. })) = decoder.next() else {
        panic!("no reading")
    };
    let frame = frame::decode(&frame).expect("a frame");
    frame.samples[0].number().expect("a number").to_bits()
}

#[test]
fn numbers_that_are_easily_read_wrong_are_not_changed() {
    for number in [-0.0, 0.1 + 0.2, 5e-324, f64::MAX, f64::MIN_POSITIVE, 1e23, -2.4715323093837987e234] {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            assert_eq!(passed(number, encoding), number.to_bits(), "{number:e} {encoding:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn no_number_is_changed_by_passing_through_a_plugin(
        number in POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
    ) {
        for encoding in [Encoding::Json, Encoding::Msgpack] {
            prop_assert_eq!(passed(number, encoding), number.to_bits(), "{:e} {:?}", number, encoding);
        }
    }
}

proptest! {
    #[test]
    fn what_fits_is_known_to_the_byte_before_it_is_written(message in every::any_to_plugin()) {
        for (encoding, around) in [(Encoding::Json, "\n".len()), (Encoding::Msgpack, 4)] {
            let length = encode(&message, encoding).expect("encoded").len() - around;
            prop_assert!(fits(&message, encoding, length));
            prop_assert!(!fits(&message, encoding, length - 1));
        }
    }
}
