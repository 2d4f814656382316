//! How payloads are written: JSON, or CBOR under a base of its own. One encoding per base, never mixed on one topic.
//!
//! All payloads are made as JSON; where a node speaks CBOR, the link translates on its way out and back. So a payload has one
//! definition, and CBOR costs those who use it. What is no JSON (`online`, `offline`, nothing at all) stays as it is.
//!
//! ```
//! use sedge_mqtt::wire::Encoding;
//! assert_eq!(Encoding::Cbor.base(), "sedge-cbor/v1");
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::debug;

/// Which of them a node writes, and expects to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// RFC 8259: what Home Assistant, Node-RED and people read.
    #[default]
    Json,
    /// RFC 8949: fewer bytes, for links that are paid by the byte.
    Cbor,
}

impl Encoding {
    /// The base that is its own, unless told otherwise.
    pub fn base(self) -> &'static str {
        match self {
            Self::Json => "sedge/v1",
            Self::Cbor => "sedge-cbor/v1",
        }
    }

    /// The content type of a payload.
    pub(crate) fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Json => Some("application/json"),
            Self::Cbor => Some("application/cbor"),
        }
    }

    /// A payload that was made as JSON, as it goes over the wire.
    pub(crate) fn written(self, json: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Json => json,
            Self::Cbor => cbor(&json).unwrap_or(json),
        }
    }

    /// A payload from the wire, as JSON; as it is where it is not of this encoding, for whoever reads it to refuse.
    pub(crate) fn read(self, payload: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Json => payload,
            Self::Cbor if payload.is_empty() => payload,
            Self::Cbor => json(&payload).unwrap_or(payload),
        }
    }
}

fn cbor(json: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_slice(json);
    let written = ciborium::into_writer(&serde_transcode::Transcoder::new(&mut reader), &mut bytes);
    written.inspect_err(|error| debug!(%error, "A payload is no JSON.")).ok()?;
    Some(bytes)
}

fn json(cbor: &[u8]) -> Option<Vec<u8>> {
    // Nested no deeper than a call may be.
    let value: ciborium::Value = ciborium::de::from_reader_with_recursion_limit(cbor, 64).ok()?;
    serde_json::to_vec(&value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_payload_comes_back_as_it_was_in_its_order() {
        let json = br#"{"ts":"2026-11-20T17:28:24.123Z","seq":4711,"fields":{"z":21.5,"a":null,"on":true}}"#;
        let cbor = Encoding::Cbor.written(json.to_vec());
        assert!(cbor.len() < json.len() && cbor[0] >> 5 == 5, "a map: {cbor:02x?}");
        assert_eq!(Encoding::Cbor.read(cbor), json);
        assert_eq!(Encoding::Json.written(json.to_vec()), json);
    }

    #[test]
    fn what_is_not_of_the_encoding_is_left_to_whoever_reads_it() {
        for payload in [&b""[..], b"online", b"\xff\xff", b"{\"args\":{}}"] {
            assert_eq!(Encoding::Cbor.read(payload.to_vec()), payload);
        }
        assert_eq!(Encoding::Cbor.written(b"online".to_vec()), b"online");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Encoding::Cbor.read(bytes.clone());
            let _ = Encoding::Cbor.written(bytes);
        }
    }
}
