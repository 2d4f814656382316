//! The buses and lines of Linux: `/dev/i2c-*` and `/dev/gpiochip*`.

mod gpio;
mod i2c;
mod missing;

pub use gpio::lines;
pub use i2c::i2c_bus;
