//! With what a process starts, and why it does not.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use sedge_host::outside::{Carrier as _, End};
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_plugin::PluginError;

use super::{Folder, has_python, program, rest, run, shell, start_in, try_run, within};

/// What it writes into `out`, a line each.
async fn out_of(options: ProcessOptions, folder: &Folder) -> Vec<String> {
    let mut line = run(options, folder).await;
    let end = rest(&mut line).await.1;
    let out = std::fs::read_to_string(folder.path("out")).unwrap_or_else(|error| panic!("{error}: {end:?}"));
    out.lines().map(ToOwned::to_owned).collect()
}

async fn refusal(command: &[&str], folder: &Folder) -> PluginError {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    let options = ProcessOptions { command, ..ProcessOptions::default() };
    try_run(options, folder).await.err().expect("it does not start")
}

#[tokio::test]
async fn nothing_of_the_nodes_environment_is_passed_on() {
    let folder = Folder::new();
    let options = ProcessOptions {
        command: ["sh", "-c", "exec env > out"].map(str::to_owned).to_vec(),
        environment: BTreeMap::from([("TZ".into(), "UTC".into()), ("LANG".into(), "C".into())]),
        ..ProcessOptions::default()
    };
    let mut out = out_of(options, &folder).await;
    out.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_=")); // The shell's own.
    out.sort();
    let home = format!("HOME={}", folder.0.display());
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let python = ["PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"];
    assert_eq!(out, [&home, "LANG=C", path, python[0], python[1], "SEDGE_PLUGIN_FD=3", "TZ=UTC"]);
}

#[tokio::test]
async fn its_home_is_its_own_directory_where_it_has_one() {
    let folder = Folder::new();
    let mut start = start_in(&folder.0);
    start.data_dir = Some(folder.path("data"));
    start.environment = BTreeMap::from([("MORE".into(), "yes".into())]);
    let carrier = ProcessCarrier::new(shell("echo $HOME $MORE > out"));
    let mut line = within(carrier.start(start)).await.expect("it starts");
    rest(&mut line).await;
    let out = std::fs::read_to_string(folder.path("out")).expect("what it wrote");
    assert_eq!(out, format!("{} yes\n", folder.path("data").display()));
}

#[tokio::test]
async fn it_has_four_files_open_and_none_of_the_nodes() {
    let folder = Folder::new();
    let own = std::fs::File::open("/dev/null").expect("a file");
    let inherited = nix::unistd::dup(&own).expect("a copy that is not closed on exec");
    let flags = nix::fcntl::fcntl(&inherited, nix::fcntl::FcntlArg::F_GETFD).expect("flags");
    assert_eq!(flags, 0, "{}", inherited.as_raw_fd());
    // As it is started, without a shell that opens more; the last is that of the listing.
    let command = ["ls", "-l", "/proc/self/fd"].map(str::to_owned).to_vec();
    let options = ProcessOptions { command, ..ProcessOptions::default() };
    let mut line = run(options, &folder).await;
    let End::Broken(how) = rest(&mut line).await.1 else { panic!("it was not asked to stop") };
    let open: Vec<_> = how.split(" | ").filter_map(|line| line.split_once(" -> ")).collect();
    let numbers = open.iter().filter_map(|(number, _)| number.split(' ').next_back());
    assert_eq!(numbers.collect::<Vec<_>>(), ["0", "1", "2", "3", "4"], "{how}");
    let what: Vec<_> = open.iter().map(|(_, what)| what.split(':').next()).collect();
    assert_eq!(what[..4], [Some("/dev/null"), Some("pipe"), Some("pipe"), Some("socket")]);
}

#[tokio::test]
async fn it_gets_no_more_rights_and_is_bounded() {
    let folder = Folder::new();
    let script = "(grep NoNewPrivs /proc/self/status; ulimit -n; ulimit -Hn; ulimit -c; cut -d' ' -f5 /proc/$$/stat; echo $$) > out";
    let out = out_of(shell(script), &folder).await;
    assert_eq!(out[..4], ["NoNewPrivs:\t1", "256", "256", "0"]);
    assert_eq!(out[4], out[5], "it leads a group of its own");
}

#[tokio::test]
async fn a_program_with_a_slash_lies_in_its_folder() {
    let folder = Folder::new();
    program(&folder, "bin/run", "#!/bin/sh\npwd > out; echo $1 >> out", 0o755);
    let options =
        ProcessOptions { command: vec!["bin/run".into(), "a b".into()], ..ProcessOptions::default() };
    assert_eq!(out_of(options, &folder).await, [&*folder.0.to_string_lossy(), "a b"]);
}

#[tokio::test]
async fn python_is_that_of_the_plugins_own_environment_where_it_has_one() {
    let folder = Folder::new();
    program(&folder, "venv/bin/python", "#!/bin/sh\necho own $1 > out", 0o755);
    let command: Vec<String> = vec!["{python}".into(), "main.py".into()];
    let mut options = ProcessOptions { command, ..ProcessOptions::default() };
    assert_eq!(out_of(options.clone(), &folder).await, ["own main.py"]);
    options.python = Some(program(&folder, "other", "#!/bin/sh\necho other > out", 0o755));
    assert_eq!(out_of(options, &folder).await, ["other"]);
    if has_python() {
        let folder = Folder::new();
        let command = ["{python}", "-c", "open('out', 'w').write('usual')"].map(str::to_owned).to_vec();
        let environment = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())]);
        let options = ProcessOptions { command, environment, ..ProcessOptions::default() };
        assert_eq!(out_of(options, &folder).await, ["usual"]);
    }
}

#[tokio::test]
async fn what_is_not_there_or_cannot_be_run_is_said_with_what_to_do() {
    let folder = Folder::new();
    let here = folder.0.display();
    program(&folder, "lost", "#!/no/such/interpreter\n", 0o755);
    program(&folder, "shut", "#!/bin/sh\n", 0o644);
    let unmet = |why: String| PluginError::unmet(why);
    assert_eq!(refusal(&["./gone"], &folder).await, unmet(format!("its program {here}/./gone is not there")));
    let shut = format!("its program {here}/./shut may not be run; `chmod +x {here}/./shut`");
    assert_eq!(refusal(&["./shut"], &folder).await, unmet(shut));
    let nowhere = refusal(&["sedge-no-such-program"], &folder).await;
    assert!(
        nowhere.to_string().starts_with("its program `sedge-no-such-program` is not on the PATH ("),
        "{nowhere}"
    );
    let lost = refusal(&["./lost"], &folder).await;
    assert!(
        lost.to_string().ends_with("what its first line names after `#!`, or its loader, is not there"),
        "{lost}"
    );
    assert!(matches!(refusal(&[], &folder).await, PluginError::Settings(_)));
}

#[tokio::test]
async fn as_root_it_runs_as_whom_it_is_said_to() {
    let folder = Folder::new();
    let mut options = shell("(id -u; id -G) > data/out");
    options.user = Some("sedge-no-such-user".into());
    let error = try_run(options.clone(), &folder).await.err().expect("it does not start");
    assert_eq!(error, PluginError::Settings("there is no user `sedge-no-such-user`".into()));
    options.user = Some("65534".into());
    if !nix::unistd::Uid::effective().is_root() {
        let error = try_run(options, &folder).await.err().expect("it does not start");
        assert!(matches!(error, PluginError::Settings(_)), "{error}");
        super::skipped("only root can start it as another");
        return;
    }
    std::fs::create_dir(folder.path("data")).expect("a folder");
    let mut start = start_in(&folder.0);
    start.data_dir = Some(folder.path("data"));
    let carrier = ProcessCarrier::new(options);
    assert!(carrier.isolation().starts_with("process, uid 65534"), "{}", carrier.isolation());
    let mut line = within(carrier.start(start)).await.expect("it starts");
    rest(&mut line).await;
    let out = std::fs::read_to_string(folder.path("data/out")).expect("what it wrote");
    assert_eq!(out, "65534\n65534\n", "and has none of root's groups");
}

#[test]
fn how_far_it_is_kept_apart_is_said() {
    let options = ProcessOptions { memory: Some(64 << 20), cpu: Some(0.5), ..ProcessOptions::default() };
    let said = ProcessCarrier::new(options).isolation();
    let is_bounded = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert!(said.starts_with("process, uid ") && said.contains(", the node's own, 64 MiB by "), "{said}");
    assert!(is_bounded || said.ends_with("64 MiB by resource limit, CPU not bounded, nice 10"), "{said}");
}

#[tokio::test]
async fn what_python_compiled_beside_the_code_is_not_read() {
    let folder = Folder::new();
    let say = "echo prefix=$PYTHONPYCACHEPREFIX > out";
    assert_eq!(out_of(shell(say), &folder).await, ["prefix="]);
    std::fs::create_dir_all(folder.path("lib/__pycache__")).expect("a folder");
    assert_eq!(out_of(shell(say), &folder).await, ["prefix=/dev/null"]);
}
