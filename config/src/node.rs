//! `[node]`: what the node is called and where it keeps its data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use sedge_plugin::Id;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::fingerprint::fingerprint;
use crate::report::{Report, Scope};

/// The node itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The node's id in topics. Without it: made from the host name.
    #[schemars(with = "Option<String>")]
    pub id: Option<Id>,
    /// The folder for what the node has to keep, such as "/var/lib/sedge".
    pub data: Option<PathBuf>,
    /// Words that say more about the node, such as room = "kitchen".
    pub labels: BTreeMap<String, String>,
}

impl Node {
    /// A number that changes when anything here does.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, data, labels } = self;
        fingerprint(&json!([id, data, labels]))
    }

    /// Reads the section; nothing if it has a mistake.
    pub(crate) fn read(report: &mut Report<'_>) -> Option<Self> {
        let document = report.document;
        let Some(table) = document.value.get("node") else { return Some(Self::default()) };
        report.problems_within(Scope::Node, "/node");
        let schema = schemars::schema_for!(Self).to_value();
        let mut good = report.check(Scope::Node, "/node", &schema, table, &[]).is_good();
        if let Some(id) = table.get("id").and_then(|id| id.as_str())
            && let Err(error) = Id::new(id)
        {
            let help = format!("such as `{}`", Id::sanitized(id, "node"));
            let span = document.place("/node/id").value;
            report.error(Scope::Node, span, &format!("the id {error}")).help(help);
            good = false;
        }
        good.then(|| serde_json::from_value(table.clone()).ok())?
    }
}
