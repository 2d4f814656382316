//! What a person who installs plugins may count on.

mod archives;
mod git;
mod places;
mod probe;
mod python;
mod rollback;
mod sdk;
mod signatures;
mod tampering;
mod templates;
mod upgrades;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sedge_host::Declaration;
use sedge_host::install::{
    Fetch, InstallError, Installed, Installer, Source, Step, Trust, Upgrade, Upgraded, Verifier,
};

use super::Folder;
pub use archives::evil;

/// A place for plugins, and what is installed into it.
pub struct Bench {
    pub at: Folder,
    pub trust: Trust,
    /// What there is in the web.
    pub web: HashMap<String, Vec<u8>>,
    /// What the plugin does when it is started.
    pub start: fn(&Path) -> Result<String, String>,
    /// Ends it before the last step of this kind.
    pub fail_at: Option<Step>,
    pub environment: BTreeMap<String, String>,
    pub steps: RefCell<Vec<Step>>,
}

impl Fetch for Bench {
    fn get(&self, url: &str, _: u64, into: &mut dyn Write) -> Result<(), String> {
        let bytes = self.web.get(url).ok_or("404 Not Found")?;
        into.write_all(bytes).map_err(|error| error.to_string())
    }
}

impl Verifier for Bench {
    fn loads(&self, folder: &Path, declaration: &Declaration) -> Result<String, String> {
        assert_eq!(folder.file_name().and_then(|name| name.to_str()), Some(&*declaration.info.name));
        (self.start)(folder)
    }
}

impl Bench {
    pub fn new() -> Self {
        Self {
            at: Folder::new(),
            trust: Trust::default(),
            web: HashMap::new(),
            start: |_| Ok("it loads".into()),
            fail_at: None,
            environment: BTreeMap::new(),
            steps: RefCell::default(),
        }
    }

    pub fn root(&self) -> PathBuf {
        self.at.path("plugins")
    }

    pub fn with<R>(&self, use_it: impl FnOnce(&Installer<'_>) -> R) -> R {
        let watch = |step| {
            if step != Step::Waiting {
                self.steps.borrow_mut().push(step);
            }
            self.fail_at != Some(step)
        };
        let installer = Installer {
            root: self.root(),
            trust: self.trust.clone(),
            fetch: self,
            verifier: self,
            watch: &watch,
            environment: self.environment.clone(),
            now_ms: 1_795_195_704_123,
        };
        use_it(&installer)
    }

    pub fn install(&self, source: impl AsRef<str>) -> Result<Installed, InstallError> {
        let source = Source::parse(source.as_ref(), &self.at.0)?;
        self.with(|installer| installer.install(&source, false))
    }

    pub fn upgrade(&self, name: &str) -> Result<Upgraded, InstallError> {
        self.with(|installer| installer.upgrade(name, Upgrade::default()))
    }

    /// Everything below the place, with what is in it.
    pub fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        walk(&self.root(), &self.root(), &mut all);
        all
    }

    /// A plugin's sources.
    pub fn source(&self, name: &str, version: &str, more: &str) -> String {
        let folder = format!("work/{name}");
        self.at.write(&format!("{folder}/plugin.toml"), manifest(name, version, more));
        self.at.write(&format!("{folder}/main.py"), format!("print('{version}')\n"));
        format!("./{folder}")
    }

    /// What the refusal of a source says. Nothing is left of it.
    pub fn refused(&self, source: impl AsRef<str>) -> String {
        let before = self.everything();
        let said = self.install(&source).expect_err(source.as_ref()).to_string();
        assert_eq!(self.everything(), before, "{}", source.as_ref());
        said
    }
}

pub fn manifest(name: &str, version: &str, more: &str) -> String {
    format!(
        "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"Is {name}.\"\n\
         [entry]\ncommand = [\"python3\", \"main.py\"]\n{more}"
    )
}

fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if entry.file_type().unwrap().is_dir() {
            all.insert(format!("{name}/"), Vec::new());
            walk(root, &path, all);
        } else {
            all.insert(name, fs::read(&path).unwrap_or_default());
        }
    }
}

/// Runs a program that a test needs; its output, or nothing where there is no such program.
pub fn run(folder: &Path, words: &[&str]) -> Option<String> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(folder);
    for (key, value) in [
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@example.org"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_COMMITTER_EMAIL", "a@example.org"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ] {
        command.env(key, value);
    }
    let output = command.output().ok()?;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Says why a test did not run, to whoever looks.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
