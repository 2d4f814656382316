//! `[remote.ID]`: another node, whose readings and tools are used here.
//!
//! A node is named once per broker, and never by itself. It must not say what the sensors of the other node are called
//! here: that is for whoever imports them.

use std::path::PathBuf;

use schemars::JsonSchema;
use sedge_plugin::schema::child_pointer;
use sedge_plugin::{Every, Id, Secret};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::broker::BrokerUrl;
use crate::catalogue::Section;
use crate::fingerprint::{fingerprint, nanos};
use crate::instance::{CommonKeys, Read};
use crate::mqtt::wrong_base;
use crate::report::{Fault, Report, Scope};

/// Another node, or all of them. When it has a fault, what is wrong stands at its default.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remote {
    /// Its id.
    pub id: Id,
    /// The node; nothing for all but this one.
    pub node: Option<Id>,
    /// Patterns of the sensors that are imported. Nothing: all.
    pub sensors: Option<Vec<String>>,
    /// The tools that can be called from here.
    pub tools: Tools,
    /// Its broker. Nothing: that of `[mqtt]`.
    pub url: Option<BrokerUrl>,
    /// What all topics begin with. Nothing: as in `[mqtt]`.
    pub base: Option<String>,
    /// The user, from the key or the URL.
    pub username: Option<String>,
    /// The user's password, from the key or the URL.
    pub password: Option<Secret>,
    /// The file that has the password.
    pub password_file: Option<PathBuf>,
    /// Whether readings of an outage are imported too.
    pub backlog: bool,
    /// After which time a sensor counts as silent.
    pub max_age: Every,
    /// Whether it runs.
    pub enabled: bool,
    /// Why it cannot run.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

/// Which tools of another node can be called from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tools {
    /// All or none.
    All(bool),
    /// Those that fit a pattern.
    Some(Vec<String>),
}

impl Remote {
    pub(crate) fn new(fault: Fault, read: Read<RemoteKeys>) -> Self {
        let Read { instance, keys, .. } = read;
        let url = keys.url.as_deref().and_then(|url| BrokerUrl::parse(url).ok());
        let node = match keys.node.as_deref() {
            None => Some(instance.id.clone()),
            Some(node) => Id::new(node).ok(),
        };
        let (user, password) = url.as_ref().map(|url| (url.username.clone(), url.password.clone())).unzip();
        Self {
            node,
            id: instance.id,
            sensors: keys.sensors,
            tools: keys.tools,
            base: keys.base,
            username: keys.username.or(user.flatten()),
            password: keys.password.or(password.flatten()),
            password_file: keys.password_file,
            url,
            backlog: keys.backlog,
            max_age: keys.max_age,
            enabled: keys.enabled,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does, passwords included; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, node, sensors, tools, url, base, username, password, password_file, .. } = self;
        let Self { backlog, max_age, enabled, fault: _, mark, .. } = self;
        let url = url.as_ref().map(|url| (&url.host, url.port));
        let who = json!([username, password.as_ref().map(Secret::expose), password_file]);
        let what = json!([id, node, sensors, tools, backlog, nanos(*max_age), enabled]);
        fingerprint(&json!([what, url, base, who, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct RemoteKeys {
    /// The node, such as "greenhouse", or "*" for all but this one. Without it: what the section is called.
    #[schemars(length(min = 1))]
    pub(crate) node: Option<String>,
    /// The sensors that are imported, such as "soil-*"; `*` stands for any characters. Without it: all.
    pub(crate) sensors: Option<Vec<String>>,
    /// Whether its tools can be called from here as "greenhouse/relay_set"; or which, such as ["relay_*"].
    pub(crate) tools: Tools,
    /// Its broker, such as "mqtt://broker.local:1883". Without it: that of `[mqtt]`.
    pub(crate) url: Option<String>,
    /// What all topics begin with. Without it: as in `[mqtt]`.
    pub(crate) base: Option<String>,
    /// The user that the broker knows. Without it and `url`: that of `[mqtt]`.
    pub(crate) username: Option<String>,
    /// The user's password.
    pub(crate) password: Option<Secret>,
    /// A file with the password in it.
    pub(crate) password_file: Option<PathBuf>,
    /// Whether readings of an outage are imported too, late as they are.
    pub(crate) backlog: bool,
    /// After which time without a reading a sensor counts as silent, and is taken back; never before three of its intervals.
    pub(crate) max_age: Every,
    /// Whether it runs.
    pub(crate) enabled: bool,
}

impl Default for RemoteKeys {
    fn default() -> Self {
        Self {
            node: None,
            sensors: None,
            tools: Tools::All(true),
            url: None,
            base: None,
            username: None,
            password: None,
            password_file: None,
            backlog: true,
            max_age: Every::secs(300),
            enabled: true,
        }
    }
}

impl CommonKeys for RemoteKeys {
    const SECTION: Section = Section::Remote;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        None
    }
}

impl Read<RemoteKeys> {
    /// Whether one of its sensors may be called so here: `greenhouse-air`.
    pub(crate) fn may_bring(&self, sensor: &str) -> bool {
        let node = self.node();
        node == "*" || sensor.strip_prefix(node).is_some_and(|rest| rest.starts_with('-'))
    }

    fn node(&self) -> &str {
        self.keys.node.as_deref().unwrap_or(self.instance.id.as_str())
    }
}

/// Checks what no schema can say.
pub(crate) fn check(report: &mut Report<'_>, read: &Read<RemoteKeys>) {
    let Read { instance, keys, .. } = read;
    let mut wrong = |key: &str, message: &str, help: &str| {
        let pointer = child_pointer(&instance.pointer, key);
        let written = report.document.has(&pointer);
        let place = if written { report.document.place(&pointer).value } else { instance.key.clone() };
        report.error(Scope::Instance(instance), place, message).help(help);
    };
    let itself = wrong_node(read.node());
    if let Some(why) = &itself {
        wrong("node", why, "such as \"greenhouse\", or \"*\" for all nodes but this one");
    }
    let url = keys.url.as_deref().map(BrokerUrl::parse);
    if let Some(Err(error)) = &url {
        wrong("url", &error.to_string(), "such as \"mqtt://broker.local:1883\"");
    }
    if let Some(why) = keys.base.as_deref().and_then(wrong_base) {
        wrong("base", why, "such as \"sedge/v1\"");
    }
    let url = url.and_then(Result::ok);
    let (user, word) = url.map_or((None, None), |url| (url.username, url.password));
    if user.is_some() && keys.username.is_some() {
        wrong("username", "the user stands in `url` too", "keep one of them");
    }
    let key = if keys.password_file.is_some() { "password_file" } else { "password" };
    let passwords = [word.is_some(), keys.password.is_some(), keys.password_file.is_some()];
    match passwords.into_iter().filter(|&given| given).count() {
        0 => {}
        1 if keys.username.is_none() && user.is_none() => {
            wrong(key, "a password without a user", "add `username`");
        }
        1 => {}
        _ => {
            let help = "keep one of `url`, `password` and `password_file`";
            wrong(key, "the password is given twice", help);
        }
    }
    if keys.max_age.0.is_zero() {
        wrong("max_age", "`max_age` is no time at all", "such as \"5m\"");
    }
    let tools = if let Tools::Some(tools) = &keys.tools { tools.as_slice() } else { &[] };
    let sensors = keys.sensors.as_deref().unwrap_or_default();
    for (key, patterns, other) in [("sensors", sensors, '-'), ("tools", tools, '_')] {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '*' || c == other;
        if let Some(pattern) = patterns.iter().find(|p| p.is_empty() || !p.chars().all(allowed)) {
            let message = format!("the pattern `{pattern}` fits none of the {key} that there can be");
            wrong(key, &message, "an id, in which `*` stands for any characters");
        }
    }
    let own = report.document.value.pointer("/node/id").and_then(|id| id.as_str());
    if itself.is_none() && own == Some(read.node()) {
        let place = instance.key.clone();
        let message = format!("`{}` is this node itself", read.node());
        report.error(Scope::Instance(instance), place, &message).help("name another one in `node`");
    }
    let broker = ["/mqtt/url", "/mqtt/embedded"].iter().any(|key| report.document.has(key));
    if keys.url.is_none() && !broker {
        let place = instance.key.clone();
        let help = "add `url = \"mqtt://…\"` here or in `[mqtt]`";
        report.error(Scope::Instance(instance), place, "no broker is named").help(help);
    }
}

fn wrong_node(node: &str) -> Option<String> {
    if node == "*" {
        return None;
    }
    Id::new(node).err().map(|error| format!("the node {error}"))
}

/// Finds two sections about one node at one broker.
pub(crate) fn shared(report: &mut Report<'_>, remotes: &[Read<RemoteKeys>]) {
    let enabled: Vec<_> = remotes.iter().filter(|read| read.keys.enabled).collect();
    for (at, read) in enabled.iter().enumerate() {
        let same = |other: &&&Read<RemoteKeys>| {
            other.node() == read.node()
                && other.keys.url == read.keys.url
                && other.keys.base == read.keys.base
        };
        let Some(other) = enabled[..at].iter().find(same) else { continue };
        let message = format!("node `{}` is imported by `{}`", read.node(), other.instance.title());
        let (here, there) = (read.instance.key.clone(), other.instance.key.clone());
        report.conflict(&read.instance, here, &message, there, "it is imported").help("keep one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<RemoteKeys>();
    }

    fn faults(text: &str) -> Vec<String> {
        let text = format!("[node]\nid = \"pi\"\n[mqtt]\nurl = \"mqtt://h\"\n{text}");
        let outcome = crate::parse("sedge.toml", &text, &crate::Catalogue::default());
        outcome.diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect()
    }

    #[test]
    fn a_section_without_a_key_imports_the_node_that_it_is_called_after() {
        let text = "[mqtt]\nurl = \"mqtt://h\"\n[remote.greenhouse]\n[remote.rest]\nnode = \"*\"\ntools = [\"lamp_*\"]\n";
        let config = crate::parse("sedge.toml", text, &crate::Catalogue::default()).config.expect("right");
        let [greenhouse, rest] = &config.remotes[..] else { panic!("{:?}", config.remotes) };
        assert_eq!((&greenhouse.node, &greenhouse.tools), (&Some(greenhouse.id.clone()), &Tools::All(true)));
        assert_eq!((&rest.node, &rest.tools), (&None, &Tools::Some(vec!["lamp_*".into()])));
        assert!(greenhouse.fault.is_none() && rest.fault.is_none());
    }

    #[test]
    fn each_mistake_is_named() {
        for (section, told) in [
            ("[remote.pi]", "`pi` is this node itself"),
            ("[remote.a]\nnode = \"Green House\"", "the node `Green House`"),
            ("[remote.a]\nurl = \"http://h\"", "begins with `mqtt://`"),
            ("[remote.a]\nbase = \"a/#\"", "wildcard"),
            ("[remote.a]\npassword = \"x\"", "a password without a user"),
            ("[remote.a]\nmax_age = \"0s\"", "no time at all"),
            ("[remote.a]\nsensors = [\"soil_1\"]", "`soil_1` fits none"),
            ("[remote.a]\ntools = [\"lamp-1\"]", "`lamp-1` fits none"),
            ("[remote.a]\n[remote.b]\nnode = \"a\"", "node `a` is imported by `[remote.a]`"),
        ] {
            let faults = faults(section);
            assert!(faults.iter().any(|fault| fault.contains(told)), "{section}: {faults:?}");
        }
        assert_eq!(faults("[remote.a]\n[remote.b]\nnode = \"a\"\nurl = \"mqtt://other\""), [""; 0]);
    }
}
