//! The buses and lines of Linux: `/dev/i2c-*` and `/dev/gpiochip*`.

mod chips;
mod delay;
mod gpio;
mod i2c;
mod ioctl;
mod missing;
mod pwm;
mod rebind;
mod spi;
mod sysfs;

pub use chips::{gpio_chips, line_user};
pub use gpio::lines;
pub use i2c::{I2cOptions, i2c_bus};
pub use pwm::pwm_chip;
pub use spi::spi_bus;
pub use sysfs::{SysfsKind, sysfs_bus};
