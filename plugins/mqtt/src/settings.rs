//! What the bridge must be told.
//!
//! ```
//! use sedge_mqtt::Settings;
//! use sedge_plugin::Secret;
//! let settings = Settings { password: Some(Secret::new("hunter2")), ..Settings::default() };
//! assert!(!format!("{settings:?}").contains("hunter2"));
//! ```

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::{Every, Secret};
use serde::Deserialize;

use crate::gate::CallRules;
use crate::link::{LinkOptions, TlsFiles};
pub use crate::packet::Version;
use crate::wire::{Base, Encoding};

/// What lies between MQTT and TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Nothing.
    #[default]
    Mqtt,
    /// TLS.
    Mqtts,
    /// A websocket.
    Ws,
    /// A websocket over TLS.
    Wss,
}

impl Scheme {
    /// Whether TLS is under it.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Whether it is a websocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// What lies between MQTT and TCP.
    pub scheme: Scheme,
    /// Its host: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The path of a websocket.
    pub path: String,
}

impl Broker {
    /// A broker behind nothing but TCP.
    pub fn at(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, ..Self::default() }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self { scheme: Scheme::Mqtt, host: "localhost".into(), port: 1883, path: "/mqtt".into() }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Mqtt => "mqtt",
            Scheme::Mqtts => "mqtts",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        };
        let path = if self.scheme.is_websocket() { self.path.as_str() } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}{path}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}{path}", self.host, self.port),
        }
    }
}

/// Where the broker is, and how to be there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The brokers, the best one first. The node stays with one until it breaks; then it tries them in order.
    pub brokers: Vec<Broker>,
    /// The version of MQTT; a broker that knows only 3.1.1 is spoken to in that.
    pub version: Version,
    /// What stands in front of every topic.
    pub base: String,
    /// How the node names itself to the broker; `sedge-` and its id unless told otherwise.
    pub client_id: Option<String>,
    /// The user name, where the broker wants one.
    pub username: Option<String>,
    /// The password, where the broker wants one.
    pub password: Option<Secret>,
    /// Certificates of the authorities that the broker's may be signed by; those that the system trusts otherwise.
    pub ca_file: Option<PathBuf>,
    /// The node's own certificate, where the broker wants one.
    pub cert_file: Option<PathBuf>,
    /// The key of the node's certificate.
    pub key_file: Option<PathBuf>,
    /// How often to give a sign of life; a dead connection is noticed after twice this. At least 5 s.
    pub keep_alive: Every,
    /// How long the broker keeps calls for a node that is away (MQTT 5).
    pub session_expiry: Every,
    /// Messages of the broker's that may wait for the node (MQTT 5).
    pub receive_maximum: u16,
    /// Whether the broker acknowledges readings that are news: 1, or 0.
    pub qos: u8,
    /// Readings of an outage that are published in a second, so that the news keep their way; 0 for as many as the broker takes.
    pub backlog_rate: u32,
    /// Whether Home Assistant is told of the node. Without it what it was told before is taken back.
    pub discovery: bool,
    /// Where Home Assistant looks.
    pub discovery_prefix: String,
    /// How payloads are written.
    pub encoding: Encoding,
    /// What is asked of calls.
    #[serde(skip)]
    pub calls: CallRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: vec![Broker::default()],
            version: Version::V5,
            base: "sedge/v1".into(),
            client_id: None,
            username: None,
            password: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            keep_alive: Every::secs(15),
            session_expiry: Every::secs(30),
            receive_maximum: 32,
            qos: 1,
            backlog_rate: 1000,
            encoding: Encoding::Json,
            discovery: true,
            discovery_prefix: "homeassistant".into(),
            calls: CallRules::default(),
        }
    }
}

/// What is wrong with [`Settings`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The base is not one.
    #[error("`base`: {0}")]
    Base(#[from] crate::wire::BaseError),
    /// The prefix is none that topics can begin with.
    #[error("`discovery_prefix`: {0}")]
    Prefix(crate::wire::BaseError),
    /// No broker, or one without a host.
    #[error("a broker has no host; name one, such as `localhost`")]
    Host,
    /// A certificate without its key, or a key without its certificate.
    #[error("`cert_file` and `key_file` go together")]
    Certificate,
    /// No message could ever come.
    #[error("`receive_maximum` is 0; choose 1 or more")]
    ReceiveMaximum,
    /// The client id is empty or starts with a space, which some brokers do not take.
    #[error("`client_id` must not be empty or start with a space")]
    ClientId,
    /// Too short or too long.
    #[error("`keep_alive` is {0}; choose between 5s and 18h")]
    KeepAlive(Every),
}

impl Settings {
    /// For a broker behind nothing but TCP.
    pub fn at(host: impl Into<String>, port: u16) -> Self {
        Self { brokers: vec![Broker::at(host, port)], ..Self::default() }
    }

    /// Checks them, and gives the base.
    pub fn check(&self) -> Result<Base, SettingsError> {
        let base = Base::new(&self.base)?;
        Base::new(&self.discovery_prefix).map_err(SettingsError::Prefix)?;
        if self.brokers.is_empty() || self.brokers.iter().any(|broker| broker.host.is_empty()) {
            return Err(SettingsError::Host);
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(SettingsError::Certificate);
        }
        if self.receive_maximum == 0 {
            return Err(SettingsError::ReceiveMaximum);
        }
        if self.client_id.as_deref().is_some_and(|id| id.is_empty() || id.starts_with(' ')) {
            return Err(SettingsError::ClientId);
        }
        if !(Duration::from_secs(5)..=Duration::from_secs(18 * 3600)).contains(&self.keep_alive.0) {
            return Err(SettingsError::KeepAlive(self.keep_alive));
        }
        Ok(base)
    }

    /// How to connect to the first broker as `client_id`, with nothing kept by the broker and no will.
    pub(crate) fn link(&self, client_id: String) -> LinkOptions {
        let password = self.password.clone().unwrap_or_else(|| Secret::new(""));
        LinkOptions {
            broker: self.brokers.first().cloned().unwrap_or_default(),
            tls: TlsFiles {
                ca: self.ca_file.clone(),
                own: self.cert_file.clone().zip(self.key_file.clone()),
            },
            version: self.version,
            client_id,
            login: self.username.clone().map(|user| (user, password)),
            keep_alive: self.keep_alive.0,
            receive_maximum: self.receive_maximum,
            session: None,
            will: None,
            encoding: (self.encoding, self.base.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right_and_each_mistake_is_named() {
        assert!(Settings::default().check().is_ok());
        for (wrong, named) in [
            (Settings { base: "a/#".into(), ..Settings::default() }, "base"),
            (Settings { brokers: Vec::new(), ..Settings::default() }, "host"),
            (Settings { brokers: vec![Broker::at("", 1)], ..Settings::default() }, "host"),
            (Settings { cert_file: Some("c.pem".into()), ..Settings::default() }, "key_file"),
            (Settings { receive_maximum: 0, ..Settings::default() }, "receive_maximum"),
            (Settings { client_id: Some(String::new()), ..Settings::default() }, "client_id"),
            (Settings { keep_alive: Every::secs(1), ..Settings::default() }, "keep_alive"),
            (Settings { discovery_prefix: "a/+".into(), ..Settings::default() }, "discovery_prefix"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(named));
        }
    }

    #[test]
    fn a_broker_is_shown_as_its_url() {
        let broker = Broker { scheme: Scheme::Wss, ..Broker::at("::1", 443) };
        assert_eq!(broker.to_string(), "wss://[::1]:443/mqtt");
        assert_eq!(Broker::at("h", 1883).to_string(), "mqtt://h:1883");
    }

    #[test]
    fn a_password_is_never_printed() {
        let settings = Settings { password: Some(Secret::new("hunter2")), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
