//! What a module or a component imports and exports, before anything is made of it.

use wasmparser::{Encoding, Parser, Payload};

use crate::Error;

const PACKAGE: &str = "sedge:plugin/";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) is_component: bool,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

pub(crate) fn read(wasm: &[u8]) -> Result<Found, Error> {
    let broken = |error: wasmparser::BinaryReaderError| Error::NoWasm(error.to_string());
    let mut found = Found::default();
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::Version { encoding, .. } if depth == 0 => {
                found.is_component = encoding == Encoding::Component;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    found.imports.push(import.map_err(broken)?.module.to_owned());
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    found.imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    found.exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    found.imports.sort();
    found.imports.dedup();
    Ok(found)
}

/// What a module must not import.
pub(crate) fn check_module(found: &Found) -> Result<(), Error> {
    let strange: Vec<String> =
        found.imports.iter().filter(|name| !name.starts_with(PACKAGE)).cloned().collect();
    if strange.is_empty() { Ok(()) } else { Err(Error::Imports(strange)) }
}

/// What a component must not import, and must export.
pub(crate) fn check(found: &Found) -> Result<(), Error> {
    check_module(found)?;
    let lacking = ["hello", "start", "call", "event"]
        .into_iter()
        .find(|name| !found.exports.iter().any(|one| one == name));
    lacking.map_or(Ok(()), |name| Err(Error::NoPlugin(name)))
}

/// What is to be done about an import.
pub(crate) fn hint(imports: &[String]) -> &'static str {
    let any = |prefix: &str| imports.iter().any(|name| name.starts_with(prefix));
    match () {
        () if any("wasi") => ". Build it for the target wasm32-unknown-unknown: there is no WASI here",
        () if any("__wbindgen") => {
            ". A dependency of it expects a browser (wasm-bindgen): find it with `cargo tree -i wasm-bindgen`"
        }
        () if any("env") => ". Something of it is in C, or declares functions `extern`",
        () => "",
    }
}
