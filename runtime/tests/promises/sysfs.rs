//! What the kernel drives, read from a tree of files as the kernel shows it.

use super::program::{Config, code, json, run, stderr};

/// A node whose 1-Wire devices lie beside its config, each with what its file says.
fn node(devices: &[(&str, &str)]) -> Config {
    let mut text = String::from("mqtt.url = \"mqtt://127.0.0.1:1\"\n[plugin.system]\nenabled = false\n");
    let config = Config::new("");
    let folder = std::path::Path::new(&config.file()).with_file_name("w1");
    text += &format!("[bus.w1]\nkind = \"w1\"\npath = \"{}\"\n", folder.display());
    for (n, (device, says)) in devices.iter().enumerate() {
        std::fs::create_dir_all(folder.join(device)).unwrap();
        std::fs::write(folder.join(device).join("temperature"), says).unwrap();
        text += &format!(
            "[sensor.t{n}]\nkind = \"ds18b20\"\nbus = \"w1\"\naddress = \"{device}\"\nevery = \"1s\"\n"
        );
    }
    config.write("node.toml", &text);
    config
}

#[tokio::test]
async fn a_sensor_file_with_absurd_values_is_flagged_and_one_with_rubbish_is_null_with_its_reason() {
    let config =
        node(&[("28-01", "21437\n"), ("28-02", "999999\n"), ("28-03", "rubbish\n"), ("28-04", "nan\n")]);
    let output = run(&["run", "--once", "--json", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1, "two cannot be read: {output:?}");
    let told = json(&output);
    let text = told.to_string();
    let of = |id: &str| {
        let readings = told["readings"].as_array().unwrap_or_else(|| panic!("{text}"));
        readings
            .iter()
            .find(|reading| reading["sensor"] == id)
            .cloned()
            .unwrap_or_else(|| panic!("{id}: {text}"))
    };
    assert_eq!(of("t0")["fields"]["temperature"], 21.44, "{text}");
    assert!(of("t0").get("q").is_none(), "{text}");
    assert_eq!(of("t1")["q"]["temperature"], "out_of_range", "{text}");
    for id in ["t2", "t3"] {
        assert!(of(id)["fields"]["temperature"].is_null(), "{text}");
    }
}

#[tokio::test]
async fn a_device_that_is_not_there_is_told_with_those_that_are() {
    let config = node(&[("28-01", "21437\n")]);
    let text = std::fs::read_to_string(config.file()).unwrap().replace("\"28-01\"", "\"28-0f\"");
    config.write("node.toml", &text);
    let output = run(&["run", "--once", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1, "{output:?}");
    let shown = stderr(&output);
    assert!(shown.contains("28-0f") && shown.contains("28-01"), "{shown}");
}
