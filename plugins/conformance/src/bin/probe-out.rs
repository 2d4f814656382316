//! `probe-out` as a process, and as a WebAssembly component.

#![cfg_attr(target_family = "wasm", no_main)]

use sedge_conformance::out::Out;

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    sedge_sdk::plugin::<Out>()
}

sedge_sdk::component!(plugin: Out);
