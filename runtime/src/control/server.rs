//! The node's side.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sedge_actors::NodeHandle;
use sedge_plugin::{Id, Progress, ToolCall};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

use super::{Ask, Line, MOST_BYTES, view};
use crate::outbox::Outbox;
use crate::outside::SharedIsolation;
use crate::place;

/// Who may ask at once.
const MOST_CALLERS: usize = 16;
/// How long a caller may take to put the question, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A wish that the config be read again, and where to say what came of it.
pub type Reload = oneshot::Sender<Result<Json, String>>;

/// What is asked about.
#[derive(Clone)]
pub struct Shown {
    /// The node.
    pub node: NodeHandle,
    /// Its journal, where it keeps one.
    pub outbox: Option<Outbox>,
    /// How far each plugin from outside is kept from the rest of the machine.
    pub isolation: SharedIsolation,
    /// To whoever reads the config again.
    pub reload: mpsc::Sender<Reload>,
}

/// The socket; removed when it is dropped.
pub struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers questions about a node until what is returned is dropped. A node without a socket runs all the same.
pub fn serve(shown: Shown) -> Option<Server> {
    let id = shown.node.directory().node.id.clone();
    match listen(&id) {
        Ok((path, listener)) => {
            debug!(socket = %path.display(), "Answers the command line.");
            let task = tokio::spawn(accept(listener, shown));
            Some(Server { path, task })
        }
        Err(error) => {
            warn!(%error, "No socket for the command line: `sedge hooks`, `metrics` and `--local` will not reach this node.");
            None
        }
    }
}

fn listen(node: &Id) -> io::Result<(PathBuf, UnixListener)> {
    let path = place::own_socket_folder()?.join(format!("{node}.sock"));
    if path.exists() {
        if std::os::unix::net::UnixStream::connect(&path).is_ok() {
            return Err(io::Error::other(format!("another node called `{node}` runs on this machine")));
        }
        std::fs::remove_file(&path)?; // Of a node that was ended by force.
    }
    let listener = UnixListener::bind(&path)?;
    allow_owner_and_group(&path)?;
    Ok((path, listener))
}

fn allow_owner_and_group(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

async fn accept(listener: UnixListener, shown: Shown) {
    let callers = Arc::new(Semaphore::new(MOST_CALLERS));
    loop {
        let Ok(place) = callers.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "Cannot take a question.");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let shown = shown.clone();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = attend(stream, shown).await {
                debug!(%error, "A caller went away.");
            }
        });
    }
}

async fn attend(stream: UnixStream, shown: Shown) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(MOST_BYTES));
    let mut question = String::new();
    tokio::time::timeout(PATIENCE, lines.read_line(&mut question)).await.map_err(io::Error::other)??;
    let line = match serde_json::from_str(&question) {
        Ok(Ask::Call { tool, args, timeout_ms }) => {
            let call = ToolCall {
                from: "cli".into(),
                timeout: timeout_ms.map(Duration::from_millis),
                ..ToolCall::new(tool, if args.is_null() { json!({}) } else { args })
            };
            let gone = gone(lines);
            tokio::select! {
                // Dropping the call cancels it.
                () = gone => return Ok(()),
                line = call_tool(&shown.node, call, &mut write) => line?,
            }
        }
        Ok(ask) => answer(ask, &shown).await,
        Err(error) => Line::Failed(format!("not a question: {error}")),
    };
    send(&mut write, &line).await
}

/// Until the caller hangs up.
async fn gone(mut lines: BufReader<tokio::io::Take<OwnedReadHalf>>) {
    let mut rest = [0];
    while matches!(lines.read(&mut rest).await, Ok(n) if n > 0) {}
}

async fn answer(ask: Ask, Shown { node, outbox, isolation, reload }: &Shown) -> Line {
    match ask {
        Ask::Outbox => match outbox.clone() {
            // It reads the disk.
            Some(outbox) => match tokio::task::spawn_blocking(move || outbox.status()).await {
                Ok(status) => Line::Done(status),
                Err(error) => Line::Failed(format!("the journal was not looked at: {error}")),
            },
            None => Line::Failed("this node keeps no readings".into()),
        },
        Ask::Node => Line::Done(view::node(node)),
        Ask::Sensors => Line::Done(view::units(node)),
        Ask::Hooks => Line::Done(view::hooks(node)),
        Ask::Plugins => Line::Done(view::plugins(node, isolation)),
        Ask::Metrics => Line::Done(view::metrics(node)),
        Ask::Latest { sensor } => Line::Done(view::latest(node, sensor.as_ref())),
        Ask::Tools => Line::Done(view::tools(node)),
        Ask::Commands => {
            Line::Done(node.commands().await.into_iter().map(|command| json!(command)).collect())
        }
        Ask::Call { .. } => Line::Failed("a call is answered elsewhere".into()),
        Ask::Reload => {
            let (told, result) = oneshot::channel();
            if reload.send(told).await.is_err() {
                return Line::Failed("this node does not read its config again".into());
            }
            match result.await {
                Ok(Ok(changed)) => Line::Done(changed),
                Ok(Err(why)) => Line::Refused(why),
                Err(_) => Line::Failed("the node stops".into()),
            }
        }
    }
}

/// Calls a tool, and says how far it is meanwhile.
async fn call_tool(node: &NodeHandle, mut call: ToolCall, write: &mut OwnedWriteHalf) -> io::Result<Line> {
    let (told, mut heard) = mpsc::channel(8);
    // Where the caller is too slow to hear it, it is not told.
    call.progress = Progress::to(move |update| drop(told.try_send(update)));
    let mut outcome = std::pin::pin!(node.call(call));
    let outcome = loop {
        tokio::select! {
            outcome = &mut outcome => break outcome,
            Some(update) = heard.recv() => {
                send(write, &Line::Progress { fraction: update.fraction, text: update.text }).await?;
            }
        }
    };
    Ok(match outcome.result {
        Ok(result) => {
            let ms = u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX);
            Line::Done(json!({ "result": result, "ms": ms, "by": outcome.by }))
        }
        Err(error) => Line::ToolFailed(error),
    })
}

async fn send(write: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    tokio::time::timeout(PATIENCE, write.write_all(&text)).await.map_err(io::Error::other)?
}
