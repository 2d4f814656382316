//! `/dev/i2c-*`, through the kernel's i2c-dev.
//!
//! Each device has a file handle of its own, opened with its driver: a bus that went and came back, as one on
//! USB does, works again once the device is opened again.

use std::io;
use std::path::{Path, PathBuf};

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use linux_embedded_hal::i2cdev::linux::LinuxI2CError;
use linux_embedded_hal::{Delay, I2cdev};
use nix::errno::Errno;
use sedge_plugin::{BusError, I2cDevice};

use super::missing::Nodes;
use crate::i2c::{Adapter, I2cBus};

const NODES: Nodes = Nodes {
    prefix: "/dev/i2c-",
    enable: "Enable I2C: run `sudo raspi-config` (Interface Options, I2C), or put `dtparam=i2c_arm=on` into \
             /boot/firmware/config.txt and reboot; on other boards `sudo modprobe i2c-dev`.",
    group: "i2c",
};

/// The bus behind a device node such as `/dev/i2c-1`. The node is looked for when a device is opened, not
/// now.
///
/// # Errors
/// When the system gives no more threads.
pub fn i2c_bus(path: &Path) -> io::Result<I2cBus> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    I2cBus::new(&name, Node { path: path.into() })
}

struct Node {
    path: PathBuf,
}

impl Adapter for Node {
    fn device(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        let bus = I2cdev::new(&self.path).map_err(|error| gone(&self.path, error.into()))?;
        Ok(I2cDevice::new(address, Wire { bus, path: self.path.clone() }, Delay))
    }
}

fn gone(path: &Path, error: io::Error) -> BusError {
    BusError::Gone(NODES.explain(path, &error).into())
}

/// One handle to the bus, with our errors.
struct Wire {
    bus: I2cdev,
    path: PathBuf,
}

impl ErrorType for Wire {
    type Error = BusError;
}

impl I2c for Wire {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        I2c::transaction(&mut self.bus, address, operations).map_err(|error| match error.inner() {
            LinuxI2CError::Errno(errno) => bus_error(*errno),
            // It opens the node again for its address.
            LinuxI2CError::Io(error) => match error.raw_os_error() {
                Some(errno) => gone(&self.path, io::Error::from_raw_os_error(errno)),
                None => BusError::Other(error.to_string().into()),
            },
        })
    }
}

/// The kernel's fault codes (Documentation/i2c/fault-codes.rst) and what adapters make of them: those of the
/// Raspberry Pi and of DesignWare say EREMOTEIO where the page says ENXIO.
fn bus_error(errno: i32) -> BusError {
    match Errno::from_raw(errno) {
        Errno::ENXIO | Errno::EREMOTEIO => BusError::NoAnswer,
        Errno::ETIMEDOUT => BusError::Timeout,
        Errno::EBUSY => BusError::Busy,
        Errno::EAGAIN => BusError::Arbitration,
        Errno::EPROTO => BusError::Refused,
        Errno::ENODEV | Errno::ESHUTDOWN => BusError::Gone("the adapter of the bus has gone".into()),
        Errno::EOPNOTSUPP => BusError::Other("the adapter cannot do such a transfer".into()),
        Errno::EIO => BusError::Other("input/output error (a disturbed or shorted wire)".into()),
        other => BusError::Other(other.desc().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bus_tells_how_to_enable_it_once_a_device_is_opened() {
        let mut node = Node { path: "/dev/i2c-99".into() };
        let error = node.device(0x76).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, BusError::Gone(_)));
        for part in ["/dev/i2c-99", "raspi-config", "dtparam=i2c_arm=on", "modprobe i2c-dev"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_bus_is_an_error() {
        let error = Node { path: "/dev/null".into() }.device(0x76).err().unwrap();
        assert!(matches!(error, BusError::Gone(_)), "{error:?}");
    }

    #[test]
    fn the_kernels_fault_codes_have_their_meaning() {
        for (errno, error) in [
            (Errno::ENXIO, BusError::NoAnswer),
            (Errno::EREMOTEIO, BusError::NoAnswer),
            (Errno::ETIMEDOUT, BusError::Timeout),
            (Errno::EBUSY, BusError::Busy),
            (Errno::EAGAIN, BusError::Arbitration),
        ] {
            assert_eq!(bus_error(errno as i32), error);
        }
        assert!(matches!(bus_error(Errno::ENODEV as i32), BusError::Gone(_)));
        assert!(matches!(bus_error(Errno::EINVAL as i32), BusError::Other(_)));
    }
}
