//! Loading what a compiler has made. The only `unsafe` of this crate.
//!
//! An artefact is machine code that nobody checks: whoever can choose its bytes, runs in the node. So it is loaded only from
//! [`Vouched`] bytes, which `artefact` makes where it knows where they come from, and only the bytes that were hashed are loaded:
//! a file is never opened a second time.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// An artefact of a compiler of ours, unchanged since: its hash is one that the installation or our own cache has kept.
pub(super) struct Vouched(pub(super) Vec<u8>);

/// Makes a component of it.
///
/// # Errors
/// It was made by another version of wasmtime, or with other settings, or for another machine.
pub(super) fn load(engine: &Engine, artefact: &Vouched) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that `Engine::precompile_component` has made and nobody has changed since. A `Vouched`
    // is made in `artefact.rs` alone, of bytes whose hash the installation vouches for (its author's or the operator's signature,
    // or the operator's decision), or that our own compiler has left in a directory into which only this user and root can write,
    // and whose hash is the one beside them. Version, settings and target stand in the head of the bytes, and are checked by it.
    unsafe { Component::deserialize(engine, &artefact.0) }
}
