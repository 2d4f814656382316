//! TLS, mutual where there is a certificate of the node's: rustls with ring, as the node's HTTP has it.
//!
//! The files are read at each connection, so that a certificate that was renewed counts without a restart. There is no
//! way to leave out the check of the broker's certificate: name its authority with `ca_file` instead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, RootCertStore, crypto::ring,
};

use super::Fault;

/// Whom to trust, and who we are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Certificates of authorities; none: those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

pub(super) async fn connect(
    tcp: TcpStream,
    host: &str,
    files: &TlsFiles,
) -> Result<TlsStream<TcpStream>, Fault> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Fault::Tls(format!("`{host}` is no name that a certificate can be for")))?;
    let files = files.clone();
    // The system has some hundred and fifty certificates, each a file.
    let config = tokio::task::spawn_blocking(move || config(&files)).await;
    let config = config.map_err(|error| Fault::Tls(error.to_string()))??;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
    connected.map_err(|error| fault(&error).unwrap_or_else(|| Fault::Unreachable(error.to_string())))
}

fn config(files: &TlsFiles) -> Result<ClientConfig, Fault> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::Tls(error.to_string()))?
        .with_root_certificates(roots(files.ca.as_deref())?);
    let Some((certificate, key)) = &files.own else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("key_file", key, &error))?;
    builder.with_client_auth_cert(chain, secret).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        Fault::Tls(format!("cert_file {certificate} and key_file {key} do not go together: {error}"))
    })
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(ca)? {
            let wrong = |error: rustls::Error| unreadable("ca_file", ca, &error);
            roots.add(certificate).map_err(wrong)?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let text = "this system trusts no authority: install `ca-certificates`, or name one with `ca_file`";
        return Err(Fault::Tls(text.into()));
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => {
            Err(Fault::Tls(format!("{} has no certificate in it (PEM)", file.display())))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(unreadable("certificate", file, &error)),
    }
}

fn unreadable(what: &str, file: &Path, error: &dyn std::fmt::Display) -> Fault {
    Fault::Tls(format!("{what} {} cannot be used: {error}", file.display()))
}

/// What is wrong where TLS is to blame: what happened, and what to do.
pub(super) fn fault(error: &io::Error) -> Option<Fault> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let text = match error {
        rustls::Error::InvalidCertificate(wrong) => certificate(wrong),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure),
        ) => {
            format!(
                "the broker does not take this node's certificate ({alert:?}); see `cert_file` and `key_file`"
            )
        }
        rustls::Error::InvalidMessage(_) => {
            format!("what answers there does not speak TLS ({error}); is it the port for `mqtts://`?")
        }
        error => format!("TLS: {error}"),
    };
    Some(Fault::Tls(text))
}

fn certificate(wrong: &CertificateError) -> String {
    match wrong {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the broker's certificate is not valid yet; is this board's clock behind? Trying again until it is set".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the broker's certificate has expired, or this board's clock is ahead".into()
        }
        CertificateError::UnknownIssuer => {
            "the broker's certificate is signed by nobody whom this node trusts; name its authority with `ca_file`".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the broker's certificate is for another name: {wrong}")
        }
        wrong => format!("the broker's certificate cannot be trusted: {wrong}"),
    }
}
