//! Whether a component fits this node, said before it runs.
//!
//! What it imports must be of `sedge:plugin`, of our major version: nothing else is here for it, and what it would mean to reach
//! (files, sockets, the environment) it is refused by name.

use sedge_protocol::Version;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The interface that this node offers.
pub const INTERFACE: Version = Version { major: 1, minor: 0 };

const PACKAGE: &str = "sedge:plugin/";

/// What a component must export.
const EXPORTS: [&str; 4] = ["hello", "start", "call", "event"];

/// What does not fit, in a sentence that says what to do.
pub(super) fn check(engine: &Engine, component: &Component) -> Result<(), String> {
    let types = component.component_type();
    let mut strange: Vec<&str> = Vec::new();
    for (name, _) in types.imports(engine) {
        let Some(rest) = name.strip_prefix(PACKAGE) else {
            strange.push(name);
            continue;
        };
        let built_for = rest.split_once('@').map_or("", |(_, version)| version);
        if major_minor(built_for).is_none_or(|built_for| built_for.major != INTERFACE.major) {
            return Err(other_version(built_for));
        }
    }
    if !strange.is_empty() {
        strange.truncate(5);
        let hint = if strange.iter().any(|name| name.starts_with("wasi:")) {
            ". Build it for the target wasm32-unknown-unknown: there is no WASI here"
        } else {
            ""
        };
        return Err(format!(
            "this component imports {}, which a node does not have for components{hint}",
            strange.join(", ")
        ));
    }
    match EXPORTS.iter().find(|name| types.get_export(engine, name).is_none()) {
        Some(lacking) => Err(format!(
            "this component exports no `{lacking}`: it is no plugin of a node (its world is not `sedge:plugin/plugin`)"
        )),
        None => Ok(()),
    }
}

/// What a linker says of a component whose names fit and whose functions do not: it was built for a later interface of the same
/// major version, or for one that only bears our name.
pub(super) fn unlinked(engine: &Engine, component: &Component, error: &wasmtime::Error) -> String {
    let types = component.component_type();
    let versions =
        types.imports(engine).filter_map(|(name, _)| name.split_once('@').map(|(_, version)| version));
    let newest = versions.filter_map(major_minor).max_by_key(|version| version.minor);
    match newest.filter(|newest| newest.minor > INTERFACE.minor) {
        Some(newest) => format!("{}: {error:#}", other_version(&newest.to_string())),
        None => format!("this component does not fit sedge:plugin {INTERFACE}: {error:#}"),
    }
}

fn other_version(built_for: &str) -> String {
    let built_for =
        major_minor(built_for).map_or_else(|| built_for.to_owned(), |version| version.to_string());
    format!(
        "this component was built for sedge:plugin {built_for}; this node offers {INTERFACE}. Build it with the SDK of \
         this node's version"
    )
}

/// `1.0.0` → 1.0
fn major_minor(text: &str) -> Option<Version> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some(Version { major: parts.next()??, minor: parts.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_without_its_patch() {
        assert_eq!(major_minor("0.9.3"), Some(Version { major: 0, minor: 9 }));
        assert_eq!(major_minor("1.2"), Some(Version { major: 1, minor: 2 }));
        for text in ["", "1", "x.y", "1.-2"] {
            assert_eq!(major_minor(text), None, "{text}");
        }
    }
}
