//! Makes a component of a WebAssembly module, and native code of a component.
//!
//! Why apart from the node: a compiler weighs more than all the rest of it, and reads what strangers have written. A plugin's author
//! runs it, or a board that is quick enough, in a process of its own; the node loads what it has made.
//!
//! ```no_run
//! use sedge_compile::{Target, component, native};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let module = std::fs::read("target/wasm32-unknown-unknown/release/pump.wasm")?;
//! let component = component(&module)?;
//! let artefact = native(&component, Target::Aarch64)?;
//! std::fs::write("pump/pump.wasm", component)?;
//! # Ok(()) }
//! ```
//!
//! The settings of the engine are the node's own (`sedge_host::wasm::compiling`). It must not give a component anything that
//! `plugin.wit` does not have: there are no adapters for WASI.

mod files;
mod imports;

pub use files::{Made, build};
pub use sedge_host::wasm::Target;
use wasmtime::Engine;
use wit_component::ComponentEncoder;

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is neither a module nor a component.
    #[error("this is no WebAssembly: {0}")]
    NoWasm(String),
    /// It imports what a node does not have for components.
    #[error(
        "it imports {}, which a node does not have for components{}",
        .0.join(", "),
        imports::hint(.0)
    )]
    Imports(Vec<String>),
    /// It is no plugin.
    #[error("it exports no `{0}`: it is no plugin (is the SDK's `component!` in it?)")]
    NoPlugin(&'static str),
    /// No component can be made of it.
    #[error("no component can be made of it: {0}")]
    Component(String),
    /// It cannot be compiled.
    #[error("it cannot be compiled for {target}: {error}")]
    Native {
        /// For what.
        target: Target,
        /// What the compiler says.
        error: String,
    },
    /// A file.
    #[error("{file}: {error}")]
    File {
        /// Which one.
        file: String,
        /// What is wrong with it.
        error: String,
    },
}

/// The component of a module that was built for `wasm32-unknown-unknown`. A component is left as it is.
///
/// # Errors
/// It is no plugin, or wants what there is not.
pub fn component(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let found = imports::read(wasm)?;
    if found.is_component {
        imports::check(&found)?;
        return Ok(wasm.to_vec());
    }
    // Before it is encoded, since the encoder's message would speak of adapters.
    imports::check_module(&found)?;
    let made =
        ComponentEncoder::default().validate(true).module(wasm).and_then(|mut encoder| encoder.encode());
    let made = made.map_err(|error| Error::Component(format!("{error:#}")))?;
    imports::check(&imports::read(&made)?)?;
    Ok(made)
}

/// The native code of a component, which a node loads whose [fingerprint](sedge_host::wasm::fingerprint) is the same.
///
/// # Errors
/// It is broken, or needs a feature of WebAssembly that is not here.
pub fn native(component: &[u8], target: Target) -> Result<Vec<u8>, Error> {
    let failed = |error: wasmtime::Error| Error::Native { target, error: format!("{error:#}") };
    let config = sedge_host::wasm::compiling(target).map_err(failed)?;
    Engine::new(&config).and_then(|engine| engine.precompile_component(component)).map_err(failed)
}
