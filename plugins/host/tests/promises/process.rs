//! A plugin that is a process, with real ones.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sedge_host::outside::{Carrier as _, End, Line, Start};
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_plugin::{Id, PluginError};
use sedge_protocol::{Limits, MAX_MESSAGE, ToNode};

use super::Folder;

#[path = "process/alone.rs"]
mod alone;
#[path = "process/ends.rs"]
mod ends;
#[path = "process/starts.rs"]
mod starts;
#[path = "process/talks.rs"]
mod talks;

const HELLO: &str =
    r#"hello() { echo '{"type":"hello","protocol":"1.0","plugin":"pump","version":"1.0.0"}' >&3; }; "#;

/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

fn start_in(folder: &Path) -> Start {
    Start {
        id: Id::new("attic").expect("an id"),
        folder: folder.to_owned(),
        data_dir: None,
        limits: Limits { message: MAX_MESSAGE, in_flight: 16, memory: 0, start_ms: 10_000 },
        environment: BTreeMap::new(),
    }
}

/// A shell that can say `hello`, and then does this.
pub fn shell(script: &str) -> ProcessOptions {
    let command = vec!["sh".into(), "-c".into(), format!("{HELLO}{script}")];
    ProcessOptions { command, ..ProcessOptions::default() }
}

async fn try_run(options: ProcessOptions, folder: &Folder) -> Result<Line, PluginError> {
    within(ProcessCarrier::new(options).start(start_in(&folder.0))).await
}

async fn run(options: ProcessOptions, folder: &Folder) -> Line {
    try_run(options, folder).await.expect("it starts")
}

async fn run_as(id: &str, options: ProcessOptions, folder: &Folder) -> Line {
    let start = Start { id: Id::new(id).expect("an id"), ..start_in(&folder.0) };
    within(ProcessCarrier::new(options).start(start)).await.expect("it starts")
}

/// What it says until it is gone, and how it went.
async fn rest(line: &mut Line) -> (Vec<ToNode>, End) {
    let mut said = Vec::new();
    while let Some(message) = within(line.from.recv()).await {
        said.push(message);
    }
    let end = within(&mut line.end).await.expect("an end");
    (said, end)
}

/// How a plugin went that does this.
async fn end_of(options: ProcessOptions) -> String {
    let folder = Folder::new();
    let mut line = run(options, &folder).await;
    match rest(&mut line).await.1 {
        End::Broken(how) => how,
        End::Stopped => panic!("it was not asked to stop"),
    }
}

fn program(folder: &Folder, name: &str, content: &str, mode: u32) -> PathBuf {
    let path = folder.write(name, content);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    path
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests is to know")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Whether there is a `python3`; where it is required, there must be.
fn has_python() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let is_there = path.split(':').any(|place| Path::new(place).join("python3").is_file());
    assert!(is_there || std::env::var_os("SEDGE_REQUIRE_PYTHON").is_none(), "there is no python3");
    is_there
}

fn python(script: &str) -> Option<ProcessOptions> {
    if !has_python() {
        skipped("there is no python3");
        return None;
    }
    let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())]);
    let command = vec!["{python}".into(), "-c".into(), script.into()];
    Some(ProcessOptions { command, environment, ..ProcessOptions::default() })
}
