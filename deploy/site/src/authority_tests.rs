//! Certificates as openssl sees them: it is in Mosquitto, and knows nothing of ours.

use std::path::PathBuf;
use std::process::Command;

use sedge_token::NodeKey;

use super::*;

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sedge-site-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What openssl says; none where it is not installed.
fn openssl(args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl").args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

fn verified(dir: &Dir, ca: &str, list: &str, certificate: &Signed, purpose: &str) -> Option<(bool, String)> {
    let (ca, list) = (dir.file("ca.crt", ca), dir.file("ca.crl", list));
    let file = dir.file("x.crt", &certificate.pem());
    // In 1970, as on a board that has no clock.
    let early = ["verify", "-x509_strict", "-attime", "1000", "-purpose", purpose];
    openssl(&[&early[..], &["-CAfile", &ca, "-CRLfile", &list, "-crl_check", &file]].concat())
}

#[test]
fn openssl_takes_what_is_signed_also_in_1970_and_refuses_what_is_on_the_list() {
    let dir = Dir::new("own");
    let (ca, key) = Authority::generate("broker.local", None).unwrap();
    holds(&dir, &ca, &key);
}

#[test]
fn an_authority_that_openssl_made_does_as_well() {
    let dir = Dir::new("openssl");
    let (ca, key) =
        (dir.0.join("own.crt").display().to_string(), dir.0.join("own.key").display().to_string());
    for new in [&["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"][..], &["rsa:2048"]] {
        let usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
        let args = [
            &[
                "req",
                "-x509",
                "-nodes",
                "-subj",
                "/O=A site/CN=Ours",
                "-keyout",
                &key,
                "-out",
                &ca,
                "-newkey",
            ][..],
            new,
            &usage,
        ];
        let Some((made, said)) = openssl(&args.concat()) else { return };
        assert!(made, "{said}");
        let read = |file: &str| std::fs::read_to_string(file).unwrap();
        let authority = Authority::load(&read(&ca), &read(&key)).unwrap();
        let node = NodeKey::generate().unwrap();
        let signed = authority.client("pi-07", node.public(), None).unwrap();
        let list = authority.revoked(std::slice::from_ref(&signed.serial), 3).unwrap();
        let file = dir.file("x.crt", &signed.pem());
        let (empty, full) =
            (dir.file("a.crl", &authority.revoked(&[], 2).unwrap()), dir.file("b.crl", &list));
        let check =
            |list: &str| openssl(&["verify", "-CAfile", &ca, "-CRLfile", list, "-crl_check", &file]).unwrap();
        assert!(check(&empty).0, "{}", check(&empty).1);
        assert!(check(&full).1.contains("revoked"), "{}", check(&full).1);
    }
}

fn holds(dir: &Dir, ca: &str, key: &str) {
    let authority = Authority::load(ca, key).unwrap();
    let node = NodeKey::generate().unwrap();
    let client = authority.client("pi-07", node.public(), Some(1_795_000_000_000)).unwrap();
    assert!(node.is_in(&client.der) && !NodeKey::generate().unwrap().is_in(&client.der));
    let (server, server_key) =
        authority.server(&["broker.local".into(), "192.168.1.5".into()], None).unwrap();
    assert!(server_key.starts_with("-----BEGIN PRIVATE KEY-----"));
    let empty = authority.revoked(&[], 1).unwrap();
    let Some((good, said)) = verified(dir, ca, &empty, &client, "sslclient") else { return };
    assert!(good, "{said}");
    let (good, said) = verified(dir, ca, &empty, &server, "sslserver").unwrap();
    assert!(good, "{said}");
    for (certificate, purpose) in [(&client, "sslserver"), (&server, "sslclient")] {
        assert!(!verified(dir, ca, &empty, certificate, purpose).unwrap().0, "{purpose}");
    }
    let list = authority.revoked(std::slice::from_ref(&client.serial), 2).unwrap();
    let (good, said) = verified(dir, ca, &list, &client, "sslclient").unwrap();
    assert!(!good && said.contains("revoked"), "{said}");
    assert!(verified(dir, ca, &list, &server, "sslserver").unwrap().0, "the others stay");
    let shown = openssl(&["x509", "-in", &dir.file("s.crt", &server.pem()), "-noout", "-text"]).unwrap().1;
    for part in ["DNS:broker.local", "IP Address:192.168.1.5", "DNS:localhost", "Jan  1 00:00:00 1970"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn what_is_no_authority_is_refused_with_the_reason() {
    let (ca, key) = Authority::generate("a", None).unwrap();
    let (other, other_key) = Authority::generate("b", None).unwrap();
    let why = |ca: &str, key: &str| Authority::load(ca, key).map(|_| ()).unwrap_err().to_string();
    assert!(why(&ca, &other_key).contains("not that of its certificate"));
    assert!(why("x", &key).contains("no PEM"));
    assert!(why(&other, "x").contains("PKCS #8"));
    let authority = Authority::load(&ca, &key).unwrap();
    let (leaf, leaf_key) = authority.server(&["x".into()], None).unwrap();
    assert!(why(&leaf.pem(), &leaf_key).contains("does not let it sign"), "{}", why(&leaf.pem(), &leaf_key));
}

/// Who has an old token can still read it, and nobody can say any more which certificate is in it.
#[test]
fn a_tokens_certificate_ends_a_day_after_the_token() {
    let dir = Dir::new("token");
    let (ca, key) = Authority::generate("broker.local", None).unwrap();
    let authority = Authority::load(&ca, &key).unwrap();
    let list = authority.revoked(&[], 0).unwrap();
    let end = 1_795_000_000;
    let key = NodeKey::generate().unwrap();
    let token = authority.client_until("join", key.public(), Some(0), Some(end * 1000)).unwrap();
    let (ca, list, file) =
        (dir.file("ca.crt", &ca), dir.file("ca.crl", &list), dir.file("x.crt", &token.pem()));
    for (at, counts) in [(1000, true), (end + 80_000, true), (end + 90_000, false)] {
        let at = at.to_string();
        let early = ["verify", "-x509_strict", "-attime", &at, "-purpose", "sslclient"];
        let said = openssl(&[&early[..], &["-CAfile", &ca, "-CRLfile", &list, "-crl_check", &file]].concat());
        assert!(said.is_none_or(|(good, _)| good == counts), "{at}");
    }
}
