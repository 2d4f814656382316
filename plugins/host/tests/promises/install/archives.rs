//! Archives and directories: what is taken over, and what is not.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::*;

/// An archive of anything at all, also of what `tar` would not write.
struct Tar(Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn plugin() -> Self {
        Self::new().file("pump-1.0/plugin.toml", &manifest("pump", "1.0.0", "")).file("pump-1.0/main.py", "1")
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(path, EntryType::Regular, 0o644, content, None)
    }

    fn entry(mut self, path: &str, kind: EntryType, mode: u32, content: &str, link: Option<&str>) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn gzip(self) -> Vec<u8> {
        gzip(&self.bytes())
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Archives that nobody should unpack.
pub fn evil() -> [(&'static str, Vec<u8>); 3] {
    let link = Tar::plugin().entry("pump-1.0/x", EntryType::Symlink, 0o644, "", Some("/etc/passwd"));
    [
        ("Its archive leads out of its folder.", Tar::plugin().file("../evil", "x").gzip()),
        ("Its archive has a link.", link.gzip()),
        ("Its archive is half of one.", Tar::plugin().gzip()[..100].to_vec()),
    ]
}

#[test]
fn an_archive_is_installed_under_the_name_of_its_manifest() {
    for (file, bytes) in [
        ("a.tar.gz", Tar::plugin().gzip()),
        ("a.tgz", Tar::plugin().gzip()),
        ("a.tar", Tar::plugin().bytes()),
    ] {
        let bench = Bench::new();
        bench.at.write(file, &bytes);
        let installed = bench.install(format!("{file}@{}", sha256(&bytes))).unwrap();
        assert_eq!((&*installed.name, &*installed.version), ("pump", "1.0.0"));
        assert_eq!(installed.folder, bench.root().join("pump"));
        assert!(bench.everything().contains_key("pump/main.py"));
        assert!(!bench.everything().keys().any(|name| name.contains("staging")));
    }
}

#[test]
fn an_archive_comes_over_the_web_and_must_hash_to_what_was_said() {
    let mut bench = Bench::new();
    let bytes = Tar::plugin().gzip();
    bench.web.insert("https://example.org/pump.tgz".into(), bytes.clone());
    let said = bench.refused(format!("https://example.org/pump.tgz@{}", "0".repeat(64)));
    assert!(said.contains("expected the SHA-256 0000") && said.contains(&sha256(&bytes)), "{said}");
    let said = bench.refused("https://me:s3cret@example.org/other.tgz");
    assert_eq!(said, "https://example.org/other.tgz could not be fetched: 404 Not Found");
    let installed = bench.install("https://example.org/pump.tgz").unwrap();
    assert_eq!(installed.source, "https://example.org/pump.tgz");
}

#[test]
fn what_leads_out_of_an_archive_or_is_no_file_is_refused() {
    let link = |kind, to| Tar::plugin().entry("pump-1.0/x", kind, 0o644, "", Some(to));
    let bench = Bench::new();
    for (tar, expected) in [
        (Tar::plugin().file("../evil", "x"), "`../evil` leads out of the plugin's folder"),
        (Tar::plugin().file("pump-1.0/../../evil", "x"), "leads out of the plugin's folder"),
        (Tar::plugin().file("/tmp/evil", "x"), "`/tmp/evil` leads out of the plugin's folder"),
        (link(EntryType::Symlink, "/etc/passwd"), "`pump-1.0/x` is a link"),
        (link(EntryType::Symlink, "main.py"), "`pump-1.0/x` is a link"),
        (link(EntryType::Link, "pump-1.0/main.py"), "`pump-1.0/x` is a link"),
        (link(EntryType::Char, ""), "`pump-1.0/x` is neither a file nor a folder"),
        (link(EntryType::Block, ""), "`pump-1.0/x` is neither a file nor a folder"),
        (link(EntryType::Fifo, ""), "`pump-1.0/x` is neither a file nor a folder"),
        (Tar::plugin().entry("pump-1.0/x", EntryType::Regular, 0o4755, "x", None), "(setuid)"),
        (Tar::plugin().file("pump-1.0/main.py", "2"), "`pump-1.0/main.py` stands in it twice"),
        (Tar::plugin().file("pump-1.0/main.py/x", "2"), "`pump-1.0/main.py/x` cannot be written"),
        (Tar::plugin().file("pump-1.0/a\u{1b}[2J", "2"), "has a name that is not plain text"),
        (Tar::plugin().file("pump-1.0/venv/bin/python", "x"), "it brings a `venv`"),
        (Tar::new().file("a/b", "x"), "there is no plugin in it: expected a plugin.toml"),
        (Tar::plugin().file("b/plugin.toml", "x"), "there are several plugins in it"),
        (Tar::new().file("plugin.toml", &manifest("../evil", "1", "")), "the name"),
        (Tar::new().file("plugin.toml", "x = "), "plugin.toml:1:5"),
        (
            Tar::new().file("plugin.toml", &manifest("pump", "1", "[plugins]\n")),
            "pump/plugin.toml:8:2: unknown key",
        ),
    ] {
        bench.at.write("a.tgz", tar.gzip());
        let said = bench.refused("a.tgz");
        assert!(said.contains(expected), "expected {expected}: {said}");
        assert!(!bench.at.path("evil").exists() && !bench.root().join("evil").exists());
    }
}

#[test]
fn what_python_compiled_elsewhere_is_not_taken_over() {
    let bench = Bench::new();
    bench.at.write("a.tgz", Tar::plugin().file("pump-1.0/lib/__pycache__/a.cpython-311.pyc", "evil").gzip());
    bench.install("a.tgz").unwrap();
    assert!(!bench.everything().keys().any(|name| name.contains("pycache")));
}

#[test]
fn half_an_archive_and_what_is_none_are_refused() {
    let bench = Bench::new();
    let (whole, noise) = (Tar::plugin().gzip(), vec![7; 5000]);
    for bytes in [&whole[..whole.len() / 2], &whole[..10], &noise, &Tar::plugin().bytes()[..700]] {
        bench.at.write("a.tgz", bytes);
        let said = bench.refused("a.tgz");
        assert!(said.contains("this is no whole .tar.gz, .tgz or .tar"), "{said}");
    }
    bench.at.write("a.zip", "PK");
    assert!(bench.refused("a.zip").contains("zip archives are not read"));
}

#[test]
fn a_small_archive_cannot_fill_the_disk() {
    let bench = Bench::new();
    // A header that promises 1 GiB, of which 300 MiB come.
    let mut header = Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(header.as_bytes()).unwrap();
    (0..300).for_each(|_| out.write_all(&vec![0; 1 << 20]).unwrap());
    bench.at.write("a.tgz", out.finish().unwrap());
    let said = bench.refused("a.tgz");
    assert!(said.ends_with("it unpacks to more than 256 MiB"), "{said}");

    let mut tar = Tar::plugin();
    for at in 0..10_000 {
        tar = tar.file(&format!("pump-1.0/{at}"), "");
    }
    bench.at.write("a.tgz", tar.gzip());
    let said = bench.refused("a.tgz");
    assert!(said.ends_with("there are more than 10000 files in it"), "{said}");
}

#[test]
fn a_directory_is_copied_without_what_others_make_anew() {
    let bench = Bench::new();
    let source = bench.source("pump", "1.0.0", "");
    for file in
        [".git/config", "__pycache__/main.pyc", "env/pyvenv.cfg", "target/CACHEDIR.TAG", "target/debug/x"]
    {
        bench.at.write(&format!("work/pump/{file}"), "x");
    }
    bench.at.write("work/pump/lib/a.py", "x");
    let program = bench.at.write("work/pump/target/release/pump", "x");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let command =
        manifest("pump", "1.0.0", "").replace("\"python3\", \"main.py\"", "\"target/release/pump\"");
    bench.at.write("work/pump/plugin.toml", command);
    bench.install(&source).unwrap();
    let files: Vec<_> = bench
        .everything()
        .into_keys()
        .filter(|name| name.starts_with("pump/") && !name.ends_with('/'))
        .collect();
    assert_eq!(files, ["pump/lib/a.py", "pump/main.py", "pump/plugin.toml", "pump/target/release/pump"]);
    let mode = fs::metadata(bench.root().join("pump/target/release/pump")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be run");
    bench.at.write("work/pump/main.py", "changed");
    assert_ne!(fs::read(bench.root().join("pump/main.py")).unwrap(), b"changed", "it is a copy");
}

#[test]
fn links_and_special_files_of_a_directory_are_refused() {
    let bench = Bench::new();
    let source = bench.source("pump", "1.0.0", "");
    symlink("/etc/passwd", bench.at.path("work/pump/x")).unwrap();
    assert!(bench.refused(&source).contains("`x` is a link"));
    fs::remove_file(bench.at.path("work/pump/x")).unwrap();
    fs::set_permissions(bench.at.path("work/pump/main.py"), fs::Permissions::from_mode(0o4755)).unwrap();
    assert!(bench.refused(&source).contains("`main.py` runs as another user (setuid)"));
}

#[test]
fn a_folder_of_another_name_than_its_manifest_says_is_installed_under_the_latter() {
    let bench = Bench::new();
    bench.at.write("work/other/plugin.toml", manifest("pump", "1.0.0", ""));
    assert_eq!(bench.install("./work/other").unwrap().folder, bench.root().join("pump"));
}

#[test]
fn what_is_no_source_is_refused_with_what_would_be_one() {
    let bench = Bench::new();
    let said = bench.refused("./nothing");
    assert!(said.contains("there is no such directory or file; for git give a URL"), "{said}");
}
