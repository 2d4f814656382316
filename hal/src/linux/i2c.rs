//! `/dev/i2c-*`, through the kernel's i2c-dev (Documentation/i2c/dev-interface.rst).
//!
//! One file handle serves all devices of a bus. It is opened when a device is, and again when that failed, so a bus that
//! went and came back, as one on USB does, works again.
//!
//! Not through `linux-embedded-hal`: it drops the number of messages that the kernel says it carried out (an adapter that
//! carries out none then reads as zeros), asks for transfers without a start that the Raspberry Pi cannot do, and has no way
//! to set the time limit of a transfer.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use nix::errno::Errno;
use sedge_plugin::{BusError, Clock, I2cDevice};

use super::delay::Delay;
use super::ioctl::{self, Message};
use super::missing::Nodes;
use super::rebind;
use crate::bus::{Adapter, Bus};

const NODES: Nodes = Nodes {
    prefix: "/dev/i2c-",
    enable: "Enable I2C: run `sudo raspi-config` (Interface Options, I2C), or put `dtparam=i2c_arm=on` into \
             /boot/firmware/config.txt and reboot; on other boards `sudo modprobe i2c-dev`.",
    group: "i2c",
};

/// How a bus of Linux is used.
#[derive(Debug, Clone, PartialEq)]
pub struct I2cOptions {
    /// How long a transfer may take, at least 10 ms. What a device on the bus holds up, it holds up so long.
    pub timeout: Duration,
    /// Whether a bus that somebody holds may be taken from the kernel's driver and given back to it, which resets the
    /// adapter. Needs the rights of root.
    pub rebind: bool,
}

impl Default for I2cOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(200), rebind: false }
    }
}

/// The bus behind a device node such as `/dev/i2c-1`. The node is looked for when a device is opened, not
/// now.
///
/// # Errors
/// When the system gives no more threads.
pub fn i2c_bus(path: &Path, options: I2cOptions, clock: Arc<dyn Clock>) -> io::Result<Bus> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let path = path.to_owned();
    Bus::new(&name, clock, move || Node::new(&path, options.clone()))
}

/// A device node, opened when it is needed. Clones are the same handle.
#[derive(Clone)]
struct Node(Arc<Mutex<State>>);

struct State {
    path: PathBuf,
    options: I2cOptions,
    file: Option<File>,
}

impl Node {
    fn new(path: &Path, options: I2cOptions) -> Self {
        Self(Arc::new(Mutex::new(State { path: path.into(), options, file: None })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn file(&mut self) -> Result<&File, BusError> {
        if self.file.is_none() {
            let open = OpenOptions::new().read(true).write(true).open(&self.path);
            let file = open.map_err(|error| self.gone(error))?;
            match ioctl::functions(&file) {
                Ok(can) if can & ioctl::FUNC_I2C != 0 => {}
                Ok(_) => return Err(BusError::Gone("this adapter can only do SMBus, not I2C".into())),
                Err(errno) => return Err(self.gone(errno.into())),
            }
            let ticks = (self.options.timeout.as_millis() / 10).clamp(1, 6000);
            // An adapter that cannot set it keeps its own.
            let _ = ioctl::set_timeout(&file, u32::try_from(ticks).unwrap_or(u32::MAX));
            self.file = Some(file);
        }
        self.file.as_ref().ok_or(BusError::Gone("the bus is not open".into()))
    }

    fn gone(&self, error: io::Error) -> BusError {
        BusError::Gone(NODES.explain(&self.path, &error).into())
    }

    /// A handle to an adapter that went is no good any more, also when the adapter is back.
    fn failed(&mut self, errno: Errno) -> BusError {
        let error = bus_error(errno);
        if matches!(error, BusError::Gone(_)) {
            self.file = None;
        }
        error
    }
}

impl Adapter for Node {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        let mut state = self.state();
        let asked = ioctl::set_address(state.file()?, address);
        asked.map_err(|errno| state.failed(errno))?;
        drop(state);
        Ok(I2cDevice::new(address, Wire(self.clone()), Delay))
    }

    fn reopen(&mut self) -> Result<(), BusError> {
        let mut state = self.state();
        state.file = None;
        state.file().map(drop)
    }

    fn recover(&mut self) -> Option<Result<(), BusError>> {
        let mut state = self.state();
        if !state.options.rebind {
            return None;
        }
        state.file = None;
        Some(rebind::i2c(&state.path).and_then(|()| state.file().map(drop)))
    }
}

/// One device's way to the bus, with our errors.
struct Wire(Node);

impl ErrorType for Wire {
    type Error = BusError;
}

impl I2c for Wire {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let mut state = self.0.state();
        let file = state.file()?;
        let result = match operations {
            // The two that nearly all drivers use need no copies.
            [Operation::Write(out)] => ioctl::transfer(file, address, &mut [Message::Write(out)]),
            [Operation::Write(out), Operation::Read(buffer)] => {
                ioctl::transfer(file, address, &mut [Message::Write(out), Message::Read(buffer)])
            }
            [Operation::Read(buffer)] => ioctl::transfer(file, address, &mut [Message::Read(buffer)]),
            operations => joined(file, address, operations),
        };
        result.map_err(|errno| state.failed(errno))
    }
}

/// Neighbours of one direction are one message on the wire, as `embedded-hal` defines it.
fn joined(file: &File, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Errno> {
    let mut buffers: Vec<(bool, Vec<u8>)> = Vec::new();
    for operation in operations.iter() {
        let (reads, length) = match operation {
            Operation::Read(buffer) => (true, buffer.len()),
            Operation::Write(out) => (false, out.len()),
        };
        if buffers.last().is_none_or(|last| last.0 != reads) {
            buffers.push((reads, Vec::new()));
        }
        if let Some((_, bytes)) = buffers.last_mut() {
            match operation {
                Operation::Write(out) => bytes.extend_from_slice(out),
                Operation::Read(_) => bytes.resize(bytes.len() + length, 0),
            }
        }
    }
    let mut messages: Vec<Message<'_>> = buffers
        .iter_mut()
        .map(|(reads, bytes)| if *reads { Message::Read(bytes) } else { Message::Write(bytes) })
        .collect();
    ioctl::transfer(file, address, &mut messages)?;
    let mut read = buffers.iter().filter(|(reads, _)| *reads).flat_map(|(_, bytes)| bytes);
    for operation in operations {
        if let Operation::Read(buffer) = operation {
            buffer.iter_mut().zip(&mut read).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(())
}

/// The kernel's fault codes (Documentation/i2c/fault-codes.rst) and what adapters make of them: those of the
/// Raspberry Pi and of DesignWare say EREMOTEIO where the page says ENXIO.
fn bus_error(errno: Errno) -> BusError {
    match errno {
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

    fn node(path: &str) -> Node {
        Node::new(Path::new(path), I2cOptions::default())
    }

    #[test]
    fn a_missing_bus_tells_how_to_enable_it_once_a_device_is_opened() {
        let error = node("/dev/i2c-99").i2c(0x76).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, BusError::Gone(_)));
        for part in ["/dev/i2c-99", "raspi-config", "dtparam=i2c_arm=on", "modprobe i2c-dev"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_bus_is_an_error() {
        let error = node("/dev/null").i2c(0x76).err().unwrap();
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
            assert_eq!(bus_error(errno), error);
        }
        assert!(matches!(bus_error(Errno::ENODEV), BusError::Gone(_)));
        assert!(matches!(bus_error(Errno::EINVAL), BusError::Other(_)));
    }
}
