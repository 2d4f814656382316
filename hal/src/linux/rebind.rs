//! Takes an adapter from its driver and gives it back: the reset that Linux has from user space.
//!
//! `/sys/bus/i2c/devices/i2c-1` is a link into the tree of devices; the folder above it is the adapter's device, whose
//! `driver` has the files `unbind` and `bind`. Needs the rights of root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sedge_plugin::BusError;

/// Resets the adapter behind `/dev/i2c-N`.
pub(super) fn i2c(node: &Path) -> Result<(), BusError> {
    below(Path::new("/sys/bus/i2c/devices"), node)
}

fn below(devices: &Path, node: &Path) -> Result<(), BusError> {
    let name = node.file_name().unwrap_or_default();
    let failed = |what: &Path, error: &io::Error| {
        BusError::Other(format!("the adapter could not be reset: {}: {error}", what.display()).into())
    };
    let link = devices.join(name);
    let adapter = fs::canonicalize(&link).map_err(|error| failed(&link, &error))?;
    let device = adapter.parent().unwrap_or(&adapter);
    let driver = device.join("driver");
    let driver: PathBuf = fs::canonicalize(&driver).map_err(|error| failed(&driver, &error))?;
    let word = device.file_name().unwrap_or_default().to_string_lossy();
    let unbind = driver.join("unbind");
    fs::write(&unbind, word.as_bytes()).map_err(|error| failed(&unbind, &error))?;
    // Without it the bus is gone until somebody binds it by hand.
    let bind = driver.join("bind");
    let attempt = || fs::write(&bind, word.as_bytes());
    attempt().or_else(|_| attempt()).or_else(|_| attempt()).map_err(|error| failed(&bind, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_of_the_adapter_is_unbound_and_bound() {
        let root = std::env::temp_dir().join(format!("sedge-rebind-{}", std::process::id()));
        let (devices, driver) = (root.join("bus/i2c/devices"), root.join("driver/i2c-bcm2835"));
        let adapter = root.join("soc/3f804000.i2c/i2c-1");
        for folder in [&devices, &driver, &adapter] {
            fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(&adapter, devices.join("i2c-1")).unwrap();
        std::os::unix::fs::symlink(&driver, root.join("soc/3f804000.i2c/driver")).unwrap();
        below(&devices, Path::new("/dev/i2c-1")).unwrap();
        for file in ["unbind", "bind"] {
            assert_eq!(fs::read_to_string(driver.join(file)).unwrap(), "3f804000.i2c");
        }
        assert!(below(&devices, Path::new("/dev/i2c-7")).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
