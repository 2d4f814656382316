//! How a process goes, and what is said of it.

use sedge_host::outside::End;
use sedge_protocol::{Call, ToNode, ToPlugin};

use super::{Folder, end_of, python, rest, run, shell, within};

#[tokio::test]
async fn one_that_exits_at_once_is_told_of_with_its_last_words() {
    let how = end_of(shell("echo 'no pump on line 7' >&2; exit 3")).await;
    assert_eq!(how, "it exited with status 3; its last words: no pump on line 7");
    assert_eq!(end_of(shell("exit 0")).await, "it ended by itself, with status 0");
}

#[tokio::test]
async fn a_traceback_ends_up_in_the_reason() {
    let Some(options) = python("def f():\n    raise ValueError('7 is no pump')\nf()") else { return };
    let how = end_of(options).await;
    assert!(how.starts_with("it exited with status 1; its last words: Traceback"), "{how}");
    assert!(how.ends_with("| ValueError: 7 is no pump"), "{how}");
}

#[tokio::test]
async fn a_signal_is_called_by_its_name() {
    let how = end_of(shell("kill -SEGV $$")).await;
    assert_eq!(how, "it was ended by signal 11 (SIGSEGV: it reached for memory that is not its own)");
}

#[tokio::test]
async fn garbage_ends_it_and_is_quoted() {
    let how = end_of(shell("hello; echo 'Hello, world' >&3; sleep 1000")).await;
    assert_eq!(
        how,
        "what it sent cannot be read, so it was ended: `Hello, world` is not a message: expected value at line 1 column 1"
    );
}

#[tokio::test]
async fn half_a_message_at_the_end_is_told_of() {
    let how = end_of(shell("printf '{\"type\":' >&3; exit 4")).await;
    assert_eq!(
        how,
        "it exited with status 4; the line ended within a message, 8 bytes after its beginning: `{\"type\":`"
    );
}

#[tokio::test]
async fn a_line_without_an_end_ends_it() {
    let how = end_of(shell("exec tr '\\000' a < /dev/zero >&3")).await;
    assert!(
        how.starts_with("what it sent cannot be read, so it was ended: a message of more than 1048576 bytes"),
        "{how}"
    );
}

#[tokio::test]
async fn one_that_closes_the_line_and_goes_on_is_ended() {
    let how = end_of(shell("hello; exec 3>&-; exec sleep 1000")).await;
    assert_eq!(how, "it closed the line to the node and went on running, so it was ended");
}

#[tokio::test]
async fn one_whose_heirs_hold_the_line_has_ended_all_the_same() {
    // It leaves the group, so it lives on; by itself not for long.
    let how = end_of(shell("hello; setsid sleep 3 & exit 6")).await;
    assert_eq!(how, "it exited with status 6");
}

#[tokio::test]
async fn one_that_ignores_the_stop_and_the_signal_is_ended_all_the_same() {
    let folder = Folder::new();
    let mut line = run(shell("trap '' TERM; hello; while :; do sleep 1000; done"), &folder).await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    line.to.send(ToPlugin::Call { id: 1, call: Call::Stop { grace_ms: 40 } }).await.expect("it is there");
    let how = "it did not stop in the time that it was given, so it was ended".to_owned();
    assert_eq!(rest(&mut line).await, (vec![], End::Broken(how)));
}

#[tokio::test]
async fn one_that_does_not_know_a_stop_is_asked_as_every_program_is() {
    let folder = Folder::new();
    let mut line =
        run(shell("trap 'echo safe > safe; exit 0' TERM; hello; while :; do sleep 0.01; done"), &folder)
            .await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    line.to
        .send(ToPlugin::Call { id: 1, call: Call::Stop { grace_ms: 20_000 / 100 } })
        .await
        .expect("it is there");
    assert_eq!(rest(&mut line).await.1, End::Stopped);
    assert!(folder.path("safe").exists(), "it made its hardware safe");
}

#[tokio::test]
async fn one_that_the_node_lets_go_of_ends_with_all_that_it_started() {
    let folder = Folder::new();
    let alive = alive(&folder);
    let mut line = run(shell("exec 5> alive; sleep 1000 & sh -c 'sleep 1000' & hello; wait"), &folder).await;
    assert!(matches!(within(line.from.recv()).await, Some(ToNode::Hello(_))));
    line.guard = Box::new(());
    let how = "it was ended, since the node has let go of it".to_owned();
    assert_eq!(rest(&mut line).await, (vec![], End::Broken(how)));
    within(alive).await.expect("all have ended");
}

#[tokio::test]
async fn what_it_started_ends_with_it() {
    let folder = Folder::new();
    let alive = alive(&folder);
    let mut line = run(shell("exec 5> alive; sleep 1000 & hello; exit 0"), &folder).await;
    rest(&mut line).await;
    within(alive).await.expect("all have ended");
}

#[tokio::test]
async fn one_that_takes_too_much_memory_is_stopped() {
    let Some(mut options) = python("held = []\nfor _ in range(400): held.append(bytearray(1 << 20))") else {
        return;
    };
    options.memory = Some(64 << 20);
    let how = end_of(options).await;
    let is_by_limit =
        how.starts_with("it exited with status 1; its last words: ") && how.ends_with("MemoryError");
    assert!(is_by_limit || how.starts_with("it was ended, since it wanted more memory than 64 MiB"), "{how}");
}

/// Done when all who hold the pipe `alive` of the folder have ended.
pub fn alive(folder: &Folder) -> tokio::task::JoinHandle<()> {
    let path = folder.path("alive");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a pipe");
    tokio::task::spawn_blocking(move || {
        let mut held = std::fs::File::open(path).expect("somebody holds it");
        std::io::copy(&mut held, &mut std::io::sink()).expect("until nobody does");
    })
}
