//! `sedge version`.

use serde_json::json;

use crate::cli::Global;
use crate::exit::Failure;
use crate::show::say;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What it was built for, such as `aarch64-linux`.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Prints the version.
pub fn version(global: &Global) -> Result<(), Failure> {
    let broker = cfg!(feature = "embedded-broker");
    if global.json {
        say(json!({ "version": VERSION, "target": target(), "embedded_broker": broker }))?;
    } else {
        say(format_args!(
            "sedge {VERSION} ({}{})",
            target(),
            if broker { ", with embedded broker" } else { "" }
        ))?;
    }
    Ok(())
}
