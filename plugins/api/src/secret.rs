//! A text that is used and never shown: a password, a token.
//!
//! ```
//! let password = sedge_plugin::Secret::new("hunter2");
//! assert_eq!(format!("{password:?}"), "***");
//! assert_eq!(password.expose(), "hunter2");
//! ```

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// What stands for a secret wherever one would be shown.
pub const MASK: &str = "***";

/// A text whose content only [`Secret::expose`] gives away: printed or serialized it is [`MASK`].
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_printed_and_serialized_as_stars() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret:?} {}", serde_json::to_value(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
