//! How components are compiled and run: the one place that the compiler and the node share.
//!
//! What a compiler has made fits an engine only where both were set up alike. So the settings stand here once, and a short text
//! of them, the [`fingerprint`], is in the name and in the head of every artefact: another one is refused, not tried.
//!
//! Epochs, not fuel, bound a call: a limit is a time, and counting every block costs what a board does not have. The address
//! space that a memory takes is small, since a kernel with 39 bits has room for few of the usual 4 GiB.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use wasmtime::{Config, ModuleVersionStrategy};

/// The version of wasmtime whose artefacts are understood: the one in `Cargo.lock`, as a test holds.
pub const WASMTIME: &str = "48.0.8";

/// Address space for one memory; one that grows beyond it moves.
const MEMORY_RESERVATION: u64 = 4 * 1024 * 1024;

/// Address space that stays free beside a memory: none, the bounds are checked.
const MEMORY_GUARD: u64 = 0;

/// The most of a stack that a component takes, in bytes.
pub(crate) const STACK: usize = 256 * 1024;

/// What code is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// 64-bit PCs.
    X86_64,
    /// 64-bit boards.
    Aarch64,
    /// Wasmtime's interpreter on 32 bits: what armv6 and armv7 have.
    Pulley32,
    /// Wasmtime's interpreter on 64 bits.
    Pulley64,
}

impl Target {
    /// All that there are.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::Aarch64, Self::Pulley32, Self::Pulley64];

    /// That of this machine.
    #[must_use]
    pub fn host() -> Self {
        match () {
            () if cfg!(target_arch = "x86_64") => Self::X86_64,
            () if cfg!(target_arch = "aarch64") => Self::Aarch64,
            () => Self::pulley(),
        }
    }

    /// Wasmtime's interpreter on this machine.
    #[must_use]
    pub fn pulley() -> Self {
        if cfg!(target_pointer_width = "32") { Self::Pulley32 } else { Self::Pulley64 }
    }

    /// As the compiler calls it.
    fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
            Self::Pulley32 => "pulley32",
            Self::Pulley64 => "pulley64",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Pulley32 => "pulley32",
            Self::Pulley64 => "pulley64",
        })
    }
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "host" => Self::host(),
            "x86_64" => Self::X86_64,
            "aarch64" => Self::Aarch64,
            "armv7" | "armv6" | "pulley32" => Self::Pulley32,
            "pulley64" => Self::Pulley64,
            _ => {
                return Err(format!(
                    "`{text}` is no target: there are host, x86_64, aarch64, armv7, armv6, pulley32, pulley64"
                ));
            }
        })
    }
}

/// The settings of an engine that runs what was made for a target.
///
/// # Errors
/// This build of wasmtime has no such target.
pub fn config(target: Target) -> wasmtime::Result<Config> {
    // A node does not name its own kind of machine: the name would say which C library too, and be refused for another one.
    settings((target != Target::host()).then_some(target))
}

/// The settings of an engine that compiles for a target.
///
/// # Errors
/// This build of wasmtime has no such target.
pub fn compiling(target: Target) -> wasmtime::Result<Config> {
    // Always named, so that code is made for every machine of a kind, and not for the one that happens to compile it.
    settings(Some(target))
}

fn settings(target: Option<Target>) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if let Some(target) = target {
        config.target(target.triple())?;
    }
    config
        .epoch_interruption(true)
        .memory_reservation(MEMORY_RESERVATION)
        .memory_guard_size(MEMORY_GUARD)
        .memory_reservation_for_growth(MEMORY_RESERVATION)
        .guard_before_linear_memory(false)
        .max_wasm_stack(STACK)
        .module_version(ModuleVersionStrategy::Custom(fingerprint()))?;
    Ok(config)
}

/// The version of wasmtime, and a short text of the settings: `48.0.8-1f3a5c7e`.
#[must_use]
pub fn fingerprint() -> String {
    let settings = format!("epochs, no fuel, {MEMORY_RESERVATION} reserved, {MEMORY_GUARD} guard");
    let hash = Sha256::digest(settings);
    format!("{WASMTIME}-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

/// The name of an artefact in a plugin's `compiled/`: `aarch64-48.0.8-1f3a5c7e.cwasm`.
#[must_use]
pub fn artefact_name(target: Target) -> String {
    format!("{target}-{}.cwasm", fingerprint())
}
