//! `[mqtt]`: the broker, and how the node talks to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::Every;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::broker::BrokerUrl;
use crate::fingerprint::{fingerprint, nanos};
use crate::report::{Report, Scope};
use sedge_plugin::Secret;

/// The shortest keep-alive: below it a slow radio link looks dead.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The longest keep-alive, which MQTT counts in 16 bits of seconds.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(18 * 3600);

/// The broker, and how the node talks to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mqtt {
    /// The broker. Nothing: the embedded one, or none at all.
    pub url: Option<BrokerUrl>,
    /// Whether the node is its own broker.
    pub embedded: bool,
    /// Where the embedded broker listens.
    pub listen: SocketAddr,
    /// What all topics begin with.
    pub base: String,
    /// The user, from the key or the URL.
    pub username: Option<String>,
    /// The user's password, from the key or the URL.
    pub password: Option<Secret>,
    /// The file that has the password.
    pub password_file: Option<PathBuf>,
    /// The MQTT client id. Nothing: made from the node's id.
    pub client_id: Option<String>,
    /// How soon a dead connection is noticed.
    pub keep_alive: Every,
    /// How many readings are kept in memory while the broker is away.
    pub queue: usize,
    /// Whether Home Assistant is told of the node.
    pub discovery: bool,
    /// Where Home Assistant looks.
    pub discovery_prefix: String,
}

impl Default for Mqtt {
    fn default() -> Self {
        let keys = Keys::default();
        Self {
            url: None,
            embedded: keys.embedded,
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            base: keys.base,
            username: None,
            password: None,
            password_file: None,
            client_id: None,
            keep_alive: keys.keep_alive,
            queue: keys.queue,
            discovery: keys.discovery,
            discovery_prefix: keys.discovery_prefix,
        }
    }
}

/// The section as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// The broker, such as "mqtt://broker.local:1883".
    url: Option<String>,
    /// Whether the node is its own broker.
    embedded: bool,
    /// Where the embedded broker listens.
    #[schemars(extend("default" = "127.0.0.1:1883"))]
    listen: Option<String>,
    /// What all topics begin with.
    base: String,
    /// The user that the broker knows.
    username: Option<String>,
    /// The user's password.
    password: Option<Secret>,
    /// A file with the password in it.
    password_file: Option<PathBuf>,
    /// The MQTT client id.
    #[schemars(length(min = 1, max = 128))]
    client_id: Option<String>,
    /// How soon a dead connection is noticed, such as "15s".
    keep_alive: Every,
    /// How many readings are kept in memory while the broker is away.
    #[schemars(range(min = 64, max = 1_000_000))]
    queue: usize,
    /// Whether Home Assistant is told of the node, so that its sensors and tools appear there by themselves. Without it what
    /// Home Assistant was told before is taken back.
    discovery: bool,
    /// Where Home Assistant looks; as in the settings of its MQTT integration.
    discovery_prefix: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            url: None,
            embedded: false,
            listen: None,
            base: "sedge/v1".into(),
            username: None,
            password: None,
            password_file: None,
            client_id: None,
            keep_alive: Every::secs(15),
            queue: 10_000,
            discovery: true,
            discovery_prefix: "homeassistant".into(),
        }
    }
}

impl Mqtt {
    /// A number that changes when anything here does, passwords included.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { url, embedded, listen, base, username, password, password_file, client_id, .. } = self;
        let Self { keep_alive, queue, discovery, discovery_prefix, .. } = self;
        let secret =
            |password: &Option<Secret>| password.as_ref().map(|password| password.expose().to_owned());
        let url = url.as_ref().map(|BrokerUrl { host, port, username, password }| {
            json!([host, port, username, secret(password)])
        });
        let who = json!([username, secret(password), password_file, client_id]);
        fingerprint(&json!([
            url,
            embedded,
            listen,
            base,
            who,
            nanos(*keep_alive),
            queue,
            discovery,
            discovery_prefix
        ]))
    }

    /// Reads the section; nothing if it has a mistake.
    pub(crate) fn read(report: &mut Report<'_>) -> Option<Self> {
        let read = match report.document.value.get("mqtt") {
            None => Self::default(),
            Some(table) => {
                report.problems_within(Scope::Node, "/mqtt");
                let schema = schemars::schema_for!(Keys).to_value();
                let checked = report.check(Scope::Node, "/mqtt", &schema, table, &[]);
                let keys = serde_json::from_value(checked.rest_of(table)).unwrap_or_default();
                let mut section = Reading { report, good: checked.is_good() };
                let mqtt = section.read(keys);
                if !section.good {
                    return None;
                }
                mqtt
            }
        };
        let goes_elsewhere = report.document.has("/destination");
        if read.url.is_none() && !read.embedded && !goes_elsewhere {
            let help = "add `[mqtt]` with `url = \"mqtt://…\"`, or `embedded = true`";
            let place = report.document.place("/mqtt").value;
            report.warning(place, "no broker configured: readings stay on this node").help(help);
        }
        Some(read)
    }
}

/// The section while what no schema can say is checked.
struct Reading<'r, 'a> {
    report: &'r mut Report<'a>,
    good: bool,
}

impl Reading<'_, '_> {
    fn read(&mut self, keys: Keys) -> Mqtt {
        let default = Mqtt::default();
        let url = keys.url.as_deref().and_then(|url| self.url(url));
        if keys.url.is_some() && keys.embedded {
            self.wrong(
                "embedded",
                "`url` and `embedded` exclude each other",
                "the node uses one broker; keep one of them",
            );
        }
        let listen = keys.listen.as_deref().map_or(Some(default.listen), |listen| self.listen(listen));
        if keys.listen.is_some() && !keys.embedded {
            let place = self.report.document.place("/mqtt/listen").key;
            let message = "`listen` has no effect without `embedded = true`";
            self.report.warning(place, message);
        }
        if let Some(why) = wrong_base(&keys.base) {
            self.wrong("base", why, "such as \"sedge/v1\"");
        }
        if let Some(why) = wrong_base(&keys.discovery_prefix) {
            self.wrong("discovery_prefix", &why.replace("base", "prefix"), "such as \"homeassistant\"");
        }
        if keys.client_id.as_deref().is_some_and(|id| id.starts_with(' ')) {
            self.wrong("client_id", "the client id begins with a space", "such as \"sedge-pi-kitchen\"");
        }
        let keep_alive = keys.keep_alive;
        if keep_alive.0 < SHORTEST_KEEP_ALIVE || keep_alive.0 > LONGEST_KEEP_ALIVE {
            let expected = format!("{} to {}", Every(SHORTEST_KEEP_ALIVE), Every(LONGEST_KEEP_ALIVE));
            self.wrong(
                "keep_alive",
                &format!("{keep_alive} is out of range"),
                &format!("expected {expected}"),
            );
        }
        let from_url = url.as_ref().and_then(|url| url.username.as_ref());
        if from_url.is_some() && keys.username.is_some() {
            self.wrong("username", "the user stands in `url` too", "keep one of them");
        }
        let password_of_url = url.as_ref().and_then(|url| url.password.as_ref());
        let passwords = [password_of_url.is_some(), keys.password.is_some(), keys.password_file.is_some()];
        let key = if keys.password_file.is_some() { "password_file" } else { "password" };
        if passwords.into_iter().filter(|&given| given).count() > 1 {
            self.wrong(
                key,
                "the password is given twice",
                "keep one of `url`, `password` and `password_file`",
            );
        }
        let username = keys.username.or(from_url.cloned());
        if username.is_none() && (keys.password.is_some() || keys.password_file.is_some()) {
            self.wrong(key, "a password without a user", "add `username`");
        }
        Mqtt {
            username,
            password: keys.password.or(password_of_url.cloned()),
            url,
            embedded: keys.embedded,
            listen: listen.unwrap_or(default.listen),
            base: keys.base,
            password_file: keys.password_file,
            client_id: keys.client_id,
            keep_alive,
            queue: keys.queue,
            discovery: keys.discovery,
            discovery_prefix: keys.discovery_prefix,
        }
    }

    fn url(&mut self, url: &str) -> Option<BrokerUrl> {
        match BrokerUrl::parse(url) {
            Ok(url) => Some(url),
            Err(error) => {
                self.wrong("url", &error.to_string(), "such as \"mqtt://broker.local:1883\"");
                None
            }
        }
    }

    fn listen(&mut self, listen: &str) -> Option<SocketAddr> {
        let parsed = listen.parse().ok();
        if parsed.is_none() {
            let message = format!("`{listen}` is not an address with a port");
            self.wrong("listen", &message, "such as \"127.0.0.1:1883\"");
        }
        parsed
    }

    fn wrong(&mut self, key: &str, message: &str, help: &str) {
        let place = self.report.document.place(&format!("/mqtt/{key}")).value;
        self.report.error(Scope::Node, place, message).help(help);
        self.good = false;
    }
}

/// Why topics cannot begin with `base`.
fn wrong_base(base: &str) -> Option<&'static str> {
    match base {
        "" => Some("the base is empty"),
        base if base.contains(['+', '#']) => Some("the base has a wildcard, `+` or `#`"),
        base if base.contains(char::is_control) => Some("the base has a control character"),
        base if base.starts_with('$') => Some("topics that begin with `$` belong to the broker"),
        base if base.starts_with('/') || base.ends_with('/') => Some("the base begins or ends with `/`"),
        base if base.split('/').any(str::is_empty) => Some("the base has an empty level, `//`"),
        base if base.starts_with('_') => Some("the base begins with `_`, which is reserved"),
        base if base.len() > 128 => Some("the base is longer than 128 bytes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_makes_no_topics_is_refused() {
        for base in ["", "/a", "a/", "a//b", "a/+/b", "#", "$SYS/a", "_a", "a\0b", &"a".repeat(129)] {
            assert!(wrong_base(base).is_some(), "{base}");
        }
        for base in ["sedge/v1", "a", "home/Küche/a$b"] {
            assert_eq!(wrong_base(base), None, "{base}");
        }
    }

    #[test]
    fn every_key_is_checked_and_described() {
        let schema = schemars::schema_for!(Keys).to_value();
        sedge_plugin::schema::Schema::compile(&schema).expect("within the subset");
        for (key, property) in schema["properties"].as_object().expect("properties") {
            assert!(property["description"].is_string(), "`{key}` says what it is for");
        }
    }
}
