//! Plugins that lie on disk: found, read and checked.
//!
//! Why before and without running them: a list must be quick, must not do what a stranger's code does, and must show
//! also what cannot run. So a plugin is a folder with a [`plugin.toml`](manifest) that says everything that a node
//! needs to know before it starts it.
//!
//! ```
//! use sedge_host::{Cache, Place, discover};
//! # let home = std::env::temp_dir().join(format!("sedge-host-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(home.join("plugins/pump")).unwrap();
//! let manifest = r#"
//!     manifest = 1
//!     [plugin]
//!     name = "pump"
//!     version = "1.2.0"
//!     description = "Drives a pump."
//!     [entry]
//!     command = ["python3", "main.py"]
//! "#;
//! std::fs::write(home.join("plugins/pump/plugin.toml"), manifest)?;
//!
//! let places = [Place::user(home.join("plugins")), Place::system("/usr/lib/sedge/plugins")];
//! let listing = discover(&places);
//! let declaration = listing.found[0].outcome.as_ref().expect("no mistakes");
//! assert_eq!(declaration.info.description, "Drives a pump.");
//!
//! // The same, and next time without reading a manifest that has not changed.
//! assert_eq!(Cache::new(home.join("cache")).discover(&places), listing);
//! # std::fs::remove_dir_all(home)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It must not read the environment (the caller knows the places), look beyond a plugin's folder, or let what a
//! stranger wrote end more than the plugin that he wrote it for.

mod check;
pub mod listing;
pub mod manifest;
mod mistake;
pub mod outside;
pub mod process;
pub mod wasm;

pub use check::check;
pub use listing::{Cache, Found, Listing, Origin, Place, Shadow, discover};
pub use manifest::{
    Declaration, DeclaredField, DeclaredHook, DeclaredSensor, DeclaredTool, Entry, PythonNeeds, SchemaText,
    parse, read,
};
pub use mistake::{Mistake, Position};
