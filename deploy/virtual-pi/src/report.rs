//! The reports of a Silicon Labs CP2112: what its host asks, and what it answers.
//!
//! AN495 is the book; Linux' `hid-cp2112.c` is the host. All of it is pure.
//!
//! ```
//! use sedge_virtual_pi::report::{Request, Transfer};
//! let read = Request::parse(&[0x11, 0x76 << 1, 0, 8, 1, 0xF7]);
//! assert_eq!(read, Some(Request::Transfer(Transfer { address: 0x76, write: vec![0xF7], read: 8 })));
//! ```

/// Who made it: Silicon Labs, once Cygnal.
pub const VENDOR: u32 = 0x10C4;
/// What it is.
pub const PRODUCT: u32 = 0xEA90;

/// Direction and kind of each GPIO line.
pub const GPIO_CONFIG: u8 = 0x02;
/// Levels of the GPIO lines.
pub const GPIO_GET: u8 = 0x03;
/// Sets levels.
pub const GPIO_SET: u8 = 0x04;
/// Part number and revision.
pub const VERSION: u8 = 0x05;
/// Clock and timeouts of I2C.
pub const SMBUS_CONFIG: u8 = 0x06;
/// Which of the texts may be changed.
pub const LOCK: u8 = 0x20;
/// Vendor, product, power.
pub const USB_CONFIG: u8 = 0x21;
const READ: u8 = 0x10;
const WRITE_READ: u8 = 0x11;
const FORCE_SEND: u8 = 0x12;
const READ_RESPONSE: u8 = 0x13;
const WRITE: u8 = 0x14;
const STATUS: u8 = 0x15;
const STATUS_RESPONSE: u8 = 0x16;
const CANCEL: u8 = 0x17;

/// Bytes of an answer to [`Request::Send`] that are data.
pub const CHUNK: usize = 61;
/// Bytes of an input report, with its number.
const INPUT: usize = 64;

/// Declares the two input reports that the kernel must know before it takes them; all others it passes through.
pub const DESCRIPTOR: &[u8] = &[
    0x06,
    0x00,
    0xFF, // a page of the vendor's
    0x09,
    0x01,
    0xA1,
    0x01, // one collection
    0x15,
    0x00,
    0x26,
    0xFF,
    0x00,
    0x75,
    0x08,
    0x95,
    0x3F, // of 63 bytes each
    0x85,
    READ_RESPONSE,
    0x09,
    0x01,
    0x81,
    0x02, // in
    0x85,
    STATUS_RESPONSE,
    0x09,
    0x01,
    0x81,
    0x02, // in
    0xC0,
];

/// What goes over the wires between a start and a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// To whom, 7 bits.
    pub address: u8,
    /// What is written first; none where it is a read alone.
    pub write: Vec<u8>,
    /// How many bytes are read then.
    pub read: usize,
}

/// What an output report asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A transfer.
    Transfer(Transfer),
    /// How the last transfer went.
    Status,
    /// So many bytes of what it read.
    Send(usize),
    /// To forget the transfer.
    Cancel,
}

impl Request {
    /// Reads an output report, its number first; none where it makes no sense.
    pub fn parse(report: &[u8]) -> Option<Self> {
        let count = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
        Some(match *report {
            [READ, address, high, low, ..] => {
                Self::Transfer(Transfer { address: address >> 1, write: vec![], read: count(high, low) })
            }
            [WRITE_READ, address, high, low, length, ref target @ ..] => {
                let write = target.get(..usize::from(length))?.to_vec();
                Self::Transfer(Transfer { address: address >> 1, write, read: count(high, low) })
            }
            [WRITE, address, length, ref data @ ..] => {
                let write = data.get(..usize::from(length))?.to_vec();
                Self::Transfer(Transfer { address: address >> 1, write, read: 0 })
            }
            [STATUS, ..] => Self::Status,
            [FORCE_SEND, high, low, ..] => Self::Send(count(high, low)),
            [CANCEL, ..] => Self::Cancel,
            _ => return None,
        })
    }
}

/// How a transfer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// There was none.
    #[default]
    Idle,
    /// All bytes went over the wires; so many were read.
    Complete(u16),
    /// Nobody acknowledged.
    Nack,
}

/// The input report that tells how a transfer went.
pub fn status(status: Status) -> Vec<u8> {
    let [state, detail, length] = match status {
        Status::Idle => [0, 0, 0],
        Status::Complete(read) => [2, 5, read],
        Status::Nack => [3, 0, 0],
    };
    let [high, low] = length.to_be_bytes();
    padded(vec![STATUS_RESPONSE, state as u8, detail as u8, 0, 0, high, low])
}

/// The input report that carries up to [`CHUNK`] bytes of what was read.
pub fn read_response(data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(CHUNK)];
    padded([&[READ_RESPONSE, 2, data.len() as u8], data].concat())
}

fn padded(mut report: Vec<u8>) -> Vec<u8> {
    report.resize(INPUT, 0);
    report
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_transfers_are_understood() {
        let transfer = |address, write: &[u8], read| {
            Some(Request::Transfer(Transfer { address, write: write.to_vec(), read }))
        };
        assert_eq!(Request::parse(&[0x10, 0x46, 0, 2]), transfer(0x23, &[], 2));
        assert_eq!(Request::parse(&[0x11, 0xEC, 0, 26, 1, 0x88]), transfer(0x76, &[0x88], 26));
        assert_eq!(Request::parse(&[0x14, 0xEC, 2, 0xF4, 0x25]), transfer(0x76, &[0xF4, 0x25], 0));
        assert_eq!(Request::parse(&[0x15, 0x01]), Some(Request::Status));
        assert_eq!(Request::parse(&[0x12, 0, 8]), Some(Request::Send(8)));
        assert_eq!(Request::parse(&[0x14, 0xEC, 3, 0xF4]), None, "shorter than it says");
        assert_eq!(Request::parse(&[0x77]), None);
    }

    #[test]
    fn an_answer_is_as_long_as_the_descriptor_says() {
        assert_eq!(status(Status::Complete(300))[..7], [0x16, 2, 5, 0, 0, 1, 44]);
        assert_eq!(status(Status::Nack)[..3], [0x16, 3, 0]);
        assert_eq!(read_response(&[1, 2])[..5], [0x13, 2, 2, 1, 2]);
        assert_eq!([status(Status::Idle).len(), read_response(&[7; 100]).len()], [INPUT; 2]);
    }

    proptest! {
        #[test]
        fn no_report_makes_it_panic_and_none_is_longer_than_it_was(report: Vec<u8>) {
            if let Some(Request::Transfer(transfer)) = Request::parse(&report) {
                prop_assert!(transfer.write.len() < report.len() && transfer.address < 0x80);
            }
        }
    }
}
