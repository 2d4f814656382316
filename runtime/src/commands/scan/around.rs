//! All that is on a board, with no config to say what to expect: for `sedge init`.
//!
//! Only buses for sensors are looked at. What hangs on the bus of a display, a camera or a memory bank may be confused by
//! being asked; such adapters are named in a note instead, and `sedge sensor scan --bus` looks at one.

use std::path::{Path, PathBuf};

use sedge_hal::scan::{self, GpioChip};

use super::{Devices, Look, Running, devices, look};
use crate::buses::device_named;
use crate::commands::example;
use crate::commands::hardware::Hardware;
use crate::exit::Failure;
use crate::load::load_as;

/// What the name of an adapter has that is not for sensors: displays, the camera, the header's EEPROM, memory banks.
const FOREIGN: [&str; 15] = [
    "AMDGPU",
    "DDC",
    "DPDDC",
    "HDMI",
    "I801",
    "NVIDIA",
    "PIIX4",
    "hdmi",
    "i2c@7e205000",
    "i2c@7e805000",
    "i915",
    "mux",
    "nouveau",
    "107d5082",
    "fef0",
];

/// What there is on a board.
#[derive(Default)]
pub struct Around {
    /// Its I2C buses.
    pub looks: Vec<Look>,
    /// What the kernel drives.
    pub devices: Devices,
    /// Device nodes of SPI.
    pub spi: Vec<PathBuf>,
    /// GPIO chips.
    pub chips: Vec<GpioChip>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Looks at the board below `root`, for a config at `file` whose main file says nothing: what is laid over it is known
/// already. What a node reads, as far as that tells, is left alone.
///
/// # Errors
/// When what is laid over the config cannot be read.
pub async fn around(file: &Path, root: &Path, running: Option<&Running>) -> Result<Around, Failure> {
    let dev = root.join("dev");
    let mut around =
        Around { spi: scan::nodes(&dev, "spidev"), chips: scan::gpio_chips(&dev), ..Around::default() };
    let known = load_as(file, String::new())?.config.unwrap_or_default();
    let is_known = |node: &PathBuf| known.buses.iter().any(|bus| device_named(bus).as_ref() == Some(node));
    let (mut sections, mut foreign) = (String::new(), Vec::new());
    for node in scan::nodes(&dev, "i2c-").into_iter().filter(|node| !is_known(node)) {
        let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_foreign(root, &name) {
            foreign.push(name);
            continue;
        }
        let device = example::toml(&node.display().to_string().into());
        sections.push_str(&format!("{}device = {device}\n", example::bus_section(&name, "i2c")));
    }
    if !foreign.is_empty() {
        around.notes.push(format!(
            "{}: of a display, a camera or a memory bank by its name, not looked at; `sedge sensor scan --bus {}` does",
            foreign.join(", "),
            foreign[0]
        ));
    }
    let loaded = load_as(file, sections)?;
    let folder = loaded.folder();
    let hardware = Hardware::open(loaded.config.unwrap_or_default(), folder);
    around.looks = look(&hardware, None, running, root, true, &mut around.notes).await;
    for look in &mut around.looks {
        look.configured = known.buses.iter().any(|bus| bus.id.as_str() == look.bus);
    }
    around.devices = devices::devices(&hardware, None, root);
    Ok(around)
}

fn is_foreign(root: &Path, adapter: &str) -> bool {
    let name = std::fs::read_to_string(root.join("sys/class/i2c-adapter").join(adapter).join("name"));
    name.is_ok_and(|name| FOREIGN.iter().any(|word| name.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_of_a_display_is_not_one_for_sensors() {
        let root = std::env::temp_dir().join(format!("sedge-around-{}", std::process::id()));
        for (adapter, name, foreign) in [
            ("i2c-0", "bcm2835 (i2c@7e205000)", true),
            ("i2c-1", "bcm2835 (i2c@7e804000)", false),
            ("i2c-2", "bcm2835 (i2c@7e805000)", true),
            ("i2c-3", "CP2112 SMBus Bridge on hidraw0", false),
            ("i2c-11", "i2c-22-mux (chan_id 1)", true),
            ("i2c-13", "107d508200.i2c", true),
            ("i2c-20", "fef04500.i2c", true),
            ("i2c-6", "Synopsys DesignWare I2C adapter", false),
        ] {
            let folder = root.join("sys/class/i2c-adapter").join(adapter);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("name"), name).unwrap();
            assert_eq!(is_foreign(&root, adapter), foreign, "{name}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
