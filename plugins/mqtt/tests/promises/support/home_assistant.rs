//! What Home Assistant takes, as far as it is known without it: its words, and the rules that it drops an entity for.
//! `deploy/home-assistant/check.py` asks Home Assistant itself.

use std::collections::BTreeSet;

use serde_json::Value as Json;

const WORDS: &str = include_str!("../../fixtures/home-assistant.json");

/// The options of each platform besides those that all have.
const PLATFORMS: &[(&str, &[&str])] = &[
    ("sensor", &["stat_t", "val_tpl", "dev_cla", "stat_cla", "unit_of_meas", "sug_dsp_prc", "exp_aft"]),
    ("binary_sensor", &["stat_t", "val_tpl", "dev_cla", "exp_aft"]),
    (
        "switch",
        &["stat_t", "val_tpl", "stat_on", "stat_off", "cmd_t", "pl_on", "pl_off", "ret", "msg_exp_int"],
    ),
    ("button", &["cmd_t", "pl_prs", "ret", "msg_exp_int"]),
    (
        "number",
        &[
            "stat_t",
            "val_tpl",
            "cmd_t",
            "cmd_tpl",
            "min",
            "max",
            "step",
            "unit_of_meas",
            "ret",
            "msg_exp_int",
        ],
    ),
    ("select", &["stat_t", "val_tpl", "cmd_t", "cmd_tpl", "ops", "ret", "msg_exp_int"]),
    ("text", &["stat_t", "val_tpl", "cmd_t", "cmd_tpl", "min", "max", "ret", "msg_exp_int"]),
];
const ALL: &[&str] = &["p", "uniq_id", "name", "ent_cat", "en", "avty", "avty_mode"];

/// What is wrong with a document.
pub fn mistakes(document: &Json) -> Vec<String> {
    let whole = [
        (document["dev"]["ids"][0].is_string(), "a device without identifiers"),
        (document["o"]["name"].is_string(), "no origin"),
        (document["avty_mode"] == "all", "one of the availabilities would be enough"),
        (document["qos"] == 1, "not QoS 1"),
    ];
    let mut found: Vec<String> = whole.iter().filter(|row| !row.0).map(|row| row.1.to_owned()).collect();
    let device = document["dev"]["name"].as_str().unwrap_or_default();
    let mut unique = BTreeSet::new();
    for (key, component) in document["cmps"].as_object().unwrap() {
        let id = component["uniq_id"].as_str().unwrap_or_default();
        let name = component["name"].as_str().unwrap_or_default();
        let named = !name.is_empty() && !name.to_lowercase().replace(' ', "-").starts_with(device);
        let fresh = id.starts_with("sedge_") && unique.insert((component["p"].to_string(), id));
        let wrong = component_mistakes(component)
            .into_iter()
            .chain((!named).then(|| format!("the name `{name}`")))
            .chain((!fresh).then(|| format!("the unique id `{id}`")));
        found.extend(wrong.map(|wrong| format!("{key}: {wrong}")));
    }
    found
}

fn component_mistakes(component: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let platform = component["p"].as_str().unwrap_or_default();
    let Some((_, options)) = PLATFORMS.iter().find(|row| row.0 == platform) else {
        return vec![format!("no platform `{platform}`")];
    };
    let known = |key: &&String| !ALL.contains(&key.as_str()) && !options.contains(&key.as_str());
    found.extend(component.as_object().unwrap().keys().filter(known).map(|key| format!("no option `{key}`")));
    let (text, number) = (|key: &str| component[key].as_str(), |key: &str| component[key].as_f64());
    let mut must = |holds: bool, wrong: &str| {
        if !holds {
            found.push(format!("{wrong}: {component}"));
        }
    };
    must(options.contains(&"stat_t") || text("stat_t").is_none(), "a state");
    must(!matches!(platform, "sensor" | "binary_sensor") || text("stat_t").is_some(), "no state");
    must(text("stat_t").is_some() == text("val_tpl").is_some(), "a state needs a template");
    must(text("val_tpl").is_none_or(|template| template.contains("value_json['")), "dots in a template");
    must(component.get("avty").is_none() || component["avty_mode"] == "all", "no availability mode");
    match platform {
        "sensor" => {
            let words: Json = serde_json::from_str(WORDS).unwrap();
            let has =
                |list: &Json, word: &str| list.as_array().is_some_and(|list| list.iter().any(|w| w == word));
            if let Some(class) = text("dev_cla") {
                let class = &words["sensor"][class];
                let unit =
                    text("unit_of_meas").map_or("None".into(), |unit| unit.replace('\u{b5}', "\u{3bc}"));
                must(!class.is_null(), "no such class");
                must(
                    class["units"].is_null() && unit == "None" || has(&class["units"], &unit),
                    "not its unit",
                );
                must(
                    text("stat_cla").is_none_or(|state| has(&class["state_classes"], state)),
                    "not its state class",
                );
            }
        }
        "binary_sensor" => {
            let words: Json = serde_json::from_str(WORDS).unwrap();
            let known = words["binary_sensor"].as_array().unwrap();
            must(component.get("dev_cla").is_none_or(|class| known.contains(class)), "no such class");
        }
        "number" => {
            must(number("min") < number("max") && number("step") >= Some(0.001), "no range");
        }
        "select" => must(component["ops"].as_array().is_some_and(|options| options.len() > 1), "no choice"),
        "text" => must(number("max") <= Some(255.0) && number("min") < number("max"), "no length"),
        _ => {}
    }
    if options.contains(&"cmd_t") {
        must(text("cmd_t").is_some_and(|topic| topic.ends_with("/call")), "no call");
        must(component["ret"] == false && component["msg_exp_int"] == 10, "a command that lasts");
        let payloads = ["pl_on", "pl_off", "pl_prs", "cmd_tpl"].into_iter().filter_map(text);
        let filled = payloads.map(|payload| match payload.split_once("{{") {
            Some((head, rest)) => format!("{head}1{}", rest.split_once("}}").unwrap().1),
            None => payload.to_owned(),
        });
        let calls = filled
            .map(|call| serde_json::from_str::<Json>(&call).ok().filter(|call| call["args"].is_object()));
        let calls: Vec<Option<Json>> = calls.collect();
        must(!calls.is_empty() && calls.iter().all(Option::is_some), "no call that a tool understands");
    }
    found
}
