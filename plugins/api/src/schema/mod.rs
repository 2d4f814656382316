//! Settings are checked at run time against a subset of JSON Schema.
//!
//! Why a subset: a complete validator weighs three megabytes and explains badly ("not valid under any of the
//! schemas"). This one takes what [`schemars`](https://docs.rs/schemars) derives from a plugin's settings, finds
//! **all** mistakes of a value in one go, and says for each what was found, what is expected and which valid word
//! is nearest.
//!
//! ```
//! use sedge_plugin::schema::Schema;
//! use serde_json::json;
//!
//! let schema = Schema::compile(&json!({
//!     "type": "object",
//!     "properties": { "mode": { "enum": ["normal", "forced"] }, "every": { "type": "string", "format": "duration" } },
//!     "additionalProperties": false
//! }))?;
//! let mistakes = schema.check(&json!({ "evry": "10s", "mode": "forcd" }));
//! assert_eq!(mistakes[0].to_string(), "unknown key `evry`; did you mean `every`? allowed: every, mode");
//! assert_eq!(mistakes[1].to_string(), "expected one of `normal`, `forced`, found `forcd`; did you mean `forced`?");
//! # Ok::<(), sedge_plugin::schema::SchemaError>(())
//! ```
//!
//! # The subset
//!
//! | for | keywords |
//! |---|---|
//! | all values | `type` (a name or a list), `enum`, `const`, `$ref` (`#` and `#/$defs/NAME`), `allOf` (one `$ref`), `anyOf`, `oneOf` |
//! | objects | `properties`, `required`, `additionalProperties` |
//! | arrays | `items`, `minItems`, `maxItems`, `uniqueItems` |
//! | numbers | `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf` |
//! | strings | `minLength`, `maxLength` |
//! | people | `title`, `description`, `default`, `examples`, `deprecated`, `readOnly`, `writeOnly`, `$comment`, `x-…` |
//! | the root | `$schema`, `$id`, `$defs` |
//!
//! Two things are stricter than JSON Schema, because the value is deserialized into Rust afterwards: `1.0` is not an
//! integer, and these formats are checked: `duration` (texts such as `"1h 30m"`, see [`crate::duration`]), `size` (`"10MB"`), `socket-address`
//! (`"127.0.0.1:9464"`), `sedge-id` and `sedge-name`, and the number
//! formats of schemars (`uint8`, `int32`, `float`, …). Other formats are annotations. A value under `writeOnly: true`
//! or `format: "password"`, or under a key that [`looks_secret`], is never repeated in a mistake.
//!
//! # What it must not do
//!
//! It never accepts what it does not understand: an unknown keyword, `pattern` among them, refuses the whole schema.
//! It fetches nothing, panics on nothing, and its work is bounded: a schema nests at most [`MAX_DEPTH`] deep, and a
//! check that takes too many steps ends with a mistake.

mod alternatives;
mod check;
mod compile;
#[cfg(test)]
mod differential;
mod mistake;
mod nearest;
mod types;

use std::collections::BTreeMap;

use serde_json::Value;

pub use compile::child_pointer;
pub use mistake::{Mistake, MistakeKind, Unit};
pub use nearest::nearest;
pub use types::Types;

/// How deep a schema may nest.
pub const MAX_DEPTH: usize = 32;

/// How many schemas may apply to one value once references are followed.
pub const MAX_EXPANSION: usize = 4096;

/// Why a schema was refused. The pointers are JSON pointers into the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A keyword outside of the subset.
    #[error("the keyword `{keyword}` at `{pointer}` is not supported")]
    UnknownKeyword {
        /// Where the keyword stands.
        pointer: String,
        /// The keyword.
        keyword: String,
    },
    /// A keyword whose value makes no sense.
    #[error("the schema at `{pointer}` should be {expected}")]
    Malformed {
        /// Where the value stands.
        pointer: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A reference that is not local, or leads nowhere.
    #[error("the reference `{reference}` at `{pointer}` is not one of this schema's own `#/$defs/…`")]
    UnknownReference {
        /// Where the reference stands.
        pointer: String,
        /// What it says.
        reference: String,
    },
    /// A definition that refers to itself without going deeper into the value: checking it would never end.
    #[error("the definition `{definition}` refers to itself without end")]
    EndlessReference {
        /// The definition's name, `#` for the root.
        definition: String,
    },
    /// A definition that grows beyond [`MAX_EXPANSION`] when its references are followed.
    #[error("the definition `{definition}` is too large")]
    TooLarge {
        /// The definition's name, `#` for the root.
        definition: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the schema nests deeper than {MAX_DEPTH} levels at `{pointer}`")]
    TooDeep {
        /// Where the limit was passed.
        pointer: String,
    },
}

/// A schema, ready to check values.
#[derive(Debug, Clone)]
pub struct Schema {
    /// What references point to: the root first, then the definitions.
    definitions: Vec<Node>,
}

/// Where the root stands among [`Schema::definitions`].
const ROOT: usize = 0;

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// Refuses a schema that uses anything outside of [the subset](self), naming the place.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile::compile(schema)
    }

    /// Finds all mistakes in a value, in the order in which its keys are visited; none means that it is valid.
    #[must_use]
    pub fn check(&self, value: &Value) -> Vec<Mistake> {
        check::check(self, value).0
    }

    /// JSON pointers to the secrets in a value: those that the schema marks, and those whose key says so.
    #[must_use]
    pub fn secrets(&self, value: &Value) -> Vec<String> {
        check::check(self, value).1
    }
}

/// Whether a key's name says that its value is a secret: `password`, `api_token`, `client-secret`, but not
/// `password_file`, which only says where the secret is.
#[must_use]
pub fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let within = ["password", "passwd", "passphrase", "secret"].iter().any(|word| key.contains(word));
    let at_the_end =
        ["token", "api_key", "apikey", "private_key", "psk"].iter().any(|word| key.ends_with(word));
    (within || at_the_end || key == "pass" || key == "pwd")
        && !key.ends_with("_file")
        && !key.ends_with("_path")
}

/// One schema: `true`, `false`, or rules that must all hold.
#[derive(Debug, Clone)]
enum Node {
    Always(bool),
    Rules(Box<Rules>),
}

/// The keywords of one schema object; what is absent restricts nothing.
#[derive(Debug, Clone, Default)]
struct Rules {
    /// Indices into [`Schema::definitions`].
    references: Vec<usize>,
    types: Option<Types>,
    /// `enum` and `const`.
    choices: Vec<Vec<Value>>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    additional: Option<Node>,
    items: Option<Node>,
    item_count: Bounds<u64>,
    unique_items: bool,
    characters: Bounds<u64>,
    range: Bounds<Limit>,
    multiple_of: Option<serde_json::Number>,
    format: Format,
    description: Option<String>,
    secret: bool,
}

/// Lower and upper limits, as many as there are keywords.
#[derive(Debug, Clone)]
struct Bounds<T> {
    min: Vec<T>,
    max: Vec<T>,
}

impl<T> Default for Bounds<T> {
    fn default() -> Self {
        Self { min: Vec::new(), max: Vec::new() }
    }
}

/// A limit of a number.
#[derive(Debug, Clone)]
struct Limit {
    bound: serde_json::Number,
    exclusive: bool,
}

/// The formats that are checked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Format {
    #[default]
    None,
    Duration,
    Size,
    Rate,
    PublicKey,
    SocketAddress,
    Id,
    Name,
    Integer {
        min: i128,
        max: i128,
    },
    Float,
}

#[cfg(test)]
mod tests;
