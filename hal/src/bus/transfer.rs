//! A transfer of whoever has no driver here: parts that are written and read, without letting go of the bus.

use embedded_hal::i2c::{I2c, Operation};
use sedge_plugin::{I2cDevice, SensorError};

/// One part of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes are written.
    Write(Vec<u8>),
    /// So many bytes are read.
    Read(usize),
}

/// Does all parts; gives what was read, one answer per [`Part::Read`], in order.
pub(super) fn run(device: I2cDevice, parts: &[Part]) -> Result<Vec<Vec<u8>>, SensorError> {
    let read = |part: &Part| match part {
        Part::Read(bytes) => Some(vec![0; *bytes]),
        Part::Write(_) => None,
    };
    let mut answers: Vec<Vec<u8>> = parts.iter().filter_map(read).collect();
    let mut buffers = answers.iter_mut();
    let mut operations: Vec<Operation<'_>> = Vec::with_capacity(parts.len());
    for part in parts {
        operations.extend(match part {
            Part::Write(bytes) => Some(Operation::Write(bytes)),
            Part::Read(_) => buffers.next().map(|buffer| Operation::Read(buffer)),
        });
    }
    let address = device.address();
    device.split().0.transaction(address, &mut operations)?;
    Ok(answers)
}
