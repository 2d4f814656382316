//! Any bytes as what comes over MQTT: a call, a frame, a topic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_mqtt::wire::{Base, Info, ReadingFrame, Request, ResultFrame};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = Request::parse(bytes) {
        assert!(Request::parse(&request.to_json()).is_ok());
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
