//! Calls that are signed, as their callers make them: the command line, and programs in other languages.

use rumqttc::v5::mqttbytes::QoS;
use serde_json::{Value as Json, json};

use super::brokers::{Broker, Kind};
use super::clients::{V5, within};
use super::program::{Config, Running, code, json, run, stderr, stdout};

const CALL: &str = "sedge/v1/pi-test/tool/lamp_set/call";

/// A node that lets nobody switch its lamp who does not sign, and a caller with a key.
struct Site {
    broker: Broker,
    config: Config,
}

impl Site {
    async fn new() -> Self {
        let broker = Broker::start(Kind::Embedded).await.unwrap();
        let config = Config::new("");
        let output = run(&["caller", "new", "attic", "--output", &config.path("attic.key")]).await;
        assert_eq!(code(&output), 0, "{output:?}");
        let caller = stdout(&output);
        let text = format!(
            "[node]\nid = \"pi-test\"\n[mqtt]\nurl = \"mqtt://{}\"\n[bus.gpio0]\nkind = \"sim\"\n[gpio.lamp]\nkind = \
             \"relay\"\nbus = \"gpio0\"\nline = 4\n[calls]\nsigned = \"actuate\"\n{caller}",
            broker.address
        );
        config.write("node.toml", &text);
        Self { broker, config }
    }

    fn key(&self) -> String {
        self.config.path("attic.key")
    }

    /// Runs the node until it is online.
    async fn start(&self) -> (Running, V5) {
        let node = Running::start(&["run", "-c", &self.config.file()]);
        let mut watcher = V5::connect(self.broker.address, "watcher").await;
        watcher.subscribe("sedge/v1/pi-test/status", QoS::AtLeastOnce).await;
        while &watcher.message().await.payload[..] != b"online" {}
        watcher.subscribe("sedge/v1/pi-test/tool/lamp_set/result", QoS::AtLeastOnce).await;
        (node, watcher)
    }

    async fn tool(&self, args: &[&str]) -> std::process::Output {
        let file = self.config.file();
        run(&[&["tool"], args, &["-c", &file]].concat()).await
    }
}

async fn answer(watcher: &mut V5) -> Json {
    loop {
        let message = watcher.message().await;
        if message.topic.ends_with("/result") {
            return serde_json::from_slice(&message.payload).unwrap();
        }
    }
}

#[tokio::test]
async fn who_signs_is_let_in_who_does_not_is_not_and_both_stand_in_the_audit_log() {
    let site = Site::new().await;
    let (node, _watcher) = site.start().await;
    let key = site.key();
    let unsigned = site.tool(&["call", "pi-test/lamp_set", "on=true"]).await;
    assert_eq!(code(&unsigned), 1);
    assert!(
        stderr(&unsigned).contains("denied") && stderr(&unsigned).contains("must be signed"),
        "{unsigned:?}"
    );
    let signed = site
        .tool(&["call", "pi-test/lamp_set", "on=true", "--sign-as", "attic", "--key", &key, "--json"])
        .await;
    assert_eq!(json(&signed)["ok"], true, "{signed:?}");
    let stranger =
        site.tool(&["call", "pi-test/lamp_set", "on=true", "--sign-as", "cellar", "--key", &key]).await;
    assert!(stderr(&stranger).contains("knows no caller `cellar`"), "{stranger:?}");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
    let audit = site.tool(&["audit", "--json"]).await;
    let lines: Vec<Json> = stdout(&audit).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|it| (&it["verified"], &it["ok"], &it["tool"])).collect();
    let (yes, no, lamp) = (&json!(true), &json!(false), &json!("lamp_set"));
    assert_eq!(told, [(no, no, lamp), (yes, yes, lamp), (no, no, lamp)], "{lines:?}");
    assert_eq!(lines[1]["from"], "attic");
    let shown = stdout(&site.tool(&["audit", "--since", "1h", "-n", "2"]).await);
    assert_eq!(shown.lines().count(), 2);
    assert!(shown.contains("attic (signed)  lamp_set  ok"), "{shown}");
}

/// Runs a program of `deploy/callers`; none where what it needs is not installed.
async fn signed_by(program: &[&str], file: &str, key: &str) -> Option<String> {
    let file = format!("{}/../deploy/callers/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut command = tokio::process::Command::new(program[0]);
    command.args(&program[1..]).arg(file).args(["attic", key, "pi-test", "lamp_set", r#"{"on": true}"#]);
    let output = within(command.output()).await.ok()?;
    if !output.status.success() {
        let why = stderr(&output);
        let missing = why.contains("No module named") || why.contains("Unknown") || why.contains("not found");
        assert!(missing, "{why}");
        return None;
    }
    Some(stdout(&output))
}

#[tokio::test]
async fn programs_in_other_languages_sign_and_a_replay_is_refused_also_after_a_restart() {
    let site = Site::new().await;
    let (node, mut watcher) = site.start().await;
    let mut caller = V5::connect(site.broker.address, "caller").await;
    let mut sent = Vec::new();
    let programs: [(&[&str], &str); 3] =
        [(&["python3"], "sign.py"), (&["node"], "sign.js"), (&["sh"], "sign.sh")];
    for (program, file) in programs {
        let Some(payload) = signed_by(program, file, &site.key()).await else {
            #[expect(clippy::print_stdout, reason = "a part of a test that was not run should say so")]
            {
                println!("skipped: {file} needs what is not installed");
            }
            continue;
        };
        caller.publish_bytes(CALL, payload.clone().into_bytes(), false).await;
        let told = answer(&mut watcher).await;
        assert_eq!(told["ok"], true, "{file}: {payload}: {told}");
        caller.publish(CALL, &payload.replace("true", "false"), QoS::AtLeastOnce, false).await;
        assert_eq!(answer(&mut watcher).await["error"]["code"], "denied", "{file}: changed on its way");
        sent.push(payload);
    }
    assert!(!sent.is_empty(), "neither Python nor Node.js nor OpenSSL is there");
    node.signal("KILL").await;
    node.ended_somehow().await;
    let (_node, mut watcher) = site.start().await;
    for payload in sent {
        caller.publish(CALL, &payload, QoS::AtLeastOnce, false).await;
        let answer = answer(&mut watcher).await;
        assert_eq!(answer["error"]["code"], "denied", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("made already"), "{answer}");
    }
}

#[tokio::test]
async fn a_private_key_is_for_its_owner_alone_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let config = Config::new("");
    let key = config.path("attic.key");
    let output = run(&["caller", "new", "attic", "--output", &key]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).starts_with("[caller.attic]\nkey = \"ed25519:"), "{output:?}");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let text = config.read("attic.key");
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"));
    let again = run(&["caller", "new", "attic", "--output", &key]).await;
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("is there already"), "{again:?}");
    assert_eq!(config.read("attic.key"), text);
    assert_eq!(code(&run(&["caller", "new", "At Tic"]).await), 2);
    let wrong = run(&["tool", "call", "x", "--sign-as", "attic", "--key", &config.file()]).await;
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("not a private key"), "{wrong:?}");
    assert_eq!(code(&run(&["tool", "call", "x", "--sign-as", "attic"]).await), 2, "which key?");
}
