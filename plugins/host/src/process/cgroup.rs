//! A cgroup for each plugin, where the node may make some: what bounds memory and CPU of a plugin and of all that it starts.
//!
//! systemd gives a service a part of the tree of its own with `Delegate=yes`. The node then sits in a group within it (by itself,
//! or by `DelegateSubgroup=node`), since only groups without processes of their own may bound those below them.
//!
//! What a killed node has left behind, also in sessions of its own, is ended by the next one in the same part of the tree.
//!
//! It must not touch a group that the node shares with others, nor make one where memory cannot be bounded.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nix::unistd::Pid;

/// The group within its part of the tree that the node itself sits in.
const NODE: &str = "node";

/// In how many microseconds a plugin may take its share of the CPU.
const PERIOD: u64 = 100_000;

static HOME: LazyLock<Result<Home, String>> = LazyLock::new(|| {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let (mount, root) = mount(&read("/proc/self/mountinfo")?).ok_or("there is no cgroup v2")?;
    let own = own(&read("/proc/self/cgroup")?, &root).ok_or("the node's own cgroup is not to be seen")?;
    Home::prepare(&mount.join(own), &mount, std::process::id())
});

/// Where the groups of plugins are made.
pub(super) struct Home {
    folder: PathBuf,
    pub(super) bounds_cpu: bool,
    /// Nobody else makes groups here.
    is_own: bool,
}

/// Where groups can be made, or why not.
pub(super) fn home() -> Result<&'static Home, &'static str> {
    HOME.as_ref().map_err(String::as_str)
}

/// Where cgroup v2 is mounted, and which of its groups stands there.
fn mount(mounts: &str) -> Option<(PathBuf, String)> {
    mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ").then_some(())?;
        let mut fields = fields.split(' ').skip(3);
        let root = fields.next()?;
        Some((PathBuf::from(fields.next()?), root.to_owned()))
    })
}

/// The node's own group, below where cgroup v2 is mounted.
fn own(groups: &str, root: &str) -> Option<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new(own).strip_prefix(root).ok()?;
    (!own.components().any(|part| part.as_os_str() == "..")).then(|| own.to_owned())
}

impl Home {
    fn prepare(own: &Path, mount: &Path, node: u32) -> Result<Self, String> {
        let said = |path: &Path| {
            let path = path.to_owned();
            move |error: io::Error| format!("{}: {error}", path.display())
        };
        let read = |path: PathBuf| fs::read_to_string(&path).map_err(said(&path));
        let is_placed = own != mount && own.file_name().is_some_and(|name| name == NODE);
        let folder = if is_placed { own.parent().unwrap_or(own) } else { own };
        let controllers = read(folder.join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(format!("{} cannot bound memory", folder.display()));
        }
        // The root may bound those below it and have processes of its own.
        if !is_placed && own != mount {
            let members = read(own.join("cgroup.procs"))?;
            if members.split_whitespace().any(|member| member != node.to_string()) {
                return Err(format!("{} is not the node's alone; `Delegate=yes` makes it so", own.display()));
            }
            let inner = own.join(NODE);
            match fs::create_dir(&inner) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(said(&inner)(error));
                }
                _ => {}
            }
            let members = inner.join("cgroup.procs");
            fs::write(&members, node.to_string()).map_err(said(&members))?;
        }
        let control = folder.join("cgroup.subtree_control");
        fs::write(&control, "+memory").map_err(said(&control))?;
        let bounds_cpu = fs::write(&control, "+cpu").is_ok();
        let home = Self { folder: folder.to_owned(), bounds_cpu, is_own: folder != mount };
        home.clear(Path::new("/proc"));
        Ok(home)
    }

    /// Ends what is left of nodes that are no more. At the root of the tree their numbers may be of another namespace.
    fn clear(&self, processes: &Path) {
        let groups = fs::read_dir(&self.folder).into_iter().flatten().flatten().filter(|_| self.is_own);
        for group in groups {
            let name = group.file_name();
            let node = name.to_str().and_then(|name| name.strip_prefix("sedge-")?.split('-').next());
            let is_number = |node: &&str| node.parse::<u32>().is_ok();
            if node.filter(is_number).is_some_and(|node| !processes.join(node).exists()) {
                Cgroup { folder: group.path(), run_out: 0 }.kill();
            }
        }
    }

    /// A group for a plugin, empty, with its limits. A share of 1.0 is one core.
    pub(super) fn group(&self, plugin: &str, memory: Option<u64>, cpu: Option<f64>) -> io::Result<Cgroup> {
        // What was still ending when this node began has ended by now.
        self.clear(Path::new("/proc"));
        // At the root of the tree there may be another node.
        let name = format!("sedge-{}-{plugin}", std::process::id());
        let mut group = Cgroup { folder: self.folder.join(name), run_out: 0 };
        match fs::create_dir(&group.folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => group.kill(),
            made => made?,
        }
        group.run_out = group.run_out();
        let set = |file: &str, value: &str| fs::write(group.folder.join(file), value);
        set("memory.max", &memory.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string()))?;
        // Not on every machine: what is bounded is bounded also without.
        let _ = set("memory.swap.max", if memory.is_some() { "0" } else { "max" });
        let _ = set("memory.oom.group", "1");
        if self.bounds_cpu {
            let share = cpu.map(|cpu| (cpu.clamp(0.01, 1024.0) * PERIOD as f64) as u64);
            set("cpu.max", &share.map_or_else(|| "max".to_owned(), |share| format!("{share} {PERIOD}")))?;
        }
        Ok(group)
    }
}

/// The group of one plugin. Dropped, it is taken away.
pub(super) struct Cgroup {
    folder: PathBuf,
    /// How often something in it was ended for its memory before this start.
    run_out: u64,
}

impl Cgroup {
    /// For a process to enter it by itself.
    pub(super) fn procs(&self) -> io::Result<OwnedFd> {
        fs::OpenOptions::new().write(true).open(self.folder.join("cgroup.procs")).map(Into::into)
    }

    /// Puts a process into it.
    pub(super) fn enter(&self, process: Pid) {
        if let Err(error) = fs::write(self.folder.join("cgroup.procs"), process.to_string()) {
            tracing::debug!(%error, cgroup = %self.folder.display(), "A process did not enter its cgroup.");
        }
    }

    /// Ends all that is in it.
    pub(super) fn kill(&self) {
        if fs::write(self.folder.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        // Before Linux 5.14. What forks faster than this is stopped by the group's memory alone.
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for member in members.split_whitespace().filter_map(|member| member.parse().ok()) {
            let _ = nix::sys::signal::kill(Pid::from_raw(member), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Whether something in it was ended for its memory.
    pub(super) fn has_run_out(&self) -> bool {
        self.run_out() > self.run_out
    }

    fn run_out(&self) -> u64 {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What still ends in it keeps it; the next start finds it and takes it on.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests;
