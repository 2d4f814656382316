//! Plugins on disk that are installed, signed, changed: what a node starts and what it does not. And those that wait for a call.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signer as _, SigningKey};
use sedge_host::install::{SIGNATURE_FILE, write_sums};
use serde_json::json;

use super::outside::{NODE, ROLL, ask, manifest, named, script, started, until};
use super::program::{Config, code, run, stderr};

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

/// The sources of a tool, `dice` in `folder`.
fn sources(config: &Config, folder: &str, more: &str) -> String {
    let answers = r#"    *'"do":"tool"'*) ok 4;;"#;
    config.write(&format!("{folder}/main.sh"), &script("dice", ROLL, answers));
    let rest =
        format!("category = \"tool\"\n{more}\n[[tool]]\nname = \"dice_roll\"\ndescription = \"Rolls.\"");
    config.write(&format!("{folder}/plugin.toml"), &manifest("dice", &rest));
    config.path(folder)
}

async fn install(config: &Config, source: &str) -> std::process::Output {
    run(&["plugin", "install", source, "--to", &config.path("plugins"), "-c", &config.file()]).await
}

#[tokio::test]
async fn only_what_is_signed_by_a_key_of_the_config_is_installed_and_started_where_that_is_asked_for() {
    let (ours, other) = (Minisign::new(1), Minisign::new(2));
    let asked = |key: &Minisign| {
        format!("{NODE}[plugins]\nrequire = \"signed\"\nkeys = [\"{}\"]\n[plugin.dice]\n", key.public())
    };
    let config = Config::new(&asked(&ours));
    let work = sources(&config, "work/dice", "");
    let output = install(&config, &work).await;
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(stderr(&output).contains("require asks that a plugin is signed"), "{output:?}");
    other.sign(Path::new(&work));
    assert_eq!(code(&install(&config, &work).await), 1, "signed by somebody unknown");
    assert!(!Path::new(&config.path("plugins")).exists());
    ours.sign(Path::new(&work));
    let output = install(&config, &work).await;
    assert_eq!(code(&output), 0, "{output:?}");

    let node = started(&config).await;
    until(&config, "dice", "running").await;
    let rolled = ask(&config, &["tool", "call", "dice_roll", "--local"]).await;
    assert_eq!(rolled["result"], 4);
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);

    // A node that knows another key does not start it.
    config.write("node.toml", &asked(&other));
    let _node = started(&config).await;
    let row = until(&config, "dice", "failed").await;
    assert!(row["reason"].as_str().unwrap().contains("require asks that a plugin is signed"), "{row}");
}

#[tokio::test]
async fn what_was_changed_after_it_was_installed_is_not_started_and_the_file_is_named() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n"));
    let work = sources(&config, "work/dice", "");
    let output = install(&config, &work).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let script = config.read("plugins/dice/main.sh");
    config.write("plugins/dice/main.sh", &format!("{script}\n# And one line more.\n"));
    let node = started(&config).await;
    let row = until(&config, "dice", "failed").await;
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("it was changed since it was installed: main.sh; install it again"), "{row}");
    until(&config, "air", "running").await;
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);

    config.write("plugins/dice/main.sh", &script);
    let _node = started(&config).await;
    until(&config, "dice", "running").await;
}

#[tokio::test]
async fn one_that_is_started_on_demand_waits_for_the_first_call_and_the_list_says_so() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n"));
    sources(&config, "plugins/dice", "activation = \"on-demand\"");
    let _node = started(&config).await;
    let row = until(&config, "dice", "discovered").await;
    assert!(row["reason"].as_str().unwrap().contains("starts at the first call of its tools"), "{row}");
    let tools = ask(&config, &["tool", "list", "--local"]).await;
    assert!(tools.to_string().contains("dice_roll"), "it is offered though it does not run: {tools}");
    let rolled = ask(&config, &["tool", "call", "dice_roll", "--local"]).await;
    assert_eq!(rolled["result"], json!(4));
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(
        (&named(&listed, "dice")["state"], &named(&listed, "dice")["restarts"]),
        (&json!("running"), &json!(0))
    );
}
