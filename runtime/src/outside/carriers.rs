//! What runs a plugin on disk, and the look at its files before each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::Outside as Words;
use sedge_hal::SystemClock;
use sedge_host::install::{Trust, standing};
use sedge_host::outside::{Carrier, Line, Start};
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, Trusted, find_compiler};
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

/// Why its files do not let it be started.
fn verify(folder: &Path, trust: &Trust) -> Result<(), String> {
    standing(folder, trust).map(drop).map_err(|error| format!("{}: {error}", folder.display()))
}

/// A process of its own.
pub(super) fn process(command: Vec<String>, stdio: bool, words: &Words) -> Arc<dyn Carrier> {
    let zone = std::env::var("TZ").ok().map(|zone| ("TZ".to_owned(), zone));
    Arc::new(ProcessCarrier::new(ProcessOptions {
        command,
        python: None,
        stdio,
        memory: None, // That of the limits which it is started with.
        cpu: words.limits.cpu,
        user: None,
        environment: zone.into_iter().collect(),
    }))
}

/// A WebAssembly component on a thread of the node. `cache` is where native code is kept that was compiled here.
pub(super) fn component(folder: &Path, file: &str, cache: PathBuf) -> Arc<dyn Carrier> {
    let path = std::env::var_os("PATH");
    let own = std::env::current_exe().unwrap_or_default();
    // Native code has no integrity of its own. What was installed is compared before each start, all of it; for what lies
    // there by hand nobody vouches, so that it is compiled here.
    let trusted: Trusted = Arc::new(|_, _| false);
    Arc::new(ComponentCarrier::new(ComponentOptions {
        folder: folder.into(),
        file: file.into(),
        cache,
        compiler: find_compiler(&own, path.as_deref()),
        trusted,
        clock: Arc::new(now),
        interpreted: false,
    }))
}

fn now() -> Taken {
    let up_ms = u64::try_from(SystemClock.up().as_millis()).unwrap_or(u64::MAX);
    Taken { up_ms, wall_ms: SystemClock.wall_ms() }
}
