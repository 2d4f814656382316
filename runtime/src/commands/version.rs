//! `sedge version`.

use serde_json::json;

use crate::cli::Global;
use crate::exit::Failure;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it was built for, such as `aarch64-linux`.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Prints the version.
#[expect(clippy::print_stdout, reason = "a command prints")]
pub fn version(global: &Global) -> Result<(), Failure> {
    let broker = cfg!(feature = "embedded-broker");
    if global.json {
        println!("{}", json!({ "version": VERSION, "target": target(), "embedded_broker": broker }));
    } else {
        println!("sedge {VERSION} ({}{})", target(), if broker { ", with embedded broker" } else { "" });
    }
    Ok(())
}
