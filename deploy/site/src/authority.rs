//! Certificates: the site's authority, what it signs, and the list of what counts no more.
//!
//! - They begin in 1970: a Raspberry Pi has no clock of its own, and TLS must work before the time is known.
//! - The list of revoked certificates is good from 1970 on and for ever: one that had run out would lock everybody out.
//! - An authority that was made elsewhere (openssl) does as well: one self-signed certificate with its key in PKCS #8.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, RevokedCertParams, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use sedge_token::pem;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long an authority counts, in years.
const AUTHORITY_YEARS: i32 = 20;
/// How long all else does.
const YEARS: i32 = 10;
/// How long the broker takes a token's certificate after the token has ended: the registrar says why not, a broker cannot.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// The earliest year that a clock is believed to be in.
const EARLIEST_YEAR: i32 = 2026;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Not a certificate or not a key, or of a kind that is not known here.
    #[error("{0}")]
    Unusable(String),
    /// Something that is not to happen.
    #[error("the certificate cannot be made: {0}")]
    Rcgen(#[from] rcgen::Error),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// See the [module](self).
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub der: Vec<u8>,
    /// How its certificate calls its key: the list of revoked ones is to call it so too.
    key_id: KeyIdMethod,
}

/// A certificate and its number.
pub struct Signed {
    /// The certificate.
    pub der: Vec<u8>,
    /// Its number, in hex.
    pub serial: String,
}

impl Signed {
    /// For a file.
    pub fn pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }
}

/// The public half of a node's key, as the node has sent it.
struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    /// A new one, with the texts of its two files.
    pub fn generate(name: &str, now_ms: Option<i64>) -> Result<(String, String), AuthorityError> {
        let key = KeyPair::generate()?;
        // Two sites of one host have two names: else TLS would take one for the other, and speak of a bad signature.
        let (_, number) = params("", 0, None)?;
        let name = format!("Sedge site {name} {}", &number[..8]);
        let mut params = params(&name, AUTHORITY_YEARS, now_ms)?.0;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok((pem::encode("CERTIFICATE", certificate.der()), pem::encode("PRIVATE KEY", key.serialized_der())))
    }

    /// Of the texts of its two files.
    pub fn load(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let unusable = |what: &str| AuthorityError::Unusable(what.into());
        let der = pem::decode("CERTIFICATE", certificate)
            .ok_or_else(|| unusable("the authority's certificate is no PEM with a CERTIFICATE in it"))?;
        let key = KeyPair::from_pem(key).map_err(|error| {
            AuthorityError::Unusable(format!(
                "the authority's key cannot be used ({error}); it is to be PEM in PKCS #8: openssl pkcs8 -topk8 -nocrypt"
            ))
        })?;
        let raw = key.public_key_raw();
        if !der.windows(raw.len()).any(|part| part == raw) {
            return Err(unusable("the authority's key is not that of its certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key)
            .map_err(|error| AuthorityError::Unusable(format!("the authority's certificate: {error}")))?;
        let usages = issuer.key_usages();
        let may = |usage| usages.is_empty() || usages.contains(&usage);
        if !may(KeyUsagePurpose::KeyCertSign) || !may(KeyUsagePurpose::CrlSign) {
            return Err(unusable(
                "the authority's certificate does not let it sign certificates and lists of revoked ones (keyCertSign, cRLSign)",
            ));
        }
        let key_id = key_id(&der)
            .ok_or_else(|| unusable("the authority's certificate is not that of an authority (CA:TRUE)"))?;
        Ok(Self { issuer, der, key_id })
    }

    /// For the broker, under these names and addresses. With its key.
    pub fn server(&self, hosts: &[String], now_ms: Option<i64>) -> Result<(Signed, String), AuthorityError> {
        let key = KeyPair::generate()?;
        let name = hosts.first().map_or("localhost", String::as_str);
        let (mut params, serial) = params(name, YEARS, now_ms)?;
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let more = local.into_iter().filter(|host| !hosts.contains(host));
        let names: Vec<String> = hosts.iter().cloned().chain(more).collect();
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        Ok((Signed { der, serial }, pem::encode("PRIVATE KEY", key.serialized_der())))
    }

    /// For whoever has the private half of this key, under that name.
    pub fn client(&self, name: &str, point: &[u8], now_ms: Option<i64>) -> Result<Signed, AuthorityError> {
        self.client_until(name, point, now_ms, None)
    }

    /// The same, for a token: what may be thrown away after its end must not open the broker's door for ten years.
    pub fn client_until(
        &self,
        name: &str,
        point: &[u8],
        now_ms: Option<i64>,
        end_ms: Option<i64>,
    ) -> Result<Signed, AuthorityError> {
        let (mut params, serial) = params(name, YEARS, now_ms)?;
        if let Some(end) = end_ms.and_then(|end| u64::try_from(end).ok()) {
            let end = date_time_ymd(1970, 1, 1) + Duration::from_secs(end / 1000) + GRACE;
            params.not_after = params.not_after.min(end);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let der = params.signed_by(&Point(point), &self.issuer)?.der().to_vec();
        Ok(Signed { der, serial })
    }

    /// The list of what counts no more, for a file.
    pub fn revoked(&self, serials: &[String], number: u64) -> Result<String, AuthorityError> {
        let revoked = serials.iter().filter_map(|serial| bytes(serial)).map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: date_time_ymd(1970, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(1970, 1, 1),
            next_update: date_time_ymd(9999, 12, 31),
            crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: self.key_id.clone(),
        };
        Ok(pem::encode("X509 CRL", list.signed_by(&self.issuer)?.der()))
    }
}

/// How a certificate calls its key; none where it is not that of an authority.
fn key_id(der: &[u8]) -> Option<KeyIdMethod> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let id = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(KeyIdMethod::PreSpecified(id.0.to_vec())),
        _ => None,
    });
    certificate.is_ca().then(|| id.unwrap_or(KeyIdMethod::Sha256))
}

/// What all have in common, and the number.
fn params(
    name: &str,
    years: i32,
    now_ms: Option<i64>,
) -> Result<(CertificateParams, String), AuthorityError> {
    let mut params = CertificateParams::default();
    let mut serial = [0_u8; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| AuthorityError::Random)?;
    serial[0] = serial[0] & 0x7f | 0x40; // Positive, and as long as it is shown.
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(year(now_ms).max(EARLIEST_YEAR) + years, 12, 31);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    Ok((params, serial.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn year(now_ms: Option<i64>) -> i32 {
    let text = now_ms.map(sedge_plugin::clock::rfc3339).unwrap_or_default();
    text.get(..4).and_then(|year| year.parse().ok()).unwrap_or(EARLIEST_YEAR)
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
