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

/// Which MQTT the node begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// MQTT 5; a broker that knows only 3.1.1 is spoken to in that.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V3,
}

/// The longest session: a call from last week is nobody's wish any more.
const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600);

/// The broker, and how the node talks to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mqtt {
    /// The brokers, the best one first. None: the embedded one, or none at all.
    pub urls: Vec<BrokerUrl>,
    /// Which MQTT.
    pub protocol: Protocol,
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
    /// The file that has the user.
    pub username_file: Option<PathBuf>,
    /// The file that has the password.
    pub password_file: Option<PathBuf>,
    /// The file with the certificates of authorities.
    pub ca_file: Option<PathBuf>,
    /// The file with the node's certificate.
    pub cert_file: Option<PathBuf>,
    /// The file with the key of that.
    pub key_file: Option<PathBuf>,
    /// The MQTT client id. Nothing: made from the node's id.
    pub client_id: Option<String>,
    /// How soon a dead connection is noticed.
    pub keep_alive: Every,
    /// How long the broker keeps calls for a node that is away.
    pub session_expiry: Every,
    /// How many messages of the broker's may wait for the node.
    pub receive_maximum: u16,
    /// Without effect since readings are kept in a journal; older files have it.
    pub queue: usize,
    /// The quality of service of readings that are news: 0 or 1.
    pub qos: u8,
    /// How many readings of an outage are published in a second.
    pub backlog_rate: u32,
    /// How payloads are written.
    pub encoding: Encoding,
    /// Whether Home Assistant is told of the node.
    pub discovery: bool,
    /// Where Home Assistant looks.
    pub discovery_prefix: String,
}

impl Default for Mqtt {
    fn default() -> Self {
        let keys = Keys::default();
        Self {
            urls: Vec::new(),
            protocol: keys.protocol,
            embedded: keys.embedded,
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            base: keys.base,
            username: None,
            password: None,
            username_file: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            client_id: None,
            keep_alive: keys.keep_alive,
            session_expiry: keys.session_expiry,
            receive_maximum: keys.receive_maximum,
            queue: keys.queue,
            qos: keys.qos,
            backlog_rate: keys.backlog_rate,
            encoding: keys.encoding,
            discovery: keys.discovery,
            discovery_prefix: keys.discovery_prefix,
        }
    }
}

/// The section as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Keys {
    /// The broker, such as "mqtt://broker.local:1883"; "mqtts://" with TLS, "ws://" and "wss://" over websockets.
    url: Option<String>,
    /// Several brokers, the best one first: the node stays with one until it breaks, then tries them in order.
    #[schemars(length(min = 1, max = 16))]
    urls: Option<Vec<String>>,
    /// Which MQTT to begin with; a broker that says that it knows only 3.1.1 is spoken to in that.
    protocol: Protocol,
    /// Whether the node is its own broker.
    embedded: bool,
    /// Where the embedded broker listens.
    #[schemars(extend("default" = "127.0.0.1:1883"))]
    listen: Option<String>,
    /// What all topics begin with.
    base: String,
    /// The user that the broker knows.
    username: Option<String>,
    /// A file with the user in it; "credential:NAME" for one of systemd's.
    username_file: Option<PathBuf>,
    /// The user's password.
    password: Option<Secret>,
    /// A file with the password in it; "credential:NAME" for one of systemd's.
    password_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that the broker's may be signed by, instead of those that the system trusts.
    ca_file: Option<PathBuf>,
    /// The node's own certificate (PEM), where the broker wants one; read at each connection.
    cert_file: Option<PathBuf>,
    /// The key (PEM) of the node's certificate; "credential:NAME" for one of systemd's.
    key_file: Option<PathBuf>,
    /// The MQTT client id.
    #[schemars(length(min = 1, max = 128))]
    client_id: Option<String>,
    /// How soon a dead connection is noticed, such as "15s".
    keep_alive: Every,
    /// How long the broker keeps calls for a node that is away; MQTT 3.1.1 keeps none, as they would never expire there.
    session_expiry: Every,
    /// How many messages of the broker's may wait for the node (MQTT 5).
    #[schemars(range(min = 1, max = 65_535))]
    receive_maximum: u16,
    /// Without effect: readings are kept in the journal, see `[outbox]`.
    #[schemars(range(min = 64, max = 1_000_000))]
    queue: usize,
    /// The quality of service of readings that are news: 1, or 0 where one that is lost on the way is no matter.
    #[schemars(range(min = 0, max = 1))]
    qos: u8,
    /// How many readings of an outage are published in a second, so that the news keep their way; 0 for as many as the broker takes.
    backlog_rate: u32,
    /// How payloads are written: "json", or "cbor" for links that are paid by the byte; with "cbor" topics begin with
    /// "sedge-cbor/v1", and Home Assistant is told nothing.
    encoding: Encoding,
    /// Whether Home Assistant is told of the node, so that its sensors and tools appear there by themselves. Without it what
    /// Home Assistant was told before is taken back.
    discovery: bool,
    /// Where Home Assistant looks; as in the settings of its MQTT integration.
    discovery_prefix: String,
}

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// For Home Assistant, Node-RED and people.
    #[default]
    Json,
    /// Fewer bytes.
    Cbor,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            url: None,
            urls: None,
            protocol: Protocol::V5,
            embedded: false,
            listen: None,
            base: "sedge/v1".into(),
            username: None,
            username_file: None,
            password: None,
            password_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            client_id: None,
            keep_alive: Every::secs(15),
            session_expiry: Every::secs(30),
            receive_maximum: 32,
            queue: 10_000,
            qos: 1,
            backlog_rate: 1000,
            encoding: Encoding::Json,
            discovery: true,
            discovery_prefix: "homeassistant".into(),
        }
    }
}

impl Mqtt {
    /// A number that changes when anything here does, passwords included.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { urls, protocol, embedded, listen, base, username, password, client_id, .. } = self;
        let Self { username_file, password_file, ca_file, cert_file, key_file, .. } = self;
        let Self { keep_alive, session_expiry, receive_maximum, queue, qos, backlog_rate, encoding, .. } =
            self;
        let Self { discovery, discovery_prefix, .. } = self;
        let secret =
            |password: &Option<Secret>| password.as_ref().map(|password| password.expose().to_owned());
        let shown = |url: &BrokerUrl| json!([url, secret(&url.password)]);
        let urls: Vec<_> = urls.iter().map(shown).collect();
        let who = json!([username, username_file, secret(password), password_file, client_id]);
        let files = json!([ca_file, cert_file, key_file]);
        let session = json!([nanos(*keep_alive), nanos(*session_expiry), receive_maximum, queue]);
        let readings = json!([qos, backlog_rate, encoding]);
        let home_assistant = json!([discovery, discovery_prefix]);
        fingerprint(&json!([
            urls,
            protocol,
            embedded,
            listen,
            base,
            who,
            files,
            session,
            readings,
            home_assistant
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
                if section.report.document.has("/mqtt/queue") {
                    let place = section.report.document.place("/mqtt/queue").key;
                    let message =
                        "`queue` has no effect any more: readings are kept in a journal on the disk";
                    section
                        .report
                        .warning(place, message)
                        .help("`[outbox] max_bytes` says how large it may be");
                }
                if !section.good {
                    return None;
                }
                mqtt
            }
        };
        let goes_elsewhere = report.document.has("/destination");
        if read.urls.is_empty() && !read.embedded && !goes_elsewhere {
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
        let urls = self.urls(&keys);
        let named = if keys.url.is_some() { "url" } else { "urls" };
        if (keys.url.is_some() || keys.urls.is_some()) && keys.embedded {
            let message = format!("`{named}` and `embedded` exclude each other");
            self.wrong("embedded", &message, "the node uses one broker; keep one of them");
        }
        let listen = keys.listen.as_deref().map_or(Some(default.listen), |listen| self.listen(listen));
        if keys.listen.is_some() && !keys.embedded {
            let place = self.report.document.place("/mqtt/listen").key;
            let message = "`listen` has no effect without `embedded = true`";
            self.report.warning(place, message);
        }
        let written = self.report.document.has("/mqtt/base");
        let base = match keys.encoding {
            Encoding::Cbor if !written => "sedge-cbor/v1".into(),
            _ => keys.base.clone(),
        };
        if keys.encoding == Encoding::Cbor && base == default.base {
            self.wrong(
                "base",
                "JSON is expected under this base",
                "one of its own for CBOR, such as \"sedge-cbor/v1\"",
            );
        }
        if let Some(why) = wrong_base(&base) {
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
        if keys.session_expiry.0 > LONGEST_SESSION {
            let message = format!("{} is out of range", keys.session_expiry);
            self.wrong("session_expiry", &message, &format!("expected at most {}", Every(LONGEST_SESSION)));
        }
        if keys.username.is_some() && keys.username_file.is_some() {
            self.wrong(
                "username_file",
                "the user is given twice",
                "keep one of `username` and `username_file`",
            );
        }
        let from_url = urls.iter().find_map(|url| url.username.as_ref());
        if from_url.is_some() && (keys.username.is_some() || keys.username_file.is_some()) {
            self.wrong("username", "the user stands in `url` too", "keep one of them");
        }
        if urls.len() > 1 && from_url.is_some() {
            self.wrong("urls", "a user in one of several URLs", "write `username`, which is for all of them");
        }
        let password_of_url = urls.iter().find_map(|url| url.password.as_ref());
        let passwords = [password_of_url.is_some(), keys.password.is_some(), keys.password_file.is_some()];
        let key = if keys.password_file.is_some() { "password_file" } else { "password" };
        if passwords.into_iter().filter(|&given| given).count() > 1 {
            self.wrong(
                key,
                "the password is given twice",
                "keep one of `url`, `password` and `password_file`",
            );
        }
        self.tls(&keys, &urls);
        let username = keys.username.or(from_url.cloned());
        let no_user = username.is_none() && keys.username_file.is_none();
        let given = passwords.contains(&true);
        if given {
            self.readable_password(&urls, named);
        }
        if no_user && given {
            self.wrong(key, "a password without a user", "add `username`");
        }
        Mqtt {
            username,
            password: keys.password.or(password_of_url.cloned()),
            urls,
            protocol: keys.protocol,
            embedded: keys.embedded,
            listen: listen.unwrap_or(default.listen),
            base,
            username_file: keys.username_file,
            password_file: keys.password_file,
            ca_file: keys.ca_file,
            cert_file: keys.cert_file,
            key_file: keys.key_file,
            client_id: keys.client_id,
            keep_alive,
            session_expiry: keys.session_expiry,
            receive_maximum: keys.receive_maximum,
            queue: keys.queue,
            qos: keys.qos,
            backlog_rate: keys.backlog_rate,
            encoding: keys.encoding,
            discovery: keys.discovery,
            discovery_prefix: keys.discovery_prefix,
        }
    }

    fn urls(&mut self, keys: &Keys) -> Vec<BrokerUrl> {
        if keys.url.is_some() && keys.urls.is_some() {
            self.wrong("urls", "`url` and `urls` exclude each other", "write all brokers into `urls`");
        }
        let one = keys.url.iter().map(|url| ("url".to_owned(), url));
        let several = keys.urls.iter().flatten().enumerate().map(|(n, url)| (format!("urls/{n}"), url));
        let all: Vec<_> = one.chain(several).collect();
        all.into_iter().filter_map(|(key, url)| self.url(&key, url)).collect()
    }

    fn url(&mut self, key: &str, url: &str) -> Option<BrokerUrl> {
        match BrokerUrl::parse(url) {
            Ok(url) => Some(url),
            Err(error) => {
                self.wrong(key, &error.to_string(), "such as \"mqtt://broker.local:1883\"");
                None
            }
        }
    }

    /// The files for TLS: whether they go together, and whether anything uses them.
    fn tls(&mut self, keys: &Keys, urls: &[BrokerUrl]) {
        if let (Some(_), None) = (&keys.cert_file, &keys.key_file) {
            self.wrong("cert_file", "a certificate without its key", "add `key_file`");
        }
        if let (None, Some(_)) = (&keys.cert_file, &keys.key_file) {
            self.wrong("key_file", "a key without its certificate", "add `cert_file`");
        }
        let encrypted = urls.iter().any(|url| url.scheme.is_encrypted());
        let files = [("ca_file", &keys.ca_file), ("cert_file", &keys.cert_file)];
        for (key, _) in files.into_iter().filter(|(_, file)| file.is_some() && !encrypted && !urls.is_empty())
        {
            let place = self.report.document.place(&format!("/mqtt/{key}")).key;
            let message = format!("`{key}` has no effect without TLS");
            self.report.warning(place, &message).help("write `mqtts://` or `wss://` in the broker's URL");
        }
    }

    /// A password that anybody on the way to a broker can read.
    fn readable_password(&mut self, urls: &[BrokerUrl], key: &str) {
        let Some(url) = urls.iter().find(|url| !url.scheme.is_encrypted() && !url.is_near()) else { return };
        let message =
            format!("the password goes to `{}` unencrypted: anybody on the way can read it", url.host);
        let place = self.report.document.place(&format!("/mqtt/{key}")).value;
        self.report.warning(place, &message).help("write `mqtts://` or `wss://`, where the broker has TLS");
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
pub(crate) fn wrong_base(base: &str) -> Option<&'static str> {
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
