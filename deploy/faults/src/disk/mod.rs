//! A disk that forgets what was not synced: a file system of the harness's own, mounted through FUSE.
//!
//! - [`model`]: what is on it, what would be left after a cut, and what it refuses. Pure.
//! - [`mount`]: the same, as the kernel sees it.
//!
//! It needs `/dev/fuse` and root.

pub mod model;
pub mod mount;

pub use model::{Disk, Refuses};
pub use mount::Mounted;
