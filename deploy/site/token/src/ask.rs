//! What a board asks the registrar, and what it is answered.
//!
//! The request goes over the broker, where operators may read it. So the secret is not in it, only a proof that the board has
//! it (HMAC); and what is proved is bound to this id and this key. Who sends the same request again gets the same certificate,
//! which is of no use without the board's key.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};

use crate::key::{NodeKey, verify};
use crate::{CryptoError, TOOL};

const SECRET: usize = 32;
/// Bytes of the public half of a key.
const POINT: usize = 65;
/// What a board tells of itself, at most.
pub const MOST_FACTS: usize = 16;
/// Letters of one such thing.
const MOST_FACT: usize = 128;
/// Pieces of config in an answer, at most.
pub const MOST_FRAGMENTS: usize = 8;

/// What a board tells of itself, such as its model. The registrar notes it and believes none of it.
pub type Facts = BTreeMap<String, String>;

/// The secret of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret([u8; SECRET]);

impl JoinSecret {
    /// A new one.
    pub fn generate() -> Result<Self, CryptoError> {
        let mut secret = [0; SECRET];
        SystemRandom::new().fill(&mut secret).map_err(|_| CryptoError::Random)?;
        Ok(Self(secret))
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        BASE64.decode(text).ok()?.try_into().ok().map(Self)
    }

    pub(crate) fn to_text(&self) -> String {
        BASE64.encode(self.0)
    }

    /// What the registrar keeps. No token can be made of it; a proof can, by whoever reads it where the authority's key lies.
    #[must_use]
    pub fn kept(&self) -> KeptSecret {
        KeptSecret(BASE64.encode(digest(&SHA256, &self.0)))
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(…)")
    }
}

/// The hash of a [`JoinSecret`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptSecret(String);

impl KeptSecret {
    /// What a token is called: eight letters that say nothing of the secret.
    #[must_use]
    pub fn name(&self) -> String {
        let hash = digest(&SHA256, format!("name {}", self.0).as_bytes());
        hash.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes())
    }
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptSecret({})", self.name())
    }
}

/// What a board asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The name of the token.
    #[schemars(length(max = 16))]
    pub token: String,
    /// The id that the board wants.
    pub id: Id,
    /// The public half of its key: an uncompressed point of P-256, base64url.
    #[schemars(length(max = 128))]
    pub key: String,
    /// What the board says of itself.
    #[serde(default)]
    pub facts: Facts,
    /// Made with the board's key: that it has the private half.
    #[schemars(length(max = 128))]
    pub possession: String,
    /// Made with the token's secret: that it has the token.
    #[schemars(length(max = 64))]
    pub proof: String,
}

impl JoinRequest {
    /// Asks for a certificate for `id` and `key`. Facts beyond what may be are left out.
    pub fn new(secret: &JoinSecret, id: Id, key: &NodeKey, facts: Facts) -> Result<Self, CryptoError> {
        let plain =
            |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(MOST_FACT).collect() };
        let facts = facts.iter().take(MOST_FACTS).map(|(name, value)| (plain(name), plain(value)));
        let kept = secret.kept();
        let (facts, key_text) = (facts.collect(), BASE64.encode(key.public()));
        let (possession, proof) = (String::new(), String::new());
        let mut request = Self { token: kept.name(), id, key: key_text, facts, possession, proof };
        request.possession = BASE64.encode(key.sign(&request.covered())?);
        request.proof = BASE64.encode(hmac::sign(&kept.key(), &request.covered()));
        Ok(request)
    }

    /// What both proofs are about. Its first line keeps it apart from anything else that is signed with such keys.
    fn covered(&self) -> Vec<u8> {
        let Self { token, id, key, facts, .. } = self;
        let mut text = format!("{TOOL}/1\n{token}\n{id}\n{key}\n");
        for (name, value) in facts {
            text.push_str(&format!("{name}\t{value}\n"));
        }
        text.into_bytes()
    }

    /// Whether it comes from somebody who has the token.
    #[must_use]
    pub fn is_by_who_has(&self, kept: &KeptSecret) -> bool {
        let Ok(proof) = BASE64.decode(&self.proof) else { return false };
        hmac::verify(&kept.key(), &self.covered(), &proof).is_ok()
    }

    /// The key, if whoever asks has its private half, and all of it is well-formed.
    #[must_use]
    pub fn public_key(&self) -> Option<Vec<u8>> {
        let short = |text: &String| text.chars().count() <= MOST_FACT && !text.contains(char::is_control);
        let plain = self.facts.iter().all(|(name, value)| short(name) && short(value));
        let key = BASE64.decode(&self.key).ok().filter(|key| key.len() == POINT && key[0] == 4)?;
        let possession = BASE64.decode(&self.possession).ok()?;
        let good = plain && self.facts.len() <= MOST_FACTS && verify(&key, &self.covered(), &possession);
        good.then_some(key)
    }
}

/// A piece of config for a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// For whom it is: `all`, a group, or the node. Part of the file's name.
    pub name: Id,
    /// TOML.
    pub text: String,
}

/// What the registrar answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAnswer {
    /// The board's certificate, PEM.
    pub certificate: String,
    /// Its config, what counts more coming later.
    pub config: Vec<Fragment>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(secret: &JoinSecret) -> JoinRequest {
        let facts = Facts::from([("model".into(), "Raspberry Pi\n5".into())]);
        let key = NodeKey::generate().unwrap();
        JoinRequest::new(secret, Id::new("pi-07").unwrap(), &key, facts).unwrap()
    }

    #[test]
    fn a_request_proves_that_the_board_has_the_token_and_its_key_and_does_not_carry_the_secret() {
        let secret = JoinSecret::generate().unwrap();
        let request = request(&secret);
        assert!(request.is_by_who_has(&secret.kept()));
        assert!(!request.is_by_who_has(&JoinSecret::generate().unwrap().kept()));
        assert_eq!(request.public_key().unwrap().len(), 65);
        let sent = serde_json::to_string(&request).unwrap();
        assert!(!sent.contains(&secret.to_text()) && !sent.contains(&secret.kept().0));
        assert_eq!(serde_json::from_str::<JoinRequest>(&sent).unwrap(), request);
        assert!(sent.len() < 2000);
    }

    #[test]
    fn nothing_of_a_request_can_be_changed() {
        let secret = JoinSecret::generate().unwrap();
        let good = request(&secret);
        let other = request(&secret);
        let changed = [
            JoinRequest { id: Id::new("pi-08").unwrap(), ..good.clone() },
            JoinRequest { key: other.key.clone(), ..good.clone() },
            JoinRequest { facts: Facts::new(), ..good.clone() },
            JoinRequest { token: "0".into(), ..good.clone() },
        ];
        for changed in changed {
            assert!(!changed.is_by_who_has(&secret.kept()), "{changed:?}");
            assert_eq!(changed.public_key(), None, "{changed:?}");
        }
        let stolen = JoinRequest { possession: other.possession, ..good };
        assert!(stolen.is_by_who_has(&secret.kept()), "the token's proof does not cover it");
        assert_eq!(stolen.public_key(), None, "somebody's key who does not have it");
    }

    proptest! {
        #[test]
        fn no_request_breaks_the_reader(
            token in "\\PC{0,20}", key in "[A-Za-z0-9_-]{0,100}", possession in "\\PC{0,100}",
            proof in "[A-Za-z0-9_-]{0,60}", fact in "\\PC{0,20}",
        ) {
            let facts = Facts::from([(fact.clone(), fact)]);
            let id = Id::new("a").unwrap();
            let request = JoinRequest { token, id, key, facts, possession, proof };
            prop_assert!(!request.is_by_who_has(&JoinSecret::generate().unwrap().kept()));
            prop_assert_eq!(request.public_key(), None);
        }
    }
}
