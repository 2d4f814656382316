//! The address of an MQTT broker, `mqtt://user:password@host:1883`, also `mqtts://`, `ws://` and `wss://`.
//!
//! It must not print the password: neither its messages nor [`BrokerUrl`]'s output have it.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use sedge_plugin::Secret;

/// Where brokers put their websockets.
const PATH: &str = "/mqtt";

/// What lies between MQTT and TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerScheme {
    /// Nothing.
    Mqtt,
    /// TLS.
    Mqtts,
    /// A websocket.
    Ws,
    /// A websocket over TLS.
    Wss,
}

impl BrokerScheme {
    fn parse(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => Some(Self::Mqtt),
            "mqtts" | "ssl" | "tls" => Some(Self::Mqtts),
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            _ => None,
        }
    }

    /// As it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether nobody on the way can read along.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// Why a text is no address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    /// Not a URL, or of something else.
    #[error("the URL of a broker begins with `mqtt://`, `mqtts://` (TLS), `ws://` or `wss://` (websockets)")]
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
    /// Something behind host and port that is no path of a websocket.
    #[error(
        "the URL of a broker ends with its host and port; only that of a websocket has a path, without `?` or `#`"
    )]
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
    /// What lies between MQTT and TCP.
    pub scheme: BrokerScheme,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// That of the scheme unless it is named: 1883, 8883, 80, 443.
    pub port: u16,
    /// Where the websocket is on the host; `/mqtt` unless it is named.
    pub path: String,
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
        let scheme = BrokerScheme::parse(scheme).ok_or(BrokerUrlError::Scheme)?;
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_path = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if rest.contains(['?', '#']) || !path.chars().all(is_path) || path.len() > 1 && !scheme.is_websocket()
        {
            return Err(BrokerUrlError::Path);
        }
        let path = if path.len() > 1 { path } else { PATH };
        let (host, port) = host_and_port(place, scheme.port())?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(BrokerUrlError::Host);
        }
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            None => (None, None),
            Some(("", password)) if !password.is_empty() => return Err(BrokerUrlError::User),
            Some((username, "")) => (Some(decoded(username)?), None),
            Some((username, password)) => (Some(decoded(username)?), Some(Secret::new(decoded(password)?))),
        };
        let username = username.filter(|name| !name.is_empty());
        Ok(Self { scheme, host: host.into(), port, path: path.into(), username, password })
    }

    /// Whether the way there leads through nobody else's network, as far as its host says.
    #[must_use]
    pub fn is_near(&self) -> bool {
        match self.host.parse() {
            Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            Err(_) => {
                let name = self.host.trim_end_matches('.').to_ascii_lowercase();
                let last = name.rsplit('.').next().unwrap_or_default();
                let local = ["local", "lan", "home", "internal", "localdomain", "localhost", "test"];
                !name.contains('.') || local.contains(&last) || name.ends_with(".home.arpa")
            }
        }
    }
}

fn host_and_port(place: &str, default: u16) -> Result<(&str, u16), BrokerUrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(ipv6) => {
            let (host, rest) = ipv6.split_once(']').ok_or(BrokerUrlError::Host)?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")).ok_or(BrokerUrlError::Host)?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    match port {
        "" => Ok((host, default)),
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
        write!(f, "{}://", self.scheme.as_str())?;
        match (&self.username, &self.password) {
            (None, None) => {}
            (username, None) => write!(f, "{}@", username.as_deref().unwrap_or_default())?,
            (username, Some(_)) => write!(f, "{}:***@", username.as_deref().unwrap_or_default())?,
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port)?,
            false => write!(f, "{}:{}", self.host, self.port)?,
        }
        f.write_str(if self.scheme.is_websocket() { &self.path } else { "" })
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
            ("mqtts://h", "mqtts://h:8883"),
            ("ws://h", "ws://h:80/mqtt"),
            ("wss://h:8443/", "wss://h:8443/mqtt"),
            ("wss://me@h/a/b", "wss://me@h:443/a/b"),
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
            "wss://me:hunter2@h/a?b",
            "wss://me:hunter2@h/a b",
            "mqtts://me:hunter2@h/mqtt",
        ] {
            let error = BrokerUrl::parse(url).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_host_in_the_house_is_near_and_one_on_the_internet_is_not() {
        for near in
            ["localhost", "127.0.0.1", "[::1]", "192.168.1.2", "10.0.0.1", "broker", "broker.local", "b.lan"]
        {
            assert!(BrokerUrl::parse(&format!("mqtt://{near}")).expect(near).is_near(), "{near}");
        }
        for far in ["broker.example.com", "8.8.8.8", "[2001:db8::1]", "local.example.org"] {
            assert!(!BrokerUrl::parse(&format!("mqtt://{far}")).expect(far).is_near(), "{far}");
        }
    }
}
