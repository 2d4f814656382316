//! `anyOf` and `oneOf`: which branch was meant, so that the mistakes of that branch alone are shown.
//!
//! schemars turns a documented enum into `oneOf` constants, an `Option` into `anyOf` with `null`, a tagged enum into
//! `oneOf` tables. "Fits none of the shapes" would help nobody; the branches are told apart the way serde does it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::check::{Check, Place, same};
use super::mistake::word;
use super::{Mistake, MistakeKind, Node, Rules, Types, nearest};

impl Place<'_> {
    /// `value` is none of `choices`. `null` is not offered: nobody writes it, and TOML does not have it.
    pub(super) fn not_allowed<'a>(
        &self,
        value: &Value,
        choices: impl IntoIterator<Item = &'a Value>,
    ) -> Mistake {
        let allowed: Vec<String> = choices.into_iter().filter(|choice| !choice.is_null()).map(word).collect();
        if allowed.is_empty() {
            return self.wrong_type(Types::NULL, value);
        }
        let words = allowed.iter().map(String::as_str);
        let nearest = value.as_str().and_then(|found| nearest(found, words)).map(str::to_owned);
        self.mistake(MistakeKind::NotAllowed { found: self.shown(value), allowed, nearest })
    }
}

impl<'s> Check<'s> {
    pub(super) fn alternatives(
        &mut self,
        branches: &'s [Node],
        exactly_one: bool,
        value: &Value,
        place: &Place<'s>,
        found: &mut Vec<Mistake>,
    ) {
        if branches.is_empty() {
            return;
        }
        let tries: Vec<(&'s Node, Vec<Mistake>)> = branches
            .iter()
            .map(|branch| {
                let mut mistakes = Vec::new();
                self.node(branch, value, place, &mut mistakes);
                (branch, mistakes)
            })
            .collect();
        match tries.iter().filter(|(_, mistakes)| mistakes.is_empty()).count() {
            0 => self.explain(tries, value, place, found),
            1 => {}
            _ if exactly_one => found.push(place.mistake(MistakeKind::Ambiguous)),
            _ => {}
        }
    }

    /// No branch fits: adds the mistakes of the one that was probably meant.
    fn explain(
        &self,
        mut tries: Vec<(&'s Node, Vec<Mistake>)>,
        value: &Value,
        place: &Place<'s>,
        found: &mut Vec<Mistake>,
    ) {
        if let Some(choices) = self.all_choices(tries.iter().map(|&(node, _)| node)) {
            return found.push(place.not_allowed(value, choices));
        }
        let expected = tries.iter().fold(Types::NONE, |types, (node, _)| types | self.types(node));
        tries.retain(|(node, _)| self.types(node).overlaps(Types::of(value)));
        if tries.is_empty() {
            return found.push(place.wrong_type(expected, value));
        }
        if let Some(choices) = self.all_choices(tries.iter().map(|&(node, _)| node)) {
            return found.push(place.not_allowed(value, choices));
        }
        if tries.len() > 1
            && let Value::Object(object) = value
            && let Some(mistake) = self.pick_by_tag(&mut tries, object, place)
        {
            return found.push(mistake);
        }
        match tries.into_iter().min_by_key(|(_, mistakes)| mistakes.len()) {
            Some((_, mistakes)) => found.extend(mistakes),
            None => found.push(place.mistake(MistakeKind::NoShape)),
        }
    }

    /// Leaves the branch that the object's tag names, or says what is wrong with the tag.
    fn pick_by_tag(
        &self,
        tries: &mut Vec<(&'s Node, Vec<Mistake>)>,
        object: &Map<String, Value>,
        place: &Place<'s>,
    ) -> Option<Mistake> {
        let branches: Vec<&'s Rules> = tries.iter().filter_map(|&(node, _)| self.rules_of(node)).collect();
        if branches.len() < tries.len() {
            return None;
        }
        if let Some((tag, choices)) = self.internal_tag(&branches) {
            let Some(value) = object.get(tag) else {
                let words: Vec<String> = choices.concat().into_iter().map(word).collect();
                let description = Some(format!("one of {}", words.join(", ")));
                return Some(Mistake {
                    description,
                    ..place.mistake(MistakeKind::MissingKey { key: tag.clone() })
                });
            };
            let Some(at) = choices.iter().position(|branch| branch.iter().any(|choice| same(choice, value)))
            else {
                return Some(place.child(tag).not_allowed(value, choices.concat()));
            };
            *tries = vec![tries.swap_remove(at)];
            return None;
        }
        let tags: BTreeSet<&str> = branches
            .iter()
            .map(|rules| match rules.required.as_slice() {
                [only] => Some(only.as_str()),
                _ => None,
            })
            .collect::<Option<_>>()?;
        match branches.iter().position(|rules| object.contains_key(&rules.required[0])) {
            Some(at) => {
                *tries = vec![tries.swap_remove(at)];
                None
            }
            None => {
                let key = object.keys().next()?;
                Some(place.child(key).mistake(MistakeKind::unknown_key(key, tags)))
            }
        }
    }

    /// A key whose value tells all branches apart, with the values of each branch.
    fn internal_tag(&self, branches: &[&'s Rules]) -> Option<(&'s String, Vec<Vec<&'s Value>>)> {
        let first = branches.first()?;
        first.properties.keys().find_map(|key| {
            let choices = branches.iter().map(|rules| self.choices(rules.properties.get(key)?));
            Some((key, choices.collect::<Option<Vec<_>>>()?))
        })
    }

    /// The rules behind plain references.
    fn rules_of(&self, node: &'s Node) -> Option<&'s Rules> {
        match node {
            Node::Always(_) => None,
            Node::Rules(rules) => match rules.references.as_slice() {
                [only] if rules.properties.is_empty() => self.rules_of(&self.schema.definitions[*only]),
                _ => Some(rules),
            },
        }
    }

    fn all_choices(&self, mut nodes: impl Iterator<Item = &'s Node>) -> Option<Vec<&'s Value>> {
        nodes.try_fold(Vec::new(), |mut all, node| {
            all.extend(self.choices(node)?);
            Some(all)
        })
    }

    /// All values that a schema allows, if it lists them.
    fn choices(&self, node: &'s Node) -> Option<Vec<&'s Value>> {
        const NULL: &Value = &Value::Null;
        let rules = self.rules_of(node)?;
        if let Some(choices) = rules.choices.first() {
            return Some(choices.iter().collect());
        }
        if rules.types == Some(Types::NULL) {
            return Some(vec![NULL]);
        }
        [&rules.any_of, &rules.one_of]
            .into_iter()
            .find(|branches| !branches.is_empty())
            .and_then(|branches| self.all_choices(branches.iter()))
    }

    /// The types that a schema allows.
    fn types(&self, node: &'s Node) -> Types {
        let Node::Rules(rules) = node else { return Types::ALL };
        let mut types = rules.types.unwrap_or(Types::ALL);
        for choices in &rules.choices {
            types = types & choices.iter().fold(Types::NONE, |types, choice| types | Types::of(choice));
        }
        for &reference in &rules.references {
            types = types & self.types(&self.schema.definitions[reference]);
        }
        for branches in [&rules.any_of, &rules.one_of].into_iter().filter(|branches| !branches.is_empty()) {
            types = types & branches.iter().fold(Types::NONE, |types, branch| types | self.types(branch));
        }
        types
    }
}
