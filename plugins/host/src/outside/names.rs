//! What the tools of a plugin outside are called on the node.
//!
//! A manifest names a tool once, and two instances of the plugin would both have it. Where its name begins with the plugin's,
//! that part gives way to the instance's id: `weather_forecast` of plugin `weather` is `attic_forecast` as `[plugin.attic]`.
//! The plugin itself always hears its own name.

use std::collections::BTreeMap;

use sedge_plugin::topics::Command;
use sedge_plugin::{Id, IdError, Name, Tool};

use crate::manifest::Declaration;

/// What a tool of a plugin is called, where an instance of this id offers it.
pub fn tool_name(plugin: &str, instance: &Id, tool: &Name) -> Result<Name, IdError> {
    let stem = plugin.replace('-', "_");
    match tool.as_str().strip_prefix(&stem) {
        Some("") => Name::from_id(instance, None),
        Some(rest) if rest.starts_with('_') => Name::from_id(instance, Some(&rest[1..])),
        _ => Ok(tool.clone()),
    }
}

/// The tools that an instance offers, and what the plugin itself calls each.
pub(super) struct Tools {
    pub(super) offered: Vec<Tool>,
    own: BTreeMap<Name, Name>,
}

impl Tools {
    /// Says which one cannot be called as it would have to be.
    pub(super) fn of(declared: &Declaration, instance: &Id) -> Result<Self, String> {
        let mut tools = Self { offered: Vec::new(), own: BTreeMap::new() };
        for known in &declared.tools {
            let name = tool_name(&declared.info.name, instance, &known.name).map_err(|error| {
                format!("its tool `{}`, as this instance offers it: {error}; choose a shorter id", known.name)
            })?;
            if tools.own.insert(name.clone(), known.name.clone()).is_some() {
                return Err(format!("two of its tools are called `{name}` as this instance offers them"));
            }
            tools.offered.push(Tool { name, ..Tool::from(known.clone()) });
        }
        Ok(tools)
    }

    /// What the plugin calls it.
    pub(super) fn own(&self, offered: &Name) -> Option<&Name> {
        self.own.get(offered)
    }

    /// The commands of its manifest, with the tools as the node has them.
    pub(super) fn commands(&self, declared: &Declaration) -> Vec<Command> {
        let offered =
            |own: &Name| self.own.iter().find(|(_, name)| *name == own).map(|(name, _)| name.clone());
        let command = |command: &Command| Some(Command { tool: offered(&command.tool)?, ..command.clone() });
        declared.commands.iter().filter_map(command).collect()
    }
}
