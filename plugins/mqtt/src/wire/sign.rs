//! Signed calls: who calls is proved, to this node, for this tool with these arguments, once, for a minute at most.
//!
//! What is signed is a text of eight lines, joined by `\n`:
//!
//! ```text
//! sedge-call-1
//! pi-kitchen            the node
//! pump_set              the tool
//! attic                 the caller: `sig.key`
//! 5f0c…                 `sig.nonce`: 8 to 64 letters, digits or any of `+/=_.-`; never used again
//! 1795195704            `sig.iat`: issued at, in seconds since 1970
//! 1795195734            `sig.exp`: not to be run later; at most 60 s after `iat`
//! 2f9c…                 SHA-512/256 of the bytes of `args` as they stand in the payload, in hexadecimal
//! ```
//!
//! The bytes of `args` are hashed as they were sent, so that nobody has to agree on how JSON is written: a caller writes its
//! arguments once, hashes that text, and puts the same text into the payload.
//!
//! ```
//! use sedge_mqtt::wire::{Request, Signer};
//! use sedge_plugin::{Id, Name};
//! let signer = Signer::generate(Id::new("attic").unwrap()).unwrap();
//! let (node, tool, args) = (Id::new("pi").unwrap(), Name::new("pump_set").unwrap(), serde_json::json!({"on":true}));
//! let signed = signer.sign(&node, &tool, &args, 1_795_195_704).unwrap();
//! let request = Request { args, sig: Some(signed), ..Request::default() };
//! let received = Request::parse(&request.to_json()).unwrap();
//! assert!(received.sig.unwrap().is_by(&signer.public(), &node, &tool));
//! ```
//!
//! Neither the clock nor what was seen before is known here: whether a signature is fresh is for the desk to say.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sedge_plugin::{Id, Name, PublicKey, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha512_256};

/// The form of what is signed; another one is another word.
const FORM: &str = "sedge-call-1";

/// The longest time from `iat` to `exp`, in seconds.
pub const MAX_VALIDITY_S: i64 = 60;

/// For how long a [`Signer`]'s calls are valid.
const VALIDITY_S: i64 = 30;

/// What a private key begins with in PKCS #8 (RFC 8410, section 7); 32 bytes of key follow.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The member `sig` of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Who signs: the name of a `[caller.NAME]`.
    pub key: Id,
    /// Makes the call unlike all others.
    pub nonce: Nonce,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it must not be run any more, in seconds since 1970.
    pub exp: i64,
    /// The 64 bytes of the signature.
    #[serde(with = "base64_text")]
    pub sig: [u8; 64],
}

/// A text that is used once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Nonce(String);

impl Nonce {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Nonce {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+/=_.-".contains(&b);
        match (8..=64).contains(&text.len()) && text.bytes().all(legal) {
            true => Ok(Self(text)),
            false => Err("a nonce has 8 to 64 letters, digits or any of `+/=_.-`".into()),
        }
    }
}

/// A signature, and the hash of the arguments that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// As it stands in the call.
    pub signature: Signature,
    args: [u8; 32],
}

impl Signed {
    /// Reads the signature of a payload that is an object and has one.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            sig: Signature,
            // Twice is a mistake: what is hashed here must be what is run.
            #[serde(borrow)]
            args: Option<&'a RawValue>,
        }
        let envelope: Envelope<'_> = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let args = envelope.args.ok_or("a signed call has `args`; write `{}` where there are none")?;
        Ok(Self { signature: envelope.sig, args: hash(args.get().as_bytes()) })
    }

    /// Whether it was made with that key, for a call of this tool of this node.
    pub fn is_by(&self, key: &PublicKey, node: &Id, tool: &Name) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(key.bytes()) else { return false };
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature.sig);
        key.verify_strict(text(&self.signature, &self.args, node, tool).as_bytes(), &signature).is_ok()
    }
}

/// Whether a key is one that a signature can be checked with: a point of the curve, and not one of the few weak ones.
pub(crate) fn is_usable(key: &PublicKey) -> bool {
    VerifyingKey::from_bytes(key.bytes()).is_ok_and(|key| !key.is_weak())
}

/// Signs calls.
#[derive(Debug, Clone)]
pub struct Signer {
    name: Id,
    key: SigningKey,
}

/// Why there is no [`Signer`], or why it did not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The text is no private key.
    #[error(
        "not a private key for Ed25519: it should begin with `{PEM_BEGIN}`, as `sedge caller new NAME` writes it"
    )]
    NotAKey,
    /// The system gave no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
}

impl Signer {
    /// With a new key.
    pub fn generate(name: Id) -> Result<Self, SignerError> {
        Ok(Self { name, key: SigningKey::from_bytes(&random()?) })
    }

    /// With the key of a file: PKCS #8 as PEM, as `openssl genpkey -algorithm ed25519` writes it too.
    pub fn from_pem(name: Id, pem: &str) -> Result<Self, SignerError> {
        let body = pem.trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let base64: String = body.ok_or(SignerError::NotAKey)?.split_whitespace().collect();
        let der = BASE64_STANDARD.decode(base64).map_err(|_| SignerError::NotAKey)?;
        let key = der.strip_prefix(&PKCS8).and_then(|key| key.try_into().ok()).ok_or(SignerError::NotAKey)?;
        Ok(Self { name, key: SigningKey::from_bytes(key) })
    }

    /// The private key, for a file.
    pub fn to_pem(&self) -> Secret {
        let der = [&PKCS8[..], &self.key.to_bytes()].concat();
        Secret::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", BASE64_STANDARD.encode(der)))
    }

    /// The public key, for the config of nodes.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(self.key.verifying_key().to_bytes())
    }

    /// Whose calls they are.
    pub fn name(&self) -> &Id {
        &self.name
    }

    /// Signs a call that is issued `now`, in seconds since 1970.
    pub fn sign(&self, node: &Id, tool: &Name, args: &Json, now: i64) -> Result<Signed, SignerError> {
        let nonce: [u8; 32] = random()?;
        let signature = Signature {
            key: self.name.clone(),
            nonce: Nonce(hexadecimal(&nonce[..16])),
            iat: now,
            exp: now.saturating_add(VALIDITY_S),
            sig: [0; 64],
        };
        Ok(self.seal(signature, &super::json(args), node, tool))
    }

    /// Signs what is given, whatever its times are.
    #[doc(hidden)]
    pub fn seal(&self, signature: Signature, args: &[u8], node: &Id, tool: &Name) -> Signed {
        let args = hash(args);
        let sig = self.key.sign(text(&signature, &args, node, tool).as_bytes()).to_bytes();
        Signed { signature: Signature { sig, ..signature }, args }
    }
}

/// What is signed.
fn text(signature: &Signature, args: &[u8; 32], node: &Id, tool: &Name) -> String {
    let Signature { key, nonce, iat, exp, .. } = signature;
    let args = hexadecimal(args);
    format!("{FORM}\n{node}\n{tool}\n{key}\n{}\n{iat}\n{exp}\n{args}", nonce.0)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha512_256::digest(bytes).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn random() -> Result<[u8; 32], SignerError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| SignerError::NoRandom(error.to_string()))?;
    Ok(bytes)
}

mod base64_text {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let wrong = || D::Error::custom("`sig.sig` is 64 bytes in base64");
        let bytes = BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| wrong())?;
        bytes.try_into().map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Request;
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn tool() -> Name {
        Name::new("pump_set").unwrap()
    }

    fn signer() -> Signer {
        Signer { name: id("attic"), key: SigningKey::from_bytes(&[7; 32]) }
    }

    fn payload() -> Vec<u8> {
        let args = json!({ "on": true });
        let sig = signer().sign(&id("pi"), &tool(), &args, 1_795_195_704).unwrap();
        Request { id: Some("1".into()), args, from: None, sig: Some(sig) }.to_json()
    }

    fn is_good(payload: &[u8]) -> bool {
        let Ok(request) = Request::parse(payload) else { return false };
        request.sig.is_some_and(|sig| sig.is_by(&signer().public(), &id("pi"), &tool()))
    }

    #[test]
    fn a_signature_holds_for_its_node_tool_and_key_and_for_no_other() {
        let signed = Request::parse(&payload()).unwrap().sig.unwrap();
        let key = signer().public();
        assert!(signed.is_by(&key, &id("pi"), &tool()));
        assert!(!signed.is_by(&key, &id("attic"), &tool()), "another node");
        assert!(!signed.is_by(&key, &id("pi"), &Name::new("pump_stop").unwrap()), "another tool");
        let other = Signer::generate(id("attic")).unwrap();
        assert!(!signed.is_by(&other.public(), &id("pi"), &tool()), "another key");
    }

    #[test]
    fn a_signature_holds_for_the_arguments_as_they_were_sent() {
        let text = String::from_utf8(payload()).unwrap();
        assert!(is_good(text.as_bytes()));
        assert!(is_good(text.replace(r#""id":"1""#, r#""id": "another""#).as_bytes()), "only names the call");
        for (sent, changed) in
            [(r#"{"on":true}"#, r#"{"on":false}"#), (r#"{"on":true}"#, r#"{"on": true}"#), ("attic", "attie")]
        {
            assert_ne!(text, text.replace(sent, changed));
            assert!(!is_good(text.replace(sent, changed).as_bytes()), "{changed}");
        }
        let twice = text.replacen('{', r#"{"args":{"on":false},"#, 1);
        assert!(!is_good(twice.as_bytes()), "which of them was signed?");
    }

    #[test]
    fn a_signature_with_anything_amiss_is_none() {
        let text = String::from_utf8(payload()).unwrap();
        let nonce = Request::parse(text.as_bytes()).unwrap().sig.unwrap().signature.nonce;
        for changed in [
            text.replace(nonce.as_str(), "short"),
            text.replace(nonce.as_str(), "with\\nline"),
            text.replace(nonce.as_str(), &"x".repeat(65)),
            text.replace("\"iat\":", "\"iat\":1.5,\"x\":"),
            text.replace("\"nonce\"", "\"more\":1,\"nonce\""),
            text.replace("\"key\":\"attic\"", "\"key\":\"At Tic\""),
            text.replace("\"sig\":\"", "\"sig\":\"AA"),
            text.replace(r#""args":{"on":true},"#, ""),
        ] {
            assert_ne!(changed, text);
            assert!(Request::parse(changed.as_bytes()).is_err(), "{changed}");
        }
        assert_eq!(Request::parse(br#"{"args":{},"sig":null}"#).unwrap().sig, None);
    }

    #[test]
    fn a_private_key_is_read_as_it_was_written_and_never_printed() {
        let signer = signer();
        let pem = signer.to_pem();
        let again = Signer::from_pem(id("attic"), &pem.expose().replace('\n', "\r\n")).unwrap();
        assert_eq!(again.public(), signer.public());
        for text in ["", "ed25519:AAAA", &pem.expose().replace("MC4", "MC5"), &signer.public().to_string()] {
            assert_eq!(Signer::from_pem(id("attic"), text).unwrap_err(), SignerError::NotAKey);
        }
        let shown = format!("{signer:?}");
        assert!(!shown.contains("7, 7, 7") && !shown.contains("0707"), "{shown}");
    }

    proptest! {
        #[test]
        fn a_bit_that_is_flipped_anywhere_in_what_is_signed_breaks_it(at in 0_usize..64, bit in 0_u8..8) {
            let mut signed = Request::parse(&payload()).unwrap().sig.unwrap();
            signed.signature.sig[at] ^= 1 << bit;
            prop_assert!(!signed.is_by(&signer().public(), &id("pi"), &tool()));
            let mut signed = Request::parse(&payload()).unwrap().sig.unwrap();
            signed.args[at % 32] ^= 1 << bit;
            prop_assert!(!signed.is_by(&signer().public(), &id("pi"), &tool()));
        }

        #[test]
        fn a_payload_with_a_byte_changed_is_refused_or_runs_what_was_signed(at in any::<prop::sample::Index>(), byte: u8) {
            let mut payload = payload();
            let signed = Request::parse(&payload).unwrap();
            let at = at.index(payload.len());
            payload[at] = byte;
            if is_good(&payload) {
                let changed = Request::parse(&payload).unwrap();
                prop_assert_eq!((changed.args, changed.sig), (signed.args, signed.sig));
            }
        }

        #[test]
        fn other_times_nonces_and_arguments_need_another_signature(
            iat in any::<i64>(), exp in any::<i64>(), nonce in "[a-z0-9]{8,64}", n in any::<u64>(),
        ) {
            let node = id("pi");
            let signature = Signature { key: id("attic"), nonce: Nonce(nonce.clone()), iat, exp, sig: [0; 64] };
            let args = n.to_string();
            let good = signer().seal(signature, args.as_bytes(), &node, &tool());
            let holds = |signature: Signature, args: &str| {
                Signed { signature, args: hash(args.as_bytes()) }.is_by(&signer().public(), &node, &tool())
            };
            let of = || good.signature.clone();
            let more = |text: &str| format!("x{text}");
            prop_assert!(holds(of(), &args));
            let changed = [
                Signature { iat: iat.wrapping_add(1), ..of() },
                Signature { exp: exp.wrapping_sub(1), ..of() },
                Signature { nonce: Nonce(more(&nonce)), ..of() },
                Signature { key: id("attid"), ..of() },
            ];
            prop_assert!(changed.into_iter().all(|changed| !holds(changed, &args)));
            prop_assert!(!holds(of(), &more(&args)));
        }
    }
}
