//! Plugins that lie on disk, on a whole node: found, named, granted, run, watched. They are shell scripts that speak the
//! protocol by hand.

use serde_json::{Value as Json, json};

use super::clients::within;
use super::program::{Config, Running, code, json, run, run_with, stderr, stdout};

pub const NODE: &str = r#"
[node]
id = "pi-outside"
[plugin.system]
enabled = false
[bus.i2c-1]
kind = "sim"
[sensor.air]
kind = "bme280"
bus = "i2c-1"
address = 0x76
every = "100ms"
"#;

/// A plugin that answers each call by what `answers` says: lines of a `case` over the message.
pub fn script(name: &str, ready: &str, answers: &str) -> String {
    format!(
        r#"#!/bin/sh
tell() {{ printf '%s\n' "$1" >&3; }}
hear() {{ IFS= read -r line <&3 || exit 0; id=${{line#*\"id\":}}; id=${{id%%,*}}; id=${{id%%\}}*}}; }}
ok() {{ tell "{{\"type\":\"ok\",\"id\":$id,\"result\":$1}}"; }}
tell '{{"type":"hello","protocol":"1.0","plugin":"{name}","version":"1.0.0"}}'
hear
tell '{{"type":"ready","tools":{ready}}}'
while hear; do
  case $line in
{answers}
    *'"do":"stop"'*) ok null; exit 0;;
    *'"type":"ping"'*) tell "{{\"type\":\"pong\",\"id\":$id}}";;
  esac
done
"#
    )
}

pub fn manifest(name: &str, rest: &str) -> String {
    format!(
        "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"From outside.\"\n\
         author = \"Somebody\"\n{rest}\n[entry]\ncommand = [\"sh\", \"main.sh\"]\n"
    )
}

pub const ROLL: &str = r#"[{"name":"dice_roll","description":"Rolls.","input_schema":{"type":"object","properties":{},"additionalProperties":false},"timeout_ms":5000}]"#;

/// A tool that says who it is, one that breaks, and a command.
fn dice(config: &Config) {
    let answers = r#"    *'"do":"tool"'*) ok "{\"rolled\":4,\"at\":\"$(pwd | sed 's|.*/||')\"}";;"#;
    config.write("plugins/dice/main.sh", &script("dice", ROLL, answers));
    let rest = "category = \"tool\"\n[[tool]]\nname = \"dice_roll\"\ndescription = \"Rolls.\"\n\
                [[command]]\nname = \"roll\"\nabout = \"Rolls a die.\"\ntool = \"dice_roll\"\n\
                [requests]\nhosts = [\"api.example.org\"]\ndata = true\nwhy = \"asks for luck\"";
    config.write("plugins/dice/plugin.toml", &manifest("dice", rest));
}

/// A kind of sensor that reads the id of a chip over I2C.
fn chip(config: &Config) {
    let answers = r#"    *'"do":"read"'*)
      call=$id
      tell '{"type":"ask","id":1,"do":"i2c","device":"device","operations":[{"write":"d0"},{"read":1}]}'
      hear
      case $line in
        *'"60"'*) tell "{\"type\":\"ok\",\"id\":$call,\"result\":{\"chip\":96}}";;
        *) tell "{\"type\":\"error\",\"id\":$call,\"error\":{\"code\":\"failed\",\"message\":\"not the chip\"}}";;
      esac;;"#;
    config.write("plugins/chip/main.sh", &script("chip", "[]", answers));
    let rest = "category = \"sensor\"\n[sensor]\nbus = \"i2c\"\naddresses = [0x76, 0x77]\nsimulate = \"bme280\"\n\
                [sensor.fields.chip]\nunit = \"\"";
    config.write("plugins/chip/plugin.toml", &manifest("chip", rest));
}

pub async fn ask(config: &Config, args: &[&str]) -> Json {
    let file = config.file();
    let output = run(&[args, &["-c", &file, "--json"]].concat()).await;
    assert_eq!(code(&output), 0, "{output:?}");
    json(&output)
}

pub async fn started(config: &Config) -> Running {
    let mut node = Running::logged(&["run", "-c", &config.file()]);
    node.line_with("Runs.").await;
    node
}

pub fn named<'a>(list: &'a Json, id: &str) -> &'a Json {
    let all = list.as_array().unwrap();
    all.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{id} in {list}"))
}

/// Asks until an instance is in a state.
pub async fn until(config: &Config, id: &str, state: &str) -> Json {
    within(async {
        loop {
            let listed = ask(config, &["plugin", "list"]).await;
            let row = named(&listed, id);
            if row["state"] == state {
                return row.clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_script_on_disk_is_a_plugin_of_the_node_where_a_section_names_it() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n[plugin.lucky]\nkind = \"dice\"\n"));
    dice(&config);
    let node = started(&config).await;
    let row = until(&config, "dice", "running").await;
    assert_eq!((&row["version"], &row["author"]), (&json!("1.0.0"), &json!("Somebody")));
    assert_eq!((&row["origin"], &row["category"]), (&json!("project"), &json!("tool")));
    assert!(row["isolation"].as_str().is_some_and(|told| told.contains("process")), "{row}");
    let rolled = ask(&config, &["tool", "call", "dice_roll", "--local"]).await;
    assert_eq!(rolled["result"], json!({ "rolled": 4, "at": "dice" }), "{rolled}");
    until(&config, "lucky", "running").await;
    let rolled = ask(&config, &["tool", "call", "lucky_roll", "--local"]).await;
    assert_eq!(rolled["result"]["rolled"], 4, "each instance has the tool by its own name");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn a_kind_of_sensor_on_disk_reads_its_device_over_the_bus_of_the_node() {
    let config = Config::new(&format!(
        "{NODE}[sensor.attic]\nkind = \"chip\"\nbus = \"i2c-1\"\naddress = 0x77\nevery = \"100ms\"\n"
    ));
    chip(&config);
    let kinds = ask(&config, &["sensor", "kinds", "chip"]).await;
    assert_eq!(kinds[0]["addresses"], json!([0x76, 0x77]));
    let _node = started(&config).await;
    let reading = ask(&config, &["sensor", "read", "attic"]).await;
    assert_eq!(reading["fields"]["chip"], 96, "{reading}");
    assert_eq!(until(&config, "attic", "running").await["category"], "sensor");
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "air")["state"], "running");
}

#[tokio::test]
async fn a_sensor_on_disk_and_another_one_never_share_an_address() {
    let config = Config::new(&format!("{NODE}[sensor.attic]\nkind = \"chip\"\nbus = \"i2c-1\"\n"));
    chip(&config);
    let output = run(&["check", "-c", &config.file()]).await;
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("address 0x76 of bus `i2c-1` is taken by `[sensor.air]`"), "{output:?}");
}

#[tokio::test]
async fn a_broken_plugin_fails_with_its_first_mistake_and_the_node_runs() {
    let config = Config::new(&format!("{NODE}[plugin.torn]\n[plugin.dice]\n"));
    dice(&config);
    config.write("plugins/torn/plugin.toml", &manifest("torn", "colour = 1"));
    let _node = started(&config).await;
    let listed = ask(&config, &["plugin", "list"]).await;
    let torn = named(&listed, "torn");
    assert_eq!(torn["state"], "failed");
    assert!(torn["reason"].as_str().unwrap().contains("unknown key `colour`"), "{torn}");
    assert_eq!(named(&listed, "air")["state"], "running");
    until(&config, "dice", "running").await;
}

#[tokio::test]
async fn what_is_not_granted_is_shown_with_the_line_that_grants_it() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\ngrant.data = true\n"));
    dice(&config);
    let info = ask(&config, &["plugin", "info", "dice"]).await;
    let told = &info["outside"]["instances"]["dice"];
    assert_eq!(told["granted"], json!(["data"]), "{info}");
    assert_eq!(told["missing"], json!(["hosts: api.example.org"]));
    assert_eq!(told["toml"], r#"grant = { data = true, hosts = ["api.example.org"] }"#);
    let output = run(&["plugin", "info", "dice", "-c", &config.file()]).await;
    for part in ["asks for", "asks for luck", "put there by hand", "[plugin.dice]: grant = {"] {
        assert!(stdout(&output).contains(part), "{part}: {output:?}");
    }
    config.write("node.toml", &format!("{NODE}[plugin.dice]\ngrant.hots = [\"x\"]\n"));
    let output = run(&["check", "-c", &config.file()]).await;
    assert!(stderr(&output).contains("did you mean `hosts`"), "{output:?}");
}

#[tokio::test]
async fn a_reload_after_an_upgrade_restarts_what_was_upgraded_and_nothing_else() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n[plugin.other]\n"));
    dice(&config);
    config.write("plugins/other/main.sh", &script("other", "[]", ""));
    config.write("plugins/other/plugin.toml", &manifest("other", ""));
    let _node = started(&config).await;
    until(&config, "dice", "running").await;
    until(&config, "other", "running").await;
    let same = ask(&config, &["reload"]).await;
    assert_eq!(same["restarted"], json!([]), "{same}");
    let (old, new) = ("version = \"1.0.0\"", "version = \"1.1.0\"");
    config.write("plugins/dice/plugin.toml", &config.read("plugins/dice/plugin.toml").replace(old, new));
    let (old, new) = ("\"version\":\"1.0.0\"", "\"version\":\"1.1.0\"");
    config.write("plugins/dice/main.sh", &config.read("plugins/dice/main.sh").replace(old, new));
    let changed = ask(&config, &["reload"]).await;
    assert_eq!(changed["restarted"], json!(["dice"]), "{changed}");
    assert_eq!(until(&config, "dice", "running").await["version"], "1.1.0");
}

#[tokio::test]
async fn a_name_means_what_lies_in_the_highest_place_and_the_rest_is_shown() {
    let config = Config::new(&format!("{NODE}[plugins]\npaths = [\"more\"]\n"));
    dice(&config);
    config.write("more/dice/plugin.toml", &manifest("dice", ""));
    config.write("more/extra/plugin.toml", &manifest("extra", ""));
    config.write("plugins/smooth/plugin.toml", &manifest("smooth", "category = \"processor\""));
    let listed = ask(&config, &["plugin", "list"]).await;
    let rows = |id: &str| -> Vec<&Json> {
        listed.as_array().unwrap().iter().filter(|row| row["id"] == id).collect()
    };
    assert_eq!(rows("dice").len(), 2);
    assert_eq!(rows("dice")[1]["origin"], "extra");
    assert!(rows("dice")[1]["shadowed_by"].as_str().unwrap().ends_with("plugins/dice"));
    assert_eq!(rows("extra")[0]["origin"], "extra");
    assert_eq!(rows("smooth")[1]["origin"], "built in");
    assert!(rows("smooth")[1]["shadowed_by"].as_str().unwrap().ends_with("plugins/smooth"));
    let text = format!("{NODE}[processor.calm]\nkind = \"smooth\"\nwindow = 3\n");
    config.write("node.toml", &text);
    let output = run(&["check", "-c", &config.file()]).await;
    assert!(stderr(&output).contains("unknown key `window`"), "the name means the one on disk: {output:?}");
}

#[tokio::test]
async fn a_plugin_without_a_section_is_not_run_and_enabling_it_adds_one() {
    let config = Config::new(NODE);
    dice(&config);
    let _node = started(&config).await;
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "dice")["state"], "discovered");
    assert!(named(&listed, "dice")["reason"].as_str().unwrap().contains("no section names it"));
    let output = run(&["plugin", "enable", "dice", "-c", &config.file()]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(config.read("node.toml").contains("[plugin.dice]\nenabled = true"));
    until(&config, "dice", "running").await;
    let output = run(&["plugin", "disable", "dice", "-c", &config.file()]).await;
    assert!(stdout(&output).contains("stopped: dice"), "{output:?}");
    let output = run(&["plugin", "enable", "dise", "-c", &config.file()]).await;
    assert!(stderr(&output).contains("did you mean `dice`"), "{output:?}");
}

#[tokio::test]
async fn a_plugin_that_is_not_named_in_the_variable_is_not_started() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n[plugin.lucky]\nkind = \"dice\"\n"));
    dice(&config);
    let only = [("SEDGE_LOAD_PLUGINS", "lucky")];
    let mut node = Running::logged_with(&["run", "-c", &config.file()], &only);
    node.line_with("Runs.").await;
    until(&config, "lucky", "running").await;
    let listed = ask(&config, &["plugin", "list"]).await;
    assert_eq!(named(&listed, "dice")["state"], "disabled");
}

#[tokio::test]
async fn a_plugin_that_was_put_there_by_hand_is_refused_where_the_config_asks_for_more() {
    let config = Config::new(&format!("{NODE}[plugins]\nrequire = \"locked\"\n[plugin.dice]\n"));
    dice(&config);
    let _node = started(&config).await;
    let row = until(&config, "dice", "failed").await;
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("put there by hand") && reason.contains("sedge plugin install"), "{row}");
}

#[tokio::test]
async fn a_plugin_that_dies_is_backed_off_and_nothing_else_is_touched() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n[plugin.dead]\n"));
    dice(&config);
    config.write("plugins/dead/main.sh", "#!/bin/sh\necho 'no such luck' >&2\nexit 3\n");
    config.write("plugins/dead/plugin.toml", &manifest("dead", ""));
    let _node = started(&config).await;
    let row = until(&config, "dead", "backing_off").await;
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("status 3") && reason.contains("no such luck"), "{row}");
    assert_eq!(until(&config, "dice", "running").await["restarts"], 0);
}

#[tokio::test]
async fn a_command_of_a_plugin_and_a_program_on_the_path_are_words_of_the_command_line() {
    let config = Config::new(&format!("{NODE}[plugin.dice]\n"));
    dice(&config);
    let file = config.file();
    let output = run(&["-c", &file, "roll"]).await;
    assert_eq!(code(&output), 75, "no node runs that could: {output:?}");
    let _node = started(&config).await;
    until(&config, "dice", "running").await;
    let output = run(&["-c", &file, "roll", "--json"]).await;
    assert_eq!(json(&output)["result"]["rolled"], 4, "{output:?}");
    let output = run(&["-c", &file, "rol"]).await;
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("did you mean `roll`"), "{output:?}");

    let program = "#!/bin/sh\necho \"$SEDGE_CONFIG: $*\"\nexit 7\n";
    config.write("bin/sedge-greet", program);
    let program = config.path("bin/sedge-greet");
    assert!(std::process::Command::new("chmod").args(["+x", &program]).status().unwrap().success());
    let path = format!("{}:{}", config.path("bin"), std::env::var("PATH").unwrap());
    let output = run_with(&["-c", &file, "greet", "--loud", "you"], &[("PATH", &path)]).await;
    assert_eq!((code(&output), stdout(&output)), (7, format!("{file}: --loud you\n")));
}

#[tokio::test]
async fn the_schema_of_the_config_knows_what_lies_on_disk() {
    let config = Config::new(NODE);
    dice(&config);
    chip(&config);
    let output = run(&["config", "schema", "-c", &config.file()]).await;
    let schema = json(&output);
    assert!(schema["$defs"]["plugin.dice"]["properties"]["grant"].is_object());
    assert_eq!(schema["$defs"]["sensor.chip"]["properties"]["address"]["enum"], json!([0x76, 0x77]));
    assert!(schema["$defs"]["sensor.bme280"]["properties"].get("grant").is_none());
}

#[tokio::test]
async fn a_granted_line_is_switched_by_the_node_and_off_when_the_plugin_has_ended() {
    let text = format!(
        "{NODE}[plugin.valve]\ngrant.gpio.valve = {{ bus = \"i2c-1\", line = 5 }}\n\
         [gpio.door]\nkind = \"input\"\nbus = \"i2c-1\"\nline = 6\n"
    );
    let config = Config::new(&text);
    let set = r#"    *'"do":"tool"'*)
      call=$id
      tell '{"type":"ask","id":1,"do":"gpio","line":"valve","set":true}'
      hear
      case $line in
        *'"level":true'*) tell "{\"type\":\"ok\",\"id\":$call,\"result\":\"open\"}";;
        *) tell "{\"type\":\"ok\",\"id\":$call,\"result\":\"refused\"}";;
      esac;;"#;
    let ready = ROLL.replace("dice_roll", "valve_open");
    config.write("plugins/valve/main.sh", &script("valve", &ready, set));
    let rest = "[[tool]]\nname = \"valve_open\"\ndescription = \"Rolls.\"\n[requests]\ngpio.valve = \"out\"";
    config.write("plugins/valve/plugin.toml", &manifest("valve", rest));
    let _node = started(&config).await;
    until(&config, "valve", "running").await;
    let opened = ask(&config, &["tool", "call", "valve_open", "--local"]).await;
    assert_eq!(opened["result"], "open", "{opened}");
    config.write("node.toml", &text.replace("grant.gpio", "#"));
    ask(&config, &["reload"]).await;
    until(&config, "valve", "running").await;
    let opened = ask(&config, &["tool", "call", "valve_open", "--local"]).await;
    assert_eq!(opened["result"], "refused", "what is not granted is not done: {opened}");
}

#[tokio::test]
async fn a_processor_and_a_destination_on_disk_do_their_part() {
    let text = format!(
        "{NODE}[processor.double]\nkind = \"double\"\nsensors = [\"air\"]\n[destination.sink]\nkind = \"sink\"\n"
    );
    let config = Config::new(&text);
    let step = r#"    *'"do":"step"'*)
      message=${line#*\"message\":}
      ok "{\"replace\":$(printf '%s' "${message%\}}" | sed 's/"temperature":[-0-9.e]*/"temperature":42.5/')}";;"#;
    config.write("plugins/double/main.sh", &script("double", "[]", step));
    config.write("plugins/double/plugin.toml", &manifest("double", "category = \"processor\""));
    let sink =
        format!(r#"    *'"do":"deliver"'*) printf '%s\n' "$line" >> '{}'; ok null;;"#, config.path("sunk"));
    config.write("plugins/sink/main.sh", &script("sink", "[]", &sink));
    config.write("plugins/sink/plugin.toml", &manifest("sink", "category = \"destination\""));
    let _node = started(&config).await;
    assert_eq!(until(&config, "double", "running").await["category"], "processor");
    until(&config, "sink", "running").await;
    within(async {
        loop {
            let sunk = std::fs::read_to_string(config.path("sunk")).unwrap_or_default();
            if sunk.contains("\"sensor\":\"air\"") && sunk.contains("\"temperature\":42.5") {
                break;
            }
            ask(&config, &["plugin", "list"]).await;
        }
    })
    .await;
}
