//! What was typed: the token and the broker.

use std::io::Read as _;

use sedge_config::{BrokerScheme, BrokerUrl};
use sedge_token::{MOST_BYTES, Token};

use crate::cli::JoinArgs;
use crate::exit::Failure;

/// The token, from where it is.
pub(super) fn token(args: &JoinArgs) -> Result<Token, Failure> {
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
    let mut text = String::new();
    let read = match (&args.token, &args.token_file) {
        (Some(token), _) if token != "-" => {
            text.clone_from(token);
            Ok(0)
        }
        (None, Some(file)) if file.as_os_str() != "-" => std::fs::File::open(file)
            .and_then(|file| file.take(most).read_to_string(&mut text))
            .map_err(|error| format!("--token-file {}: {error}", file.display())),
        _ => std::io::stdin()
            .take(most)
            .read_to_string(&mut text)
            .map_err(|error| format!("the token at standard input: {error}")),
    };
    read.map_err(Failure::Usage)?;
    Token::parse(&text).map_err(|error| Failure::Usage(error.to_string()))
}

/// The broker. Without TLS there is nobody whom the token could prove anything to.
pub(super) fn broker(text: &str) -> Result<BrokerUrl, Failure> {
    let wrong = |why: String| Failure::Usage(format!("BROKER: {why}"));
    let url = if text.contains("://") {
        text.to_owned()
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("mqtts://[{text}]")
    } else {
        format!("mqtts://{text}")
    };
    let url = BrokerUrl::parse(&url).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme, BrokerScheme::Mqtts | BrokerScheme::Wss) {
        return Err(wrong(format!("`{text}` is without TLS; a site is joined at mqtts://")));
    }
    if url.username.is_some() || url.password.is_some() {
        return Err(wrong("a site knows no passwords: the certificate is the login".into()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_may_be_named_shortly_and_never_without_tls() {
        let shown = |text| broker(text).unwrap().to_string();
        assert_eq!(shown("broker.local"), "mqtts://broker.local:8883");
        assert_eq!(shown("broker.local:8884"), "mqtts://broker.local:8884");
        assert_eq!(shown("mqtts://10.0.0.1:1"), "mqtts://10.0.0.1:1");
        assert_eq!(shown("fd00::1"), "mqtts://[fd00::1]:8883");
        for wrong in ["mqtt://broker.local", "ws://broker.local", "mqtts://me@broker.local", "", "a b"] {
            assert!(matches!(broker(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
