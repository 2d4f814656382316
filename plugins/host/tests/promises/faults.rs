//! What a plugin does wrong, and what people see of it: the table in `FAULTS.md`, as a node and an installer say it.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-host` writes it anew; read the difference before you keep it. In each, a neighbour on
//! the same node answers as before.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sedge_actors::{Node, PluginSpec, TokioClock, node_info};
use sedge_host::Declaration;
use sedge_host::outside::testing::{FakePlugin, args, declaration, hello, ready};
use sedge_host::outside::{Outside, Role};
use sedge_host::process::ProcessCarrier;
use sedge_plugin::State;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::PluginStateChanged;
use sedge_protocol::{HelloMessage, ToNode, Version};
use serde_json::{Value as Json, json};

use crate::install::Bench;
use crate::outside::{PUMP, Setting, Slow, ask, id};
use crate::process::shell;

/// What is not known before it runs.
struct Row {
    fault: &'static str,
    seen: String,
    happens: &'static str,
}

const REFUSED: &str = "It is refused, and started again when it or its section has changed.";
const ENDED: &str = "It is ended, and started again after a pause that grows.";
const HANGS: &str = "It has five seconds to end it. One that has not is ended, and started again.";
const NOT_INSTALLED: &str = "Nothing is installed, and nothing is left behind.";

fn happens(state: State) -> &'static str {
    match state {
        State::Failed => REFUSED,
        State::BackingOff => ENDED,
        other => panic!("it is {other:?}"),
    }
}

const BARE: &str = "[entry]\ncommand = [\"pump\"]";

/// A process that does this after its greeting, on a node with a neighbour.
async fn process(fault: &'static str, script: &str) -> Row {
    let folder = crate::Folder::new();
    let declared = declaration("pump", BARE);
    let carrier = Arc::new(ProcessCarrier::new(shell(script)));
    let mut given = args(&declared, carrier, Role::Plain);
    given.folder = folder.0.clone();
    // Unbounded: bounds of the kernel are another promise.
    given.limits.memory = 0;
    let node = Node::new(node_info("stage"), Arc::new(TokioClock::default()));
    let states = node
        .bus()
        .subscribe::<PluginStateChanged>(&id("stage"), Options { capacity: 4096, ..Options::default() });
    let specs = vec![PluginSpec::new::<Outside>(id("attic"), given), Slow::spec()];
    let mut states = states;
    let fails = async {
        loop {
            let status = states.next().await;
            if status.id.as_str() == "attic" && matches!(status.state, State::Failed | State::BackingOff) {
                return PluginStatus::clone(&status);
            }
        }
    };
    let run = async { tokio::join!(node.start(specs), fails) };
    let (node, status) = tokio::time::timeout(Duration::from_secs(30), run).await.expect("it fails");
    let who = ToolCall::new(Name::new("slow_who").unwrap(), json!({}));
    let who = node.call(ToolCall { from: "cli".into(), ..who }).await.result;
    assert_eq!(who, Ok(json!("cli")), "{fault}: its neighbour");
    node.stop().await;
    Row { fault, seen: status.reason.unwrap_or_default(), happens: happens(status.state) }
}

/// A plugin whose words are these, on a node with a neighbour and a clock of its own.
async fn played(fault: &'static str, plays: impl AsyncFnOnce(&mut FakePlugin, &Declaration)) -> Row {
    let mut setting = Setting::new("pump", PUMP);
    setting.others.push(Slow::spec());
    let (mut stage, mut plugin, ()) = setting.play(plays).await;
    let status = loop {
        let status = stage.states.next().await;
        if status.id.as_str() == "attic" && matches!(status.state, State::Failed | State::BackingOff) {
            break PluginStatus::clone(&status);
        }
        assert_ne!(status.state, State::Stopped, "{fault}");
    };
    plugin.killed().await;
    assert_eq!(stage.call("slow_who", json!({})).await.unwrap(), Ok(json!("cli")), "{fault}: its neighbour");
    stage.node.stop().await;
    Row { fault, seen: status.reason.unwrap_or_default(), happens: happens(status.state) }
}

/// What a caller of the tool of a well plugin sees.
async fn called(
    fault: &'static str,
    happens: &'static str,
    with: Json,
    plays: impl AsyncFnOnce(&mut FakePlugin),
) -> Row {
    let mut setting =
        Setting::new("pump", &PUMP.replace("additionalProperties = false", "additionalProperties = true"));
    setting.others.push(Slow::spec());
    let (stage, mut plugin) = setting.start().await;
    let result = stage.call("attic_set", with);
    let (result, ()) = tokio::join!(result, plays(&mut plugin));
    let seen = result.unwrap().expect_err("an error").message;
    assert_eq!(stage.call("slow_who", json!({})).await.unwrap(), Ok(json!("cli")), "{fault}: its neighbour");
    assert_eq!(stage.node.directory().plugin("attic").unwrap().state, State::Running, "{fault}");
    stage.node.stop().await;
    Row { fault, seen, happens }
}

fn installed(fault: &'static str, bench: &Bench, source: &str) -> Row {
    let seen = bench.refused(source).replace(&bench.at.0.display().to_string(), "…");
    Row { fault, seen, happens: NOT_INSTALLED }
}

const GREETED: &str = r#"hello; read -r _ <&3; echo '{"type":"ready"}' >&3; "#;

/// Those of processes, on the clock on the wall.
async fn processes() -> Vec<Row> {
    let after = |script: &str| format!("{GREETED}{script}");
    let packed = r#"echo '{"type":"hello","protocol":"1.0","plugin":"pump","version":"1.0.0","encodings":["msgpack"]}' >&3; read -r _ <&3; "#;
    vec![
        process("It crashes.", &after("echo 'no such pump' >&2; exit 3")).await,
        process("It says what is no message.", &after("echo 'Hello, world!' >&3; sleep 1000")).await,
        process("It ends in the middle of a message.", &after(r#"printf '{"type":"pon' >&3; exit 0"#)).await,
        process(
            "It announces a message of 2 GiB.",
            &format!(r"{packed}printf '\200\000\000\000' >&3; sleep 1000"),
        )
        .await,
        process("It writes a line without end.", &after("exec cat /dev/zero | tr '\\\\0' x >&3")).await,
        process("It closes the line and goes on.", &after("exec 3>&-; exec 3<&-; sleep 1000")).await,
        process("It is no plugin.", "sleep 0").await,
    ]
}

/// Those of what is said, on a clock of their own.
async fn words() -> Vec<Row> {
    let version = async |plugin: &mut FakePlugin, declared: &Declaration| {
        let protocol = Version { major: 2, minor: 0 };
        plugin.say(ToNode::Hello(HelloMessage { protocol, ..hello(declared) })).await;
    };
    let another = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.say(ToNode::Hello(HelloMessage { plugin: "pumpe".into(), ..hello(declared) })).await;
    };
    let lies = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.begin(declared).await;
        let ToNode::Ready { mut tools, every_ms } = ready(declared) else { unreachable!() };
        tools[0].name = Name::new("format_disk").unwrap();
        plugin.say(ToNode::Ready { tools, every_ms }).await;
    };
    let silent = async |_: &mut FakePlugin, _: &Declaration| ();
    let unready = async |plugin: &mut FakePlugin, declared: &Declaration| drop(plugin.begin(declared).await);
    let mute = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.greet(declared).await;
        plugin.hear().await;
    };
    let forges = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.greet(declared).await;
        for _ in 0..100 {
            plugin.answer(7, Json::Null).await;
        }
    };
    let floods = async |plugin: &mut FakePlugin, declared: &Declaration| {
        plugin.greet(declared).await;
        let mut number = 0;
        while plugin.say(ToNode::Ask { id: number, ask: ask(json!({ "do": "load", "key": "x" })) }).await {
            number += 1;
        }
    };
    vec![
        played("It speaks another version of the protocol.", version).await,
        played("It is another plugin than its manifest says.", another).await,
        played("It offers another tool than its manifest says.", lies).await,
        played("It says nothing.", silent).await,
        played("It is never ready.", unready).await,
        played("It does not answer whether it is alive.", mute).await,
        played("It answers calls that nobody has made.", forges).await,
        played("It asks without end and reads nothing.", floods).await,
        called("It never answers a call.", HANGS, json!({}), async |_| ()).await,
        called("It answers another call than the one that was made.", HANGS, json!({}), async |plugin| {
            let (number, _) = plugin.called().await;
            plugin.answer(number + 1, json!("forged")).await;
        })
        .await,
        called(
            "Its tool is given more than it reads.",
            "It is not told of it, and lives on.",
            json!({ "x": "x".repeat(2 << 20) }),
            async |_| (),
        )
        .await,
    ]
}

const REPOSITORY: &str = "There is no such repository.";

/// Whether there is a `git`; where there is none, that row is not looked at.
fn has_git() -> bool {
    crate::install::run(Path::new("/"), &["git", "--version"]).is_some()
}

fn installs() -> Vec<Row> {
    let bench = Bench::new();
    bench.source("pump", "1.0.0", "[[tool]]\nname = \"pump_set\"\n");
    let mut rows = vec![installed("Its manifest has a mistake.", &bench, "./work/pump")];
    for (fault, tar) in crate::install::evil() {
        bench.at.write("pump.tgz", tar);
        rows.push(installed(fault, &bench, "./pump.tgz"));
    }
    let sum = format!("./pump.tgz@{}", "0".repeat(64));
    rows.push(installed("Its archive is another one than was said.", &bench, &sum));
    let mut lies = Bench::new();
    let source = lies.source("pump", "1.0.0", "");
    lies.start = |_| {
        Err("its tools are not those of its manifest: it offers `format_disk`, which is not in its manifest"
            .into())
    };
    rows.push(installed("It does not load.", &lies, &source));
    if has_git() {
        let url = format!("git+file://{}/nothing", bench.at.0.display());
        let row = installed(REPOSITORY, &bench, &url);
        // What git says is its own affair.
        let (seen, _) = row.seen.split_once("git says:").expect("what git says");
        rows.push(Row { seen: format!("{seen}git says: …"), ..row });
    }
    rows
}

/// The rows as they stand in the document.
fn table(rows: &[Row]) -> String {
    let mut text = "| What it does | What is seen | What happens |\n|---|---|---|\n".to_owned();
    for Row { fault, seen, happens } in rows {
        let seen = seen.trim().replace('\n', " ").replace('|', "\\|").replace('`', "'");
        let _ = writeln!(text, "| {fault} | `{seen}` | {happens} |");
    }
    text
}

#[test]
fn what_people_see_of_a_fault_is_what_the_document_says() {
    let wall = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let processes = wall.block_on(processes());
    drop(wall);
    let own = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let words = own.block_on(words());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("FAULTS.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let mut text = before.clone();
    for (part, rows) in
        [("what it says", words), ("its process", processes), ("how it is installed", installs())]
    {
        let (begin, end) = (format!("<!-- {part} -->\n"), format!("<!-- /{part} -->"));
        let from = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let to = from + text[from..].find(&end).unwrap_or_else(|| panic!("no {end}"));
        text.replace_range(from..to, &table(&rows));
    }
    let before = match has_git() {
        true => before,
        false => {
            before.lines().filter(|line| !line.contains(REPOSITORY)).map(|line| format!("{line}\n")).collect()
        }
    };
    if std::env::var_os("SEDGE_GOLDEN").is_some() {
        fs::write(&path, text).expect("writable");
    } else {
        assert_eq!(text, before);
    }
}
