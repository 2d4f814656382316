//! Calls of tools and their answers.
//!
//! ```
//! use sedge_mqtt::wire::Request;
//! let request = Request::parse(br#"{"id":"7","args":{"on":true}}"#).unwrap();
//! assert_eq!(request.id.as_deref(), Some("7"));
//! assert!(Request::parse(b"").unwrap().args.is_object(), "as `mosquitto_pub -n` sends it");
//! assert!(Request::parse(b"[1]").is_err());
//! ```

use sedge_plugin::{ToolError, ToolOutcome};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::Signed;

/// The longest id of a call, and the longest name of a caller.
pub const MAX_ID_BYTES: usize = 128;

/// The longest example of what should have been written.
const MAX_EXAMPLE_BYTES: usize = 256;

/// A call of a tool. Everything in it may be left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Names the call to its caller; a call repeated with the same id is answered again, not run again.
    pub id: Option<String>,
    /// The arguments; an empty object where none are given.
    pub args: Json,
    /// Who calls.
    pub from: Option<String>,
    /// What proves who calls.
    pub sig: Option<Signed>,
}

/// Why a payload is not a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not JSON.
    #[error("the call is not JSON ({0}); write {{\"args\":{{…}}}} or nothing")]
    NotJson(String),
    /// It is JSON, and not an object.
    #[error("a call is a JSON object such as {{\"id\":\"1\",\"args\":{{}}}}")]
    NotAnObject,
    /// A member has another type or is too long.
    #[error("`{0}` must be a text of 1 to {MAX_ID_BYTES} bytes")]
    Member(&'static str),
    /// There is a signature, and it cannot be read.
    #[error("`sig` is not a signature: {0}")]
    Signature(String),
    /// There are members, and none of them is `args`: most likely they are the arguments.
    #[error("unknown member `{member}`; arguments stand under `args`{}", example(.args))]
    Unknown {
        /// The first one.
        member: String,
        /// All of them, as they might have been meant; none where that would be long.
        args: Option<String>,
    },
}

/// What to write instead.
fn example(args: &Option<String>) -> String {
    args.as_ref().map_or_else(String::new, |args| format!(": {{\"args\":{args}}}"))
}

impl Request {
    /// Reads a payload. Nothing at all is a call without arguments. Members of later versions are passed over, where
    /// there are `args`.
    pub fn parse(payload: &[u8]) -> Result<Self, RequestError> {
        if payload.is_empty() {
            return Ok(Self { args: Json::Object(Map::new()), ..Self::default() });
        }
        let json =
            serde_json::from_slice(payload).map_err(|error| RequestError::NotJson(error.to_string()))?;
        let Json::Object(mut object) = json else { return Err(RequestError::NotAnObject) };
        let given = object.remove("args");
        let signed = object.remove("sig").is_some_and(|sig| !sig.is_null());
        let (id, from) = (word(&mut object, "id")?, word(&mut object, "from")?);
        if let (None, Some(member)) = (&given, object.keys().next()) {
            let member = member.chars().take(MAX_ID_BYTES).collect();
            let args = Json::Object(object).to_string();
            return Err(RequestError::Unknown {
                member,
                args: (args.len() <= MAX_EXAMPLE_BYTES).then_some(args),
            });
        }
        let args = given.filter(|args| !args.is_null()).unwrap_or_else(|| Json::Object(Map::new()));
        let sig = signed.then(|| Signed::parse(payload)).transpose().map_err(RequestError::Signature)?;
        Ok(Self { id, args, from, sig })
    }

    /// The id of a payload that is not a call, where it has one.
    pub(crate) fn id_of(payload: &[u8]) -> Option<String> {
        let Ok(Json::Object(mut object)) = serde_json::from_slice(payload) else { return None };
        word(&mut object, "id").ok().flatten()
    }

    /// The payload.
    pub fn to_json(&self) -> Vec<u8> {
        let mut object = Map::new();
        for (member, text) in [("id", &self.id), ("from", &self.from)] {
            if let Some(text) = text {
                object.insert(member.into(), text.as_str().into());
            }
        }
        object.insert("args".into(), self.args.clone());
        if let Some(sig) = &self.sig {
            object.insert("sig".into(), serde_json::to_value(&sig.signature).unwrap_or_default());
        }
        super::json(&object)
    }
}

/// A short text; a whole number, as flows in Node-RED have it for an id, counts as one.
fn word(object: &mut Map<String, Json>, member: &'static str) -> Result<Option<String>, RequestError> {
    match object.remove(member) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if (1..=MAX_ID_BYTES).contains(&text.len()) => Ok(Some(text)),
        Some(Json::Number(number)) if number.is_u64() || number.is_i64() => Ok(Some(number.to_string())),
        Some(_) => Err(RequestError::Member(member)),
    }
}

/// What a node answers to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultFrame {
    /// The call's id; the node's own where the call had none.
    pub id: String,
    /// What became of it.
    pub answer: Answer,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Not done yet.
    Progress {
        /// From 0 to 1.
        progress: f64,
        /// For people.
        text: Option<String>,
    },
    /// Done, one way or the other.
    Done {
        /// The result, or why there is none.
        result: Result<Json, ToolError>,
        /// How long it took, in milliseconds.
        ms: u64,
        /// When it ended, in milliseconds since 1970; none while the wall time was not known.
        ts: Option<i64>,
    },
}

impl ResultFrame {
    /// The answer to a call that was run.
    pub fn new(outcome: ToolOutcome, ts: Option<i64>) -> Self {
        let ms = u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX);
        Self { id: outcome.id, answer: Answer::Done { result: outcome.result, ms, ts } }
    }

    /// The answer to a call that was not run.
    pub fn refused(id: impl Into<String>, error: ToolError, ts: Option<i64>) -> Self {
        Self { id: id.into(), answer: Answer::Done { result: Err(error), ms: 0, ts } }
    }

    /// Whether more answers will follow.
    pub fn is_done(&self) -> bool {
        matches!(self.answer, Answer::Done { .. })
    }
}

/// The members in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct Raw {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    result: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ToolError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_wall")]
    ts: Option<Option<i64>>,
}

/// `"result":null` is a result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

mod some_wall {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        ts: &Option<Option<i64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        crate::wire::wall::serialize(&ts.flatten(), serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<i64>>, D::Error> {
        crate::wire::wall::deserialize(deserializer).map(Some)
    }
}

impl Serialize for ResultFrame {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = Raw {
            id: self.id.clone(),
            ok: None,
            done: None,
            progress: None,
            text: None,
            result: None,
            error: None,
            ms: None,
            ts: None,
        };
        match self.answer.clone() {
            Answer::Progress { progress, text } => {
                (raw.done, raw.progress, raw.text) = (Some(false), Some(progress), text);
            }
            Answer::Done { result, ms, ts } => {
                raw.ok = Some(result.is_ok());
                (raw.ms, raw.ts) = (Some(ms), Some(ts));
                match result {
                    Ok(result) => raw.result = Some(result),
                    Err(error) => raw.error = Some(error),
                }
            }
        }
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ResultFrame {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let raw = Raw::deserialize(deserializer)?;
        let answer = match (raw.ok, raw.error) {
            (None, _) if raw.done == Some(false) => {
                Answer::Progress { progress: raw.progress.unwrap_or_default(), text: raw.text }
            }
            (Some(ok), error) => {
                let result = match (ok, error) {
                    (true, _) => Ok(raw.result.unwrap_or(Json::Null)),
                    (false, Some(error)) => Err(error),
                    (false, None) => return Err(D::Error::missing_field("error")),
                };
                Answer::Done { result, ms: raw.ms.unwrap_or_default(), ts: raw.ts.flatten() }
            }
            (None, _) => return Err(D::Error::missing_field("ok")),
        };
        Ok(Self { id: raw.id, answer })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_in_a_call_may_be_left_out() {
        for (payload, id, args) in [
            ("", None, json!({})),
            ("{}", None, json!({})),
            (r#"{"args":null}"#, None, json!({})),
            (r#"{"args":{"on":true},"more":1}"#, None, json!({"on":true})),
            (r#"{"id":7}"#, Some("7"), json!({})),
            (r#"{"id":null,"from":null}"#, None, json!({})),
        ] {
            let request = Request::parse(payload.as_bytes()).unwrap();
            assert_eq!((request.id.as_deref(), request.args), (id, args), "{payload}");
        }
    }

    #[test]
    fn a_call_that_cannot_be_read_says_what_to_write() {
        for payload in ["true", "[1]", "{", "on", r#"{"id":{}}"#, r#"{"id":""}"#, r#"{"from":1.5}"#] {
            let error = Request::parse(payload.as_bytes()).unwrap_err();
            assert!(!error.to_string().is_empty(), "{payload}");
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_ID_BYTES + 1));
        assert_eq!(Request::parse(long.as_bytes()), Err(RequestError::Member("id")));
    }

    #[test]
    fn arguments_that_do_not_stand_under_args_are_told_where_to_stand() {
        let error = |payload: &str| Request::parse(payload.as_bytes()).unwrap_err().to_string();
        let expected = r#"unknown member `on`; arguments stand under `args`: {"args":{"on":true}}"#;
        assert_eq!(error(r#"{"on":true}"#), expected);
        assert_eq!(error(r#"{"id":"1","on":true,"from":"me"}"#), expected);
        let long = error(&format!(r#"{{"text":"{}"}}"#, "x".repeat(300)));
        assert_eq!(long, "unknown member `text`; arguments stand under `args`");
    }

    #[test]
    fn the_id_of_what_is_not_a_call_is_read_where_there_is_one() {
        for (payload, id) in [
            (r#"{"id":7,"on":1}"#, Some("7")),
            (r#"{"id":"a","from":{}}"#, Some("a")),
            ("on", None),
            ("[]", None),
        ] {
            assert_eq!(Request::id_of(payload.as_bytes()).as_deref(), id, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn a_request_that_is_written_is_read_again(id in prop::option::of(".{1,20}"), n in any::<i64>()) {
            let request = Request { id, args: json!({ "n": n }), from: Some("cli".into()), sig: None };
            prop_assert_eq!(Request::parse(&request.to_json()).unwrap(), request);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::parse(&bytes);
            let _ = serde_json::from_slice::<ResultFrame>(&bytes);
        }

        #[test]
        fn no_json_makes_the_parser_panic(text in r#"\{("(id|args|from)":("x"|1|\{\}|null|\[\]),?){0,4}\}"#) {
            let _ = Request::parse(text.as_bytes());
        }
    }
}
