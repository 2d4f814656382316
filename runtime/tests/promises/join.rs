//! A board joins its site: what it writes, what it refuses, and that nothing counts halfway. With a registrar and many boards:
//! `deploy/site/try`.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use sedge_plugin::Id;
use sedge_token::{JoinSecret, Purpose, Token, pem};

use super::brokers::{Broker, tempdir::Dir};
use super::program::{Config, code, run, stderr, stdout};

/// A site with a broker that takes no one without a certificate of its own.
struct Site {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: Dir,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let dir = Dir::new();
        params.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, dir }
    }

    fn signed(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let mut params = CertificateParams::new(vec![name.into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    fn token(&self, name: &str, purpose: Purpose) -> String {
        let (certificate, key) = self.signed(name);
        Token { authority: self.issuer.der().to_vec(), certificate, key, purpose }.to_text()
    }

    fn token_of(&self, id: &str) -> String {
        self.token(id, Purpose::Node { id: Id::new(id).unwrap() })
    }

    /// None where Mosquitto is not installed.
    async fn broker(&self) -> Option<Broker> {
        let (certificate, key) = self.signed("localhost");
        let file = |name: &str, label: &str, der: &[u8]| {
            let file = self.dir.path().join(name);
            std::fs::write(&file, pem::encode(label, der)).unwrap();
            file.display().to_string()
        };
        let ca = file("ca.crt", "CERTIFICATE", self.issuer.der());
        let certificate = file("server.crt", "CERTIFICATE", &certificate);
        let key = file("server.key", "PRIVATE KEY", &key);
        let lines = format!(
            "cafile {ca}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false"
        );
        Broker::mosquitto(&lines).await
    }
}

async fn join(config: &Config, broker: &str, token: &str, more: &[&str]) -> std::process::Output {
    let file = config.file();
    run(&[&["node", "join", broker, "--token", token, "-c", &file], more].concat()).await
}

#[tokio::test]
async fn a_broker_whose_name_is_not_found_is_told_with_what_it_may_be() {
    let config = Config::new("config_version = 1\n");
    let token = Site::new().token_of("pi-07");
    let output = join(&config, "no-such-broker.invalid", &token, &["--wait", "1s"]).await;
    assert_eq!(code(&output), 75, "{output:?}");
    assert!(stderr(&output).contains("is the name right? `.local` names need avahi-daemon"), "{output:?}");
}

#[tokio::test]
async fn a_board_with_a_token_of_its_own_joins_is_let_in_and_says_so_the_second_time() {
    let site = Site::new();
    let Some(broker) = site.broker().await else { return };
    let broker = format!("localhost:{}", broker.address.port());
    let config = Config::new("config_version = 1\n");
    let token = site.token_of("pi-07");
    let output = join(&config, &broker, &token, &[]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("`pi-07` has joined the site"), "{output:?}");
    let mode = |name: &str| std::fs::metadata(config.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("credentials/mqtt-key"), mode("credentials")), (0o600, 0o700));
    assert!(!std::path::Path::new(&config.path("site/.joining")).exists(), "nothing of the token is left");

    // With that config it is let in, as what follows the join would be.
    let output = run(&["node", "list", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let output = join(&config, &broker, &token, &[]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("has joined this site as `pi-07` already"), "{output:?}");

    // Another site's token is not taken by accident.
    let other = Site::new();
    let output = join(&config, &broker, &other.token_of("pi-07"), &[]).await;
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(stderr(&output).contains("has joined another site"), "{output:?}");
    let before = config.read("site/ca.crt");
    let output = join(&config, &broker, &other.token_of("pi-07"), &["--again"]).await;
    assert_eq!(code(&output), 1, "that broker is not the other site's: {output:?}");
    assert_eq!(config.read("site/ca.crt"), before, "so the board stays where it is");
}

#[tokio::test]
async fn what_cannot_be_a_token_or_a_broker_is_told_before_anything_is_done() {
    let site = Site::new();
    let config = Config::new("config_version = 1\n");
    let token = site.token_of("pi-07");
    for (broker, token, more, says) in [
        ("localhost", "hunter2", &[][..], "it is no join token"),
        ("localhost", &token[..token.len() - 2], &[], "damaged"),
        ("mqtt://localhost", &token, &[], "without TLS"),
        ("localhost", &token, &["--node", "pi-08"], "the token is for `pi-07` alone"),
    ] {
        let output = join(&config, broker, token, more).await;
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(stderr(&output).contains(says), "{output:?}");
        let inside = token.get(20..60).unwrap_or("not in it");
        assert!(!stderr(&output).contains(inside), "{output:?}");
    }
    assert!(!std::path::Path::new(&config.path("site")).exists());
    // Nobody there: to be tried again, with the same key.
    let join_token = site.token(
        "join",
        Purpose::Join { registrar: Id::new("hub").unwrap(), secret: JoinSecret::generate().unwrap() },
    );
    let output = join(&config, "127.0.0.1:1", &join_token, &["--wait", "1ms"]).await;
    assert_eq!(code(&output), 75, "{output:?}");
    let key = config.read("credentials/mqtt-key");
    let output = join(&config, "127.0.0.1:1", &join_token, &["--wait", "1ms"]).await;
    assert_eq!(code(&output), 75, "{output:?}");
    assert_eq!(config.read("credentials/mqtt-key"), key);
    assert!(!std::path::Path::new(&config.path("conf.d/50-site.toml")).exists());
}

#[tokio::test]
async fn a_config_that_would_have_mistakes_keeps_a_board_from_joining() {
    let site = Site::new();
    let config = Config::new("[mqtt]\nembedded = true\n");
    let output = join(&config, "localhost", &site.token_of("pi-07"), &["--offline"]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("exclude each other"), "{output:?}");
    assert!(!std::path::Path::new(&config.path("conf.d/50-site.toml")).exists());

    config.write("node.toml", "[mqtt]\nkeep_alive = \"30s\"\n");
    let output = join(&config, "localhost", &site.token_of("pi-07"), &["--offline"]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("it was not tried at the broker"), "{output:?}");
    let output = run(&["config", "get", "mqtt.url", "-c", &config.file()]).await;
    assert!(stdout(&output).contains("mqtts://localhost:8883"), "{output:?}");
}
