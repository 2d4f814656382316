//! What is sent to `NOTIFY_SOCKET`: a datagram of lines, as sd_notify(3) describes it.
//!
//! Written out here instead of taken from a crate: those send with a socket that blocks, so that a systemd that is stopped would
//! stop the node, and look into the environment of the whole process, where no test can put a socket of its own.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tracing::{debug, warn};

/// Where to send.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: UnixDatagram,
    to: SocketAddr,
}

/// What is said.
#[derive(Debug, Clone, Copy)]
pub(super) enum Say<'a> {
    Ready,
    /// With the time, which systemd needs to tell this reload from the one before.
    Reloading,
    Stopping,
    Watchdog,
    /// From now on.
    ExtendTimeout(Duration),
    /// One line, made by [`shown`](super::status::shown) where it has words of others.
    Status(&'a str),
}

impl Notifier {
    /// To a path, or to an abstract name as `@name`. A machine's manager may have another kind, which only it can speak.
    pub(super) fn to(name: &OsStr) -> Option<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => Err(std::io::ErrorKind::Unsupported.into()),
        };
        let made = address.and_then(|to| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket, to })
        });
        made.inspect_err(|error| warn!(socket = ?name, %error, "NOTIFY_SOCKET cannot be used: systemd will hear nothing of this node.")).ok()
    }

    /// Says all of it at once. What systemd does not take now is lost: it comes again, or did not matter.
    pub(super) fn tell(&self, states: &[Say<'_>]) {
        let mut text = String::new();
        for state in states {
            let _ = match state {
                Say::Ready => writeln!(text, "READY=1"),
                Say::Reloading => writeln!(text, "RELOADING=1\nMONOTONIC_USEC={}", monotonic_usec()),
                Say::Stopping => writeln!(text, "STOPPING=1"),
                Say::Watchdog => writeln!(text, "WATCHDOG=1"),
                Say::ExtendTimeout(by) => writeln!(text, "EXTEND_TIMEOUT_USEC={}", by.as_micros()),
                Say::Status(line) => writeln!(text, "STATUS={line}"),
            };
        }
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.to) {
            debug!(%error, "systemd did not take a message.");
        }
    }
}

fn monotonic_usec() -> u128 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default().as_micros()
}
