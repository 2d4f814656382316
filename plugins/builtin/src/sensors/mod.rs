//! The kinds of sensors, one file each.
//!
//! To add one: write its file, name it below, give it a row in [`KINDS`]. The promises in `tests/promises.rs`
//! then hold for it as for the others.
//!
//! ```
//! let kind = sedge_plugins::sensors::kind("bme280").unwrap();
//! assert_eq!(kind.addresses, [0x76, 0x77]);
//! ```

pub mod bh1750;
pub mod bme280;
pub mod tmp117;

use sedge_plugin::SensorKind;

/// Every kind of sensor that comes with a node.
pub const KINDS: &[SensorKind] = &[
    SensorKind::i2c::<bh1750::Bh1750>(),
    SensorKind::i2c::<bme280::Bme280>(),
    SensorKind::i2c::<tmp117::Tmp117>(),
];

/// The kind that the config calls `name`.
pub fn kind(name: &str) -> Option<&'static SensorKind> {
    KINDS.iter().find(|kind| kind.kind == name)
}
