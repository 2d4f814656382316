//! Which node on this machine a command means.

use sedge_plugin::Id;

use crate::cli::Global;
use crate::control::{self, Local};
use crate::exit::Failure;
use crate::load::{find, load};

/// The node that is named, else that of the config, else the only one that runs.
pub(crate) fn node(global: &Global) -> Result<Local, Failure> {
    if let Some(name) = &global.node {
        let id = Id::new(name).map_err(|error| Failure::Usage(format!("node {error}")))?;
        return control::find(Some(&id));
    }
    // A config that is wrong is no reason not to ask a node that runs.
    let named = global.config.is_some() || find(None).is_some();
    let configured = named.then(|| load(global).ok()?.config?.node.id).flatten();
    match configured.map(|id| control::find(Some(&id))) {
        Some(Ok(local)) => Ok(local),
        Some(Err(error)) if global.config.is_some() => Err(error),
        _ => control::find(None),
    }
}
