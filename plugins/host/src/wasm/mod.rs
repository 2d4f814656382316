//! Plugins that are WebAssembly components: the carrier that runs them.
//!
//! Why: a component reaches nothing but what `plugin.wit` has, so a stranger's code can run in the node. It has a thread, a limit of
//! memory and of time, and asks for the rest as a process does, message by message.
//!
//! ```
//! use std::sync::Arc;
//! use sedge_host::outside::Carrier;
//! use sedge_host::wasm::{ComponentCarrier, ComponentOptions};
//! use sedge_plugin::Taken;
//! let carrier = ComponentCarrier::new(ComponentOptions {
//!     folder: "/var/lib/sedge/plugins/pump".into(),
//!     file: "pump.wasm".into(),
//!     cache: "/var/cache/sedge/wasm".into(),
//!     compiler: None,
//!     trusted: Arc::new(|_, _| false),
//!     clock: Arc::new(|| Taken { up_ms: 0, wall_ms: None }),
//!     interpreted: false,
//! });
//! assert!(carrier.isolation().contains("WebAssembly"));
//! ```
//!
//! A build without the feature `wasm` has the same carrier, which says so when it is to start something. It must not
//! compile anything, or load what nobody vouches for: see `artefact`.

#[cfg(not(feature = "wasm"))]
mod absent;
#[cfg(feature = "wasm")]
mod artefact;
#[cfg(feature = "wasm")]
mod bindings;
#[cfg(feature = "wasm")]
mod carrier;
#[cfg(feature = "wasm")]
mod engine;
#[cfg(feature = "wasm")]
mod imports;
#[cfg(feature = "wasm")]
mod inbox;
#[cfg(feature = "wasm")]
mod instance;
#[cfg(feature = "wasm")]
mod interface;
#[cfg(feature = "wasm")]
mod limiter;
#[cfg(feature = "wasm")]
mod load;
#[cfg(feature = "wasm")]
mod serve;
#[cfg(feature = "wasm")]
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_plugin::Taken;

#[cfg(not(feature = "wasm"))]
pub use absent::{find_compiler, fingerprint, serve};
#[cfg(feature = "wasm")]
pub use artefact::{COMPILED, MAX_COMPONENT, find_compiler};
#[cfg(feature = "wasm")]
pub use interface::INTERFACE;
#[cfg(feature = "wasm")]
pub use limiter::MEMORY;
#[cfg(feature = "wasm")]
pub use serve::serve;
#[cfg(feature = "wasm")]
pub use settings::{Target, WASMTIME, artefact_name, compiling, config, fingerprint};

/// Whether the installation vouches for a file with this hash (SHA-256): its author or the operator has signed it, or it is of this
/// machine's own making.
pub type Trusted = Arc<dyn Fn(&Path, &[u8; 32]) -> bool + Send + Sync>;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Taken + Send + Sync>;

/// What a carrier of a component is given.
#[derive(Clone)]
pub struct ComponentOptions {
    /// The plugin's folder.
    pub folder: PathBuf,
    /// The component, below it.
    pub file: String,
    /// Where native code is kept that was compiled here: a directory of the node's own.
    pub cache: PathBuf,
    /// The program `sedge-compile`, where there is one: see [`find_compiler`].
    pub compiler: Option<PathBuf>,
    /// Who vouches for native code that a plugin brings along.
    pub trusted: Trusted,
    /// The node's clock.
    pub clock: Clock,
    /// By wasmtime's interpreter, also where there is native code. Slower, and on another path when one is found to be broken.
    pub interpreted: bool,
}

impl fmt::Debug for ComponentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentOptions")
            .field("folder", &self.folder)
            .field("file", &self.file)
            .field("cache", &self.cache)
            .field("compiler", &self.compiler)
            .field("interpreted", &self.interpreted)
            .finish_non_exhaustive()
    }
}

/// Runs a component on a thread of the node.
#[derive(Debug)]
pub struct ComponentCarrier {
    options: Arc<ComponentOptions>,
}

impl ComponentCarrier {
    /// Nothing is read before a start.
    #[must_use]
    pub fn new(options: ComponentOptions) -> Self {
        Self { options: Arc::new(options) }
    }
}
