//! A device that the kernel drives: a folder of files under `/sys`.

use super::BusError;
use crate::SensorError;

/// Where the files of a device are.
pub trait Files: Send {
    /// The contents of a file, without the line end. At most 4 KiB.
    ///
    /// # Errors
    /// What the kernel says: many a driver answers a read with the error of its bus.
    fn read(&mut self, file: &str) -> Result<String, BusError>;

    /// The names of its files.
    ///
    /// # Errors
    /// [`BusError::Gone`] when the device is not there any more.
    fn names(&mut self) -> Result<Vec<String>, BusError>;
}

/// One device that the kernel drives.
///
/// ```
/// use sedge_plugin::device::FileDevice;
/// use sedge_plugin::sim::Folder;
/// let mut device = FileDevice::new("28-0316a2794cff", Folder::new(&[("temperature", "21437")]));
/// assert_eq!(device.number("temperature"), Ok(21437.0));
/// ```
pub struct FileDevice {
    name: String,
    files: Box<dyn Files>,
}

impl FileDevice {
    /// A device called `name`, such as `28-0316a2794cff`.
    pub fn new(name: &str, files: impl Files + 'static) -> Self {
        Self { name: name.into(), files: Box::new(files) }
    }

    /// What the kernel calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The contents of a file, without the line end.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn read(&mut self, file: &str) -> Result<String, BusError> {
        self.files.read(file)
    }

    /// The number in a file.
    ///
    /// # Errors
    /// What the kernel says; [`SensorError::Garbage`] where it is no finite number.
    pub fn number(&mut self, file: &str) -> Result<f64, SensorError> {
        let text = self.files.read(file)?;
        match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(SensorError::Garbage(format!("`{file}` holds {text:.40?}, which is no number").into())),
        }
    }

    /// The names of its files.
    ///
    /// # Errors
    /// [`BusError::Gone`] when the device is not there any more.
    pub fn names(&mut self) -> Result<Vec<String>, BusError> {
        self.files.names()
    }
}
