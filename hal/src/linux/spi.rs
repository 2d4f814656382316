//! `/dev/spidev*`, through the kernel's spidev.
//!
//! Each device has a node of its own, opened with its driver: a chip select is one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use embedded_hal::spi::{ErrorType, Operation};
use sedge_plugin::{BusError, Clock, SpiDevice, SpiMode};
use spidev::{SpiModeFlags, Spidev, SpidevOptions, SpidevTransfer};

use super::delay::Delay;
use super::missing::Nodes;
use crate::bus::{Adapter, Bus};

const NODES: Nodes = Nodes {
    prefix: "/dev/spidev",
    enable: "Enable SPI: run `sudo raspi-config` (Interface Options, SPI), or put `dtparam=spi=on` into \
             /boot/firmware/config.txt and reboot.",
    group: "spi",
};

/// The bus whose devices are `/dev/spidev0.0`, `/dev/spidev0.1` and so on, for a `path` of `/dev/spidev0`. They are looked for
/// when a device is opened, not now.
///
/// # Errors
/// When the system gives no more threads.
pub fn spi_bus(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = path.to_owned();
    Bus::new(&name, clock, move || Selects(path.clone()))
}

struct Selects(PathBuf);

impl Adapter for Selects {
    fn spi(&mut self, select: u8, mode: SpiMode) -> Result<SpiDevice, BusError> {
        let path = PathBuf::from(format!("{}.{select}", self.0.display()));
        let gone = |error: io::Error| BusError::Gone(NODES.explain(&path, &error).into());
        let mut bus = Spidev::open(&path).map_err(gone)?;
        let flags = SpiModeFlags::from_bits_truncate(u32::from(mode.mode & 0b11));
        let options = SpidevOptions::new().bits_per_word(8).max_speed_hz(mode.max_hz).mode(flags).build();
        bus.configure(&options).map_err(gone)?;
        Ok(SpiDevice::new(Wire(bus), Delay))
    }
}

struct Wire(Spidev);

impl ErrorType for Wire {
    type Error = BusError;
}

impl embedded_hal::spi::SpiDevice for Wire {
    /// One transaction of the kernel: the chip stays selected throughout. A delay waits in the kernel as well.
    fn transaction(&mut self, operations: &mut [Operation<'_, u8>]) -> Result<(), BusError> {
        // What is transferred in place is written from a copy.
        let copies: Vec<Vec<u8>> = operations
            .iter()
            .map(|operation| match operation {
                Operation::TransferInPlace(bytes) => bytes.to_vec(),
                Operation::Transfer(buffer, out) => {
                    let mut out = out.to_vec();
                    out.resize(buffer.len().max(out.len()), 0);
                    out
                }
                _ => Vec::new(),
            })
            .collect();
        let mut read: Vec<Vec<u8>> = copies.iter().map(|copy| vec![0; copy.len()]).collect();
        let mut transfers = Vec::with_capacity(operations.len());
        for ((operation, copy), read) in operations.iter_mut().zip(&copies).zip(&mut read) {
            match operation {
                Operation::Read(buffer) => transfers.push(SpidevTransfer::read(buffer)),
                Operation::Write(out) => transfers.push(SpidevTransfer::write(out)),
                Operation::Transfer(..) | Operation::TransferInPlace(_) => {
                    transfers.push(SpidevTransfer::read_write(copy, read));
                }
                Operation::DelayNs(ns) => {
                    let us = u16::try_from(ns.div_ceil(1000)).unwrap_or(u16::MAX);
                    transfers.push(SpidevTransfer::delay(us));
                }
            }
        }
        self.0.transfer_multiple(&mut transfers).map_err(failed)?;
        drop(transfers);
        for (operation, read) in operations.iter_mut().zip(&read) {
            if let Operation::Transfer(buffer, _) | Operation::TransferInPlace(buffer) = operation {
                let length = buffer.len();
                buffer.copy_from_slice(&read[..length]);
            }
        }
        Ok(())
    }
}

fn failed(error: io::Error) -> BusError {
    match error.kind() {
        io::ErrorKind::TimedOut => BusError::Timeout,
        io::ErrorKind::NotFound => BusError::Gone("the adapter of the bus has gone".into()),
        _ => BusError::Other(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: SpiMode = SpiMode { mode: 0, max_hz: 1_000_000 };

    #[test]
    fn a_missing_bus_tells_how_to_enable_it_once_a_device_is_opened() {
        let error = Selects("/dev/spidev99".into()).spi(1, MODE).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, BusError::Gone(_)));
        for part in ["/dev/spidev99.1", "dtparam=spi=on"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
