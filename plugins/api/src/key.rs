//! Public keys as a config has them: `"ed25519:BASE64"`.
//!
//! ```
//! use sedge_plugin::PublicKey;
//! let key: PublicKey = "ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse().unwrap();
//! assert_eq!(key.bytes()[31], 31);
//! ```
//!
//! It is 32 bytes of the right form, no more: whether they are a point of the curve is for whoever checks signatures.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What stands before the key: what it is for.
const KIND: &str = "ed25519:";

/// The public half of an Ed25519 key pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why a text is not a [`PublicKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a public key: write `ed25519:` and 44 characters of base64, as `sedge caller new NAME` prints them"
)]
pub struct KeyError;

impl FromStr for PublicKey {
    type Err = KeyError;

    /// The text is not repeated in the error: somebody may have pasted the private half.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let base64 = text.trim().strip_prefix(KIND).ok_or(KeyError)?;
        let bytes = BASE64_STANDARD.decode(base64).map_err(|_| KeyError)?;
        bytes.try_into().map(Self).map_err(|_| KeyError)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PublicKey {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "PublicKey".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "public-key", "examples": ["ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_printed_is_read_again() {
        let key = PublicKey::new([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused_without_repeating_it() {
        for text in
            ["", "ed25519:", "ed25519:AAEC", "rsa:AAEC", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="]
        {
            let error = text.parse::<PublicKey>().unwrap_err().to_string();
            assert!(error.contains("sedge caller new"), "{error}");
            assert!(text.len() < 20 || !error.contains(text), "{error}");
        }
    }
}
