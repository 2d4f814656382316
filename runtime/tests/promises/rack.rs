//! The rack of examples, each as its reader would try it: built, its own test run, installed, and run in a whole node with the
//! config that its manifest describes.
//!
//! What a test needs beyond Rust it does without where that is missing, and says so; `SEDGE_REQUIRE_PYTHON`, `SEDGE_REQUIRE_NODE`,
//! `SEDGE_REQUIRE_WASM` and `SEDGE_REQUIRE_PYPI` ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::clients::within;
use super::program::{Config, Running, code, json, run, run_long, stderr, stdout};

const NODE: &str = r#"
[node]
id = "pi-rack"
data = "DATA"
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

/// Each has a test below.
const RACK: [&str; 8] = [
    "node-dice",
    "py-pypi-sensor",
    "py-sqlite",
    "py-veto",
    "py-weather",
    "rust-tally",
    "sh-uptime",
    "wasm-bme280",
];

/// For what compiles.
const LONG: Duration = Duration::from_secs(600);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Where cargo lays what it built, beside this program.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_sedge")).with_file_name(name)
}

#[expect(clippy::print_stdout, reason = "a test that was not run should say so")]
fn skip(why: &str, variable: &str) -> bool {
    assert!(std::env::var_os(variable).is_none(), "{variable} is set, and {why}");
    println!("skipped: {why}");
    true
}

/// Whether there is no such program, which then was told.
fn lacks(program: &str, args: &[&str], variable: &str) -> bool {
    let there = std::process::Command::new(program).args(args).output();
    let works = there.is_ok_and(|output| output.status.success());
    !works && skip(&format!("`{program} {}` does not work", args.join(" ")), variable)
}

fn lacks_python() -> bool {
    lacks("python3", &["-c", "import sqlite3, venv"], "SEDGE_REQUIRE_PYTHON")
}

/// An example on its way into a node.
struct Bench {
    config: Config,
    name: &'static str,
}

impl Bench {
    /// A node's config, and a copy of the example: what is built and tested there leaves nothing in the repository.
    fn new(name: &'static str) -> Self {
        let config = Config::new(NODE);
        let text = NODE.replace("DATA", &config.path("data"));
        config.write("node.toml", &text);
        let bench = Self { config, name };
        copy(&repository().join("plugins/examples").join(name), &bench.source());
        bench
    }

    fn source(&self) -> PathBuf {
        self.config.path(&format!("source/{}", self.name)).into()
    }

    /// Its own test, by a Python that has what it needs.
    async fn tested(&self, python: &str) {
        let sdk = repository().join("plugins/sdk/python/src");
        let mut command = Command::new(python);
        command.args(["-W", "error", "-m", "unittest", "-v"]).current_dir(self.source());
        command.env("PYTHONPATH", sdk).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = waited(command).await;
        let said = stderr(&output);
        let whole = said.trim_end().ends_with("OK") && !said.contains("Ran 0 tests");
        assert!(output.status.success() && whole, "{said}");
    }

    /// Into the folder beside the config, where the node looks.
    async fn install(&self) -> Output {
        let (source, to) = (self.source().display().to_string(), self.config.path("plugins"));
        run_long(LONG, &["plugin", "install", &source, "--to", &to, "-c", &self.config.file(), "--json"])
            .await
    }

    async fn installed(&self) -> Json {
        let output = self.install().await;
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let told = json(&output)["installed"].clone();
        assert_eq!(told["name"], self.name, "{told}");
        told
    }

    /// A node with these sections too.
    async fn node(&self, sections: &str) -> Running {
        let text = NODE.replace("DATA", &self.config.path("data"));
        self.config.write("node.toml", &format!("{text}{sections}"));
        self.again().await
    }

    async fn again(&self) -> Running {
        let mut node = Running::logged(&["run", "-c", &self.config.file()]);
        node.line_with("Runs.").await;
        node
    }

    async fn ask(&self, args: &[&str]) -> Json {
        let output = self.asked(args).await;
        assert_eq!(code(&output), 0, "{output:?}");
        json(&output)
    }

    async fn asked(&self, args: &[&str]) -> Output {
        run(&[args, &["-c", &self.config.file(), "--json"]].concat()).await
    }

    /// Waits until it runs.
    async fn runs(&self, id: &str) {
        let running = async {
            loop {
                let listed = self.ask(&["plugin", "list"]).await;
                let row = listed.as_array().unwrap().iter().find(|row| row["id"] == id);
                let row = row.unwrap_or_else(|| panic!("{id} in {listed}"));
                assert_ne!(row["state"], "failed", "{row}");
                if row["state"] == "running" {
                    return;
                }
            }
        };
        // The first start of a component compiles it.
        tokio::time::timeout(LONG, running).await.expect("it should run by now");
    }
}

async fn waited(mut command: Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(LONG, command.output()).await.expect("it should have ended by now").unwrap()
}

/// Copies what a clone has: not what was built or left there.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let name = from.file_name().unwrap().to_str().unwrap();
        let to = to.join(name);
        if from.is_dir() && name != "__pycache__" && name != "compiled" {
            copy(&from, &to);
        } else if from.is_file() && !name.ends_with(".wasm") {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// Has cargo build it in this clone; gives where it lays what it builds.
async fn cargo(args: &[&str]) -> PathBuf {
    let target = built("..").canonicalize().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.arg("build").args(args).arg("--target-dir").arg(&target);
    command.current_dir(repository()).env_remove("RUSTFLAGS");
    let output = waited(command).await;
    assert!(output.status.success(), "{}", stderr(&output));
    target
}

#[test]
fn every_example_of_the_repository_is_tried_here() {
    let folders = std::fs::read_dir(repository().join("plugins/examples")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.join("plugin.toml").exists());
    let names: BTreeSet<String> =
        folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, RACK.map(str::to_owned).into());
}

#[tokio::test]
async fn the_sensor_in_shell_tells_how_long_the_machine_is_up() {
    let bench = Bench::new("sh-uptime");
    if !lacks_python() {
        bench.tested("python3").await;
    }
    assert_eq!(bench.installed().await["loads"], "it loads");
    let _node = bench.node("[sensor.machine]\nkind = \"sh-uptime\"\nevery = \"100ms\"\n").await;
    bench.runs("machine").await;
    let reading = bench.ask(&["sensor", "read", "machine"]).await;
    assert!(reading["fields"]["uptime"].as_f64().is_some_and(|seconds| seconds > 0.0), "{reading}");
    assert!(reading["fields"]["load"].is_number(), "{reading}");
}

#[tokio::test]
async fn the_dice_in_javascript_roll() {
    if lacks("node", &["--version"], "SEDGE_REQUIRE_NODE") {
        return;
    }
    let bench = Bench::new("node-dice");
    if !lacks_python() {
        bench.tested("python3").await;
    }
    bench.installed().await;
    let _node = bench.node("[plugin.node-dice]\n").await;
    bench.runs("node-dice").await;
    let rolled = bench.ask(&["tool", "call", "node_dice_roll", "sides=2", "--local"]).await;
    assert!(matches!(rolled["result"].as_u64(), Some(1 | 2)), "{rolled}");
}

/// Answers as open-meteo.com does, until the test ends.
async fn weather_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                line.clear();
            }
            let body = r#"{"current":{"temperature_2m":11.5,"wind_speed_10m":7.25}}"#;
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.get_mut().write_all(answer.as_bytes()).await;
        }
    });
    host
}

#[tokio::test]
async fn the_weather_tool_asks_the_server_that_it_was_granted_and_no_other() {
    if lacks_python() {
        return;
    }
    let bench = Bench::new("py-weather");
    bench.tested("python3").await;
    let host = weather_server().await;
    // A server of one's own is asked for in the manifest, as its settings say.
    let file = bench.source().join("plugin.toml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    let hosts = format!("hosts = [\"{host}\", ");
    std::fs::write(file, manifest.replace("hosts = [", &hosts)).unwrap();
    let told = bench.installed().await;
    assert_eq!(told["loads"], "it loads, with 1 tool");
    let section = format!("[plugin.py-weather]\nurl = \"http://{host}\"\n");
    let granted = format!("{section}grant = {{ hosts = [\"{host}\"] }}\n");
    let _node = bench.node(&granted).await;
    bench.runs("py-weather").await;
    let call = ["tool", "call", "py_weather_now", "latitude=47.1", "longitude=8.5", "--local"];
    let told = bench.ask(&call).await;
    assert_eq!(told["result"], json!({ "temperature": 11.5, "wind": 7.25 }), "{told}");
    let text = bench.config.read("node.toml");
    bench.config.write("node.toml", &text.replace("grant = ", "# grant = "));
    bench.ask(&["reload"]).await;
    bench.runs("py-weather").await;
    let refused = bench.asked(&call).await;
    let said = stdout(&refused) + &stderr(&refused);
    assert!(code(&refused) != 0 && said.contains("denied"), "{said}");
}

#[tokio::test]
async fn the_veto_denies_a_call_with_its_reason_and_lets_others_pass() {
    if lacks_python() {
        return;
    }
    let bench = Bench::new("py-veto");
    bench.tested("python3").await;
    bench.installed().await;
    let sections = "
[gpio.pump]\nkind = \"relay\"\nbus = \"i2c-1\"\nline = 5
[gpio.lamp]\nkind = \"relay\"\nbus = \"i2c-1\"\nline = 6
# Between them they are there all day, whenever the test runs.
[plugin.night]\nkind = \"py-veto\"\ntools = [\"pump_*\"]\nfrom = \"18:00\"\nto = \"06:00\"\ngrant = { topics = [\"pre_tool_execute\"] }
[plugin.day]\nkind = \"py-veto\"\ntools = [\"pump_*\"]\nfrom = \"06:00\"\nto = \"18:00\"\ngrant = { topics = [\"pre_tool_execute\"] }
";
    let _node = bench.node(sections).await;
    bench.runs("night").await;
    bench.runs("day").await;
    let refused = bench.asked(&["tool", "call", "pump_set", "on=true", "--local"]).await;
    let said = stdout(&refused) + &stderr(&refused);
    assert!(code(&refused) != 0, "{said}");
    assert!(said.contains("denied") && said.contains("`pump_set` rests from "), "{said}");
    bench.ask(&["tool", "call", "lamp_set", "on=true", "--local"]).await;
}

/// By boot: the numbers of the readings that are in the file.
async fn rows(file: &str) -> BTreeMap<String, Vec<u64>> {
    let program = "import sqlite3, sys, json, pathlib\n\
                   found = {}\n\
                   if pathlib.Path(sys.argv[1]).exists():\n    \
                       db = sqlite3.connect(sys.argv[1])\n    \
                       there = db.execute(\"SELECT 1 FROM sqlite_master WHERE name = 'value'\").fetchall()\n    \
                       for boot, seq in db.execute(\"SELECT boot, seq FROM reading WHERE sensor = 'air' ORDER BY seq\") if there else []:\n        \
                           found.setdefault(boot, []).append(seq)\n\
                   print(json.dumps(found))";
    let mut command = Command::new("python3");
    command.args(["-c", program, file]);
    let output = waited(command).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[tokio::test]
async fn the_readings_are_in_the_sqlite_file_also_when_the_node_was_killed() {
    if lacks_python() {
        return;
    }
    let bench = Bench::new("py-sqlite");
    bench.tested("python3").await;
    let told = bench.installed().await;
    assert_eq!(told["requests"]["data"], true, "{told}");
    let node = bench.node("[destination.archive]\nkind = \"py-sqlite\"\ngrant = { data = true }\n").await;
    bench.runs("archive").await;
    let place = bench.config.path("data");
    let file = within(async {
        loop {
            if let Some(file) = found(Path::new(&place), "readings.db") {
                return file.display().to_string();
            }
            bench.ask(&["plugin", "list"]).await;
        }
    })
    .await;
    let enough = async |boots: usize, most: usize| {
        within(async {
            loop {
                let rows = rows(&file).await;
                if rows.len() == boots && rows.values().all(|numbers| numbers.len() >= most) {
                    return rows;
                }
            }
        })
        .await
    };
    let before = enough(1, 5).await;
    node.signal("KILL").await;
    node.ended_somehow().await;
    let node = bench.again().await;
    let after = enough(2, 5).await;
    for (boot, numbers) in &after {
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, &expected, "none is missing of boot {boot}, and none is there twice");
    }
    for (boot, numbers) in before {
        assert!(after[&boot].len() >= numbers.len());
    }
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

/// A file below a folder.
fn found(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { found(&path, name) } else { (entry.file_name() == name).then_some(path) }
    })
}

/// That a kind of sensor reads the simulated chip at 0x77.
async fn reads_the_chip(bench: &Bench) {
    let section = format!(
        "[sensor.attic]\nkind = \"{}\"\nbus = \"i2c-1\"\naddress = 0x77\nevery = \"100ms\"\n\
         limits.start = \"120s\"\n",
        bench.name
    );
    let _node = bench.node(&section).await;
    bench.runs("attic").await;
    let reading = bench.ask(&["sensor", "read", "attic"]).await;
    for (field, low, high) in
        [("temperature", -40.0, 85.0), ("humidity", 0.0, 100.0), ("pressure", 300.0, 1100.0)]
    {
        let value = reading["fields"][field].as_f64();
        assert!(value.is_some_and(|value| (low..=high).contains(&value)), "{field}: {reading}");
    }
}

#[tokio::test]
async fn a_library_of_pypi_reads_its_chip_over_the_bus_of_the_node() {
    if lacks("python3", &["-c", "import venv, ensurepip"], "SEDGE_REQUIRE_PYTHON") {
        return;
    }
    let bench = Bench::new("py-pypi-sensor");
    let output = bench.install().await;
    let said = stderr(&output);
    // What pip says of an index that does not answer; a wrong hash, say, is no reason to skip.
    if code(&output) != 0 && said.contains("from versions: none") {
        skip("the Python package index does not answer", "SEDGE_REQUIRE_PYPI");
        return;
    }
    assert_eq!(code(&output), 0, "{said}");
    bench.tested(&bench.config.path("plugins/py-pypi-sensor/venv/bin/python")).await;
    reads_the_chip(&bench).await;
}

#[tokio::test]
async fn the_tally_in_rust_counts_what_the_node_reads() {
    let bench = Bench::new("rust-tally");
    // With the whole workspace cargo has built it already.
    if !built("rust-tally").exists() {
        cargo(&["--locked", "-p", "rust-tally"]).await;
    }
    std::fs::copy(built("rust-tally"), bench.source().join("rust-tally")).unwrap();
    bench.installed().await;
    let _node = bench.node("[plugin.rust-tally]\ngrant = { topics = [\"deliver\"] }\n").await;
    bench.runs("rust-tally").await;
    within(async {
        loop {
            let told = bench.ask(&["tool", "call", "rust_tally_of", "sensor=air", "--local"]).await;
            if told["result"].as_u64().is_some_and(|count| count >= 3) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_component_reads_its_chip_over_the_bus_of_the_node() {
    let need = "SEDGE_REQUIRE_WASM";
    if sedge_host::wasm::fingerprint().is_empty() {
        skip("this sedge was built without the feature `wasm`", need);
        return;
    }
    let sysroot = std::process::Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| stdout(&output)).unwrap_or_default();
    if !Path::new(sysroot.trim()).join("lib/rustlib/wasm32-unknown-unknown").exists() {
        skip("there is no target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`)", need);
        return;
    }
    let compiler = built("sedge-compile");
    // With the whole workspace cargo has built it already; here it would take minutes.
    if lacks(compiler.to_str().unwrap(), &["--version"], need) {
        return;
    }
    let bench = Bench::new("wasm-bme280");
    let wasm = [
        "--locked",
        "--profile",
        "guest",
        "--target",
        "wasm32-unknown-unknown",
        "--lib",
        "-p",
        "wasm-bme280",
    ];
    let target = cargo(&wasm).await;
    let mut compile = Command::new(compiler);
    compile.arg(target.join("wasm32-unknown-unknown/guest/wasm_bme280.wasm"));
    compile.arg("--output").arg(bench.source());
    // As its manifest says it.
    let output = waited(compile).await;
    assert!(output.status.success(), "{}", stderr(&output));
    bench.installed().await;
    reads_the_chip(&bench).await;
}
