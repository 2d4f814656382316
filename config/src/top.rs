//! The top level of the file: its version, and the names of its sections.

use sedge_plugin::schema::MistakeKind;
use serde_json::Value;

use crate::catalogue::Section;
use crate::report::{Report, Scope};

/// The newest form of the file that this node understands, and the one that a file without a version has.
pub const CONFIG_VERSION: i64 = 1;

/// Whether the file can be understood at all. A newer one is full of "mistakes", so it is not looked at further.
pub(crate) fn is_of_this_version(report: &mut Report<'_>) -> bool {
    let document = report.document;
    let place = document.place("/config_version").value;
    match document.value.get("config_version") {
        None => true,
        Some(version) if version.as_i64() == Some(CONFIG_VERSION) => true,
        Some(version) if version.as_i64() > Some(CONFIG_VERSION) => {
            let message =
                format!("config_version {version} is newer than this node, which reads {CONFIG_VERSION}");
            report.error(Scope::Node, place, &message).help("upgrade sedge");
            false
        }
        Some(_) => {
            report.error(Scope::Node, place, &format!("expected `config_version = {CONFIG_VERSION}`"));
            true
        }
    }
}

/// Checks the names of the sections, and that each is a table.
pub(crate) fn check_keys(report: &mut Report<'_>) {
    let document = report.document;
    let known = ["config_version", "node", "mqtt"].into_iter().chain(Section::ALL.map(Section::word));
    for (key, value) in document.value.as_object().into_iter().flatten() {
        let place = document.place(&sedge_plugin::schema::child_pointer("", key));
        if !known.clone().any(|word| word == key) {
            let what = if value.is_object() || value.is_array() { "section" } else { "key" };
            let hint = MistakeKind::unknown_key(key, known.clone()).hint().unwrap_or_default();
            report.error(Scope::Stray, place.key, &format!("unknown {what} `{key}`")).help(hint);
        } else if let Some(section) = Section::ALL.into_iter().find(|section| section.word() == key)
            && !matches!(value, Value::Object(_))
        {
            let message = format!("expected sections such as `[{section}.NAME]`");
            report.error(Scope::Node, place.value, &message);
        }
    }
}
