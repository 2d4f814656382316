//! The top level of the file: its version, and the names of its sections.

use sedge_plugin::schema::{MistakeKind, child_pointer, nearest};
use serde_json::Value;

use crate::catalogue::Section;
use crate::document::Document;
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
            report
                .error(Scope::Node, place, &message)
                .help("upgrade sedge, or go back to a config of its version");
            false
        }
        Some(_) => {
            report.error(Scope::Node, place, &format!("expected `config_version = {CONFIG_VERSION}`"));
            true
        }
    }
}

/// The words at the top level of the file.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    ["config_version", "node", "mqtt", "outbox", "calls", "plugins"]
        .into_iter()
        .chain(Section::ALL.map(Section::word))
}

/// The pointers of sections whose name is unknown and probably means `section`.
pub(crate) fn misspelt(document: &Document, section: Section) -> Vec<String> {
    let is_meant =
        |key: &str| !known().any(|word| word == key) && nearest(key, known()) == Some(section.word());
    let keys = document.value.as_object().into_iter().flatten().map(|(key, _)| key);
    keys.filter(|key| is_meant(key)).map(|key| child_pointer("", key)).collect()
}

/// Checks the names of the sections, and that each is a table.
pub(crate) fn check_keys(report: &mut Report<'_>) {
    let document = report.document;
    for (key, value) in document.value.as_object().into_iter().flatten() {
        let place = document.place(&child_pointer("", key));
        if !known().any(|word| word == key) {
            let what = if value.is_object() || value.is_array() { "section" } else { "key" };
            let hint = MistakeKind::unknown_key(key, known()).hint().unwrap_or_default();
            // Who is let in is not left to a misspelt section.
            let meant = nearest(key, known()).filter(|word| ["calls", Section::Caller.word()].contains(word));
            let scope = if meant.is_some() { Scope::Node } else { Scope::Stray };
            report.error(scope, place.key, &format!("unknown {what} `{key}`")).help(hint);
            report.is_certain();
        } else if let Some(section) = Section::ALL.into_iter().find(|section| section.word() == key)
            && !matches!(value, Value::Object(_))
        {
            let message = format!("expected sections such as `[{section}.NAME]`");
            report.error(Scope::Node, place.value, &message);
        }
    }
}
