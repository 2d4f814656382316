//! From JSON to [`Schema`], refusing everything that [`super::check`] would not honour.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};

use super::{Bounds, Format, Limit, MAX_DEPTH, MAX_EXPANSION, Node, ROOT, Rules, Schema, SchemaError, Types};

pub(super) fn compile(schema: &Value) -> Result<Schema, SchemaError> {
    let definitions = match schema.get("$defs") {
        None => None,
        Some(Value::Object(definitions)) => Some(definitions),
        Some(_) => return Err(malformed("/$defs", "an object of schemas")),
    };
    let names = definitions.into_iter().flat_map(Map::keys);
    let indices = names.enumerate().map(|(at, name)| (name.as_str(), at + 1)).collect();
    let compiler = Compiler { indices };
    let mut nodes = vec![compiler.node(schema, "", 0)?];
    for (name, definition) in definitions.into_iter().flatten() {
        nodes.push(compiler.node(definition, &child_pointer("/$defs", name), 1)?);
    }
    let named = |at: usize| {
        let name = compiler.indices.iter().find(|&(_, &index)| index == at);
        name.map_or("#".to_owned(), |(name, _)| (*name).to_owned())
    };
    match expand_all(&nodes) {
        Ok(()) => Ok(Schema { definitions: nodes }),
        Err(Unbounded::Endless(at)) => Err(SchemaError::EndlessReference { definition: named(at) }),
        Err(Unbounded::TooLarge(at)) => Err(SchemaError::TooLarge { definition: named(at) }),
    }
}

/// The JSON pointer one level below `pointer`.
///
/// ```
/// assert_eq!(sedge_plugin::schema::child_pointer("/labels", "a/b"), "/labels/a~1b");
/// ```
#[must_use]
pub fn child_pointer(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn malformed(pointer: &str, expected: &'static str) -> SchemaError {
    SchemaError::Malformed { pointer: pointer.into(), expected }
}

struct Compiler<'a> {
    /// From a definition's name to its place in [`Schema::definitions`].
    indices: HashMap<&'a str, usize>,
}

impl Compiler<'_> {
    fn node(&self, schema: &Value, pointer: &str, depth: usize) -> Result<Node, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep { pointer: pointer.into() });
        }
        match schema {
            Value::Bool(always) => Ok(Node::Always(*always)),
            Value::Object(keywords) => {
                let mut rules = Rules::default();
                for (keyword, value) in keywords {
                    self.keyword(&mut rules, keyword, value, pointer, depth)?;
                }
                Ok(Node::Rules(Box::new(rules)))
            }
            _ => Err(malformed(pointer, "a schema: an object, true or false")),
        }
    }

    fn keyword(
        &self,
        rules: &mut Rules,
        keyword: &str,
        value: &Value,
        parent: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        let at = &child_pointer(parent, keyword);
        match keyword {
            "type" => rules.types = Some(types(value, at)?),
            "enum" => rules.choices.push(array(value, at)?.clone()),
            "const" => rules.choices.push(vec![value.clone()]),
            "$ref" => rules.references.push(self.reference(value, at)?),
            "allOf" => rules.references.push(self.single_reference(value, at)?),
            "anyOf" => rules.any_of = self.nodes(value, at, depth)?,
            "oneOf" => rules.one_of = self.nodes(value, at, depth)?,
            "properties" => {
                for (name, property) in object(value, at)? {
                    let node = self.node(property, &child_pointer(at, name), depth + 1)?;
                    rules.properties.insert(name.clone(), node);
                }
            }
            "required" => rules.required = strings(value, at)?,
            "additionalProperties" => rules.additional = Some(self.node(value, at, depth + 1)?),
            "items" => rules.items = Some(self.node(value, at, depth + 1)?),
            "minItems" => rules.item_count.min.push(count(value, at)?),
            "maxItems" => rules.item_count.max.push(count(value, at)?),
            "uniqueItems" => rules.unique_items = boolean(value, at)?,
            "minLength" => rules.characters.min.push(count(value, at)?),
            "maxLength" => rules.characters.max.push(count(value, at)?),
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => {
                limit(&mut rules.range, keyword, value, at)?;
            }
            "multipleOf" => match number(value, at)? {
                n if n.as_f64() > Some(0.0) => rules.multiple_of = Some(n),
                _ => return Err(malformed(at, "a number above 0")),
            },
            "format" => {
                let name = string(value, at)?;
                rules.format = format(name);
                rules.secret |= name == "password";
            }
            "writeOnly" => rules.secret |= boolean(value, at)?,
            "description" => rules.description = first_paragraph(string(value, at)?),
            "title" | "$comment" => drop(string(value, at)?),
            "deprecated" | "readOnly" => drop(boolean(value, at)?),
            "default" | "examples" => {}
            "$schema" | "$id" | "$defs" if depth == 0 => {}
            extension if extension.starts_with("x-") => {}
            _ => return Err(SchemaError::UnknownKeyword { pointer: parent.into(), keyword: keyword.into() }),
        }
        Ok(())
    }

    fn nodes(&self, value: &Value, at: &str, depth: usize) -> Result<Vec<Node>, SchemaError> {
        let nodes = array(value, at)?.iter().enumerate();
        nodes.map(|(i, node)| self.node(node, &format!("{at}/{i}"), depth + 1)).collect()
    }

    fn reference(&self, value: &Value, at: &str) -> Result<usize, SchemaError> {
        let reference = string(value, at)?;
        if reference == "#" {
            return Ok(ROOT);
        }
        let name = reference.strip_prefix("#/$defs/").map(|name| name.replace("~1", "/").replace("~0", "~"));
        name.and_then(|name| self.indices.get(name.as_str()).copied())
            .ok_or_else(|| SchemaError::UnknownReference { pointer: at.into(), reference: reference.into() })
    }

    fn single_reference(&self, value: &Value, at: &str) -> Result<usize, SchemaError> {
        let expected = || malformed(at, "an array of a single {\"$ref\": …}");
        let [Value::Object(only)] = array(value, at)?.as_slice() else { return Err(expected()) };
        match only.get("$ref") {
            Some(reference) if only.len() == 1 => self.reference(reference, &format!("{at}/0/$ref")),
            _ => Err(expected()),
        }
    }
}

/// Why the work at one value would not be bounded. Has the place of the definition.
enum Unbounded {
    Endless(usize),
    TooLarge(usize),
}

/// How much there is to check at one and the same value once the references are followed.
#[derive(Clone, Copy, Default)]
struct Expansion {
    nodes: usize,
    depth: usize,
}

/// Follows the references of every definition, refusing circles and explosions.
fn expand_all(definitions: &[Node]) -> Result<(), Unbounded> {
    #[derive(Clone, Copy)]
    enum State {
        New,
        Open,
        Done(Expansion),
    }
    let mut states = vec![State::New; definitions.len()];
    for start in 0..definitions.len() {
        // An explicit stack, so that a long chain costs memory and not call stack. Leaving is an entry of its own.
        let mut stack = vec![(start, false)];
        while let Some((at, leaving)) = stack.pop() {
            match states[at] {
                State::Open if leaving => {
                    let done = |at: usize| match states[at] {
                        State::Done(expansion) => expansion,
                        State::New | State::Open => Expansion::default(),
                    };
                    let expansion = expand(&definitions[at], &done);
                    if expansion.nodes > MAX_EXPANSION || expansion.depth > 2 * MAX_DEPTH {
                        return Err(Unbounded::TooLarge(at));
                    }
                    states[at] = State::Done(expansion);
                }
                State::Open => return Err(Unbounded::Endless(at)),
                State::Done(_) => {}
                State::New => {
                    states[at] = State::Open;
                    stack.push((at, true));
                    let mut next = Vec::new();
                    references_in_place(&definitions[at], &mut next);
                    stack.extend(next.into_iter().map(|at| (at, false)));
                }
            }
        }
    }
    Ok(())
}

fn expand(node: &Node, done: &dyn Fn(usize) -> Expansion) -> Expansion {
    let mut whole = Expansion { nodes: 1, depth: 1 };
    if let Node::Rules(rules) = node {
        let branches = rules.any_of.iter().chain(&rules.one_of).map(|branch| expand(branch, done));
        for part in branches.chain(rules.references.iter().map(|&at| done(at))) {
            whole.nodes = whole.nodes.saturating_add(part.nodes);
            whole.depth = whole.depth.max(part.depth + 1);
        }
    }
    whole
}

fn references_in_place(node: &Node, into: &mut Vec<usize>) {
    if let Node::Rules(rules) = node {
        into.extend(&rules.references);
        rules.any_of.iter().chain(&rules.one_of).for_each(|node| references_in_place(node, into));
    }
}

fn types(value: &Value, at: &str) -> Result<Types, SchemaError> {
    let expected = || malformed(at, "the name of a type, or an array of such names");
    let named = |value: &Value| value.as_str().and_then(Types::from_name).ok_or_else(expected);
    match value {
        Value::Array(names) if !names.is_empty() => {
            names.iter().try_fold(Types::NONE, |types, name| Ok(types | named(name)?))
        }
        value => named(value),
    }
}

fn limit(range: &mut Bounds<Limit>, keyword: &str, value: &Value, at: &str) -> Result<(), SchemaError> {
    let limit = Limit { bound: number(value, at)?, exclusive: keyword.starts_with("exclusive") };
    if keyword.ends_with("inimum") { &mut range.min } else { &mut range.max }.push(limit);
    Ok(())
}

fn format(name: &str) -> Format {
    let integer = |min: i128, max: i128| Format::Integer { min, max };
    match name {
        "duration" => Format::Duration,
        "size" => Format::Size,
        "rate" => Format::Rate,
        "public-key" => Format::PublicKey,
        "socket-address" => Format::SocketAddress,
        "sedge-id" => Format::Id,
        "sedge-name" => Format::Name,
        "uint8" => integer(0, u8::MAX.into()),
        "uint16" => integer(0, u16::MAX.into()),
        "uint32" => integer(0, u32::MAX.into()),
        "uint64" | "uint" => integer(0, u64::MAX.into()),
        "uint128" => integer(0, i128::MAX),
        "int8" => integer(i8::MIN.into(), i8::MAX.into()),
        "int16" => integer(i16::MIN.into(), i16::MAX.into()),
        "int32" => integer(i32::MIN.into(), i32::MAX.into()),
        "int64" | "int" => integer(i64::MIN.into(), i64::MAX.into()),
        "float" => Format::Float,
        _ => Format::None,
    }
}

fn first_paragraph(text: &str) -> Option<String> {
    let paragraph = text.trim().split("\n\n").next().unwrap_or_default();
    let joined = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    (!joined.is_empty()).then_some(joined)
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Map<String, Value>, SchemaError> {
    value.as_object().ok_or_else(|| malformed(at, "an object of schemas"))
}

fn array<'a>(value: &'a Value, at: &str) -> Result<&'a Vec<Value>, SchemaError> {
    value
        .as_array()
        .filter(|array| !array.is_empty())
        .ok_or_else(|| malformed(at, "an array that is not empty"))
}

fn strings(value: &Value, at: &str) -> Result<Vec<String>, SchemaError> {
    let expected = || malformed(at, "an array of strings");
    let texts = value.as_array().ok_or_else(expected)?.iter();
    texts.map(|text| text.as_str().map(str::to_owned).ok_or_else(expected)).collect()
}

fn string<'a>(value: &'a Value, at: &str) -> Result<&'a str, SchemaError> {
    value.as_str().ok_or_else(|| malformed(at, "a string"))
}

fn boolean(value: &Value, at: &str) -> Result<bool, SchemaError> {
    value.as_bool().ok_or_else(|| malformed(at, "true or false"))
}

fn number(value: &Value, at: &str) -> Result<Number, SchemaError> {
    value.as_number().cloned().ok_or_else(|| malformed(at, "a number"))
}

fn count(value: &Value, at: &str) -> Result<u64, SchemaError> {
    value.as_u64().ok_or_else(|| malformed(at, "an integer, 0 or more"))
}
