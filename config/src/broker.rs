//! The address of an MQTT broker, `mqtt://user:password@host:1883`.
//!
//! It must not print the password: neither its messages nor [`BrokerUrl`]'s output have it.

use std::fmt;

use serde::{Serialize, Serializer};

use sedge_plugin::Secret;

/// MQTT's port without TLS.
const PORT: u16 = 1883;

/// Why a text is no address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// TLS or WebSockets.
    #[error("TLS is not built in yet: `{0}://` cannot be used")]
    NotBuiltIn(String),
    /// Not a URL, or of something else.
    #[error("the URL of a broker begins with `mqtt://`")]
    Scheme,
    /// Nothing before the port.
    #[error("the URL names no host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error(
        "the port is not a number from 1 to 65535; a user stands before an `@`, as in `mqtt://user:password@host`"
    )]
    Port,
    /// A password without a user.
    #[error("the URL has a password and no user")]
    User,
    /// Something behind host and port.
    #[error("the URL of a broker ends with its host and port")]
    Path,
    /// `%` without two hexadecimal digits, or not UTF-8.
    #[error("user or password has a `%` that encodes nothing; write `%25` for the character itself")]
    Encoding,
}

/// Where the broker is, and as whom to talk to it.
///
/// ```
/// let url = sedge_config::BrokerUrl::parse("mqtt://me:hunter2@broker.local")?;
/// assert_eq!((url.host.as_str(), url.port), ("broker.local", 1883));
/// assert_eq!(url.to_string(), "mqtt://me:***@broker.local:1883");
/// # Ok::<(), sedge_config::BrokerUrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// 1883 unless it is named.
    pub port: u16,
    /// The user.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<Secret>,
}

impl BrokerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(url: &str) -> Result<Self, BrokerUrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(BrokerUrlError::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => {}
            known @ ("mqtts" | "ssl" | "tls" | "ws" | "wss") => {
                return Err(BrokerUrlError::NotBuiltIn(known.into()));
            }
            _ => return Err(BrokerUrlError::Scheme),
        }
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let place = rest.strip_suffix('/').unwrap_or(rest);
        if place.contains(['/', '?', '#']) {
            return Err(BrokerUrlError::Path);
        }
        let (host, port) = host_and_port(place)?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(BrokerUrlError::Host);
        }
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            None => (None, None),
            Some(("", password)) if !password.is_empty() => return Err(BrokerUrlError::User),
            Some((username, "")) => (Some(decoded(username)?), None),
            Some((username, password)) => (Some(decoded(username)?), Some(Secret::new(decoded(password)?))),
        };
        Ok(Self { host: host.into(), port, username: username.filter(|name| !name.is_empty()), password })
    }
}

fn host_and_port(place: &str) -> Result<(&str, u16), BrokerUrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(ipv6) => {
            let (host, rest) = ipv6.split_once(']').ok_or(BrokerUrlError::Host)?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or(BrokerUrlError::Host)?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    match port {
        "" => Ok((host, PORT)),
        port => match port.parse() {
            Ok(number) if number > 0 => Ok((host, number)),
            _ => Err(BrokerUrlError::Port),
        },
    }
}

fn decoded(text: &str) -> Result<String, BrokerUrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok()).ok_or(BrokerUrlError::Encoding)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BrokerUrlError::Encoding)?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| BrokerUrlError::Encoding)
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mqtt://")?;
        match (&self.username, &self.password) {
            (None, None) => {}
            (username, None) => write!(f, "{}@", username.as_deref().unwrap_or_default())?,
            (username, Some(_)) => write!(f, "{}:***@", username.as_deref().unwrap_or_default())?,
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Serialize for BrokerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_user_are_read() {
        for (url, shown) in [
            ("mqtt://broker.local", "mqtt://broker.local:1883"),
            ("tcp://10.0.0.1:1884/", "mqtt://10.0.0.1:1884"),
            ("MQTT://[::1]:1884", "mqtt://[::1]:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("mqtt://me@h", "mqtt://me@h:1883"),
        ] {
            assert_eq!(BrokerUrl::parse(url).expect(url).to_string(), shown);
        }
        let url = BrokerUrl::parse("mqtt://m%65:a%40b:c@d@h").expect("valid");
        assert_eq!(url.username.as_deref(), Some("me"));
        assert_eq!(url.password.as_ref().map(Secret::expose), Some("a@b:c@d"));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_repeating_the_password() {
        for url in [
            "",
            "broker",
            "http://h",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://h:0",
            "mqtt://h:65536",
            "mqtt://h:x",
            "mqtt://h/topic",
            "mqtt://[::1",
            "mqtt://[::1]x",
            "mqtt://me:hunter2%@h",
            "mqtt://me:hunter2%é@h",
            "mqtt://me:hunter2@",
            "mqtt://a b",
            "wss://me:hunter2@h",
        ] {
            let error = BrokerUrl::parse(url).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = BrokerUrl::parse("mqtts://h").expect_err("TLS");
        assert!(error.to_string().contains("TLS is not built in yet"), "{error}");
    }
}
