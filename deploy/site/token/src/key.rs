//! The key pair of a node: made on the board, and never anywhere else.

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};

use crate::{CryptoError, pem};

/// What PEM calls a key in PKCS #8.
const LABEL: &str = "PRIVATE KEY";

/// The key pair of a node.
pub struct NodeKey {
    pair: EcdsaKeyPair,
    der: Vec<u8>,
}

impl NodeKey {
    /// A new one.
    pub fn generate() -> Result<Self, CryptoError> {
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| CryptoError::Random)?;
        Self::from_der(der.as_ref())
    }

    /// Of PKCS #8.
    pub fn from_der(der: &[u8]) -> Result<Self, CryptoError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new());
        Ok(Self { pair: pair.map_err(|_| CryptoError::NotAKey)?, der: der.into() })
    }

    /// Of what [`to_pem`](Self::to_pem) wrote.
    pub fn from_pem(text: &str) -> Result<Self, CryptoError> {
        Self::from_der(&pem::decode(LABEL, text).ok_or(CryptoError::NotAKey)?)
    }

    /// For a file that only its owner may read.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(LABEL, &self.der)
    }

    /// The public half: an uncompressed point, 65 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Whether a certificate is for this key: an uncompressed point stands in it as it is.
    #[must_use]
    pub fn is_in(&self, certificate: &[u8]) -> bool {
        certificate.windows(self.public().len()).any(|part| part == self.public())
    }

    /// The client id of its node at the broker: the same each time, and nobody without the key knows it. Whoever connects with
    /// another's client id throws that one off.
    #[must_use]
    pub fn client_id(&self, node: &str) -> String {
        let hash = digest(&SHA256, &[b"client id ", self.der.as_slice()].concat());
        let part: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("sedge-{node}-{part}")
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| CryptoError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

pub(crate) fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_after_it_was_a_file() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(verify(key.public(), b"x", &again.sign(b"x").unwrap()));
        assert!(!verify(key.public(), b"y", &again.sign(b"x").unwrap()));
        assert!(!verify(NodeKey::generate().unwrap().public(), b"x", &again.sign(b"x").unwrap()));
        assert!(NodeKey::from_pem("").is_err());
    }
}
