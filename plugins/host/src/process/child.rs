//! A process that was started, and all that it starts: ended together, and never left as a zombie.
//!
//! A thread waits for it, and before the process is taken off the kernel's table it ends what is left of its group: only then is
//! it certain that the numbers are still those of this plugin.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child as Process, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::cgroup::Cgroup;
use super::leash::Leash;

/// How a process ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exit {
    pub(super) status: ExitStatus,
    /// It was ended for its memory.
    pub(super) for_memory: bool,
}

/// A running process. Dropped, it is killed.
pub(super) struct Child {
    group: Arc<Group>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
}

/// Its process group.
pub(super) struct Group {
    id: Pid,
    /// `None` once it has ended and its number may be another's.
    alive: Mutex<Option<Alive>>,
    is_let_go: AtomicBool,
}

struct Alive {
    _leash: Option<Leash>,
    cgroup: Option<Cgroup>,
}

impl Child {
    /// Takes over a process that leads a group of its own.
    pub(super) fn new(mut process: Process, cgroup: Option<Cgroup>) -> io::Result<Self> {
        let id = Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX));
        if let Some(cgroup) = &cgroup {
            cgroup.enter(id);
        }
        let leash = Leash::new(id);
        if let Err(error) = &leash {
            tracing::debug!(%error, "What a plugin starts is not ended with a node that is killed.");
        }
        let alive = Mutex::new(Some(Alive { _leash: leash.ok(), cgroup }));
        let group = Arc::new(Group { id, alive, is_let_go: AtomicBool::new(false) });
        let (tell, exit) = watch::channel(None);
        // Whoever waits is started before the process is let go of, so that there is no way on which nobody waits.
        let (hand, handed) = std::sync::mpsc::sync_channel::<Process>(1);
        let waiter = {
            let group = Arc::clone(&group);
            move || {
                if let Ok(process) = handed.recv() {
                    tell.send_replace(Some(group.wait(process)));
                }
            }
        };
        let builder = std::thread::Builder::new().name("sedge-wait".into()).stack_size(64 * 1024);
        if let Err(error) = builder.spawn(waiter) {
            group.kill();
            let _ = process.wait();
            return Err(error);
        }
        let _ = hand.send(process);
        Ok(Self { group, exit })
    }

    pub(super) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.group.is_let_go.store(true, Ordering::Release);
        self.group.kill();
    }
}

impl Group {
    /// Ends it at once, and all that it has started.
    pub(super) fn kill(&self) {
        if let Some(alive) = &*self.lock() {
            self.end(alive);
        }
    }

    /// Whether it was ended because nobody wants it any more.
    pub(super) fn is_let_go(&self) -> bool {
        self.is_let_go.load(Ordering::Acquire)
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        if self.lock().is_some() {
            let _ = killpg(self.id, Signal::SIGTERM);
        }
    }

    fn end(&self, alive: &Alive) {
        // That there is nobody left to end is no failure.
        let _ = killpg(self.id, Signal::SIGKILL);
        if let Some(cgroup) = &alive.cgroup {
            cgroup.kill();
        }
    }

    fn wait(&self, mut process: Process) -> Exit {
        while let Err(Errno::EINTR) = waitid(Id::Pid(self.id), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {}
        let mut lock = self.lock();
        let mut for_memory = false;
        if let Some(alive) = lock.take() {
            for_memory = alive.cgroup.as_ref().is_some_and(Cgroup::has_run_out);
            self.end(&alive);
        }
        let status = process.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
        Exit { status, for_memory }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Alive>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
