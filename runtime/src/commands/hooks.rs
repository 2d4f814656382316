//! `sedge hooks [TOPIC]`: the topics of the bus, and who subscribes to them in which order.

use sedge_plugin::schema::nearest;
use sedge_plugin::topics;
use serde_json::{Value as Json, json};

use super::local;
use crate::cli::{Global, HooksArgs};
use crate::control::Ask;
use crate::exit::Failure;
use crate::show::say;

/// Lists topics. Without a node that runs: what they are, and no subscribers.
pub async fn hooks(global: &Global, args: &HooksArgs) -> Result<(), Failure> {
    let (all, runs) = match local::node(global) {
        Ok(node) => (node.ask(&Ask::Hooks).await?, true),
        Err(Failure::Unreachable(why)) => {
            crate::show::complain(format_args!("{why}: no subscribers are shown"));
            (topics::ALL.iter().map(|topic| json!(topic)).collect(), false)
        }
        Err(other) => return Err(other),
    };
    let all: Vec<Json> = match all {
        Json::Array(all) => all,
        _ => Vec::new(),
    };
    let wanted = match &args.topic {
        None => all,
        Some(name) => vec![named(all, name)?],
    };
    if global.json {
        return say(Json::Array(wanted));
    }
    for topic in &wanted {
        say(format_args!("{}  ({}: {})", text(topic, "name"), text(topic, "kind"), text(topic, "message")))?;
        say(format_args!("  {}", text(topic, "doc")))?;
        for (at, subscriber) in topic["subscribers"].as_array().into_iter().flatten().enumerate() {
            say(format_args!("  {}. {}", at + 1, describe(subscriber)))?;
        }
        if runs && topic["subscribers"].as_array().is_none_or(Vec::is_empty) {
            say("  nobody subscribes")?;
        }
    }
    Ok(())
}

fn named(all: Vec<Json>, name: &str) -> Result<Json, Failure> {
    let names: Vec<String> = all.iter().map(|topic| text(topic, "name").to_owned()).collect();
    all.into_iter().find(|topic| topic["name"] == name).ok_or_else(|| {
        let hint = nearest(name, names.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Failure::Usage(format!("there is no topic `{name}`{hint}"))
    })
}

/// `plausible  priority 1000, inline`.
fn describe(subscriber: &Json) -> String {
    let mut words = vec![match subscriber["place"].as_str() {
        Some(place) => format!("marked {place}"),
        None => format!("priority {}", subscriber["priority"]),
    }];
    words.push(text(subscriber, "how").into());
    if let (Some(capacity), Some(waiting)) = (subscriber["capacity"].as_u64(), subscriber["waiting"].as_u64())
    {
        words.push(format!("{waiting} of {capacity} wait, {} when full", text(subscriber, "overflow")));
    }
    if let Some(only) = subscriber["only"].as_array() {
        let only: Vec<&str> = only.iter().filter_map(Json::as_str).collect();
        words.push(format!("only {}", only.join(" ")));
    }
    format!("{}  {}", text(subscriber, "plugin"), words.join(", "))
}

fn text<'a>(value: &'a Json, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
