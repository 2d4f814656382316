//! The messages of the README: each is read as what it is said to be, and says all that it has when it is written again.

use std::collections::BTreeSet;

use sedge_protocol::{Ask, Call, Message, ToNode, ToPlugin, frame};
use serde_json::Value as Json;

const README: &str = include_str!("../../README.md");

/// The messages of the blocks of code, with whether the plugin says them, where that is said.
fn examples() -> Vec<(Option<bool>, Json)> {
    let mut is_code = false;
    let mut found = Vec::new();
    for line in README.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let (says, text) = match line.chars().next() {
            Some('→') => (Some(true), &line['→'.len_utf8()..]),
            Some('←') => (Some(false), &line['←'.len_utf8()..]),
            _ => (None, line),
        };
        if is_code {
            found.push((says, serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}"))));
        }
    }
    found
}

/// Whether it is one, with nothing in it that its type does not know.
fn is<M: Message>(json: &Json) -> bool {
    let read = serde_json::from_value::<M>(json.clone());
    read.is_ok_and(|message| !message.is_unknown() && covers(&serde_json::to_value(&message).unwrap(), json))
}

/// Whether all of `less` stands in `more`; what is null need not.
fn covers(more: &Json, less: &Json) -> bool {
    match (more, less) {
        (Json::Object(more), Json::Object(less)) => {
            less.iter().all(|(key, less)| more.get(key).map_or(less.is_null(), |more| covers(more, less)))
        }
        (Json::Array(more), Json::Array(less)) => {
            more.len() == less.len() && more.iter().zip(less).all(|(more, less)| covers(more, less))
        }
        (more, less) => more == less || (more.as_f64().is_some() && more.as_f64() == less.as_f64()),
    }
}

#[test]
fn the_readmes_messages_are_messages() {
    let examples = examples();
    assert!(examples.len() > 40, "{}", examples.len());
    for (says, json) in examples {
        if json.get("type").is_none() {
            assert!(frame::decode(&json).is_ok(), "{json}");
            continue;
        }
        let is_well = match says {
            Some(true) => is::<ToNode>(&json),
            Some(false) => is::<ToPlugin>(&json),
            None => is::<ToNode>(&json) || is::<ToPlugin>(&json),
        };
        assert!(is_well, "{json}");
    }
}

#[test]
fn the_readme_has_every_message() {
    let words = |json: &Json| {
        let word = |key: &str| json.get(key)?.as_str().map(str::to_owned);
        word("type").map(|kind| (kind, word("do")))
    };
    let examples: Vec<Json> = examples().into_iter().map(|(_, json)| json).collect();
    let had: BTreeSet<_> = examples.iter().filter_map(words).collect();
    let mut all = BTreeSet::new();
    all.extend(crate::every::to_node().iter().filter_map(|said| words(&serde_json::to_value(said).unwrap())));
    all.extend(
        crate::every::to_plugin().iter().filter_map(|said| words(&serde_json::to_value(said).unwrap())),
    );
    let lacking: Vec<_> = all.difference(&had).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
    // What a node does not know it says so of; an example must not be that.
    let unknown = |json: &Json| {
        serde_json::from_value::<ToNode>(json.clone())
            .is_ok_and(|said| matches!(said, ToNode::Ask { ask: Ask::Unknown, .. }))
            || serde_json::from_value::<ToPlugin>(json.clone())
                .is_ok_and(|said| matches!(said, ToPlugin::Call { call: Call::Unknown, .. }))
    };
    assert!(!examples.iter().any(unknown));
}
