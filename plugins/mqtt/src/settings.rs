//! What the bridge must be told.
//!
//! ```
//! use sedge_mqtt::Settings;
//! use sedge_plugin::Secret;
//! let settings = Settings { password: Some(Secret::new("hunter2")), ..Settings::default() };
//! assert!(!format!("{settings:?}").contains("hunter2"));
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use sedge_plugin::{Every, Secret};
use serde::Deserialize;

use crate::wire::Base;

/// Where the broker is, and how to be there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The broker's host: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What stands in front of every topic.
    pub base: String,
    /// How the node names itself to the broker; `sedge-` and its id unless told otherwise.
    pub client_id: Option<String>,
    /// The user name, where the broker wants one.
    pub username: Option<String>,
    /// The password, where the broker wants one.
    pub password: Option<Secret>,
    /// How often to give a sign of life; a dead connection is noticed after twice this. At least 5 s.
    pub keep_alive: Every,
    /// Readings that wait while the broker is away; the oldest are dropped. At least 64.
    pub queue: usize,
    /// Whether Home Assistant is told of the node. Without it what it was told before is taken back.
    pub discovery: bool,
    /// Where Home Assistant looks.
    pub discovery_prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 1883,
            base: "sedge/v1".into(),
            client_id: None,
            username: None,
            password: None,
            keep_alive: Every::secs(15),
            queue: 10_000,
            discovery: true,
            discovery_prefix: "homeassistant".into(),
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
    /// No host.
    #[error("`host` is empty; name the broker, such as `localhost`")]
    Host,
    /// The client id is empty or starts with a space; the library does not take it.
    #[error("`client_id` must not be empty or start with a space")]
    ClientId,
    /// Too short or too long.
    #[error("`keep_alive` is {0}; choose between 5s and 18h")]
    KeepAlive(Every),
    /// Too few or too many.
    #[error("`queue` is {0}; choose between 64 and 1000000")]
    Queue(usize),
}

impl Settings {
    /// Checks them, and gives the base.
    pub fn check(&self) -> Result<Base, SettingsError> {
        let base = Base::new(&self.base)?;
        Base::new(&self.discovery_prefix).map_err(SettingsError::Prefix)?;
        if self.host.is_empty() {
            return Err(SettingsError::Host);
        }
        if self.client_id.as_deref().is_some_and(|id| id.is_empty() || id.starts_with(' ')) {
            return Err(SettingsError::ClientId);
        }
        if !(Duration::from_secs(5)..=Duration::from_secs(18 * 3600)).contains(&self.keep_alive.0) {
            return Err(SettingsError::KeepAlive(self.keep_alive));
        }
        if !(64..=1_000_000).contains(&self.queue) {
            return Err(SettingsError::Queue(self.queue));
        }
        Ok(base)
    }

    pub(crate) fn login(&self) -> Option<(String, String)> {
        let password = self.password.as_ref().map_or("", Secret::expose);
        self.username.as_ref().map(|user| (user.clone(), password.into()))
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
            (Settings { host: String::new(), ..Settings::default() }, "host"),
            (Settings { client_id: Some(String::new()), ..Settings::default() }, "client_id"),
            (Settings { keep_alive: Every::secs(1), ..Settings::default() }, "keep_alive"),
            (Settings { queue: 1, ..Settings::default() }, "queue"),
            (Settings { discovery_prefix: "a/+".into(), ..Settings::default() }, "discovery_prefix"),
        ] {
            assert!(wrong.check().unwrap_err().to_string().contains(named));
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let settings = Settings { password: Some(Secret::new("hunter2")), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
