//! What a board and the registrar of a site say to each other when the board joins: the token, the request, the answer.
//!
//! One crate for both ends, because each checks what the other made. The board's end is in every node, so there is nothing here
//! but what ring can do, which TLS has brought along: no parser of certificates.
//!
//! ```
//! use sedge_plugin::Id;
//! use sedge_token::{JoinRequest, JoinSecret, NodeKey};
//! let (secret, key) = (JoinSecret::generate().unwrap(), NodeKey::generate().unwrap());
//! let request = JoinRequest::new(&secret, Id::new("pi-07").unwrap(), &key, Default::default()).unwrap();
//! assert!(request.is_by_who_has(&secret.kept()));
//! assert!(request.public_key().is_some());
//! ```
//!
//! It must not read a file, nor print or format a key.

mod ask;
mod key;
pub mod pem;
mod token;

pub use ask::{Facts, Fragment, JoinAnswer, JoinRequest, JoinSecret, KeptSecret, MOST_FACTS, MOST_FRAGMENTS};
pub use key::NodeKey;
pub use token::{MOST_BYTES, Purpose, Token, TokenError};

/// The name of the registrar's plugin, and of its tool.
pub const PLUGIN: &str = "site";
/// The tool that a board calls.
pub const TOOL: &str = "site_join";
/// The name in the certificate of those who have not joined yet.
pub const JOINING: &str = "join";

/// The system's random numbers, or a key, could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// Not the key of a node.
    #[error("it is no private key on the curve P-256 (PKCS #8)")]
    NotAKey,
}
