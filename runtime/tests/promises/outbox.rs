//! What people see of the journal: `sedge outbox` and `sedge readings`, beside a node and without one.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge --test promises outbox` writes the golden files anew.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use sedge::outbox::{Home, Outbox};
use sedge_plugin::journal::{Cursor, Journal};
use sedge_plugin::testing::HandClock;
use sedge_plugin::{Boot, Clock, Frame, Id, Quality, Reading};
use serde_json::{Value as Json, json};

use super::brokers::{Broker, Kind};
use super::clients::V5;
use super::program::{Config, Running, code, json, run, stderr, stdout};

/// 2026-11-20T17:28:00Z.
const WALL: i64 = 1_795_195_680_000;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// A node that does not run, with twelve readings of two sensors in its journal, ten seconds apart.
async fn kept() -> Config {
    let config =
        Config::new("mqtt.url = \"mqtt://127.0.0.1:1\"\nnode.id = \"pi-test\"\nnode.data = \"DATA\"\n");
    let data = config.path("data");
    config.write("node.toml", &config.read("node.toml").replace("DATA", &data));
    let clock = Arc::new(HandClock::default());
    clock.advance(Duration::from_secs(5));
    clock.set_wall(Some(WALL));
    let home = Home::Folder(Path::new(&data).join("outbox"));
    let outbox = Outbox::open(&sedge_config::Outbox::default(), &home, clock.clone());
    let cursor = Cursor::new(outbox.cursor(&id("mqtt")));
    for seq in 1..=6_u32 {
        for sensor in ["air", "pump"] {
            let mut frame = Frame::default();
            if sensor == "air" {
                frame.push("temperature", 20.0 + f64::from(seq));
                frame.push("humidity", 44.5);
                frame.push("note", "say \"hi\", all");
                if seq == 3 {
                    frame.samples[0].quality = Quality::Rejected;
                    frame.samples[1].value = Err("crc".into());
                }
            } else {
                frame.push("on", seq % 2 == 0);
            }
            let taken = clock.taken();
            let reading = Reading {
                sensor: id(sensor),
                boot: Boot(0x9f3c_21ab),
                seq: seq.into(),
                taken,
                frame,
                origin: None,
            };
            outbox.record(Arc::new(reading)).await;
            clock.advance(Duration::from_secs(10));
        }
    }
    cursor.grown(11).await;
    cursor.done(0..2);
    let first = cursor.read(2..3, 1).await.entries.remove(0);
    cursor.give_up(&first, sedge_plugin::journal::Cause::Rejected);
    outbox.close();
    config
}

async fn ask(config: &Config, words: &[&str]) -> std::process::Output {
    run(&[words, &["-c", &config.file()]].concat()).await
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[tokio::test]
async fn readings_are_there_without_a_node_and_without_a_broker() {
    let config = kept().await;
    let output = ask(&config, &["readings", "query", "--json"]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let all = lines(&stdout(&output));
    assert_eq!(all.len(), 12);
    assert_eq!(
        (&all[0]["node"], &all[0]["sensor"], &all[0]["seq"]),
        (&json!("pi-test"), &json!("air"), &json!(1))
    );
    assert_eq!(all[1]["ts"], "2026-11-20T17:28:10.000Z");

    let output = ask(
        &config,
        &[
            "readings",
            "query",
            "pump",
            "--json",
            "--since",
            "2026-11-20T17:28:30Z",
            "--until",
            "2026-11-20T17:29:10Z",
        ],
    )
    .await;
    let seqs: Vec<_> = lines(&stdout(&output)).iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [2, 3], "those of 17:28:30 and 17:28:50, without the end");

    let output = ask(&config, &["readings", "last", "--json"]).await;
    let last = json(&output);
    assert_eq!((last.as_array().unwrap().len(), &last[0]["seq"]), (2, &json!(6)), "{output:?}");
    let output = ask(&config, &["readings", "last", "air"]).await;
    assert!(stdout(&output).starts_with("2026-11-20T17:29:40.000Z air temperature=26 "), "{output:?}");
    assert!(stderr(&output).contains("from its journal"), "says that no node runs: {output:?}");
}

#[tokio::test]
async fn readings_are_summed_up_and_the_newest_are_kept_where_there_is_a_limit() {
    let config = kept().await;
    let query = ["readings", "query", "air", "--field", "temperature", "--agg", "mean:1m"];
    let output = ask(&config, &[&query[..], &["--json"]].concat()).await;
    let rows = lines(&stdout(&output));
    // 21, 22 and not 23, which was rejected; then 24, 25, 26.
    assert_eq!(
        rows.iter()
            .map(|row| (row["from"].clone(), row["value"].clone(), row["count"].clone()))
            .collect::<Vec<_>>(),
        [
            (json!("2026-11-20T17:28:00.000Z"), json!(21.5), json!(2)),
            (json!("2026-11-20T17:29:00.000Z"), json!(25), json!(3)),
        ]
    );
    let output = ask(&config, &query).await;
    assert!(stdout(&output).contains("17:29:00.000Z air mean(temperature)=25 (3)"), "{output:?}");

    let output = ask(&config, &["readings", "query", "-n", "2", "--json"]).await;
    let seqs: Vec<_> = lines(&stdout(&output)).iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [6, 6]);
}

#[tokio::test]
async fn an_export_is_as_it_was() {
    let config = kept().await;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (format, name) in [("csv", "export.csv"), ("ndjson", "export.ndjson"), ("senml", "export.senml.json")]
    {
        let to = config.path(name);
        let output = ask(&config, &["readings", "export", "--format", format, "-o", &to]).await;
        assert_eq!(code(&output), 0, "{output:?}");
        let (written, file) = (config.read(name), golden.join(name));
        if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
            std::fs::create_dir_all(&golden).unwrap();
            std::fs::write(&file, &written).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(expected, written, "SEDGE_GOLDEN=write writes it anew");
        assert_eq!(stdout(&ask(&config, &["readings", "export", "--format", format]).await), written);
    }
    let pack: Json = serde_json::from_str(&config.read("export.senml.json")).unwrap();
    assert_eq!(pack[0]["bn"], "pi-test/air/");
}

#[tokio::test]
async fn the_status_says_who_waits_what_is_lost_and_what_a_power_cut_costs() {
    let config = kept().await;
    let status = json(&ask(&config, &["outbox", "status", "--json"]).await);
    assert_eq!(
        (&status["runs"], &status["storage"], &status["lost"]),
        (&json!(false), &json!("disk"), &json!(1))
    );
    assert_eq!(
        status["readers"],
        json!([{ "reader": "mqtt", "pending": 9, "oldest": "2026-11-20T17:28:30.000Z" }])
    );
    assert_eq!(status["losses"][0]["cause"], "rejected");
    assert_eq!(
        (&status["oldest"], &status["newest"]),
        (&json!("2026-11-20T17:28:00.000Z"), &json!("2026-11-20T17:29:50.000Z"))
    );
    let text = stdout(&ask(&config, &["outbox", "status"]).await);
    for part in [
        "the node does not run",
        "a power cut loses at most what was accepted in the last 1s; a crash of the process loses nothing",
        "mqtt    9        2026-11-20T17:28:30.000Z",
        "1 readings are lost",
        "2 of 9f3c21ab",
        "the receiver refused them",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn what_is_in_the_journal_is_shown_and_what_is_damaged_is_found() {
    let config = kept().await;
    let records = lines(&stdout(&ask(&config, &["outbox", "inspect", "-n", "3", "--json"]).await));
    let positions: Vec<_> = records.iter().map(|row| row["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [9, 10, 11]);
    let text = stdout(&ask(&config, &["outbox", "inspect", "--from", "1", "-n", "1"]).await);
    assert_eq!(text, "1  2026-11-20T17:28:10.000Z  pump  #1 of 9f3c21ab  on=off\n");

    let output = ask(&config, &["outbox", "verify", "--json"]).await;
    assert_eq!(
        (code(&output), &json(&output)["records"], &json(&output)["damaged"]),
        (0, &json!(12), &json!(0))
    );

    let folder = std::path::PathBuf::from(config.path("data")).join("outbox");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let segment = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "seg")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(4).position(|four| four == b"pump").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = ask(&config, &["outbox", "verify"]).await;
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(stdout(&output).contains("DAMAGED") && stdout(&output).contains("11 records"), "{output:?}");
    let text = stdout(&ask(&config, &["outbox", "inspect", "--from", "0", "-n", "2"]).await);
    assert!(text.lines().nth(1).unwrap().ends_with("damaged"), "{text}");
}

#[tokio::test]
async fn who_asks_for_what_is_not_there_is_told_what_to_do() {
    let empty = Config::new("mqtt.url = \"mqtt://127.0.0.1:1\"\nnode.id = \"pi-new\"\n");
    let output = ask(&empty, &["readings", "query"]).await;
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("has kept no readings") && stderr(&output).contains("--node"),
        "{output:?}"
    );
    assert_eq!(code(&ask(&empty, &["readings", "last"]).await), 75);
    let config = kept().await;
    for (words, told) in [
        (&["readings", "query", "--since", "soon"][..], "1h"),
        (&["readings", "query", "--agg", "mean"], "mean:1m"),
        (&["readings", "query", "Not An Id"], "sensor"),
    ] {
        let output = ask(&config, words).await;
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(stderr(&output).contains(told), "{output:?}");
    }
}

#[tokio::test]
async fn a_node_that_runs_is_asked_and_its_journal_is_read_beside_it() {
    let Some(broker) = Broker::start(Kind::Embedded).await else { return };
    let config = Config::new(&format!(
        "[node]\nid = \"pi-live\"\n[mqtt]\nurl = \"mqtt://{}\"\n[bus.i2c-1]\nkind = \"sim\"\n\
         [sensor.kitchen]\nkind = \"bme280\"\nbus = \"i2c-1\"\nevery = \"100ms\"\n",
        broker.address
    ));
    let node = Running::start(&["run", "-c", &config.file()]);
    let mut watcher = V5::connect(broker.address, "watcher").await;
    watcher.subscribe("sedge/v1/pi-live/reading/kitchen", QoS::AtLeastOnce).await;
    watcher.message().await;

    let status = json(&ask(&config, &["outbox", "status", "--json"]).await);
    assert_eq!(
        (&status["runs"], &status["storage"], &status["readers"][0]["reader"]),
        (&json!(true), &json!("disk"), &json!("mqtt"))
    );
    let output = ask(&config, &["readings", "query", "kitchen", "--since", "1h", "-n", "1"]).await;
    assert!(stdout(&output).contains("°C"), "with units, which the node knows: {output:?}");
    let output = ask(&config, &["outbox", "verify"]).await;
    assert_eq!(code(&output), 0, "what is being written is not damaged: {output:?}");

    let call =
        ["tool", "call", "readings_query", "sensor=kitchen", "since=1h", "agg=count:1h", "--local", "--json"];
    let answer = ask(&config, &call).await;
    let told = stdout(&answer);
    assert!(code(&answer) == 0 && told.contains("\"count\"") && told.contains("temperature"), "{answer:?}");
    let doctor = stdout(&ask(&config, &["doctor"]).await);
    assert!(doctor.contains("outbox"), "{doctor}");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}
