//! The plugin contract as its user sees it: the command line and a node without a broker.

use serde_json::{Value as Json, json};

use super::program::{Config, Running, code, json, run, run_with, stderr, stdout};

const NODE: &str = r#"
[node]
id = "pi-contract"
[bus.i2c-1]
kind = "sim"
[bus.gpio0]
kind = "sim"
[sensor.air]
kind = "bme280"
bus = "i2c-1"
every = "100ms"
process = ["calm"]
[gpio.pump]
kind = "relay"
bus = "gpio0"
line = 17
[processor.calm]
kind = "smooth"
field = "temperature"
method = "mean"
window = 3
[processor.warm]
kind = "convert"
sensors = ["air"]
field = "temperature"
to = "°F"
[guard.pump]
tools = ["pump_*"]
deny = ["mqtt"]
cooldown = "1h"
[plugin.system]
enabled = false
"#;

/// A node that runs, and its config.
async fn node() -> (Config, Running) {
    let config = Config::new(NODE);
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    node.line_with("Runs.").await;
    (config, node)
}

async fn ask(config: &Config, args: &[&str]) -> Json {
    let file = config.file();
    let output = run(&[args, &["-c", &file, "--json"]].concat()).await;
    assert_eq!(code(&output), 0, "{output:?}");
    json(&output)
}

fn named<'a>(list: &'a Json, key: &str, name: &str) -> &'a Json {
    let all = list.as_array().unwrap();
    all.iter().find(|one| one[key] == name).unwrap_or_else(|| panic!("{name} in {list}"))
}

#[tokio::test]
async fn hooks_lists_every_topic_with_its_subscribers_in_their_order() {
    let (config, _node) = node().await;
    let hooks = ask(&config, &["hooks"]).await;
    for topic in sedge_plugin::topics::ALL {
        assert_eq!(named(&hooks, "name", topic.name)["doc"], topic.doc);
    }
    let process = ask(&config, &["hooks", "process"]).await;
    let order: Vec<&Json> =
        process[0]["subscribers"].as_array().unwrap().iter().map(|s| &s["plugin"]).collect();
    assert_eq!(order, ["calm", "warm", "plausible"]);

    let output = run(&["hooks", "proces", "-c", &config.file()]).await;
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("did you mean `process`"), "{output:?}");
}

#[tokio::test]
async fn hooks_tells_what_topics_there_are_though_no_node_runs() {
    let config = Config::new(NODE);
    let output = run(&["hooks", "deliver", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("Fired for every accepted reading"), "{output:?}");
    assert!(stderr(&output).contains("no subscribers are shown"), "{output:?}");
}

#[tokio::test]
async fn plugin_list_shows_state_and_reason_and_runs_nothing() {
    let (config, node) = node().await;
    let running = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&running, "id", "air")["state"], "running");
    assert_eq!(named(&running, "id", "system")["state"], "disabled");
    node.signal("TERM").await;
    node.ended().await;
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "id", "air")["state"], "discovered");
    assert_eq!(named(&listed, "id", "air")["kind"], "bme280");

    let green = run(&["plugin", "list", "-c", &config.file(), "--color", "always"]).await;
    assert!(stdout(&green).contains("\x1b["), "coloured where it is asked for");
    let plain = run(&["plugin", "list", "-c", &config.file()]).await;
    assert!(!stdout(&plain).contains('\x1b'), "and not where nobody sees it");
}

#[tokio::test]
async fn a_plugin_on_disk_is_listed_checked_and_not_run() {
    let config = Config::new(NODE);
    let manifest = |name: &str| {
        format!(
            "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"From outside.\"\n\
                 [entry]\ncommand = [\"touch\", \"{}\"]\n",
            config.path("ran")
        )
    };
    config.write("plugins/weather/plugin.toml", &manifest("weather"));
    config.write("plugins/broken/plugin.toml", &manifest("other").replace("version", "versoin"));
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "id", "weather")["origin"], "project");
    assert_eq!(named(&listed, "id", "broken")["state"], "failed");
    let reason = named(&listed, "id", "broken")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("plugin.toml:2:1: missing key `version`"), "{reason}");
    let output = run(&["plugin", "check", &config.path("plugins"), "-c", &config.file()]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("plugin.toml:4:1: unknown key `versoin`; did you mean `version`?"));
    assert_eq!(ask(&config, &["plugin", "info", "weather"]).await["plugin"]["description"], "From outside.");
    assert!(!std::path::Path::new(&config.path("ran")).exists(), "nothing of it was run");
}

#[tokio::test]
async fn a_plugin_is_disabled_and_enabled_in_the_config_and_the_rest_runs_on() {
    let (config, _node) = node().await;
    let output = run(&["plugin", "disable", "warm", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(stdout(&output).contains("stopped: warm"), "{output:?}");
    assert!(config.read("node.toml").contains("[processor.warm]\nkind = \"convert\""), "the file is kept");
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "id", "warm")["state"], "disabled");
    assert_eq!(named(&listed, "id", "air")["restarts"], 0);
    let output = run(&["plugin", "enable", "warm", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(named(&ask(&config, &["plugin", "list"]).await, "id", "warm")["state"], "running");
    let output = run(&["plugin", "disable", "wram", "-c", &config.file()]).await;
    assert!(stderr(&output).contains("did you mean `warm`"), "{output:?}");
}

#[tokio::test]
async fn a_reload_restarts_only_what_changed_and_a_bad_file_is_refused_whole() {
    let (config, mut node) = node().await;
    let before = ask(&config, &["readings", "last", "air"]).await;
    config.write("node.toml", &NODE.replace("line = 17", "line = 18"));
    let changed = ask(&config, &["reload"]).await;
    assert_eq!((&changed["restarted"], &changed["kept"]), (&json!(["pump"]), &json!(9)));

    config.write("node.toml", &NODE.replace("line = 17", "line = 19").replace("every", "evry"));
    let output = run(&["reload", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("node.toml:11:1") && stderr(&output).contains("`every`"), "{output:?}");
    node.line_with("The new config is refused").await;

    // The same by a signal; another id cannot be had without a restart.
    config.write("node.toml", &NODE.replace("pi-contract", "pi-other"));
    node.signal("HUP").await;
    let line = node.line_with("The new config is refused").await;
    assert!(line.contains("cannot change while the node runs"), "{line}");

    config.write("node.toml", NODE);
    let changed = ask(&config, &["reload"]).await;
    assert_eq!(changed["restarted"], json!(["pump"]), "what was refused has changed nothing");
    let after = ask(&config, &["readings", "last", "air"]).await;
    assert!(after[0]["seq"].as_u64() >= before[0]["seq"].as_u64(), "numbers go on");
    assert_eq!(after[0]["boot"], before[0]["boot"]);
}

#[tokio::test]
async fn layers_are_laid_over_each_other_and_config_show_says_where_a_value_is_from() {
    let config = Config::new(NODE);
    config.write("conf.d/20-site.toml", "[sensor.air]\nevery = \"2s\"\naddress = 0x77\n");
    config.write("plugins/system.toml", "every = \"30s\"\n");
    let file = config.file();
    let args = ["config", "show", "--sources", "-c", &file, "--json", "--set", "gpio.pump.line=5"];
    let output = run_with(&args, &[("SEDGE__SENSOR__AIR__EVERY", "7s")]).await;
    let origins = json(&output);
    let origin = |path: &str| {
        let origin = named(&origins, "path", path);
        (origin["value"].clone(), origin["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(origin("sensor.air.every"), (json!("7s"), "environment SEDGE__SENSOR__AIR__EVERY".into()));
    let (value, source) = origin("sensor.air.address");
    assert_eq!((value, source.ends_with("conf.d/20-site.toml:3:1")), (json!(0x77), true));
    assert!(origin("plugin.system.every").1.ends_with("plugins/system.toml:1:1"));
    assert_eq!(origin("gpio.pump.line"), (json!(5), "--set".into()));
    assert_eq!(origin("processor.warm.priority"), (json!(100), "default".into()));
}

#[tokio::test]
async fn the_schema_of_the_config_knows_every_kind() {
    let output = run(&["config", "schema"]).await;
    let text = json(&output).to_string();
    for kind in ["bme280", "smooth", "prometheus", "relay", "stdout", "cooldown"] {
        assert!(text.contains(kind), "{kind}");
    }
}

#[tokio::test]
async fn a_guard_holds_for_the_command_line_too_and_the_error_says_which() {
    let (config, _node) = node().await;
    let file = config.file();
    let call = ["tool", "call", "pump_set", "on=true", "--local", "-c", &file];
    let output = run(&call).await;
    assert_eq!((code(&output), stdout(&output).trim()), (0, r#"{"on":true}"#), "{output:?}");
    let output = run(&call).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("denied: guard `pump`: it ran a moment ago"), "{output:?}");
    let metrics = ask(&config, &["metrics", "node"]).await;
    assert_eq!(named(&metrics, "name", "tool_failures")["value"], 1);
}

#[tokio::test]
async fn a_processor_changes_the_unit_that_everybody_sees() {
    let (config, _node) = node().await;
    let last = ask(&config, &["readings", "last", "air"]).await;
    assert_eq!(last[0]["units"]["temperature"], "°F");
    assert!(last[0]["fields"]["temperature"].as_f64().unwrap() > 40.0, "{last}");
}

#[tokio::test]
async fn only_the_plugins_that_a_variable_names_are_loaded() {
    let config = Config::new(NODE);
    let mut node = Running::logged_with(&["run", "-c", &config.file()], &[("SEDGE_LOAD_PLUGINS", "air")]);
    node.line_with("Runs.").await;
    let listed = ask(&config, &["plugin", "list"]).await;
    let states: Vec<(&Json, &Json)> =
        listed.as_array().unwrap().iter().map(|row| (&row["id"], &row["state"])).collect();
    for (id, state) in states {
        assert_eq!(state, if id == "air" { "running" } else { "disabled" }, "{id}");
    }
}

#[tokio::test]
async fn a_command_that_nobody_offers_is_told_with_the_nearest() {
    let output = run(&["plugni", "list"]).await;
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("there is no command `plugni`; did you mean `plugin`"), "{output:?}");
}

#[tokio::test]
async fn disabling_what_another_layer_enables_is_refused_and_changes_nothing() {
    let config = Config::new(NODE);
    config.write("conf.d/10-warm.toml", "[processor.warm]\nenabled = true\n");
    let output = run(&["plugin", "disable", "warm", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("conf.d/10-warm.toml:2:1"), "{output:?}");
    assert_eq!(config.read("node.toml"), NODE);
}

#[tokio::test]
async fn check_finds_what_only_a_processor_knows() {
    let text = NODE.replace("method = \"mean\"\nwindow = 3", "method = \"mean\"\nalpha = 0.5");
    let config = Config::new(&text);
    let output = run(&["check", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("[processor.calm]: "), "{output:?}");
}

#[tokio::test]
async fn a_guard_about_no_tool_that_there_is_is_told_of() {
    let config = Config::new(&NODE.replace("tools = [\"pump_*\"]", "tools = [\"pmup_*\"]"));
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    let line = node.line_with("about no tool").await;
    assert!(line.contains("guard=pump") && line.contains("pump_set"), "{line}");
}

#[tokio::test]
async fn what_is_meant_for_one_node_never_reaches_another() {
    let (config, _node) = node().await;
    // A config without an id means the node of this host's name, which does not run here.
    config.write("other.toml", &NODE.replace("id = \"pi-contract\"", ""));
    config.write("broken.toml", "[node");
    for file in ["other.toml", "broken.toml"] {
        let output = run(&["tool", "call", "pump_set", "on=true", "--local", "-c", &config.path(file)]).await;
        assert_ne!(code(&output), 0, "{output:?}");
        assert_ne!(code(&run(&["reload", "-c", &config.path(file)]).await), 0);
    }
    let metrics = ask(&config, &["metrics", "node"]).await;
    assert_eq!(named(&metrics, "name", "tool_calls")["value"], 0);
}

#[tokio::test]
async fn the_node_on_this_machine_is_asked_without_what_the_broker_wants() {
    let (config, _node) = node().await;
    let mqtt = "[mqtt]\nurl = \"mqtts://127.0.0.1:1\"\npassword_file = \"credential:for-the-service-alone\"\nusername = \"me\"\n";
    config.write("site.toml", &format!("{NODE}{mqtt}"));
    let file = config.path("site.toml");
    for (args, part) in [
        (&["tool", "list", "--local"][..], "pi-contract/pump_set"),
        (&["node", "list", "--local"], "pi-contract  online"),
        (&["node", "info", "pi-contract", "--local"], "sensors: air"),
        (&["node", "status", "--local"], "pi-contract  online"),
        (&["readings", "last"], "air humidity="),
        (&["readings", "tail", "-n", "2", "--local"], "pi-contract/air humidity="),
        // Where nobody said what is to be asked, the node is asked when the broker cannot be.
        (&["readings", "tail", "-n", "2"], "pi-contract/air humidity="),
    ] {
        let output = run(&[args, &["-c", &file]].concat()).await;
        assert_eq!(code(&output), 0, "{args:?}: {output:?}");
        assert!(stdout(&output).contains(part), "{args:?}: {output:?}");
        let told = stderr(&output).contains("Following node `pi-contract` on this machine instead");
        assert_eq!(told, args.len() == 4 && args[1] == "tail", "{args:?}: {output:?}");
    }
    for args in [&["node", "list"][..], &["readings", "tail", "--node", "pi-other"]] {
        let output = run(&[args, &["-c", &file]].concat()).await;
        assert_eq!(code(&output), 78, "{output:?}");
        assert!(
            stderr(&output).contains("use sudo, or an operator's config: -c FOLDER/sedge.toml"),
            "{output:?}"
        );
    }
    let output = run(&["node", "info", "pi-other", "--local", "-c", &file]).await;
    assert_eq!(code(&output), 75, "never another than was named: {output:?}");
}

#[tokio::test]
async fn a_config_that_is_being_written_is_not_taken_for_an_empty_one() {
    let (config, _node) = node().await;
    config.write("node.toml", "");
    let output = run(&["reload", "--node", "pi-contract", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("is empty"), "{output:?}");
    config.write("node.toml", NODE);
    assert_eq!(ask(&config, &["reload"]).await["stopped"], json!([]));
}

#[tokio::test]
async fn the_mode_of_a_config_stays_and_nothing_is_left_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let config = Config::new(NODE);
    std::fs::set_permissions(config.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(code(&run(&["plugin", "disable", "warm", "-c", &config.file()]).await), 0);
    let mode = std::fs::metadata(config.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let beside = std::fs::read_dir(std::path::Path::new(&config.file()).parent().unwrap()).unwrap();
    let names: Vec<String> =
        beside.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.ends_with(".new")), "{names:?}");
}

#[tokio::test]
async fn a_second_node_of_one_name_does_not_start() {
    let (config, _node) = node().await;
    let output = run(&["run", "-c", &config.file()]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("runs on this machine already"), "{output:?}");
}

#[tokio::test]
async fn disabling_what_the_node_refuses_puts_the_config_back() {
    let (config, _node) = node().await;
    let wrong = NODE.replace("line = 17", "line = 17\nevry = \"1s\"");
    config.write("node.toml", &wrong);
    let output = run(&["plugin", "disable", "warm", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78, "{output:?}");
    assert!(stderr(&output).contains("is as it was"), "{output:?}");
    assert_eq!(config.read("node.toml"), wrong);
}
