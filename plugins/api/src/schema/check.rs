//! Walks a value and its schema together and collects the mistakes.
//!
//! Every step costs fuel, because branches within branches of a hostile schema would otherwise take for ever.
//! When it runs out the value is refused, whatever was found until then.

use std::cmp::Ordering;
use std::net::SocketAddr;

use serde_json::{Map, Number, Value};

use super::compile::child_pointer;
use super::mistake::{shown, shown_with_type};
use super::{
    Bounds, Format, Limit, Mistake, MistakeKind, Node, ROOT, Rules, Schema, Types, Unit, looks_secret,
};
use crate::{Id, Name, PublicKey, Rate, Size, duration};

/// Steps that one check may take.
const FUEL: u32 = 200_000;

/// How many schemas within schemas may be open at once: a limit of the call stack.
const MAX_OPEN: u32 = 256;

/// The mistakes in a value, and the pointers of the secrets that were met.
pub(super) fn check(schema: &Schema, value: &Value) -> (Vec<Mistake>, Vec<String>) {
    let mut check = Check { schema, fuel: FUEL, gave_up: false, secrets: Vec::new() };
    let place = Place { pointer: String::new(), description: None, secret: false, depth: 0 };
    let mut mistakes = Vec::new();
    check.node(&schema.definitions[ROOT], value, &place, &mut mistakes);
    if check.gave_up {
        mistakes.push(place.mistake(MistakeKind::TooComplex));
    }
    (mistakes, check.secrets)
}

pub(super) struct Check<'s> {
    pub(super) schema: &'s Schema,
    fuel: u32,
    gave_up: bool,
    secrets: Vec<String>,
}

/// Where a value stands, and what is known about it from the schemas passed on the way.
#[derive(Clone)]
pub(super) struct Place<'s> {
    pointer: String,
    description: Option<&'s str>,
    secret: bool,
    /// How many schemas are open here.
    depth: u32,
}

impl<'s> Place<'s> {
    pub(super) fn child(&self, key: &str) -> Self {
        Self {
            pointer: child_pointer(&self.pointer, key),
            description: None,
            secret: self.secret || looks_secret(key),
            depth: self.depth,
        }
    }

    pub(super) fn mistake(&self, kind: MistakeKind) -> Mistake {
        let description = match kind {
            MistakeKind::UnknownKey { .. } | MistakeKind::MissingKey { .. } => None,
            _ => self.description.map(str::to_owned),
        };
        Mistake { pointer: self.pointer.clone(), kind, description, secret: self.secret }
    }

    pub(super) fn shown(&self, value: &Value) -> String {
        shown(value, self.secret)
    }

    pub(super) fn wrong_type(&self, expected: Types, value: &Value) -> Mistake {
        self.mistake(MistakeKind::WrongType { expected, found: shown_with_type(value, self.secret) })
    }
}

impl<'s> Check<'s> {
    /// Adds to `found` what is wrong with `value`.
    pub(super) fn node(
        &mut self,
        node: &'s Node,
        value: &Value,
        place: &Place<'s>,
        found: &mut Vec<Mistake>,
    ) {
        if self.fuel == 0 || place.depth > MAX_OPEN {
            self.gave_up = true;
            return;
        }
        self.fuel -= 1;
        match node {
            Node::Always(true) => {}
            Node::Always(false) => found.push(place.mistake(MistakeKind::Refused)),
            Node::Rules(rules) => {
                // What stands beside a `$ref` describes the place, what stands behind it only the type.
                let place = Place {
                    description: place.description.or(rules.description.as_deref()),
                    secret: place.secret || rules.secret,
                    depth: place.depth + 1,
                    ..place.clone()
                };
                if place.secret {
                    self.secrets.push(place.pointer.clone());
                }
                self.rules(rules, value, &place, found);
            }
        }
    }

    fn rules(&mut self, rules: &'s Rules, value: &Value, place: &Place<'s>, found: &mut Vec<Mistake>) {
        for &reference in &rules.references {
            self.node(&self.schema.definitions[reference], value, place, found);
        }
        for choices in &rules.choices {
            if !choices.iter().any(|choice| same(choice, value)) {
                found.push(place.not_allowed(value, choices));
                return;
            }
        }
        let expected = rules.types.unwrap_or(Types::ALL);
        if !expected.overlaps(Types::of(value)) {
            found.push(place.wrong_type(expected, value));
            return;
        }
        self.alternatives(&rules.any_of, false, value, place, found);
        self.alternatives(&rules.one_of, true, value, place, found);
        match value {
            Value::Object(object) => self.object(rules, object, place, found),
            Value::Array(array) => self.array(rules, array, place, found),
            Value::Number(n) => number(rules, n, value, place, found),
            Value::String(text) => string(rules, text, place, found),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn object(
        &mut self,
        rules: &'s Rules,
        object: &Map<String, Value>,
        place: &Place<'s>,
        found: &mut Vec<Mistake>,
    ) {
        for (key, value) in object {
            let at = place.child(key);
            match (rules.properties.get(key), &rules.additional) {
                (Some(node), _) => self.node(node, value, &at, found),
                (None, Some(Node::Always(false))) => {
                    let known = rules.properties.keys().map(String::as_str);
                    found.push(at.mistake(MistakeKind::unknown_key(key, known)));
                }
                (None, Some(node)) => self.node(node, value, &at, found),
                (None, None) => {}
            }
        }
        for key in rules.required.iter().filter(|&key| !object.contains_key(key)) {
            let description = rules.properties.get(key).and_then(|node| self.description(node));
            found
                .push(Mistake { description, ..place.mistake(MistakeKind::MissingKey { key: key.clone() }) });
        }
    }

    fn array(&mut self, rules: &'s Rules, array: &[Value], place: &Place<'s>, found: &mut Vec<Mistake>) {
        length(&rules.item_count, array.len(), Unit::Elements, place, found);
        for (i, value) in array.iter().enumerate() {
            let at = place.child(&i.to_string());
            if let Some(node) = &rules.items {
                self.node(node, value, &at, found);
            }
            // Each comparison is a step: an array of a million elements would otherwise cost 10¹² of them.
            if rules.unique_items {
                self.fuel = self.fuel.saturating_sub(u32::try_from(i).unwrap_or(u32::MAX));
                self.gave_up |= self.fuel == 0;
                if !self.gave_up && array[..i].iter().any(|earlier| same(earlier, value)) {
                    found.push(at.mistake(MistakeKind::Repeated { found: at.shown(value) }));
                }
            }
        }
    }

    /// The description of a schema, its own or that of what it refers to.
    pub(super) fn description(&self, node: &Node) -> Option<String> {
        match node {
            Node::Always(_) => None,
            Node::Rules(rules) => rules.description.clone().or_else(|| {
                rules.references.iter().find_map(|&at| self.description(&self.schema.definitions[at]))
            }),
        }
    }
}

fn number(rules: &Rules, n: &Number, value: &Value, place: &Place<'_>, found: &mut Vec<Mistake>) {
    let keeps = |ordering: Ordering, wanted: Ordering, limit: &Limit| {
        ordering == wanted || (ordering == Ordering::Equal && !limit.exclusive)
    };
    let above = |limit: &Limit| keeps(compare(n, &limit.bound), Ordering::Greater, limit);
    let below = |limit: &Limit| keeps(compare(n, &limit.bound), Ordering::Less, limit);
    if !rules.range.min.iter().all(above) || !rules.range.max.iter().all(below) {
        let limits = range_in_words(&rules.range);
        found.push(place.mistake(MistakeKind::OutOfRange { found: place.shown(value), expected: limits }));
    } else if let Some(expected) = outside_of_format(rules.format, n) {
        found.push(place.mistake(MistakeKind::OutOfRange { found: place.shown(value), expected }));
    }
    if let Some(of) = rules.multiple_of.as_ref().filter(|of| !is_multiple(n, of)) {
        let kind = MistakeKind::NotMultiple { found: place.shown(value), of: of.to_string() };
        found.push(place.mistake(kind));
    }
}

fn string(rules: &Rules, text: &str, place: &Place<'_>, found: &mut Vec<Mistake>) {
    length(&rules.characters, text.chars().count(), Unit::Characters, place, found);
    let shown = if place.secret { "***" } else { text };
    match rules.format {
        Format::Duration if duration::parse(text).is_err() => {
            found.extend(
                duration::parse(shown).err().map(|error| place.mistake(MistakeKind::BadDuration(error))),
            );
        }
        Format::Size if Size::parse(text).is_err() => {
            found.extend(Size::parse(shown).err().map(|error| place.mistake(MistakeKind::BadSize(error))));
        }
        Format::Rate if text.parse::<Rate>().is_err() => {
            found.extend(shown.parse::<Rate>().err().map(|error| place.mistake(MistakeKind::BadRate(error))));
        }
        Format::PublicKey => {
            found.extend(
                text.parse::<PublicKey>().err().map(|error| place.mistake(MistakeKind::BadKey(error))),
            );
        }
        Format::SocketAddress if text.parse::<SocketAddr>().is_err() => {
            found.push(place.mistake(MistakeKind::BadSocketAddress(shown.into())));
        }
        Format::Id if Id::new(text).is_err() => {
            found.extend(Id::new(shown).err().map(|error| place.mistake(MistakeKind::BadWord(error))));
        }
        Format::Name if Name::new(text).is_err() => {
            found.extend(Name::new(shown).err().map(|error| place.mistake(MistakeKind::BadWord(error))));
        }
        _ => {}
    }
}

fn length(bounds: &Bounds<u64>, length: usize, unit: Unit, place: &Place<'_>, found: &mut Vec<Mistake>) {
    let count = length as u64;
    if bounds.min.iter().any(|&min| count < min) || bounds.max.iter().any(|&max| count > max) {
        let expected = in_words(bounds.min.first(), bounds.max.first());
        found.push(place.mistake(MistakeKind::BadLength { found: length, expected, unit }));
    }
}

fn in_words(min: Option<impl ToString>, max: Option<impl ToString>) -> String {
    match (min.map(|n| n.to_string()), max.map(|n| n.to_string())) {
        (Some(min), Some(max)) if min == max => format!("exactly {min}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "anything".into(),
    }
}

fn range_in_words(range: &Bounds<Limit>) -> String {
    if let ([min], [max]) = (range.min.as_slice(), range.max.as_slice())
        && !min.exclusive
        && !max.exclusive
    {
        return in_words(Some(&min.bound), Some(&max.bound));
    }
    let word = |limit: &Limit, inclusive: &str, exclusive: &str| {
        format!("{} {}", if limit.exclusive { exclusive } else { inclusive }, limit.bound)
    };
    let mins = range.min.iter().map(|limit| word(limit, "at least", "more than"));
    let maxes = range.max.iter().map(|limit| word(limit, "at most", "less than"));
    mins.chain(maxes).collect::<Vec<_>>().join(" and ")
}

fn outside_of_format(format: Format, n: &Number) -> Option<String> {
    match format {
        Format::Integer { min, max } => {
            let n = n.as_i128()?;
            (n < min || n > max).then(|| format!("{min} to {max}"))
        }
        Format::Float => {
            let limit = f64::from(f32::MAX);
            (n.as_f64()?.abs() > limit).then(|| format!("{:e} to {limit:e}", -limit))
        }
        Format::None
        | Format::Duration
        | Format::Size
        | Format::Rate
        | Format::PublicKey
        | Format::SocketAddress
        | Format::Id
        | Format::Name => None,
    }
}

fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn is_multiple(n: &Number, of: &Number) -> bool {
    if let (Some(n), Some(of)) = (n.as_i128(), of.as_i128()) {
        return n % of == 0;
    }
    let ratio = n.as_f64().unwrap_or_default() / of.as_f64().unwrap_or(1.0);
    // Binary fractions: 0.3 / 0.1 is not quite 3.
    (ratio - ratio.round()).abs() <= 1e-9 * ratio.abs().max(1.0)
}

/// Equality of JSON Schema: numbers by value, whatever their notation.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
