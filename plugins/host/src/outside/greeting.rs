//! What a plugin outside says of itself when it starts, held against its manifest.
//!
//! A manifest is what people read before they install and grant; a plugin that is another one, or offers other tools, is
//! refused before it is asked anything. It must not look at anything but the two.

use std::time::Duration;

use sedge_plugin::{PluginError, Tool};
use sedge_protocol::{Encoding, HelloMessage, PROTOCOL, ToNode, Why};
use serde_json::Value as Json;

use crate::manifest::Declaration;

/// The shortest time between two ticks that a plugin may wish for.
const OFTEN: Duration = Duration::from_millis(10);

/// How what follows is encoded, where it is the plugin of this manifest and speaks our protocol.
pub(super) fn hello(declared: &Declaration, hello: &HelloMessage) -> Result<Encoding, PluginError> {
    let refused = |why: String| Err(PluginError::Settings(why.into()));
    if hello.protocol.major != PROTOCOL.major {
        let (theirs, newer) = (hello.protocol, hello.protocol.major > PROTOCOL.major);
        let what = match newer {
            true => "upgrade sedge, or install an older version of the plugin",
            false => "upgrade the plugin",
        };
        return refused(format!("it speaks version {theirs} of the protocol, this node {PROTOCOL}: {what}"));
    }
    let info = &declared.info;
    if (hello.plugin.as_str(), hello.version.as_str()) != (info.name.as_str(), info.version.as_str()) {
        return refused(format!(
            "it says that it is `{}` {}, its manifest that it is `{}` {}: install it anew",
            short(&hello.plugin),
            short(&hello.version),
            info.name,
            info.version
        ));
    }
    let known = hello.encodings.iter().find(|encoding| **encoding != Encoding::Unknown);
    match known {
        Some(encoding) => Ok(*encoding),
        None if hello.encodings.is_empty() => Ok(Encoding::Json),
        None => refused("it speaks none of the encodings `json` and `msgpack`".into()),
    }
}

/// How often it wants to be ticked, where it is set up and offers the tools of this manifest.
pub(super) fn ready(declared: &Declaration, answer: ToNode) -> Result<Option<Duration>, PluginError> {
    match answer {
        ToNode::Ready { tools, every_ms } => {
            lies(declared, &tools).map_or(Ok(()), |lie| Err(PluginError::Settings(lie.into())))?;
            Ok(every_ms.map(Duration::from_millis).map(|every| every.max(OFTEN)))
        }
        ToNode::Failed { why, message } => {
            let message = one_line(&message).chars().take(LONGEST).collect::<String>().into();
            Err(match why {
                Why::Settings => PluginError::Settings(message),
                Why::Unmet => PluginError::Unmet(message),
                Why::Failed => PluginError::Failed(message),
            })
        }
        _ => Err(PluginError::failed("it answered `welcome` with neither `ready` nor `failed`")),
    }
}

/// What a plugin says, in one line.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" | ").replace(char::is_control, " ")
}

/// What of its tools is not as the manifest says.
pub(crate) fn lies(declared: &Declaration, offered: &[Tool]) -> Option<String> {
    let mut wrong = Vec::new();
    for (at, tool) in offered.iter().enumerate() {
        let name = &tool.name;
        match declared.tools.iter().find(|known| known.name == *name) {
            None => wrong.push(format!("it offers `{name}`, which is not in its manifest")),
            Some(_) if offered[..at].iter().any(|other| other.name == *name) => {
                wrong.push(format!("it offers `{name}` twice"));
            }
            Some(known) => {
                let known = Tool::from(known.clone());
                if bare(&known.input_schema) != bare(&tool.input_schema) {
                    wrong.push(format!("`{name}` takes other arguments than its manifest says"));
                }
                if known.output_schema.is_some()
                    && known.output_schema.as_ref().map(bare) != tool.output_schema.as_ref().map(bare)
                {
                    wrong.push(format!("`{name}` has another result than its manifest says"));
                }
            }
        }
    }
    let missing = declared.tools.iter().filter(|known| offered.iter().all(|tool| tool.name != known.name));
    wrong
        .extend(missing.map(|known| format!("it does not offer `{}`, which is in its manifest", known.name)));
    wrong.truncate(MOST);
    let text = wrong.join("; ");
    (!text.is_empty()).then(|| format!("its tools are not those of its manifest: {text}"))
}

/// A schema without the words that bind nobody: what people read of it may differ.
fn bare(schema: &Json) -> Json {
    let Json::Object(words) = schema else { return schema.clone() };
    let is_bound = |word: &str, value: &Json| match word {
        "$schema" | "$id" | "$comment" | "title" | "description" | "examples" | "default" => false,
        // As `schemars` writes it for the numbers of Rust; the bounds stand beside it.
        "format" => !value.as_str().is_some_and(|format| FORMATS.contains(&format)),
        _ => true,
    };
    let words = words.iter().filter(|(word, value)| is_bound(word, value));
    let words = words.map(|(word, value)| {
        let value = match (word.as_str(), value) {
            ("const" | "enum" | "required", value) => value.clone(),
            // Here the words are names.
            ("properties" | "patternProperties" | "$defs" | "definitions", Json::Object(named)) => {
                named.iter().map(|(name, schema)| (name.clone(), bare(schema))).collect()
            }
            (_, Json::Array(several)) => several.iter().map(bare).collect(),
            (_, value) => bare(value),
        };
        (word.clone(), value)
    });
    words.collect()
}

/// Formats that say what type a number has in Rust.
const FORMATS: &[&str] = &[
    "int8", "int16", "int32", "int64", "int", "uint8", "uint16", "uint32", "uint64", "uint", "float",
    "double",
];

/// Lies that are told of at once.
const MOST: usize = 5;

/// Characters of a message that are told of.
const LONGEST: usize = 1000;

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_differs_by_what_binds_a_caller_and_by_nothing_else() {
        let declared = json!({
            "type": "object",
            "properties": { "title": { "type": "integer", "minimum": 0, "maximum": 255 }, "to": { "enum": ["title"] } },
            "required": ["title"], "additionalProperties": false,
        });
        let mut offered = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Set", "type": "object",
            "properties": {
                "title": { "description": "A number.", "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 },
                "to": { "enum": ["title"], "default": "title" },
            },
            "required": ["title"], "additionalProperties": false,
        });
        assert_eq!(bare(&declared), bare(&offered));
        offered["properties"]["title"]["maximum"] = json!(256);
        assert_ne!(bare(&declared), bare(&offered));
        assert_ne!(bare(&json!({ "format": "uri" })), bare(&json!({})));
    }
}
