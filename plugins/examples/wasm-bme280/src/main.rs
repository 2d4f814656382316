//! The same driver as a process of its own.

fn main() -> std::process::ExitCode {
    sedge_sdk::sensor::<wasm_bme280::Bme280>(env!("CARGO_PKG_VERSION"))
}
