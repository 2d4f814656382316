//! Ends the whole process group of a plugin when the node is gone, however it went.
//!
//! Why: the kernel ends a child with its parent (`PR_SET_PDEATHSIG`), but not what the child has started itself. So the node
//! holds the only write end of a pipe that nobody writes to. Once the node is gone the kernel closes it, and sends the group a
//! SIGKILL, as it was asked to for news at the read end. That end must outlive the write end, so it waits in the queue of a socket
//! that the node holds as well: when the kernel clears up after the node, it comes to what is in a queue last.
//!
//! It must not be counted on for processes that have left the group: those a cgroup reaches, and nothing else.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::OFlag;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::{Pid, pipe2};

use super::spawn;

/// Held as long as the group may live. Dropped, it lets go of it.
pub(super) struct Leash {
    /// The read end lies in the queue of the first, and goes first.
    _queue: (UnixStream, UnixStream),
    _write: OwnedFd,
}

impl Leash {
    pub(super) fn new(group: Pid) -> io::Result<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
        spawn::kill_on_news(read.as_fd(), group)?;
        let queue = UnixStream::pair()?;
        let passed = [read.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&passed)];
        sendmsg::<()>(queue.1.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(Self { _queue: queue, _write: write })
    }
}
