//! The command line's side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sedge_plugin::{Id, Progress};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Ask, Line};
use crate::exit::Failure;
use crate::place;

/// How long an answer may take; a reload waits for plugins that stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is said where a node may run, and this user may not even see whether.
pub(crate) const BARRED: &str = "a node may run here, but this user may not ask it";
/// What is to be done then.
pub(crate) const REMEDY: &str = "use sudo, or `sudo usermod -aG sedge $USER` and log in again";

/// The node on this machine.
pub struct Local {
    socket: PathBuf,
}

/// The node of that id on this machine; where none is named, the only one that runs.
pub fn find(node: Option<&Id>) -> Result<Local, Failure> {
    let folders = place::socket_folders();
    if let Some(node) = node {
        let sockets = folders.iter().map(|folder| folder.join(format!("{node}.sock")));
        let there: Vec<PathBuf> = sockets.filter(|socket| socket.exists()).collect();
        // One that nobody answers at, of a node that was ended by force, hides none that does.
        let best = there.iter().find(|socket| is_alive(socket)).or(there.first()).cloned();
        return best.map(|socket| Local { socket }).ok_or_else(|| {
            none(format!("no node `{node}` runs on this machine; start it with `sedge run`"))
        });
    }
    let mut sockets: Vec<PathBuf> = folders.iter().flat_map(sockets_in).collect();
    match (sockets.pop(), sockets.is_empty()) {
        (Some(socket), true) => Ok(Local { socket }),
        (Some(last), false) => {
            let name = |socket: &PathBuf| {
                socket.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            };
            let names: Vec<String> = sockets.iter().chain([&last]).map(name).collect();
            Err(Failure::Usage(format!(
                "several nodes run on this machine: {}; name one with --node",
                names.join(", ")
            )))
        }
        (None, _) => Err(none("no node runs on this machine; start one with `sedge run`".into())),
    }
}

/// That there is none, or none that this user may see.
fn none(why: String) -> Failure {
    Failure::Unreachable(if place::is_barred() { format!("{BARRED}: {REMEDY}") } else { why })
}

/// The sockets at which somebody answers.
fn sockets_in(folder: &PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let sockets =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "sock"));
    sockets.filter(|socket| is_alive(socket)).collect()
}

/// Whether somebody listens there, also somebody who lets this user ask nothing.
fn is_alive(socket: &Path) -> bool {
    match std::os::unix::net::UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

impl Local {
    /// Whether somebody listens.
    pub fn answers(&self) -> bool {
        is_alive(&self.socket)
    }

    /// The node's id, which its socket is called by.
    pub fn node(&self) -> Id {
        let name =
            self.socket.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Id::sanitized(&name, "node")
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, ask: &Ask) -> Result<Json, Failure> {
        let answer = tokio::time::timeout(PATIENCE, self.ask_with(ask, &Progress::default())).await;
        let late = |_| Failure::Unreachable(format!("the node did not answer within {PATIENCE:?}"));
        match answer.map_err(late)?? {
            Line::Done(answer) => Ok(answer),
            Line::Refused(why) => Err(Failure::Config(why)),
            Line::ToolFailed(error) => Err(Failure::Failed(error.message)),
            Line::Failed(why) => Err(Failure::Failed(why)),
            Line::Progress { .. } => Err(Failure::Failed("the node ended the answer halfway".into())),
        }
    }

    /// As [`ask`](Self::ask), and hears how far a tool is. What is returned is the last line.
    pub async fn ask_with(&self, ask: &Ask, progress: &Progress) -> Result<Line, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            let shown = self.socket.display();
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => Failure::Failed(format!(
                    "{shown}: this user may not ask the node; try `sudo`, or join the group that runs it"
                )),
                _ => Failure::Unreachable(format!("{shown}: nobody answers ({error}); does the node run?")),
            }
        })?;
        let broke = |error: std::io::Error| Failure::Failed(format!("the node did not answer: {error}"));
        let (read, mut write) = stream.into_split();
        let mut question = serde_json::to_vec(ask).map_err(|error| Failure::Failed(error.to_string()))?;
        question.push(b'\n');
        write.write_all(&question).await.map_err(broke)?;
        let mut lines = BufReader::new(read).lines();
        while let Some(line) = lines.next_line().await.map_err(broke)? {
            match serde_json::from_str(&line) {
                Ok(Line::Progress { fraction: Some(fraction), text }) => progress.report(fraction, text),
                Ok(Line::Progress { fraction: None, text }) => progress.say(text),
                Ok(line) => return Ok(line),
                Err(error) => {
                    return Err(Failure::Failed(format!("the node's answer cannot be read: {error}")));
                }
            }
        }
        Err(Failure::Failed("the node hung up before it answered".into()))
    }
}
