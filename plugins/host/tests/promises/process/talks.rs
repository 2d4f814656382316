//! What is said, and what is printed.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use sedge_host::outside::End;
use sedge_plugin::Id;
use sedge_plugin::grant::Grants;
use sedge_protocol::{API, Call, Encoding, Limits, PROTOCOL, ToNode, ToPlugin};
use serde_json::Value as Json;
use tokio::sync::mpsc::error::TrySendError;
use tracing_subscriber::fmt::MakeWriter;

use super::{Folder, HELLO, PATIENCE, rest, run, run_as, shell, within};

fn welcome(encoding: Encoding) -> ToPlugin {
    ToPlugin::Welcome {
        protocol: PROTOCOL,
        api: API,
        encoding,
        features: vec![],
        id: Id::new("attic").expect("an id"),
        plugin: "pump".into(),
        node: Id::new("pi").expect("an id"),
        settings: Json::Null,
        grants: Grants::default(),
        limits: Limits { message: 1000, in_flight: 1, memory: 0, start_ms: 1000 },
        data_dir: None,
        sensor: None,
        config: None,
    }
}

/// What was logged, by whomever: a log of one thread's own would miss what another thread has logged first.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_all() -> &'static Self {
        static LOG: LazyLock<Log> = LazyLock::new(|| {
            let log = Log::default();
            let format = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).without_time();
            let log_all = format.with_max_level(tracing::Level::TRACE).finish();
            tracing::subscriber::set_global_default(log_all).expect("the only one");
            log
        });
        &LOG
    }

    fn lines(&self, plugin: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("a log").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        let plugin = format!("plugin={plugin}");
        text.lines().filter(|line| line.contains(&plugin)).map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_process_says_hello_and_hears_what_it_is_told() {
    let folder = Folder::new();
    let script = r#"hello; read -r told <&3; echo "$told" > told; echo '{"type":"pong","id":4}' >&3; read -r _ <&3; exit 0"#;
    let mut line = run(shell(script), &folder).await;
    let hello = within(line.from.recv()).await;
    assert!(matches!(&hello, Some(ToNode::Hello(hello)) if hello.plugin == "pump"), "{hello:?}");
    line.to.send(ToPlugin::Ping { id: 4 }).await.expect("it is there");
    assert_eq!(within(line.from.recv()).await, Some(ToNode::Pong { id: 4 }));
    let told = std::fs::read_to_string(folder.path("told")).expect("what it was told");
    assert_eq!(told, "{\"type\":\"ping\",\"id\":4}\n");
    line.to.send(ToPlugin::Call { id: 5, call: Call::Stop { grace_ms: 20_000 } }).await.expect("it is there");
    assert_eq!(rest(&mut line).await, (vec![], End::Stopped));
    assert!(line.to.is_closed(), "there is nobody to tell anything");
}

#[tokio::test]
async fn what_follows_the_welcome_is_in_the_encoding_that_it_names() {
    let folder = Folder::new();
    let script = r"hello; read -r welcome <&3; printf '\000\000\000\017\202\244type\244pong\242id\007' >&3; dd bs=1 count=19 of=ping 2>&1 <&3";
    let mut line = run(shell(script), &folder).await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    line.to.send(welcome(Encoding::Msgpack)).await.expect("it is there");
    line.to.send(ToPlugin::Ping { id: 7 }).await.expect("it is there");
    assert_eq!(rest(&mut line).await.0, [ToNode::Pong { id: 7 }]);
    let ping = std::fs::read(folder.path("ping")).expect("what it was told");
    assert_eq!(ping, b"\0\0\0\x0f\x82\xa4type\xa4ping\xa2id\x07");
}

#[tokio::test]
async fn a_stray_print_does_no_harm_and_is_a_line_of_the_log() {
    let folder = Folder::new();
    let log = Log::of_all();
    let script = "echo noise; printf 'W! care\\033[31mful\\n' >&2; hello; echo 'D! small' ; echo 'E! no end' | tr -d '\\n'";
    let mut line = run_as("printer", shell(script), &folder).await;
    let (said, end) = rest(&mut line).await;
    assert!(matches!(&said[..], [ToNode::Hello(_)]), "{said:?}");
    let words = "noise | care·[31mful | small | no end";
    assert_eq!(end, End::Broken(format!("it ended by itself, with status 0; its last words: {words}")));
    let target = "sedge_host::process::logs:";
    let lines = [("INFO", "noise"), ("WARN", "care·[31mful"), ("DEBUG", "small"), ("ERROR", "no end")];
    let lines = lines.map(|(level, text)| format!("{level} {target} {text} plugin=printer"));
    assert_eq!(log.lines("printer"), lines);
}

#[tokio::test]
async fn one_that_cannot_reach_descriptor_3_speaks_over_its_standard_streams() {
    let folder = Folder::new();
    let mut options = shell(
        r#"echo '{"type":"pong","id":1}'; read -r told; echo "$told" >&2; echo "$SEDGE_PLUGIN_FD" >&2; ls /proc/self/fd >&2; read -r _ || exit 5"#,
    );
    options.stdio = true;
    let mut line = run(options, &folder).await;
    assert_eq!(within(line.from.recv()).await, Some(ToNode::Pong { id: 1 }));
    line.to.send(ToPlugin::Ping { id: 4 }).await.expect("it is there");
    let (to, _) = tokio::sync::mpsc::channel(1);
    line.to = to; // Nobody tells it anything any more: its input ends.
    let end = rest(&mut line).await.1;
    let words = "{\"type\":\"ping\",\"id\":4} | stdio | 0 | 1 | 2 | 3"; // The last is that of the listing.
    assert_eq!(end, End::Broken(format!("it exited with status 5; its last words: {words}")));
}

#[tokio::test]
async fn a_flood_of_prints_holds_up_nobody_but_itself() {
    let folder = Folder::new();
    let log = Log::of_all();
    let script =
        "yes 'E! flood' >&2 & hello; while read -r _ <&3; do echo '{\"type\":\"pong\",\"id\":1}' >&3; done";
    let mut line = run_as("flooder", shell(script), &folder).await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    // Until the flood has come too, however late it begins.
    let begun = std::time::Instant::now();
    let mut id = 0;
    while id < 50 || log.lines("flooder").is_empty() {
        line.to.send(ToPlugin::Ping { id }).await.expect("it is there");
        assert_eq!(within(line.from.recv()).await, Some(ToNode::Pong { id: 1 }));
        assert!(begun.elapsed() < PATIENCE, "there is no flood");
        id += 1;
    }
    line.guard = Box::new(());
    rest(&mut line).await;
    // So many at once, so many a second, for no longer than a test is waited for.
    let lines = log.lines("flooder");
    assert!(lines.len() < 100 + 20 * 30 + 40, "{}", lines.len());
    assert!(lines.last().is_some_and(|line| line.contains("more lines than the log takes")), "{lines:?}");
}

#[tokio::test]
async fn one_that_does_not_read_fills_the_channel_and_nothing_more() {
    let folder = Folder::new();
    let mut line = run(shell("hello; exec sleep 1000"), &folder).await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    let event = ToPlugin::Event { topic: "deliver".into(), message: Json::from("x".repeat(64 * 1024)) };
    let (mut sent, mut full) = (0, 0);
    // Nothing was taken any more, however often there was an opportunity.
    while full < 10_000 {
        match line.to.try_send(event.clone()) {
            Ok(()) => (sent, full) = (sent + 1, 0),
            Err(TrySendError::Full(_)) => full += 1,
            Err(TrySendError::Closed(_)) => panic!("it is there"),
        }
        tokio::task::yield_now().await;
    }
    assert!((16..100).contains(&sent), "{sent}");
    line.guard = Box::new(());
    rest(&mut line).await;
}

#[tokio::test]
async fn one_that_floods_the_node_waits_until_it_is_listened_to() {
    let folder = Folder::new();
    // It counts what it got rid of; while nobody listens that comes to a stop.
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo '{\"type\":\"pong\",\"id\":'$i'}' >&3; done; echo done > done; read -r _ <&3";
    let mut line = run(shell(script), &folder).await;
    for id in 1..=20_000 {
        assert!(
            id != 10_000 || !folder.path("done").exists(),
            "it got rid of half of them with nobody listening"
        );
        assert_eq!(within(line.from.recv()).await, Some(ToNode::Pong { id }));
    }
}

#[test]
fn the_shells_here_say_hello_as_the_protocol_wants_it() {
    assert!(HELLO.contains(r#""protocol":"1.0""#));
}
