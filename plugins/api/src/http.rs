//! Requests over HTTP, through the one client that a node's plugins share.
//!
//! ```
//! use sedge_plugin::http::Request;
//! let request = Request::post("https://example.org/write", b"{}".to_vec()).header("content-type", "application/json");
//! assert_eq!(request.headers[0].1, "application/json");
//! ```

use std::time::Duration;

use crate::BoxFuture;

/// A request.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `PUT`.
    pub method: &'static str,
    /// Where to: `http://…` or `https://…`.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// How long it may take, from the waiting for a free connection to the last byte of the answer.
    pub timeout: Duration,
    /// Whether a redirect may be followed. Not where it matters which hosts are spoken to: it is an answer then.
    pub follow: bool,
}

impl Request {
    /// A request of that method, with ten seconds' time.
    pub fn new(method: &'static str, url: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body,
            timeout: Duration::from_secs(10),
            follow: true,
        }
    }

    /// `GET`
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url, Vec::new())
    }

    /// `POST`
    pub fn post(url: impl Into<String>, body: Vec<u8>) -> Self {
        Self::new("POST", url, body)
    }

    /// With every redirect as an answer.
    pub fn no_redirects(self) -> Self {
        Self { follow: false, ..self }
    }

    /// With a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// Header fields and URLs carry passwords and tokens: neither is shown.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} of {} bytes)", self.method, self.body.len())
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The status code, whatever it is.
    pub status: u16,
    /// Header fields that are texts, their names in lower case; the first hundred.
    pub headers: Vec<(String, String)>,
    /// The first mebibyte of the answer.
    pub body: Vec<u8>,
    /// How long the server asks to wait before the next request: `Retry-After`, where that is a number of seconds.
    pub retry_after: Option<Duration>,
}

/// Why nothing came back: no connection, no answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(pub String);

/// Sends requests. The node has one.
pub trait HttpClient: Send + Sync + 'static {
    /// Sends one, and waits for the whole answer.
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>>;
}
