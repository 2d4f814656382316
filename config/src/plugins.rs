//! `[plugins]`: where the node looks for plugins that are not built in.
//!
//! Not to be taken for `[plugin.NAME]`, the settings of one. A mistake here stops nothing: what is built in runs.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::{Report, Scope};

/// Where plugins are.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plugins {
    /// Folders with plugins in them, such as "/srv/plugins".
    pub(crate) paths: Vec<PathBuf>,
}

impl Plugins {
    /// Reads the section, without what is wrong in it.
    pub(crate) fn read(report: &mut Report<'_>) -> Self {
        let Some(table) = report.document.value.get("plugins") else { return Self::default() };
        report.problems_within(Scope::Stray, "/plugins");
        let schema = schemars::schema_for!(Self).to_value();
        let checked = report.check(Scope::Stray, "/plugins", &schema, table, &[]);
        serde_json::from_value(checked.rest_of(table)).unwrap_or_default()
    }
}
