use serde_json::json;

use super::program::{Config, code, json, run, stderr, stdout};

const GOOD: &str = r#"
mqtt.url = "mqtt://127.0.0.1:1"
[bus.i2c-1]
kind = "sim"
[sensor.kitchen]
kind = "bme280"
bus = "i2c-1"
[sensor.attic]
kind = "bme280"
bus = "i2c-1"
address = 0x77
"#;

/// Five mistakes, each of its own kind.
const BAD: &str = r#"
mqtt.url = "mqtt://127.0.0.1:1"
[bus.i2c-1]
kind = "sim"
[sensor.kitchen]
kind = "bme208"
bus = "i2c-1"
[sensor.attic]
kind = "bme280"
bus = "i2c-2"
[sensor.cellar]
kind = "tmp117"
bus = "i2c-1"
address = 0x20
evry = "10s"
[sensor.roof]
kind = "tmp117"
bus = "i2c-1"
every = 10
"#;

#[tokio::test]
async fn check_starts_nothing_and_ends_with_0_or_78() {
    let good = Config::new(GOOD);
    let output = run(&["check", "-c", &good.file()]).await;
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).ends_with("node.toml: ok\n"), "{output:?}");

    let bad = Config::new(BAD);
    let output = run(&["check", &bad.file()]).await;
    assert_eq!(code(&output), 78);
    assert!(stdout(&output).ends_with("5 mistakes\n"), "{output:?}");
}

#[tokio::test]
async fn check_tells_of_a_password_file_that_is_not_there() {
    let text = "[mqtt]\nurl = \"mqtt://h\"\nusername = \"u\"\npassword_file = \"/no/such/file\"\n";
    let output = run(&["check", "-c", &Config::new(text).file()]).await;
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("password_file /no/such/file"), "{output:?}");
}

#[tokio::test]
async fn a_credential_of_the_service_is_no_mistake_where_the_service_does_not_run() {
    let text = "[mqtt]\nurl = \"mqtts://h\"\nusername = \"u\"\npassword_file = \"credential:mqtt\"\n";
    let config = Config::new(text);
    let output = run(&["check", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let output = run(&["tool", "list", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("LoadCredential=mqtt:FILE"), "{output:?}");
}

#[tokio::test]
async fn the_schemes_of_a_broker_are_understood_everywhere() {
    for broker in ["mqtts://127.0.0.1:1", "ws://127.0.0.1:1", "wss://127.0.0.1:1/mqtt"] {
        let output = run(&["tool", "list", "--broker", broker]).await;
        assert_eq!(code(&output), 75, "{output:?}");
        assert!(stderr(&output).contains(broker), "{output:?}");
    }
}

#[tokio::test]
async fn every_mistake_names_its_place_what_was_found_and_the_nearest_word() {
    let bad = Config::new(BAD);
    let output = run(&["check", "--json", &bad.file()]).await;
    let told = json(&output)["diagnostics"].clone();
    let told: Vec<_> = told.as_array().unwrap().iter().collect();
    let place = |at: &serde_json::Value| (at["line"].as_u64().unwrap(), at["column"].as_u64().unwrap());
    assert_eq!(
        told.iter().map(|at| place(at)).collect::<Vec<_>>(),
        [(6, 8), (10, 7), (14, 11), (15, 1), (19, 9)]
    );
    let output = run(&["check", &bad.file()]).await;
    let shown = stderr(&output);
    for part in
        ["bme208", "bme280", "i2c-2", "i2c-1", "0x20", "0x48", "evry", "every", "10s", "kind = \"bme208\""]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[tokio::test]
async fn a_fatal_mistake_ends_run_with_78_and_a_missing_file_too() {
    for text in ["[mqtt]\nurl = 5\n", "[node]\nid = \"Not An Id\"\n", "[[[", "config_version = 99\n"] {
        let config = Config::new(text);
        let output = run(&["run", "-c", &config.file()]).await;
        assert_eq!(code(&output), 78, "{text}: {output:?}");
        assert!(stderr(&output).contains("node.toml"), "{output:?}");
    }
    let output = run(&["run", "-c", "no-such-file.toml"]).await;
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("cannot read no-such-file.toml"), "{output:?}");
}

#[tokio::test]
async fn a_wrong_command_line_ends_with_2_and_an_unreachable_broker_with_75() {
    assert_eq!(code(&run(&["rnu"]).await), 2);
    assert_eq!(code(&run(&["tool", "call", "x", "--timeout", "ten"]).await), 2);
    assert_eq!(code(&run(&["readings", "tail", "Not/An/Id", "--broker", "mqtt://127.0.0.1:1"]).await), 2);
    for args in [&["tool", "list"][..], &["tool", "call", "x"], &["readings", "tail"]] {
        let output = run(&[args, &["--broker", "mqtt://127.0.0.1:1"]].concat()).await;
        assert_eq!(code(&output), 75, "{output:?}");
        assert!(stderr(&output).contains("--broker"), "says what to do: {output:?}");
    }
}

#[tokio::test]
async fn once_reads_every_sensor_once_without_a_broker() {
    let config = Config::new(GOOD);
    let output = run(&["run", "--once", "--json", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let told = json(&output);
    assert_eq!(told["errors"], json!([]));
    let sensors: Vec<_> = told["readings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reading| reading["sensor"].as_str().unwrap())
        .collect();
    for sensor in ["attic", "kitchen", "system"] {
        assert_eq!(sensors.iter().filter(|name| **name == sensor).count(), 1, "{sensors:?}");
    }
    let output = run(&["run", "--once", "-c", &config.file()]).await;
    assert!(stdout(&output).contains("kitchen temperature="), "{output:?}");
}

#[tokio::test]
async fn once_says_which_sensor_could_not_be_read_and_why() {
    let config = Config::new(&GOOD.replace("kind = \"sim\"", "kind = \"i2c\"\ndevice = \"/dev/i2c-99\""));
    let output = run(&["run", "--once", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1);
    let told = stderr(&output);
    assert!(told.contains("kitchen: skipped:") && told.contains("/dev/i2c-99"), "{told}");
    // The same config with simulated buses.
    assert_eq!(code(&run(&["run", "--once", "--sim", "-c", &config.file()]).await), 0);
}

#[tokio::test]
async fn the_kinds_of_sensors_and_the_version_are_told_to_people_and_programs() {
    let kinds = json(&run(&["sensor", "kinds", "--json"]).await);
    let bme280 = kinds.as_array().unwrap().iter().find(|kind| kind["kind"] == "bme280").unwrap();
    assert_eq!(
        (&bme280["addresses"], &bme280["fields"]["temperature"]["unit"]),
        (&json!([0x76, 0x77]), &json!("°C"))
    );
    assert!(stdout(&run(&["sensor", "kinds"]).await).contains("0x76 0x77"));
    assert_eq!(json(&run(&["version", "--json"]).await)["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_example_config_is_right() {
    let mut seen = 0;
    let files = ["config/examples", "config/examples/kinds"].into_iter().flat_map(|folder| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path())
    });
    for file in files.filter(|file| file.is_file()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let loaded = sedge::load::Loaded::new(&file.display().to_string(), text);
        assert_eq!(loaded.diagnostics.iter().map(|d| d.one_line()).collect::<Vec<_>>(), [""; 0]);
        seen += 1;
    }
    assert!(seen >= 4);
}

#[test]
fn every_config_in_the_readme_is_right() {
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let loaded = sedge::load::Loaded::new("README.md", block.into());
        // A block may be a part of a file, so that there is no broker in it.
        assert_eq!(loaded.counts().0, 0, "{:?}\n{block}", loaded.diagnostics);
    }
}
