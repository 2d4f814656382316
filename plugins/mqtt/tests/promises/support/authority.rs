//! An authority that lasts as long as a test, and the certificates that it signs.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use super::brokers::tempdir::Dir;

/// See the module.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: Dir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let dir = Dir::new();
        // Each has a name of its own, as in life.
        params.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// Its own certificate.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a client, and its key.
    pub fn client(&self, name: &str) -> (PathBuf, PathBuf) {
        self.sign(name, CertificateParams::new(vec![name.into()]).unwrap())
    }

    /// Mosquitto's lines for a listener with TLS, under that name; whether clients need a certificate too.
    pub fn listener(&self, host: &str, mutual: bool) -> String {
        self.lines(self.sign("server", CertificateParams::new(vec![host.into()]).unwrap()), mutual)
    }

    /// With a certificate that is not valid yet.
    pub fn listener_of_tomorrow(&self) -> String {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
        self.lines(self.sign("server", params), false)
    }

    fn lines(&self, (cert, key): (PathBuf, PathBuf), mutual: bool) -> String {
        let (ca, cert, key) = (self.file(), cert.display().to_string(), key.display().to_string());
        format!("cafile {}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate {mutual}\n", ca.display())
    }

    fn sign(&self, name: &str, params: CertificateParams) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["pem", "key"].map(|end| self.dir.path().join(format!("{name}.{end}")));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files;
        (certificate, key)
    }
}
