//! `probe-chip` as a process, and as a WebAssembly component.

#![cfg_attr(target_family = "wasm", no_main)]

use sedge_conformance::chip::Chip;

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    sedge_sdk::sensor::<Chip>(env!("CARGO_PKG_VERSION"))
}

sedge_sdk::component!(sensor: Chip);
