//! The program as its user runs it.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};

use super::clients::within;

/// A folder of its own with a config in it, removed when dropped.
pub struct Config(PathBuf);

impl Config {
    pub fn new(text: &str) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("sedge-node-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("node.toml"), text).unwrap();
        Self(dir)
    }

    pub fn file(&self) -> String {
        self.path("node.toml")
    }

    /// A path within the folder.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedge"));
    command.args(args).env_remove("SEDGE_LOG").kill_on_drop(true);
    // A folder without a sedge.toml.
    command.current_dir(std::env::temp_dir()).stdin(Stdio::null());
    // What a node keeps stands beside its config, so that no two tests meet.
    let file = args.iter().skip_while(|arg| **arg != "-c").nth(1).map(PathBuf::from);
    if let Some(folder) = file.as_deref().and_then(|file| file.parent()) {
        command.env("RUNTIME_DIRECTORY", folder.join("run")).env("XDG_DATA_HOME", folder.join("home"));
        command.env_remove("STATE_DIRECTORY").env_remove("SEDGE_LOAD_PLUGINS");
    }
    command
}

/// Runs a command that ends by itself, with variables.
pub async fn run_with(args: &[&str], variables: &[(&str, &str)]) -> Output {
    within(command(args).envs(variables.iter().copied()).output()).await.unwrap()
}

/// Runs a command that ends by itself.
pub async fn run(args: &[&str]) -> Output {
    within(command(args).output()).await.unwrap()
}

/// Runs a command that builds or fetches something.
pub async fn run_long(limit: std::time::Duration, args: &[&str]) -> Output {
    let ended = tokio::time::timeout(limit, command(args).output()).await;
    ended.expect("it should have ended by now").unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn json(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A command that runs until it is told to stop.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
}

impl Running {
    /// Its lines are what it prints.
    pub fn start(args: &[&str]) -> Self {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        Self { child, lines: BufReader::new(Box::new(out) as Box<_>).lines() }
    }

    /// Its lines are its log.
    pub fn logged(args: &[&str]) -> Self {
        Self::logged_with(args, &[])
    }

    /// As [`logged`](Self::logged), with variables.
    pub fn logged_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = command(args)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        Self { child, lines: BufReader::new(Box::new(log) as Box<_>).lines() }
    }

    /// The next line of its output that has `part` in it.
    pub async fn line_with(&mut self, part: &str) -> String {
        within(async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it ended");
                if line.contains(part) {
                    return line;
                }
            }
        })
        .await
    }

    /// Reads no more, as `| head` does.
    pub async fn unread(self) -> i32 {
        let Self { mut child, lines } = self;
        drop(lines);
        within(child.wait()).await.unwrap().code().unwrap()
    }

    pub async fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &kill]).status().await.unwrap().success());
    }

    /// Waits for its end, also by a signal.
    pub async fn ended_somehow(mut self) {
        within(self.child.wait()).await.unwrap();
    }

    /// Its exit code.
    pub async fn ended(mut self) -> i32 {
        within(self.child.wait()).await.unwrap().code().unwrap()
    }
}
