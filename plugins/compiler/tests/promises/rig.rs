//! The guest, and a node that is only as much of one as a carrier needs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sedge_compile::{Target, component, native};
use sedge_host::outside::{Carrier, End, Line, Start};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, artefact_name};
use sedge_plugin::grant::{Grants, I2cGrant};
use sedge_plugin::{Id, Name, PluginError, Taken, ToolError, ToolErrorCode};
use sedge_protocol::{Ask, Call, Encoding, HelloMessage, Limits, ToNode, ToPlugin, Version};
use serde_json::{Value as Json, json};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Whether there is a guest; says why not.
pub fn is_here() -> bool {
    module().is_some()
}

/// The guest as cargo makes it.
pub fn module() -> Option<&'static [u8]> {
    static MODULE: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    MODULE.get_or_init(build).as_deref()
}

fn build() -> Option<Vec<u8>> {
    let required = std::env::var_os("SEDGE_REQUIRE_WASM").is_some();
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?.stdout;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot).trim());
    if !sysroot.join("lib/rustlib/wasm32-unknown-unknown").exists() {
        assert!(!required, "the target wasm32-unknown-unknown is not installed");
        let why =
            "skipped: there is no target wasm32-unknown-unknown (`rustup target add wasm32-unknown-unknown`)";
        let _ = writeln!(std::io::stderr(), "{why}");
        return None;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--release", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&target)
        .current_dir(&folder)
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(fs::read(target.join("wasm32-unknown-unknown/release/probe.wasm")).expect("a module"))
}

/// The guest as a component.
pub fn probe() -> &'static [u8] {
    static PROBE: OnceLock<Vec<u8>> = OnceLock::new();
    PROBE.get_or_init(|| component(module().expect("a module")).expect("a component"))
}

/// The guest's native code.
pub fn code(target: Target) -> &'static [u8] {
    static NATIVE: OnceLock<Vec<u8>> = OnceLock::new();
    static PULLEY: OnceLock<Vec<u8>> = OnceLock::new();
    let place = if target == Target::host() { &NATIVE } else { &PULLEY };
    place.get_or_init(|| native(probe(), target).expect("code"))
}

/// The guest, built for another version, or importing something else. Both texts are equally long.
pub fn altered(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = probe().to_vec();
    let mut count = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "there is no {from}");
    bytes
}

/// A folder of a test's own, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sedge-compile-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// With the guest in it, and with its native code.
    pub fn with_probe(interpreted: bool) -> Self {
        let target = if interpreted { Target::pulley() } else { Target::host() };
        Self::with(probe(), Some((target, code(target))))
    }

    pub fn with(component: &[u8], code: Option<(Target, &[u8])>) -> Self {
        let folder = Self::new();
        fs::write(folder.0.join("probe.wasm"), component).expect("a file");
        if let Some((target, code)) = code {
            fs::create_dir(folder.0.join("compiled")).expect("a folder");
            fs::write(folder.0.join("compiled").join(artefact_name(target)), code).expect("a file");
        }
        folder
    }

    pub fn options(&self) -> ComponentOptions {
        ComponentOptions {
            folder: self.0.clone(),
            file: "probe.wasm".into(),
            cache: self.0.join("cache"),
            compiler: None,
            trusted: Arc::new(|_, _| true),
            clock: Arc::new(|| Taken { up_ms: 7, wall_ms: None }),
            interpreted: false,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn limits() -> Limits {
    Limits { message: 64 * 1024, in_flight: 16, memory: 4 * 1024 * 1024, start_ms: 30_000 }
}

pub fn id(text: &str) -> Id {
    Id::new(text).expect("an id")
}

pub async fn start(options: ComponentOptions) -> Result<Running, PluginError> {
    start_within(options, limits()).await
}

pub async fn start_within(options: ComponentOptions, limits: Limits) -> Result<Running, PluginError> {
    let start = Start {
        id: id("attic"),
        folder: options.folder.clone(),
        data_dir: None,
        limits,
        environment: Default::default(),
    };
    let line = ComponentCarrier::new(options).start(start).await?;
    Ok(Running { line, calls: 0, limits, logs: Vec::new(), progress: Vec::new() })
}

/// A component that runs, and what it has said.
pub struct Running {
    pub line: Line,
    calls: u64,
    limits: Limits,
    pub logs: Vec<String>,
    pub progress: Vec<ToNode>,
}

/// Nothing is granted, nothing is there.
pub fn nothing(_: &Ask) -> Result<Json, ToolError> {
    Err(ToolError::new(ToolErrorCode::Denied, "not granted"))
}

impl Running {
    pub async fn next(&mut self) -> Option<ToNode> {
        tokio::time::timeout(LONG, self.line.from.recv()).await.expect("something within a minute")
    }

    pub async fn send(&self, message: ToPlugin) {
        tokio::time::timeout(LONG, self.line.to.send(message)).await.expect("room").expect("a component");
    }

    pub async fn hello(&mut self) -> HelloMessage {
        match self.next().await {
            Some(ToNode::Hello(hello)) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// Says hello and welcome; what the plugin answers.
    pub async fn greet(
        &mut self,
        settings: Json,
        answer: impl FnMut(&Ask) -> Result<Json, ToolError>,
    ) -> Option<ToNode> {
        self.hello().await;
        let device = I2cGrant { bus: "i2c-1".into(), address: 0x76 };
        let grants = Grants { i2c: [("pump".to_owned(), device)].into(), ..Grants::default() };
        self.send(ToPlugin::Welcome {
            protocol: Version { major: 1, minor: 0 },
            api: Version { major: 1, minor: 0 },
            encoding: Encoding::Json,
            features: Vec::new(),
            id: id("attic"),
            plugin: "probe".into(),
            node: id("pi"),
            settings,
            grants,
            limits: self.limits,
            data_dir: None,
            sensor: None,
            config: None,
        })
        .await;
        self.attend(answer).await
    }

    /// Ready at once.
    pub async fn ready(options: ComponentOptions) -> Self {
        Self::ready_within(options, limits()).await
    }

    pub async fn ready_within(options: ComponentOptions, limits: Limits) -> Self {
        let mut running = start_within(options, limits).await.expect("a component that starts");
        let answer = running.greet(json!({}), nothing).await;
        assert!(matches!(answer, Some(ToNode::Ready { .. })), "{answer:?}");
        running
    }

    /// Answers what it asks, until it says something else; what that is.
    pub async fn attend(
        &mut self,
        mut answer: impl FnMut(&Ask) -> Result<Json, ToolError>,
    ) -> Option<ToNode> {
        loop {
            match self.next().await? {
                ToNode::Ask { id, ask } => {
                    let message = match answer(&ask) {
                        Ok(result) => ToPlugin::Ok { id, result },
                        Err(error) => ToPlugin::Error { id, error },
                    };
                    self.send(message).await;
                }
                ToNode::Log { level, text } => self.logs.push(format!("{level}: {text}")),
                progress @ ToNode::Progress { .. } => self.progress.push(progress),
                other => return Some(other),
            }
        }
    }

    /// Begins a call; its number.
    pub async fn begin(&mut self, tool: &str, args: Json, timeout_ms: u64) -> u64 {
        self.calls += 1;
        let tool = Name::new(tool).expect("a name");
        let call = Call::Tool { tool, args, from: "test".into(), timeout_ms };
        self.send(ToPlugin::Call { id: self.calls, call }).await;
        self.calls
    }

    pub async fn call(&mut self, tool: &str, args: Json) -> Result<Json, ToolError> {
        self.call_with(tool, args, nothing).await
    }

    pub async fn call_with(
        &mut self,
        tool: &str,
        args: Json,
        answer: impl FnMut(&Ask) -> Result<Json, ToolError>,
    ) -> Result<Json, ToolError> {
        let call = self.begin(tool, args, 30_000).await;
        match self.attend(answer).await {
            Some(ToNode::Ok { id, result }) if id == call => Ok(result),
            Some(ToNode::Error { id, error }) if id == call => Err(error),
            other => panic!("{other:?}; {:?}", self.line.end.try_recv()),
        }
    }

    /// How it ended, after all that it still said.
    pub async fn end(mut self) -> End {
        while let Some(message) = self.next().await {
            if let ToNode::Log { level, text } = message {
                self.logs.push(format!("{level}: {text}"));
            }
        }
        tokio::time::timeout(LONG, self.line.end).await.expect("an end").expect("a reason")
    }

    /// Calls what breaks it; with what words, and what it wrote into its log.
    pub async fn breaks(mut self, tool: &str, args: Json, timeout_ms: u64) -> (String, Vec<String>) {
        self.begin(tool, args, timeout_ms).await;
        let answer = self.attend(nothing).await;
        assert_eq!(answer, None, "an answer of a component that broke");
        let logs = std::mem::take(&mut self.logs);
        match self.end().await {
            End::Broken(why) => (why, logs),
            End::Stopped => panic!("it stopped by itself"),
        }
    }
}
