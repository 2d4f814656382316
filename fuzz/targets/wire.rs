//! Any bytes as what comes over MQTT: a call, a frame, a topic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_mqtt::wire::{Base, Info, ReadingFrame, Request, ResultFrame};
use sedge_plugin::{Id, Name, PublicKey};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        let again = Request::parse(&request.to_json()).expect("what is written can be read");
        // What is read is the same, also of a signature; the bytes that were hashed may be others.
        assert_eq!((&again.id, &again.args, &again.from), (&request.id, &request.args, &request.from));
        let signature = |request: &Request| request.sig.as_ref().map(|sig| sig.signature.clone());
        assert_eq!(signature(&again), signature(&request));
        if let (Some(sig), Ok(node), Ok(tool)) = (request.sig, Id::new("pi"), Name::new("pump_set")) {
            let key = PublicKey::new(std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default()));
            assert!(!sig.is_by(&key, &node, &tool), "nobody guesses a signature");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let key = text.parse::<PublicKey>();
        assert!(key.is_err() || key.map(|key| key.to_string().parse()) == Ok(key));
    }
    let _ = serde_json::from_slice::<ResultFrame>(bytes);
    let _ = serde_json::from_slice::<Info>(bytes);
    if let Ok(frame) = serde_json::from_slice::<ReadingFrame>(bytes) {
        assert!(serde_json::to_vec(&frame).is_ok());
    }
    if let (Ok(topic), Ok(base)) = (std::str::from_utf8(bytes), Base::new("sedge/v1")) {
        let _ = (base.place(topic), base.may_reply_to(topic), Base::new(topic));
    }
});
