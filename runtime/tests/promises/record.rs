//! `sedge sensor record`, and a node that plays what was recorded.

use sedge_hal::{Cassette, Event, Mark};

use super::program::{Config, Running, code, json, run, stderr, stdout};

const SIMULATED: &str = r#"
mqtt.url = "mqtt://127.0.0.1:1"
[bus.i2c-1]
kind = "sim"
[sensor.kitchen]
kind = "bme280"
bus = "i2c-1"
every = "20ms"
"#;

fn marks(cassette: &Cassette, wanted: &Mark) -> usize {
    cassette.entries().iter().filter(|entry| entry.event == Event::Mark(wanted.clone())).count()
}

/// What the driver said, as it stands on the cassette.
fn said(cassette: &Cassette) -> Vec<String> {
    let said = cassette.entries().iter().filter_map(|entry| match &entry.event {
        Event::Mark(Mark::Said(text)) => Some(text.clone()),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn a_sensor_is_recorded_and_a_node_plays_the_same_readings_from_it() {
    let config = Config::new(SIMULATED);
    let file = config.path("kitchen.cassette");
    let args = ["sensor", "record", "kitchen", "--for", "200ms", "-o", &file, "-c", &config.file()];
    let output = run(&args).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let cassette = Cassette::parse(&config.read("kitchen.cassette")).unwrap();
    let said = said(&cassette);
    assert_eq!(marks(&cassette, &Mark::Open), 1);
    assert_eq!(marks(&cassette, &Mark::Read), said.len());
    assert_eq!(cassette.header.sedge.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    let shown: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(shown.len(), said.len());
    assert!(shown[0].contains("kitchen temperature=") && shown[0].ends_with(&said[0]), "{shown:?}");
    assert!(stderr(&output).contains("kitchen.cassette: "), "{output:?}");
    assert!(!std::path::Path::new(&format!("{file}.part")).exists());

    let played = SIMULATED.replace("kind = \"sim\"", "kind = \"replay\"\nfile = \"kitchen.cassette\"");
    config.write("played.toml", &played);
    let output = run(&["run", "--once", "-c", &config.path("played.toml")]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains(&said[0]), "{said:?}: {output:?}");

    for (from, to, why) in [
        ("bme280", "tmp117", "the cassette"),
        ("every =", "address = 0x77\nevery =", "write `address = 0x76`"),
    ] {
        config.write("played.toml", &played.replace(from, to));
        let output = run(&["run", "--once", "-c", &config.path("played.toml")]).await;
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(stderr(&output).contains(why), "{output:?}");
    }
}

#[tokio::test]
async fn a_recording_that_is_interrupted_keeps_what_there_is() {
    let config = Config::new(SIMULATED);
    let file = config.path("kitchen.cassette");
    let args = ["sensor", "record", "kitchen", "--for", "1h", "-o", &file, "--json", "-c", &config.file()];
    let mut recording = Running::start(&args);
    for _ in 0..2 {
        assert!(recording.line_with("temperature").await.contains("\"sensor\":\"kitchen\""));
    }
    recording.signal("INT").await;
    assert_eq!(recording.ended().await, 0);
    assert!(said(&Cassette::parse(&config.read("kitchen.cassette")).unwrap()).len() >= 2);
}

#[tokio::test]
async fn a_recording_overwrites_nothing_and_knows_the_nearest_name() {
    let config = Config::new(SIMULATED);
    config.write("kitchen.cassette", "mine");
    let file = config.path("kitchen.cassette");
    let args = ["sensor", "record", "kitchen", "--for", "50ms", "-o", &file, "-c", &config.file()];
    let output = run(&args).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--force"), "{output:?}");
    assert_eq!(config.read("kitchen.cassette"), "mine");
    assert_eq!(code(&run(&[&args[..], &["--force"]].concat()).await), 0);
    assert!(Cassette::parse(&config.read("kitchen.cassette")).is_ok());

    let output = run(&["sensor", "record", "kitchn", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("did you mean `kitchen`?"), "{output:?}");
    assert_eq!(code(&run(&["sensor", "record", "kitchen", "-c", "no-such-file.toml"]).await), 78);
}

#[tokio::test]
async fn what_is_not_there_leaves_no_cassette_behind() {
    let config =
        Config::new(&SIMULATED.replace("kind = \"sim\"", "kind = \"i2c\"\ndevice = \"/dev/i2c-99\""));
    let file = config.path("kitchen.cassette");
    let output = run(&["sensor", "record", "kitchen", "-o", &file, "-c", &config.file(), "--json"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("/dev/i2c-99 does not exist"), "{output:?}");
    assert!(json(&output)["error"].as_str().unwrap().contains("/dev/i2c-99"), "{output:?}");
    for file in [file.clone(), format!("{file}.part")] {
        assert!(!std::path::Path::new(&file).exists(), "{file}");
    }
    let args = ["sensor", "record", "kitchen", "--sim", "--for", "50ms", "-o", &file, "-c", &config.file()];
    assert_eq!(code(&run(&args).await), 0);
}

#[tokio::test]
async fn nothing_is_recorded_beside_a_node_that_has_the_sensor() {
    let text = SIMULATED.replace("kind = \"sim\"", "kind = \"i2c\"\ndevice = \"/dev/i2c-99\"");
    let config = Config::new(&format!("node.id = \"recorded\"\n{text}"));
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    node.line_with("Runs.").await;
    let file = config.path("kitchen.cassette");
    let output = run(&["sensor", "record", "kitchen", "-o", &file, "-c", &config.file()]).await;
    assert_eq!(code(&output), 1);
    for part in ["node `recorded`", "`kitchen`", "stop it first"] {
        assert!(stderr(&output).contains(part), "{output:?}");
    }
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}
