//! What happens between fork and exec, and what ends a plugin's processes when the node is killed.
//!
//! Why here alone: between fork and exec only what is async-signal-safe may be done, which the compiler cannot check. So there
//! is nothing here but system calls: no allocation, no lock, no panic.
//!
//! It must not decide anything: what is done was prepared by others.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, rlim_t, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// `close_range` has this number on every architecture, and a name not in every C library.
const CLOSE_RANGE: libc::c_long = 436;
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;

/// Where descriptors end that are marked one by one, on kernels before 5.11.
const MOST_DESCRIPTORS: RawFd = 65_536;

/// What a process is, beyond what [`Command`] does.
pub(super) struct Prepared {
    /// What it finds at file descriptor 3.
    pub(super) line: Option<OwnedFd>,
    /// Its limits, soft and hard alike.
    pub(super) limits: Vec<(Resource, rlim_t)>,
    /// The `cgroup.procs` that it enters.
    pub(super) cgroup: Option<OwnedFd>,
    /// How far it stands back where there is no cgroup.
    pub(super) nice: i32,
}

/// Starts it. The calling thread must live as long as the node: the kernel ends the child with the thread that started it.
pub(super) fn spawn(mut command: Command, prepared: Prepared) -> io::Result<Child> {
    let node = Pid::this();
    // A free descriptor 3 would be taken by the pipe over which `Command` hears of a failed exec.
    let take = |line: &OwnedFd| fcntl(line, FcntlArg::F_DUPFD_CLOEXEC(super::FD)).map(own);
    let _taken = prepared.line.as_ref().map(take).transpose()?;
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != node {
            return Err(Errno::ECANCELED.into()); // The node ended before it was asked to tell.
        }
        prctl::set_no_new_privs()?;
        for (resource, limit) in &prepared.limits {
            setrlimit(*resource, *limit, *limit)?;
        }
        if prepared.nice != 0 {
            // SAFETY: a system call without pointers.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, prepared.nice) };
        }
        for signal in 1..32 {
            // SAFETY: sets the default, no handler. Of SIGKILL and SIGSTOP it fails, and that is right.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        if let Some(procs) = &prepared.cgroup {
            // Where this is not allowed, the node does it from outside.
            let _ = nix::unistd::write(procs, b"0");
        }
        let first = match &prepared.line {
            // SAFETY: both are numbers; 3 is nobody's here: `Command`'s own pipe lies above, see `_taken`.
            Some(line) if unsafe { libc::dup2(line.as_raw_fd(), super::FD) } < 0 => {
                return Err(io::Error::last_os_error());
            }
            Some(_) => super::FD + 1,
            None => super::FD,
        };
        close_on_exec(first);
        Ok(())
    };
    // SAFETY: the closure calls what is async-signal-safe alone: prctl, getppid, setrlimit, setpriority, signal, write, dup2,
    // close_range, fcntl. What it holds was allocated before the fork and is not freed in the child.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Nothing from `first` on outlives exec.
fn close_on_exec(first: RawFd) {
    // SAFETY: marks descriptors; nothing is closed before exec.
    if unsafe { libc::syscall(CLOSE_RANGE, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) } == 0 {
        return;
    }
    // SAFETY: a system call without pointers.
    let open = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    let end = RawFd::try_from(open).unwrap_or(MOST_DESCRIPTORS).clamp(0, MOST_DESCRIPTORS);
    for descriptor in first..end {
        // SAFETY: marks a descriptor, or fails where there is none.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// A descriptor that a system call has just made.
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the callers take it from a call that succeeded, and keep no other copy.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A copy of a descriptor above those that a child has a use for.
pub(super) fn above(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(10)).map(own)?)
}

/// The process group gets a SIGKILL as soon as something happens at this end of a pipe.
pub(super) fn kill_on_news(pipe: BorrowedFd<'_>, group: Pid) -> io::Result<()> {
    let set = |what: libc::c_int, to: libc::c_int| {
        // SAFETY: none of the three takes a pointer.
        Errno::result(unsafe { libc::fcntl(pipe.as_raw_fd(), what, to) }).map(drop)
    };
    set(libc::F_SETOWN, -group.as_raw())?;
    set(F_SETSIG, libc::SIGKILL)?;
    set(libc::F_SETFL, libc::O_ASYNC)?;
    Ok(())
}

/// Of `linux/fcntl.h`; not in every C library's binding.
const F_SETSIG: libc::c_int = 10;
