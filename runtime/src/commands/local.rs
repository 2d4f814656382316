//! Which node on this machine a command means.

use sedge_plugin::Id;

use super::node::host_id;
use crate::cli::Global;
use crate::control::{self, Local};
use crate::exit::Failure;
use crate::load::{find, load};

/// The node that is named, else that of the config; where there is no config, the only one that runs. What is meant for one
/// node never reaches another.
pub(crate) fn node(global: &Global) -> Result<Local, Failure> {
    if let Some(name) = &global.node {
        let id = Id::new(name).map_err(|error| Failure::Usage(format!("node {error}")))?;
        return control::find(Some(&id));
    }
    if let Some(file) = find(global.config.as_deref()) {
        let configured = load(global).ok().and_then(|loaded| loaded.config).map(|config| config.node.id);
        return match configured {
            Some(Some(id)) => control::find(Some(&id)),
            // Without an id in the config a node has the host's name.
            Some(None) => control::find(Some(&host_id())),
            None => Err(Failure::Config(format!(
                "{} cannot be read, so it does not say which node is meant; name one with --node",
                file.display()
            ))),
        };
    }
    control::find(None)
}
