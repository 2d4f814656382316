//! `sedge.toml.5`: every section and key that this program knows, from the schemas that check them.
//!
//! Kinds of a section share most keys; those stand once, and of each kind only what is its own.

use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::{Map, Value as Json, json};

use crate::catalogue::catalogue;
use crate::commands::example::toml;
use crate::commands::hardware;

/// How deep a type is followed.
const DEPTH: u8 = 4;

/// The sections in the order in which a person writes them, each with what it is about.
const SECTIONS: [(&str, &str); 14] = [
    ("node", "The node itself."),
    ("mqtt", "The broker, or brokers, that the node talks to. Without `url` readings stay on the node."),
    ("bus", "What sensors are connected to, one section per bus."),
    ("sensor", "What is measured, one section per device."),
    ("gpio", "Lines of a chip: relays, buttons, counters."),
    ("processor", "Steps that readings go through."),
    ("destination", "Where readings go beside MQTT."),
    ("outbox", "The journal, in which readings wait until everybody has them."),
    (
        "plugin",
        "Plugins, built in or from outside; the section is called as the plugin is, unless it says `kind`.",
    ),
    ("plugins", "Where plugins from outside are, and which are trusted."),
    ("calls", "What is asked of calls of tools."),
    ("caller", "Those who sign calls of tools."),
    ("guard", "Rules for calls of tools."),
    ("remote", "Other nodes, whose tools can be called from this one."),
];

const ABOUT: [&str; 6] = [
    "What a node of Sedge is told, in TOML. The file is looked for as ./sedge.toml, then as /etc/sedge/sedge.toml.",
    "Over it are laid, the later ones first: the options --set KEY=VALUE; variables SEDGE__SECTION__KEY; plugins/NAME.toml and \
conf.d/*.toml beside the file, by name. `sedge config show --sources` says of each key where its value is from.",
    "In [sensor.kitchen], kitchen is an id: 1 to 31 of a to z, 0 to 9 and -. An unknown key is a mistake. A mistake in one \
instance keeps that one from running; one in [node] or [mqtt] all, and ends `sedge run` with 78. `sedge check` shows each with \
its place.",
    "A duration is written as in \"10s\" or \"1h 30m\", a rate as in \"10/min\". A file with a secret may be named \
\"credential:NAME\": a credential of systemd, from /etc/sedge/credentials/NAME.",
    "This page has what is built in. `sedge sensor kinds KIND` tells more of a kind, fields and an example included; \
`sedge plugin info NAME` of a plugin; `sedge config schema` is all of it for an editor, plugins on this machine included.",
    "config_version = 1 stands at the top, or nowhere. A file with a higher one is refused: upgrade sedge, or go back to a config \
of this version.",
];

pub(super) fn page() -> String {
    let schema = sedge_config::schema(&catalogue());
    let mut roff = Roff::new();
    roff.control("SH", ["NAME"]).text([roman("sedge.toml - the config of a Sedge node")]);
    roff.control("SH", ["DESCRIPTION"]);
    for text in ABOUT {
        roff.text([roman(text)]).control("PP", []);
    }
    for (word, about) in SECTIONS {
        section(&mut roff, &schema, word, about);
    }
    roff.control("SH", ["EXAMPLE"]).control("nf", []);
    for line in [
        "[mqtt]",
        "url = \"mqtt://broker.local\"",
        "",
        "[bus.i2c-1]",
        "kind = \"i2c\"",
        "",
        "[sensor.kitchen]",
        "kind = \"bme280\"",
        "bus = \"i2c-1\"",
        "every = \"10s\"",
    ] {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"])
        .text([roman("sedge(1), sedge-check(1), sedge-config(1), sedge-sensor-kinds(1)")]);
    super::titled("sedge.toml", 5, &roff.render())
}

fn section(roff: &mut Roff, schema: &Json, word: &str, about: &str) {
    let kinds = kinds(schema, word);
    let whole = &schema["properties"][word];
    let instance = schema["$defs"].get(word);
    let heading = if whole["properties"].as_object().is_some_and(|all| !all.is_empty()) && kinds.is_empty() {
        format!("[{word}]")
    } else {
        format!("[{word}.ID]")
    };
    roff.control("SH", [heading.as_str()]).text([roman(about)]);
    if kinds.is_empty() {
        return keys(roff, schema, instance.unwrap_or(whole), |_| true);
    }
    let common = common(&kinds);
    if let Some((_, first)) = kinds.first() {
        keys(roff, schema, first, |key| common.contains(&key));
    }
    let own = |kind: &Json| properties(kind).filter(|(key, _)| !common.contains(&key.as_str())).count();
    let (plain, special): (Vec<_>, Vec<_>) = kinds.iter().partition(|(_, kind)| own(kind) == 0);
    if !plain.is_empty() {
        roff.control("PP", []).text([roman("Kinds that have no other keys:")]);
        for (name, kind) in plain {
            titled(roff, name, kind);
        }
    }
    for (name, kind) in special {
        roff.control("SS", [format!("kind: {name}").as_str()]);
        roff.text([roman(title(name, kind))]);
        keys(roff, schema, kind, |key| !common.contains(&key));
    }
}

/// The kinds of a section with their schemas.
fn kinds<'a>(schema: &'a Json, word: &str) -> Vec<(&'a str, &'a Json)> {
    let all = schema["$defs"].as_object().into_iter().flatten();
    let of_section = all.filter_map(|(name, kind)| {
        let name = name.strip_prefix(word)?.strip_prefix('.')?;
        (!name.contains('.') && kind["properties"]["kind"].is_object()).then_some((name, kind))
    });
    of_section.collect()
}

/// The keys that all kinds have, and mean the same by.
fn common<'a>(kinds: &[(&str, &'a Json)]) -> Vec<&'a str> {
    let Some(((_, first), rest)) = kinds.split_first() else { return Vec::new() };
    let plain = |key: &str, schema: &Json| (key == "kind").then(|| schema["description"].clone());
    let same = |key: &str, one: &Json, other: &Json| {
        if one == other { true } else { plain(key, one).is_some() && plain(key, one) == plain(key, other) }
    };
    let shared = properties(first).filter(|(key, one)| {
        rest.iter()
            .all(|(_, kind)| kind["properties"].get(key.as_str()).is_some_and(|other| same(key, one, other)))
    });
    shared.map(|(key, _)| key.as_str()).collect()
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().into_iter().flat_map(Map::iter)
}

fn titled(roff: &mut Roff, name: &str, kind: &Json) {
    roff.control("TP", []).text([bold(name)]).text([roman(title(name, kind))]);
}

/// What a kind is.
fn title(name: &str, schema: &Json) -> String {
    let sensor = hardware::kinds().into_iter().find(|kind| kind.kind == name);
    let said = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    sensor.map_or(said, |kind| format!("{}.", kind.title.trim_end_matches('.')))
}

fn keys(roff: &mut Roff, root: &Json, schema: &Json, wanted: impl Fn(&str) -> bool) {
    let required =
        |key: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|it| it == key));
    for (key, of_key) in properties(schema).filter(|(key, _)| wanted(key)) {
        let default = match &of_key["default"] {
            _ if required(key) => " (required)".into(),
            Json::Null => String::new(),
            // An empty list or table is what is expected where nothing is written.
            nothing if *nothing == json!([]) || *nothing == json!({}) => String::new(),
            address if key == "address" && address.is_u64() => {
                format!(" (default {:#04x})", address.as_u64().unwrap_or_default())
            }
            default => format!(" (default {})", toml(default)),
        };
        let kind = match key.as_str() {
            "kind" => "one of those below".into(),
            _ => type_of(of_key, root, key == "address", DEPTH),
        };
        roff.control("TP", []).text([bold(key.as_str()), roman(" = "), italic(kind), roman(default)]);
        let said = of_key["description"].as_str().unwrap_or_default().replace('\n', " ");
        roff.text([roman(said)]);
    }
}

/// What may stand there: `string`, `"json" or "cbor"`, `list of numbers`.
fn type_of(schema: &Json, root: &Json, hex: bool, depth: u8) -> String {
    let Some(depth) = depth.checked_sub(1) else { return "value".into() };
    let shown = |value: &Json| match value.as_u64() {
        Some(number) if hex => format!("{number:#04x}"),
        _ => toml(value),
    };
    if let Some(target) = schema["$ref"].as_str().and_then(|to| root.pointer(to.strip_prefix('#')?)) {
        return type_of(target, root, hex, depth);
    }
    if let Some(value) = schema.get("const") {
        return shown(value);
    }
    if let Some(values) = schema["enum"].as_array() {
        return either(values.iter().map(shown));
    }
    if let Some(all) = ["oneOf", "anyOf"].iter().find_map(|key| schema[*key].as_array()) {
        let some = all.iter().filter(|one| one["type"] != "null");
        return either(some.map(|one| type_of(one, root, hex, depth)));
    }
    let word = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str());
    match word {
        Some("string") if schema["format"] == "rate" => "rate".into(),
        Some("string") if schema["examples"][0] == "10s" => "duration".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => match type_of(&schema["items"], root, hex, depth).as_str() {
            word @ ("string" | "table" | "integer" | "number") => format!("list of {word}s"),
            other => format!("list of {other}"),
        },
        Some("object") => "table".into(),
        Some(number @ ("integer" | "number")) => match (&schema["minimum"], &schema["maximum"]) {
            (Json::Number(from), Json::Number(to)) => format!("{number} from {from} to {to}"),
            (Json::Number(from), _) if from.as_f64() != Some(0.0) => format!("{number} from {from}"),
            _ => number.into(),
        },
        Some(word) => word.into(),
        None => "value".into(),
    }
}

fn either(all: impl Iterator<Item = String>) -> String {
    let mut each: Vec<String> = Vec::new();
    all.for_each(|one| {
        if !each.contains(&one) {
            each.push(one)
        }
    });
    each.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_section_kind_and_key_of_the_schema() {
        let schema = sedge_config::schema(&catalogue());
        let page = page();
        let top = properties(&schema).map(|(word, _)| word.as_str()).filter(|word| *word != "config_version");
        let mut sections: Vec<&str> = SECTIONS.iter().map(|(word, _)| *word).collect();
        let mut top: Vec<&str> = top.collect();
        sections.sort_unstable();
        top.sort_unstable();
        assert_eq!(sections, top);
        for word in top {
            for (name, kind) in kinds(&schema, word) {
                let escaped = name.replace('-', "\\-");
                let is_there = page.contains(&format!("\\fB{escaped}\\fR"))
                    || page.contains(&format!("\"kind: {name}\""));
                assert!(is_there, "{word}.{name}");
                for (key, _) in properties(kind) {
                    assert!(
                        page.contains(&format!("\\fB{}\\fR", key.replace('-', "\\-"))),
                        "{word}.{name}: {key}"
                    );
                }
            }
        }
    }
}
