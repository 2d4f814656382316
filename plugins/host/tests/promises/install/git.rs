//! Plugins from git: over `file://`, and over http from a server of mere files on loopback.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::thread;

use sedge_host::install::Lock;

use super::*;

/// A repository with two commits, the first of which has the tag `v1`; their ids. Nothing where there is no git.
fn repository(bench: &Bench) -> Option<(String, String)> {
    bench.source("pump", "1.0.0", "");
    let work = bench.at.path("work/pump");
    if run(&work, &["git", "--version"]).is_none() {
        skipped("there is no git");
        return None;
    }
    let git = |words: &[&str]| run(&work, &[&["git"], words].concat()).unwrap();
    git(&["init", "--quiet", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "One"]);
    git(&["tag", "v1"]);
    let first = git(&["rev-parse", "HEAD"]);
    bench.source("pump", "2.0.0", "");
    git(&["commit", "--quiet", "-am", "Two"]);
    Some((first, git(&["rev-parse", "HEAD"])))
}

fn url(bench: &Bench) -> String {
    format!("file://{}", bench.at.path("work/pump").display())
}

#[test]
fn a_repository_is_pinned_to_the_commit_and_leaves_no_repository() {
    let bench = Bench::new();
    let Some((first, second)) = repository(&bench) else { return };
    let short = first[..10].to_owned();
    for (rev, commit, version) in [
        ("", &second, "2.0.0"),
        ("#main", &second, "2.0.0"),
        ("#v1", &first, "1.0.0"),
        (&*format!("#{first}"), &first, "1.0.0"),
        (&*format!("#{short}"), &first, "1.0.0"),
    ] {
        let installed = bench.install(format!("{}{rev}", url(&bench))).unwrap();
        assert_eq!((installed.commit.as_ref(), &*installed.version), (Some(commit), version), "{rev}");
        assert_eq!(installed.source, format!("git+{}{rev}", url(&bench)));
        assert!(!bench.root().join("pump/.git").exists());
        assert_eq!(Lock::read(&bench.root()).unwrap().plugins["pump"].commit.as_ref(), Some(commit));
        bench.with(|installer| installer.remove("pump")).unwrap();
    }
}

#[test]
fn an_upgrade_gets_what_the_branch_has_now() {
    let bench = Bench::new();
    let Some((_, second)) = repository(&bench) else { return };
    bench.install(url(&bench)).unwrap();
    assert!(matches!(bench.upgrade("pump").unwrap(), Upgraded::Same { .. }));
    bench.source("pump", "3.0.0", "");
    run(&bench.at.path("work/pump"), &["git", "commit", "--quiet", "-am", "Three"]).unwrap();
    let Upgraded::Done(installed) = bench.upgrade("pump").unwrap() else { panic!() };
    assert_ne!(installed.commit, Some(second));
    assert_eq!(installed.version, "3.0.0");
}

#[test]
fn what_git_cannot_get_is_told_in_its_words_and_ours() {
    let bench = Bench::new();
    if repository(&bench).is_none() {
        return;
    }
    let nowhere = format!("file://{}", bench.at.path("nowhere").display());
    let said = bench.refused(&nowhere);
    assert!(said.starts_with(&format!("git could not get {nowhere}; is the URL right")), "{said}");
    assert!(said.contains("git says: fatal:") && said.contains("does not"), "{said}");
    let said = bench.refused(format!("{}#nothing", url(&bench)));
    assert!(said.contains("at `nothing`"), "{said}");
}

#[test]
fn nothing_of_a_repository_is_run_and_its_links_are_refused() {
    let bench = Bench::new();
    if repository(&bench).is_none() {
        return;
    }
    let work = bench.at.path("work/pump");
    // What a checkout would run, if the one who clones had it configured.
    bench.at.write("work/pump/.gitattributes", "*.py filter=evil\n");
    bench.at.write("work/pump/.gitmodules", "[submodule \"x\"]\npath = x\nurl = ext::sh -c 'touch evil'\n");
    run(&work, &["git", "add", "."]).unwrap();
    run(&work, &["git", "commit", "--quiet", "-m", "Evil"]).unwrap();
    let installed = bench.install(url(&bench)).unwrap();
    assert_eq!(installed.notes, ["its git submodules were not fetched"]);
    bench.with(|installer| installer.remove("pump")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", work.join("x")).unwrap();
    run(&work, &["git", "add", "."]).unwrap();
    run(&work, &["git", "commit", "--quiet", "-m", "Link"]).unwrap();
    assert!(bench.refused(url(&bench)).contains("`x` is a link"));
}

#[test]
fn a_manifest_that_is_a_link_is_not_followed() {
    let bench = Bench::new();
    if repository(&bench).is_none() {
        return;
    }
    let work = bench.at.path("work/pump");
    let secret = bench.at.write("secret", "password = s3cret\n");
    fs::remove_file(work.join("plugin.toml")).unwrap();
    std::os::unix::fs::symlink(secret, work.join("plugin.toml")).unwrap();
    run(&work, &["git", "add", "."]).unwrap();
    run(&work, &["git", "commit", "--quiet", "-m", "Link"]).unwrap();
    let said = bench.refused(url(&bench));
    assert!(said.ends_with("`plugin.toml` is a link: put the file itself there"), "{said}");
}

#[test]
fn a_repository_behind_a_server_of_mere_files_is_installed() {
    let bench = Bench::new();
    let Some((first, second)) = repository(&bench) else { return };
    let work = bench.at.path("work");
    run(&work, &["git", "clone", "--quiet", "--bare", "pump", "pump.git"]).unwrap();
    run(&work.join("pump.git"), &["git", "update-server-info"]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(|stream| serve(&work, stream.unwrap())));
    let mut bench = bench;
    bench.environment.insert("no_proxy".into(), "127.0.0.1".into());
    let installed = bench.install(format!("http://{address}/pump.git")).unwrap();
    assert_eq!(installed.commit, Some(second));
    bench.with(|installer| installer.remove("pump")).unwrap();
    let installed = bench.install(format!("http://{address}/pump.git#v1")).unwrap();
    assert_eq!(installed.commit, Some(first));
    bench.with(|installer| installer.remove("pump")).unwrap();
    let said = bench.refused(format!("http://{address}/nothing.git"));
    assert!(said.contains("git says:") && said.contains("not found"), "{said}");
}

/// Answers with the file of that path.
fn serve(folder: &Path, mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let answer = match fs::read(folder.join(path.trim_start_matches('/'))) {
        Ok(bytes) => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            [head.into_bytes(), bytes].concat()
        }
        Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    };
    let _ = stream.write_all(&answer);
}
