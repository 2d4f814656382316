//! `[plugins]`: where the node looks for plugins that are not built in, and which of them it trusts.
//!
//! Not to be taken for `[plugin.NAME]`, the settings of one. A mistake here stops nothing that is built in. But where
//! `require` cannot be read, the strictest is meant: a slip must not open the gate.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::layer::{Layer, Merged};
use crate::report::{Report, Scope};

/// What a plugin from outside must have to be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Require {
    /// Nothing: also what was put there by hand.
    #[default]
    None,
    /// It was installed, and has not changed since.
    Locked,
    /// It was installed, has not changed since, and bears the signature of one of the keys.
    Signed,
}

/// Where plugins are, and which are trusted.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plugins {
    /// Folders with plugins in them, such as "/srv/plugins".
    pub(crate) paths: Vec<PathBuf>,
    /// What a plugin that is not built in must have to be started: nothing; to be installed and unchanged since; to be
    /// signed too.
    pub(crate) require: Require,
    /// Public keys of minisign, such as "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3": whose signatures count.
    pub(crate) keys: Vec<String>,
}

impl Plugins {
    /// Reads the section, without what is wrong in it.
    pub(crate) fn read(report: &mut Report<'_>) -> Self {
        let Some(table) = report.document.value.get("plugins") else { return Self::default() };
        report.problems_within(Scope::Stray, "/plugins");
        let schema = schemars::schema_for!(Self).to_value();
        let checked = report.check(Scope::Stray, "/plugins", &schema, table, &[]);
        let mut read: Self = serde_json::from_value(checked.rest_of(table)).unwrap_or_default();
        let misread = table.get("require").is_some_and(|written| written != &serde_json::json!(read.require));
        if misread || !table.is_object() {
            read.require = Require::Signed;
        }
        for (at, key) in read.keys.iter().enumerate().filter(|(_, key)| !is_key(key)) {
            let span = report.document.place(&format!("/plugins/keys/{at}")).value;
            let message =
                format!("`{}` is no public key of minisign", key.chars().take(60).collect::<String>());
            let help = "the second line of its `minisign.pub`, 56 letters that begin with `RW`";
            report.error(Scope::Stray, span, &message).help(help);
        }
        read.keys.retain(|key| is_key(key));
        if read.require == Require::Signed && read.keys.is_empty() && !misread {
            let span = report.document.place("/plugins/require").value;
            let message = "without `keys` no signature counts: no plugin from outside is started";
            report.warning(span, message).help("add `keys = [\"RW…\"]`");
        }
        read
    }
}

/// 42 bytes in base64, of which the first two say how it signs.
fn is_key(key: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    key.len() == 56 && key.starts_with("RW") && key.bytes().all(is_base64)
}

/// Where the layers say that plugins lie, before anything is known of the kinds that they bring.
#[must_use]
pub fn plugin_paths(layers: &[Layer]) -> Vec<PathBuf> {
    let Merged { document, .. } = Merged::new(layers, &Catalogue::default());
    let paths = document.value.pointer("/plugins/paths").and_then(Value::as_array);
    paths.into_iter().flatten().filter_map(Value::as_str).map(PathBuf::from).collect()
}
