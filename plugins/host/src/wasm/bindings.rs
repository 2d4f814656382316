//! `plugin.wit` as Rust types, made by wasmtime.
#![allow(missing_docs, clippy::all)]

wasmtime::component::bindgen!({
    path: "../protocol/wit",
    world: "plugin",
    imports: { default: trappable },
});
