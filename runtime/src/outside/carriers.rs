//! What runs a plugin on disk, and the look at its files before each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::Outside as Words;
use sedge_hal::SystemClock;
use sedge_host::install::{SUMS_FILE, Standing, Trust, brings_sdk, lay_sdk, standing};
use sedge_host::outside::{Carrier, Line, Start};
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, find_compiler};
use sedge_plugin::context::BoxFuture;
use sedge_plugin::{Clock, PluginError, Taken};

/// A carrier whose plugin is compared with what was installed before each start.
pub(super) struct Verified {
    inner: Arc<dyn Carrier>,
    folder: PathBuf,
    trust: Trust,
}

impl Verified {
    pub(super) fn new(inner: Arc<dyn Carrier>, folder: &Path, trust: &Trust) -> Self {
        Self { inner, folder: folder.into(), trust: trust.clone() }
    }
}

impl Carrier for Verified {
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        Box::pin(async move {
            let (folder, trust) = (self.folder.clone(), self.trust.clone());
            // It reads all files of the plugin.
            let looked = tokio::task::spawn_blocking(move || verify(&folder, &trust)).await;
            match looked {
                Ok(Ok(())) => self.inner.start(start).await,
                // Trying again does not help: somebody has to look at it.
                Ok(Err(why)) => Err(PluginError::Settings(why.into())),
                Err(error) => Err(PluginError::failed(format!("its files cannot be looked at: {error}"))),
            }
        })
    }

    fn isolation(&self) -> String {
        self.inner.isolation()
    }
}

/// A carrier of a program in Python. It finds this program's SDK where it brings none.
pub(super) struct WithSdk {
    inner: Arc<dyn Carrier>,
    folder: PathBuf,
    data: PathBuf,
}

impl WithSdk {
    /// As it is where the command does not leave to the node which Python runs it.
    pub(super) fn around(
        inner: Arc<dyn Carrier>,
        command: &[String],
        folder: &Path,
        data: PathBuf,
    ) -> Arc<dyn Carrier> {
        if command.iter().any(|word| word.contains("{python}")) {
            return Arc::new(Self { inner, folder: folder.into(), data });
        }
        inner
    }
}

impl Carrier for WithSdk {
    fn start(&self, mut start: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        Box::pin(async move {
            let (folder, data) = (self.folder.clone(), self.data.clone());
            let laid = move || if brings_sdk(&folder) { Ok(None) } else { lay_sdk(&data).map(Some) };
            let laid = tokio::task::spawn_blocking(laid).await.map_err(std::io::Error::other).flatten();
            let path = laid.map_err(|error| {
                let place = self.data.display();
                PluginError::unmet(format!("the SDK that it needs cannot be written into {place}: {error}"))
            })?;
            start.environment.extend(path.map(|path| ("PYTHONPATH".to_owned(), path.display().to_string())));
            self.inner.start(start).await
        })
    }

    fn isolation(&self) -> String {
        self.inner.isolation()
    }
}

/// Why its files do not let it be started.
fn verify(folder: &Path, trust: &Trust) -> Result<(), String> {
    standing(folder, trust).map(drop).map_err(|error| format!("{}: {error}", folder.display()))
}

/// A process of its own. Without `memory` that of the limits is its bound.
pub(super) fn process(
    command: Vec<String>,
    stdio: bool,
    words: &Words,
    memory: Option<u64>,
) -> Arc<dyn Carrier> {
    // The rest of the node's environment is nobody's business: it may hold secrets.
    let passed = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    Arc::new(ProcessCarrier::new(ProcessOptions {
        command,
        python: None,
        stdio,
        memory,
        cpu: words.limits.cpu,
        user: None,
        environment: ["PATH", "TZ"].into_iter().filter_map(passed).collect(),
    }))
}

/// A WebAssembly component on a thread of the node.
pub(super) fn component(options: ComponentOptions) -> Arc<dyn Carrier> {
    Arc::new(ComponentCarrier::new(options))
}

/// How a component is run. `cache` is where native code is kept that was compiled here.
pub(crate) fn component_options(folder: &Path, file: &str, cache: &Path, trust: &Trust) -> ComponentOptions {
    let path = std::env::var_os("PATH");
    let own = std::env::current_exe().unwrap_or_default();
    let (root, trust) = (folder.to_owned(), trust.clone());
    ComponentOptions {
        folder: folder.into(),
        file: file.into(),
        cache: cache.into(),
        compiler: find_compiler(&own, path.as_deref()),
        trusted: Arc::new(move |file, hash| is_signed(&root, &trust, file, hash)),
        clock: Arc::new(now),
        interpreted: false,
    }
}

/// Native code has no integrity of its own, so that it was installed is not enough: somebody whom the config knows must
/// answer for these very bytes.
fn is_signed(folder: &Path, trust: &Trust, file: &Path, hash: &[u8; 32]) -> bool {
    if !matches!(standing(folder, trust), Ok(Standing::Signed { .. })) {
        return false;
    }
    let (Ok(sums), Ok(file)) = (std::fs::read_to_string(folder.join(SUMS_FILE)), file.strip_prefix(folder))
    else {
        return false;
    };
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_it =
        |line: &str| line.split_once("  ").is_some_and(|(sum, name)| sum == hash && Path::new(name) == file);
    sums.lines().any(is_it)
}

fn now() -> Taken {
    let up_ms = u64::try_from(SystemClock.up().as_millis()).unwrap_or(u64::MAX);
    Taken { up_ms, wall_ms: SystemClock.wall_ms() }
}
