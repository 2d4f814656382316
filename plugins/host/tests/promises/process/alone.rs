//! What can be seen only in a node that nobody shares: this binary runs itself, with one test of those that are ignored.

use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use sedge_host::outside::Carrier as _;
use sedge_host::process::ProcessCarrier;

use super::ends::alive;
use super::{Folder, PATIENCE, rest, run, shell, start_in, within};

const FOLDER: &str = "SEDGE_TEST_FOLDER";

fn node(test: &str, folder: &Folder) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--ignored", "--exact", "--nocapture", &format!("process::alone::{test}")]);
    command.env(FOLDER, &folder.0).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("it starts")
}

fn folder_of_the_node() -> Option<Folder> {
    std::env::var_os(FOLDER).map(|path| Folder(path.into()))
}

#[tokio::test]
async fn a_plugin_and_what_it_started_end_with_a_node_that_is_killed() {
    let folder = Folder::new();
    let mut alive = alive(&folder);
    nix::unistd::mkfifo(&folder.path("ready"), nix::sys::stat::Mode::from_bits_truncate(0o600))
        .expect("a pipe");
    let mut node = node("a_node_that_is_killed", &folder);
    let ready = folder.path("ready");
    let ready = tokio::task::spawn_blocking(move || std::fs::read_to_string(ready).expect("a pipe"));
    assert_eq!(within(ready).await.expect("read"), "ready\n");
    assert!(alive.try_recv().is_err(), "they run");
    node.kill().expect("it was there");
    node.wait().expect("it has ended");
    within(alive).await.expect("all have ended");
}

#[tokio::test]
#[ignore = "run by a_plugin_and_what_it_started_end_with_a_node_that_is_killed"]
async fn a_node_that_is_killed() {
    let Some(folder) = folder_of_the_node() else { return };
    // Of the two that it starts, one ignores what can be ignored.
    let script = "exec 5> alive; sleep 1000 & sh -c 'trap \"\" HUP TERM; sleep 1000; sleep 1000' & echo ready > ready; wait";
    let mut line = run(shell(script), &folder).await;
    rest(&mut line).await;
}

#[test]
fn many_starts_leave_no_zombie_and_no_open_file() {
    let folder = Folder::new();
    let mut node = node("a_node_that_starts_many", &folder);
    assert!(node.wait().expect("it has ended").success());
}

#[tokio::test]
#[ignore = "run by many_starts_leave_no_zombie_and_no_open_file"]
async fn a_node_that_starts_many() {
    let Some(folder) = folder_of_the_node() else { return };
    let mut open = Vec::new();
    for round in 0..6 {
        // One ends by itself, one is let go of, one does not start, one is given up while it starts.
        let mut line = run(shell("exit 0"), &folder).await;
        rest(&mut line).await;
        let mut line = run(shell("hello; exec sleep 1000"), &folder).await;
        let _ = within(line.from.recv()).await;
        line.guard = Box::new(());
        rest(&mut line).await;
        assert!(super::try_run(shell_of("./gone"), &folder).await.is_err());
        let carrier = ProcessCarrier::new(shell("exec sleep 1000"));
        tokio::select! {
            biased;
            started = carrier.start(start_in(&folder.0)) => drop(started),
            () = std::future::ready(()) => {},
        }
        // Programs are started one after the other: once this one is, the other was.
        let mut line = run(shell("exit 0"), &folder).await;
        rest(&mut line).await;
        drop(line);
        has_no_children();
        tokio::task::yield_now().await;
        if round > 0 {
            open.push(std::fs::read_dir("/proc/self/fd").expect("a list").count());
        }
    }
    // The kernel may still be closing some; what leaks would be more each time.
    assert!(open[3..].iter().min() <= open[..2].iter().min(), "{open:?}");
}

fn shell_of(program: &str) -> sedge_host::process::ProcessOptions {
    sedge_host::process::ProcessOptions { command: vec![program.into()], ..Default::default() }
}

/// Waits until the last child has been taken off the kernel's table, by whoever started it.
fn has_no_children() {
    let begin = std::time::Instant::now();
    while waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) != Err(Errno::ECHILD) {
        assert!(begin.elapsed() < PATIENCE, "a zombie is left");
        std::thread::yield_now();
    }
}
