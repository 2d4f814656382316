//! Carries messages between the node and a process, and finds out how it ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use sedge_plugin::Id;
use sedge_protocol::{Call, CodecError, Decoder, Encoding, ToNode, ToPlugin, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::debug;

use super::child::{Child, Exit, Group};
use super::end::{Cause, Ended};
use super::logs::{self, Last};
use crate::outside::Line;

/// How many messages wait for the plugin, or for the node.
const TO_PLUGIN: usize = 16;
const TO_NODE: usize = 8;

/// Bytes read at once.
const CHUNK: usize = 8 * 1024;

/// How long a process may go on after it has closed the line. It may be about to end.
const AFTER_CLOSING: Duration = Duration::from_secs(1);

/// What both directions know of each other.
#[derive(Default)]
struct Shared {
    encoding: Mutex<Encoding>,
    is_stopping: AtomicBool,
    unwritable: Mutex<Option<CodecError>>,
}

impl Shared {
    fn encoding(&self) -> Encoding {
        *self.encoding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}

/// A process that runs, and what was agreed for it.
pub(super) struct Running {
    pub(super) id: Id,
    pub(super) child: Child,
    pub(super) stream: UnixStream,
    pub(super) printed: Receiver,
    pub(super) max_message: usize,
    pub(super) memory: Option<u64>,
}

impl Running {
    /// From here on it is carried by tasks of its own.
    pub(super) fn line(self) -> Line {
        let Self { id, child, stream, printed, max_message, memory } = self;
        let (to, told) = mpsc::channel(TO_PLUGIN);
        let (says, from) = mpsc::channel(TO_NODE);
        let (end, ended) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let (read, write) = stream.into_split();
        let (group, exit) = (child.group(), child.exit.clone());
        let writes = tokio::spawn(writer(told, write, Arc::clone(&shared), Arc::clone(&group), exit.clone()));
        let last = Last::default();
        let logs = tokio::spawn(logs::run(id.clone(), printed, last.clone(), exit.clone()));
        tokio::spawn(async move {
            let mut reader =
                Reader { read, decoder: Decoder::new(max_message), encoding: Encoding::Json, says: &says };
            let cause = reader.run(&shared, exit.clone()).await;
            let skipped = reader.decoder.skipped();
            if skipped > 0 {
                debug!(plugin = %id, skipped, "Messages of a later version were skipped.");
            }
            let (cause, exit) = wait(cause, &shared, &group, exit).await;
            let (_, _) = (writes.await, logs.await);
            let is_stopping = shared.is_stopping();
            let ended = Ended { cause, exit, is_stopping, memory, words: last.words() };
            let _ = end.send(ended.told());
            drop(says);
        });
        Line { to, from, end: ended, guard: Box::new(child) }
    }
}

struct Reader<'a> {
    read: OwnedReadHalf,
    decoder: Decoder<ToNode>,
    encoding: Encoding,
    says: &'a mpsc::Sender<ToNode>,
}

impl Reader<'_> {
    async fn run(&mut self, shared: &Shared, mut exit: watch::Receiver<Option<Exit>>) -> Cause {
        let mut chunk = vec![0; CHUNK];
        let is_gone = |exit: &Option<Exit>| exit.is_some();
        loop {
            let read = tokio::select! {
                biased;
                read = self.read.read(&mut chunk) => read,
                _ = exit.wait_for(is_gone) => self.left(&mut chunk),
                () = self.says.closed() => return Cause::Left,
            };
            let read = match read {
                Ok(0) => return self.decoder.finish().map_or_else(Cause::Unreadable, |()| Cause::Closed),
                Ok(read) => read,
                // It ended without having read all that it was told.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Cause::Closed,
                Err(error) => return Cause::Failed(error),
            };
            // Set before the welcome is written, so before what it changes can come.
            let encoding = shared.encoding();
            if encoding != self.encoding {
                self.encoding = encoding;
                self.decoder.switch(encoding);
            }
            self.decoder.push(&chunk[..read]);
            loop {
                match self.decoder.next() {
                    Ok(None) => break,
                    Ok(Some(message)) => {
                        if self.says.send(message).await.is_err() {
                            return Cause::Left;
                        }
                    }
                    Err(error) => return Cause::Unreadable(error),
                }
            }
        }
    }
}

impl Reader<'_> {
    /// What it has said before it ended. Somebody that it has left behind may hold its end, so this does not wait; and it asks the
    /// kernel, since the runtime may not have heard yet that there is something.
    fn left(&self, chunk: &mut [u8]) -> std::io::Result<usize> {
        let stream: &UnixStream = self.read.as_ref();
        match nix::unistd::read(stream, chunk) {
            Err(Errno::EAGAIN) => Ok(0),
            read => Ok(read?),
        }
    }
}

/// Sees to it that it ends, and waits until it has.
async fn wait(
    cause: Cause,
    shared: &Shared,
    group: &Group,
    mut exit: watch::Receiver<Option<Exit>>,
) -> (Cause, Exit) {
    let mut cause = cause;
    match &cause {
        // While it is stopping, it is ended by whoever asked it to.
        Cause::Closed if shared.is_stopping() => {}
        Cause::Closed | Cause::Unreadable(CodecError::Half { .. }) => {
            if timeout(AFTER_CLOSING, exit.wait_for(Option::is_some)).await.is_err() {
                cause = Cause::Deserted;
                group.kill();
            }
        }
        _ => group.kill(),
    }
    let exit = match exit.wait_for(Option::is_some).await {
        Ok(exit) => *exit,
        Err(_) => None,
    };
    let unwritable = shared.unwritable.lock().unwrap_or_else(PoisonError::into_inner).take();
    let cause = match (unwritable, cause) {
        (Some(error), _) => Cause::Unwritable(error),
        (None, Cause::Closed) if group.is_let_go() => Cause::Left,
        (None, cause) => cause,
    };
    (cause, exit.unwrap_or_default())
}

/// Tells the plugin what the node says, until one of them is gone. Stands still while the plugin does not read.
async fn writer(
    mut told: mpsc::Receiver<ToPlugin>,
    mut write: OwnedWriteHalf,
    shared: Arc<Shared>,
    group: Arc<Group>,
    mut exit: watch::Receiver<Option<Exit>>,
) {
    let mut encoding = Encoding::Json;
    loop {
        let message = tokio::select! {
            message = told.recv() => message,
            _ = exit.wait_for(Option::is_some) => return,
        };
        let Some(message) = message else { break };
        let bytes = match encode(&message, encoding) {
            Ok(bytes) => bytes,
            Err(error) => {
                *shared.unwritable.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return group.kill();
            }
        };
        match message {
            ToPlugin::Welcome { encoding: agreed, .. } => {
                encoding = agreed;
                *shared.encoding.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
            }
            ToPlugin::Call { call: Call::Stop { grace_ms }, .. } => {
                shared.is_stopping.store(true, Ordering::Release);
                tokio::spawn(terminate(Duration::from_millis(grace_ms), Arc::clone(&group), exit.clone()));
            }
            _ => {}
        }
        let written = tokio::select! {
            written = write.write_all(&bytes) => written,
            _ = exit.wait_for(Option::is_some) => return,
        };
        if written.is_err() {
            return; // The reader hears of it too, and knows more.
        }
    }
    // Nobody tells it anything any more: a plugin ends when its line does.
    let _ = write.shutdown().await;
}

/// One that does not understand a stop, or does not come to it, is asked as every program is: with a quarter of its time left.
async fn terminate(grace: Duration, group: Arc<Group>, mut exit: watch::Receiver<Option<Exit>>) {
    if timeout(grace * 3 / 4, exit.wait_for(Option::is_some)).await.is_ok() {
        return;
    }
    group.terminate();
    if timeout(grace / 4, exit.wait_for(Option::is_some)).await.is_err() {
        group.kill();
    }
}
