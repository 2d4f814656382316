//! What stands for the carrier in a build without WebAssembly.

use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use sedge_plugin::PluginError;
use sedge_plugin::context::BoxFuture;

use super::{ComponentCarrier, ComponentOptions};
use crate::outside::{Carrier, Line, Start};

const WITHOUT: &str = "this sedge was built without WebAssembly: use a build with the feature `wasm`";

impl Carrier for ComponentCarrier {
    fn start(&self, _: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        let file = self.options.folder.join(&self.options.file);
        Box::pin(async move { Err(PluginError::unmet(format!("{}: {WITHOUT}", file.display()))) })
    }

    fn isolation(&self) -> String {
        "WebAssembly, which this build does not have".into()
    }
}

/// None: nothing that it makes could be run.
#[must_use]
pub fn find_compiler(_: &Path, _: Option<&OsStr>) -> Option<PathBuf> {
    None
}

/// None.
#[must_use]
pub fn fingerprint() -> String {
    String::new()
}

/// Nothing is served.
///
/// # Errors
/// Always.
pub fn serve(_: ComponentOptions, _: RawFd) -> Result<(), String> {
    Err(WITHOUT.into())
}
