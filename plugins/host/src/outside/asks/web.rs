//! Requests over HTTP to the hosts that were granted, and to no others: no redirect leads out of them.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_plugin::ToolError;
use sedge_plugin::http::Request;
use serde_json::{Value as Json, json};

use super::{Asker, bad};

/// The longest that a request may take.
const MOST: Duration = Duration::from_secs(60);

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Asker {
    pub(super) async fn http(
        &self,
        method: &str,
        url: String,
        headers: BTreeMap<String, String>,
        body: String,
        timeout_ms: Option<u64>,
    ) -> Result<Json, ToolError> {
        let known = METHODS.iter().find(|known| known.eq_ignore_ascii_case(method));
        let method = known.ok_or_else(|| bad(format!("the method is one of {}", METHODS.join(", "))))?;
        let host = host_of(&url).map_err(bad)?;
        if !self.held.hosts.iter().any(|held| covers_host(held, &host)) {
            return Err(self
                .refused("hosts", host.strip_suffix(":443").or(host.strip_suffix(":80")).unwrap_or(&host)));
        }
        // Another host's name would reach what lies behind the same address.
        if headers.keys().any(|name| name.trim().eq_ignore_ascii_case("host")) {
            return Err(bad("the header field `host` is the URL's"));
        }
        let request = Request::new(method, url, body.into_bytes()).no_redirects();
        let asked = timeout_ms.map_or(request.timeout, Duration::from_millis);
        let request = Request { headers: headers.into_iter().collect(), timeout: asked.min(MOST), ..request };
        let answer = self.ctx.http(request).await.map_err(|error| ToolError::failed(error.to_string()))?;
        let headers: BTreeMap<String, String> = answer.headers.into_iter().collect();
        let body = String::from_utf8_lossy(&answer.body);
        Ok(json!({ "status": answer.status, "headers": headers, "body": body }))
    }
}

/// The host of a URL with its port: `api.example.org:443`. What is not plainly one is refused: two programs might read two
/// hosts from it.
fn host_of(url: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("the URL is to be `http://HOST/…` or `https://HOST/…`: {why}");
    if url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(wrong("it has a character that none may have"));
    }
    let (rest, usual) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, 443),
        (None, Some(rest)) => (rest, 80),
        (None, None) => return Err(wrong("it begins in another way")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if authority.is_empty() || !authority.chars().all(legal) {
        return Err(wrong("its host has a character that none may have, or there is none"));
    }
    let port_at = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|colon| bracket + colon),
        None => authority.find(':'),
    };
    let (host, port) = match port_at {
        Some(at) => {
            (&authority[..at], authority[at + 1..].parse::<u16>().map_err(|_| wrong("its port is none"))?)
        }
        None => (authority.as_str(), usual),
    };
    match host.trim_end_matches('.') {
        "" => Err(wrong("there is no host")),
        host => Ok(format!("{host}:{port}")),
    }
}

/// Whether a grant covers a host with its port: the same, at the usual ports where the grant names none. `*.example.org` covers
/// what lies below `example.org`.
pub(super) fn covers_host(grant: &str, host: &str) -> bool {
    let grant = grant.to_ascii_lowercase();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let has_port = match grant.rfind(']') {
        Some(bracket) => grant[bracket..].contains(':'),
        None => grant.contains(':'),
    };
    if has_port {
        return covers_name(&grant, host);
    }
    ["", "80", "443"].contains(&port) && covers_name(&grant, name)
}

fn covers_name(grant: &str, name: &str) -> bool {
    match grant.strip_prefix("*.") {
        Some(domain) => {
            name.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => grant == "*" || grant == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_its_host_and_no_other() {
        for (grant, url) in [
            ("api.example.org", "https://api.example.org/now?x=1"),
            ("api.example.org", "http://API.example.org./"),
            ("*.example.org", "https://a.b.example.org"),
            ("192.168.1.7:8080", "http://192.168.1.7:8080/x"),
            ("[::1]:8080", "http://[::1]:8080/"),
        ] {
            assert!(covers_host(grant, &host_of(url).unwrap()), "{grant} {url}");
        }
        for (grant, url) in [
            ("api.example.org", "https://api.example.org.evil.org/"),
            ("api.example.org", "https://evil.org/api.example.org"),
            ("api.example.org", "https://evil.org#api.example.org"),
            ("api.example.org", "https://api.example.org:8443/"),
            ("*.example.org", "https://example.org/"),
            ("*.example.org", "https://badexample.org/"),
            ("192.168.1.7:8080", "http://192.168.1.7/"),
        ] {
            assert!(!covers_host(grant, &host_of(url).unwrap()), "{grant} {url}");
        }
    }

    #[test]
    fn a_url_that_two_programs_may_read_in_two_ways_is_refused() {
        for url in [
            "https://api.example.org@evil.org/",
            "https://api.example.org:x@evil.org/",
            "https://evil.org\\@api.example.org/",
            "https://api.example.org\t.evil.org/",
            "ftp://api.example.org/",
            "https:///api.example.org",
            "https://api.example.org:99999/",
            "HTTPS//x",
        ] {
            assert!(host_of(url).is_err(), "{url}");
        }
    }
}
