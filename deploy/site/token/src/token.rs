//! The token: one line of text with all that a board needs to come to its site.
//!
//! | part | of one for many boards | of one for a single board |
//! |---|---|---|
//! | 1 | `sedge1` | `sedge1` |
//! | 2 | the site's authority: whom the board trusts | the same |
//! | 3, 4 | a certificate with its key, with which it may ask the registrar and do nothing else | the node's own |
//! | 5 | `join:REGISTRAR` | `node:ID` |
//! | 6 | the secret | |
//! | last | a checksum: of what was lost while copying | the same |
//!
//! The parts are joined by dots, bytes are base64url of DER. About 1.3 KB.
//!
//! It must not show what is secret in an error or in `Debug`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::digest::{SHA256, digest};
use sedge_plugin::Id;

use crate::ask::JoinSecret;

const VERSION: &str = "sedge1";
/// Bytes of a token.
pub const MOST_BYTES: usize = 16 * 1024;
/// Bytes of the checksum: enough to find an accident. Who changes it on purpose changes a certificate, and TLS finds that.
const CHECK: usize = 6;

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// For any board: the registrar signs.
    Join {
        /// The node on which the registrar runs.
        registrar: Id,
        /// What it knows.
        secret: JoinSecret,
    },
    /// For one board, of which everything is in it.
    Node {
        /// The board's id.
        id: Id,
    },
}

/// What a board joins with.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The certificate of the authority, DER.
    pub authority: Vec<u8>,
    /// The certificate to come with, DER.
    pub certificate: Vec<u8>,
    /// Its key, PKCS #8.
    pub key: Vec<u8>,
    /// What it is good for.
    pub purpose: Purpose,
}

/// Why a text is not a token. None of them shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Something else.
    #[error("it is no join token: one begins with `{VERSION}.` and is made by `sedge site token`")]
    NotAToken,
    /// Of a later version.
    #[error("the token is of a later version of Sedge; install that version here first")]
    Later,
    /// Letters are missing or changed.
    #[error("the token is damaged: something was lost when it was copied; copy the whole line again")]
    Damaged,
}

impl Token {
    /// Reads one. White space anywhere is passed over: mail and terminals break lines.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text: String = text.split_ascii_whitespace().collect();
        let version = text.split('.').next().unwrap_or_default();
        if version != VERSION {
            let number = version.strip_prefix("sedge").and_then(|number| number.parse::<u16>().ok());
            return Err(if number.is_some_and(|n| n > 1) {
                TokenError::Later
            } else {
                TokenError::NotAToken
            });
        }
        if text.len() > MOST_BYTES {
            return Err(TokenError::NotAToken);
        }
        let (rest, check) = text.rsplit_once('.').ok_or(TokenError::Damaged)?;
        if check != checksum(rest) {
            return Err(TokenError::Damaged);
        }
        Self::parts(rest).ok_or(TokenError::Damaged)
    }

    fn parts(text: &str) -> Option<Self> {
        let mut parts = text.split('.').skip(1);
        let mut der = || BASE64.decode(parts.next()?).ok().filter(|der| !der.is_empty());
        let (authority, certificate, key) = (der()?, der()?, der()?);
        let (kind, name) = parts.next()?.split_once(':')?;
        let name = Id::new(name).ok()?;
        let purpose = match kind {
            "join" => Purpose::Join { registrar: name, secret: JoinSecret::from_text(parts.next()?)? },
            "node" => Purpose::Node { id: name },
            _ => return None,
        };
        parts.next().is_none().then_some(Self { authority, certificate, key, purpose })
    }

    /// As one line. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let der = [&self.authority, &self.certificate, &self.key].map(|der| BASE64.encode(der));
        let purpose = match &self.purpose {
            Purpose::Join { registrar, secret } => format!("join:{registrar}.{}", secret.to_text()),
            Purpose::Node { id } => format!("node:{id}"),
        };
        let text = format!("{VERSION}.{}.{purpose}", der.join("."));
        format!("{text}.{}", checksum(&text))
    }
}

fn checksum(text: &str) -> String {
    BASE64.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..CHECK])
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(purpose: Purpose) -> Token {
        Token { authority: vec![1; 300], certificate: vec![2; 300], key: vec![3; 138], purpose }
    }

    fn both() -> [Token; 2] {
        let id = Id::new("pi-07").unwrap();
        let join = Purpose::Join { registrar: id.clone(), secret: JoinSecret::generate().unwrap() };
        [token(join), token(Purpose::Node { id })]
    }

    #[test]
    fn a_token_is_one_line_that_is_read_as_it_was_made_also_with_its_lines_broken() {
        for token in both() {
            let text = token.to_text();
            assert!(!text.contains(char::is_whitespace) && text.len() < 1400, "{}", text.len());
            assert_eq!(Token::parse(&text), Ok(token.clone()));
            let broken: Vec<&str> = text.as_bytes().chunks(70).map(|l| str::from_utf8(l).unwrap()).collect();
            assert_eq!(Token::parse(&format!("  {}\r\n", broken.join("\n"))), Ok(token));
        }
    }

    #[test]
    fn what_is_no_token_is_told_from_one_that_is_damaged_and_from_one_of_tomorrow() {
        let [token, _] = both();
        let text = token.to_text();
        assert_eq!(Token::parse(""), Err(TokenError::NotAToken));
        assert_eq!(Token::parse("hunter2"), Err(TokenError::NotAToken));
        assert_eq!(Token::parse(&text.replace("sedge1", "sedge2")), Err(TokenError::Later));
        assert_eq!(Token::parse(&text[..text.len() - 1]), Err(TokenError::Damaged));
        assert_eq!(Token::parse("sedge1"), Err(TokenError::Damaged));
        let long = format!("{text}{}", "A".repeat(MOST_BYTES));
        assert_eq!(Token::parse(&long), Err(TokenError::NotAToken));
    }

    #[test]
    fn debug_shows_no_secret() {
        let [token, _] = both();
        let Purpose::Join { secret, .. } = &token.purpose else { unreachable!() };
        let shown = format!("{token:?}");
        assert!(!shown.contains(&secret.to_text()) && !shown.contains("3, 3"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(sedge[0-9]{0,3})?[.]?\\PC{0,200}") {
            let _ = Token::parse(&text);
        }

        /// Whatever the checksum says: nothing in a well-formed frame breaks the reader either.
        #[test]
        fn no_parts_break_the_reader(parts in prop::collection::vec("[A-Za-z0-9_:-]{0,40}", 0..8)) {
            let text = format!("sedge1.{}", parts.join("."));
            let _ = Token::parse(&format!("{text}.{}", checksum(&text)));
        }

        #[test]
        fn a_changed_letter_is_found(at in 7usize..1000, letter in "[A-Za-z0-9]") {
            let text = both()[1].to_text();
            let at = 7 + at % (text.len() - 7);
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter);
            prop_assume!(changed != text);
            prop_assert_eq!(Token::parse(&changed), Err(TokenError::Damaged));
        }
    }
}
