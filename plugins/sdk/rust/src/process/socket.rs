//! The line to the node, as the environment names it. The one file of this crate that trusts a number.

use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use sedge_protocol::{FD, FD_VARIABLE};

type Line = (Box<dyn Read + Send>, Box<dyn Write + Send>);

/// The line, once; none where no node has started this process.
pub(super) fn line() -> io::Result<Option<Line>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let Some(at) = std::env::var_os(FD_VARIABLE) else { return Ok(None) };
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("this process speaks to its node already"));
    }
    if at == "stdio" {
        return Ok(Some((Box::new(io::stdin()), Box::new(io::stdout()))));
    }
    if at.to_str() != Some(&FD.to_string()) {
        return Err(io::Error::other(format!("`{}` is neither `{FD}` nor `stdio`", at.display())));
    }
    #[expect(unsafe_code, reason = "the one way from a number to a descriptor")]
    // SAFETY: whoever sets the variable has opened this descriptor for this process alone, and nothing of it is taken twice.
    let socket = unsafe { UnixStream::from_raw_fd(FD) };
    // Says whether it is a socket at all.
    socket.peer_addr()?;
    let writer = socket.try_clone()?;
    Ok(Some((Box::new(socket), Box::new(writer))))
}
