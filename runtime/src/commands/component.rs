//! `sedge __component FOLDER CACHE [KEY…]`: runs the component of a plugin in this process, for a node that has started it so.
//!
//! Nobody types it: a node does, for a section with `sandbox = "process"`. It must not read a config.

use std::path::Path;

use sedge_host::Entry;
use sedge_host::install::{Require, Trust};
use sedge_protocol::{FD, FD_VARIABLE};

use crate::exit::Failure;
use crate::outside::component_options;

/// Runs a component until the node has had enough of it.
pub fn component(folder: &Path, cache: &Path, keys: &[String]) -> Result<(), Failure> {
    let given = std::env::var(FD_VARIABLE).map_err(|_| {
        Failure::Usage("this is for a node that runs a component in a process of its own".into())
    })?;
    let line = given.parse().unwrap_or(FD);
    let declaration = sedge_host::read(folder)
        .map_err(|mistakes| Failure::Failed(mistakes.first().map(ToString::to_string).unwrap_or_default()))?;
    let Some(Entry::Wasm(file)) = &declaration.entry else {
        return Err(Failure::Failed(format!("{} is no component", folder.display())));
    };
    let trust = Trust { require: Require::None, keys: keys.to_vec() };
    let options = component_options(folder, file, cache, &trust);
    sedge_host::wasm::serve(options, line).map_err(Failure::Failed)
}
