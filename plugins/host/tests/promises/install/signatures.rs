//! Who answers for a plugin.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest};
use ed25519_dalek::{Signer, SigningKey};
use sedge_host::install::{Require, SIGNATURE_FILE, SUMS_FILE, Standing, standing, write_sums};

use super::*;

/// Signs as `minisign -S` does.
struct Minisign {
    key: SigningKey,
    id: [u8; 8],
}

impl Minisign {
    fn new(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), id: [seed; 8] }
    }

    fn public(&self) -> String {
        STANDARD.encode([&b"Ed"[..], &self.id, self.key.verifying_key().as_bytes()].concat())
    }

    fn sign(&self, folder: &Path) {
        let list = fs::read(write_sums(folder).unwrap()).unwrap();
        let signature = self.key.sign(&Blake2b512::digest(&list)).to_bytes();
        let comment = "timestamp:1";
        let global = self.key.sign(&[&signature[..], comment.as_bytes()].concat()).to_bytes();
        let first = STANDARD.encode([&b"ED"[..], &self.id, &signature].concat());
        let text = format!(
            "untrusted comment: x\n{first}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(global)
        );
        fs::write(folder.join(SIGNATURE_FILE), text).unwrap();
    }
}

fn bench(require: Require, keys: &[&Minisign]) -> Bench {
    let mut bench = Bench::new();
    bench.trust = Trust { require, keys: keys.iter().map(|key| key.public()).collect() };
    bench.source("pump", "1.0.0", "");
    bench
}

#[test]
fn a_signed_plugin_is_installed_where_only_such_may_be_and_stays_signed() {
    let (ours, other) = (Minisign::new(1), Minisign::new(2));
    let bench = bench(Require::Signed, &[&other, &ours]);
    assert!(bench.refused("./work/pump").contains("require asks that a plugin is signed"));
    ours.sign(&bench.at.path("work/pump"));
    let installed = bench.install("./work/pump").unwrap();
    assert_eq!(installed.key, Some(ours.public()));
    let folder = bench.root().join("pump");
    assert_eq!(standing(&folder, &bench.trust).unwrap(), Standing::Signed { key: ours.public() });
    fs::write(folder.join("main.py"), "import os").unwrap();
    assert!(standing(&folder, &bench.trust).is_err());
    // Also where somebody has written the lock file anew.
    fs::remove_file(bench.root().join("plugins.lock")).unwrap();
    let said = standing(&folder, &bench.trust).unwrap_err().to_string();
    assert!(said.contains("these are not the files that SHA256SUMS lists: main.py"), "{said}");
}

#[test]
fn a_signature_that_does_not_fit_is_refused_though_none_is_asked_for() {
    let ours = Minisign::new(1);
    let bench = bench(Require::None, &[&ours]);
    let work = bench.at.path("work/pump");
    ours.sign(&work);
    bench.at.write("work/pump/main.py", "import os");
    assert!(bench.refused("./work/pump").contains("not the files that SHA256SUMS lists: main.py"));
    ours.sign(&work);
    bench.at.write("work/pump/new.py", "x");
    assert!(bench.refused("./work/pump").contains("new.py (new)"));
    fs::remove_file(work.join("new.py")).unwrap();
    fs::remove_file(work.join("main.py")).unwrap();
    assert!(bench.refused("./work/pump").contains("main.py (gone)"));
    write_sums(&work).unwrap();
    assert!(bench.refused("./work/pump").contains("plugin.minisig is not the signature of SHA256SUMS"));
    fs::write(work.join(SIGNATURE_FILE), "x").unwrap();
    assert!(bench.refused("./work/pump").contains("plugin.minisig is no minisign signature"));
    ours.sign(&work);
    fs::remove_file(work.join(SUMS_FILE)).unwrap();
    assert!(bench.refused("./work/pump").contains("no SHA256SUMS that it could be of"));
}

#[test]
fn a_signature_of_nobody_known_counts_for_nothing() {
    let (ours, other) = (Minisign::new(1), Minisign::new(2));
    let mut bench = bench(Require::Signed, &[&ours]);
    other.sign(&bench.at.path("work/pump"));
    assert!(bench.refused("./work/pump").contains("require asks that a plugin is signed"));
    bench.trust.require = Require::None;
    let installed = bench.install("./work/pump").unwrap();
    assert_eq!(
        (installed.key, &*installed.notes[0]),
        (None, "it is signed, but by none of the keys of the config ([plugins] keys)")
    );
}

#[test]
fn a_version_that_is_no_longer_signed_waits() {
    let ours = Minisign::new(1);
    let bench = bench(Require::None, &[&ours]);
    let work = bench.at.path("work/pump");
    ours.sign(&work);
    bench.install("./work/pump").unwrap();
    bench.source("pump", "2.0.0", "");
    fs::remove_file(work.join(SIGNATURE_FILE)).unwrap();
    let Upgraded::Held { asks, .. } = bench.upgrade("pump").unwrap() else { panic!() };
    assert_eq!(asks, [format!("signature: it is no longer signed by {}", ours.public())]);
}

#[test]
fn what_no_signature_covers_is_not_beside_what_one_covers() {
    let ours = Minisign::new(1);
    let bench = bench(Require::Signed, &[&ours]);
    let work = bench.at.path("work/pump");
    bench.at.write("work/pump/lib/a.py", "x");
    ours.sign(&work);
    assert_eq!(standing(&work, &bench.trust).unwrap(), Standing::Signed { key: ours.public() });
    for file in ["lib/__pycache__/a.pyc", "venv/bin/python"] {
        bench.at.write(&format!("work/pump/{file}"), "evil");
        let said = standing(&work, &bench.trust).unwrap_err().to_string();
        let named = file.rsplit_once('/').unwrap().0.trim_end_matches("/bin");
        assert!(said.contains(&format!("it has `{named}`, which its signature does not cover")), "{said}");
        fs::remove_dir_all(work.join(named)).unwrap();
    }
    assert!(standing(&work, &bench.trust).is_ok());
}
