//! The kinds of processors, one file each.
//!
//! To add one: write its file, name it below, give it a row in [`KINDS`]. The promises in `tests/promises.rs` then hold
//! for it as for the others; the example in its file's first lines is executed there.
//!
//! ```
//! let kind = sedge_plugins::processors::kind("convert").unwrap();
//! assert_eq!(kind.title, "Converts a field to another unit");
//! ```
//!
//! [`common`] has what several of them need. A processor must not keep anything without a bound, and must not take a
//! value for another: what it cannot judge it leaves alone.

pub mod calibrate;
pub mod common;
pub mod convert;
pub mod deadband;
pub mod derive;
pub mod limit;
pub mod range;
pub mod rate;
pub mod smooth;
pub mod stuck;

use sedge_plugin::ProcessorKind;

/// Every kind of processor that comes with a node.
pub const KINDS: &[ProcessorKind] = &[
    ProcessorKind::of::<calibrate::Calibrate>(),
    ProcessorKind::of::<convert::Convert>(),
    ProcessorKind::of::<deadband::Deadband>(),
    ProcessorKind::of::<derive::Derive>(),
    ProcessorKind::of::<limit::Limit>(),
    ProcessorKind::of::<range::Range>(),
    ProcessorKind::of::<rate::Rate>(),
    ProcessorKind::of::<smooth::Smooth>(),
    ProcessorKind::of::<stuck::Stuck>(),
];

/// The kind that the config calls `name`.
pub fn kind(name: &str) -> Option<&'static ProcessorKind> {
    KINDS.iter().find(|kind| kind.kind == name)
}
