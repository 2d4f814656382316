//! The language of `/dev/uhid`: a program plays a HID device, the kernel plays the host.
//!
//! The layout is that of `linux/uhid.h`: a little-endian type, then a packed struct. All of it is pure; whoever owns the
//! file reads and writes.
//!
//! ```
//! use sedge_virtual_pi::uhid::{Event, GET_REPORT};
//! let mut bytes = GET_REPORT.to_le_bytes().to_vec();
//! bytes.extend([7, 0, 0, 0, 0x05, 0]);
//! assert_eq!(Event::parse(&bytes), Event::GetReport { id: 7, report: 0x05 });
//! ```
//!
//! Boards on which the kernel runs big-endian are not thought of.

/// The longest event of either side: a device that is created.
pub const MAX_EVENT: usize = 4 + 128 + 64 + 64 + 2 + 2 + 4 * 4 + MAX_DATA;
const MAX_DATA: usize = 4096;

const DESTROY: u32 = 1;
const OUTPUT: u32 = 6;
/// The kernel asks for a feature report.
pub const GET_REPORT: u32 = 9;
const GET_REPORT_REPLY: u32 = 10;
const CREATE2: u32 = 11;
const INPUT2: u32 = 12;
const SET_REPORT: u32 = 13;
const SET_REPORT_REPLY: u32 = 14;

const BUS_USB: u16 = 3;
const EIO: u16 = 5;

/// What the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An output report, its number first.
    Output(Vec<u8>),
    /// It asks for a feature report.
    GetReport {
        /// To be said in the answer.
        id: u32,
        /// The number of the report.
        report: u8,
    },
    /// It sets a feature report, its number first.
    SetReport {
        /// To be said in the answer.
        id: u32,
        /// The report.
        data: Vec<u8>,
    },
    /// Started, stopped, opened, closed, or something that came after this was written.
    Other,
}

impl Event {
    /// Reads an event; one that is cut off is [`Other`](Self::Other).
    pub fn parse(bytes: &[u8]) -> Self {
        Self::try_parse(bytes).unwrap_or(Self::Other)
    }

    fn try_parse(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk()?;
        Some(match u32::from_le_bytes(*kind) {
            OUTPUT => {
                let (data, [low, high, ..]) = rest.split_at_checked(MAX_DATA)? else { return None };
                Self::Output(data.get(..usize::from(u16::from_le_bytes([*low, *high])))?.to_vec())
            }
            GET_REPORT => {
                let (id, [report, ..]) = rest.split_first_chunk()? else { return None };
                Self::GetReport { id: u32::from_le_bytes(*id), report: *report }
            }
            SET_REPORT => {
                let (id, [_, _, low, high, data @ ..]) = rest.split_first_chunk()? else { return None };
                let size = usize::from(u16::from_le_bytes([*low, *high]));
                Self::SetReport { id: u32::from_le_bytes(*id), data: data.get(..size)?.to_vec() }
            }
            _ => Self::Other,
        })
    }
}

/// What a device says of itself when it is plugged in.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// Its name.
    pub name: &'a str,
    /// Who made it.
    pub vendor: u32,
    /// What it is.
    pub product: u32,
    /// Which reports it has, in the language of HID descriptors.
    pub descriptor: &'a [u8],
}

/// Plugs a device in, on USB.
pub fn create(device: Device<'_>) -> Vec<u8> {
    let mut event = CREATE2.to_le_bytes().to_vec();
    text(&mut event, device.name, 128);
    text(&mut event, "virtual", 64);
    text(&mut event, "", 64);
    event.extend(size(device.descriptor));
    event.extend(BUS_USB.to_le_bytes());
    for word in [device.vendor, device.product, 0, 0] {
        event.extend(word.to_le_bytes());
    }
    event.extend(device.descriptor);
    event
}

/// Pulls it out again.
pub fn destroy() -> Vec<u8> {
    DESTROY.to_le_bytes().to_vec()
}

/// An input report, its number first.
pub fn input(report: &[u8]) -> Vec<u8> {
    [&INPUT2.to_le_bytes()[..], &size(report), report].concat()
}

/// Answers [`Event::GetReport`]; with an I/O error where there is no such report.
pub fn get_report_reply(id: u32, report: Option<&[u8]>) -> Vec<u8> {
    let error = if report.is_some() { 0 } else { EIO };
    let data = report.unwrap_or_default();
    let head = [&GET_REPORT_REPLY.to_le_bytes()[..], &id.to_le_bytes(), &error.to_le_bytes()].concat();
    [&head[..], &size(data), data].concat()
}

/// Answers [`Event::SetReport`].
pub fn set_report_reply(id: u32, known: bool) -> Vec<u8> {
    let error = if known { 0 } else { EIO };
    [&SET_REPORT_REPLY.to_le_bytes()[..], &id.to_le_bytes(), &error.to_le_bytes()].concat()
}

/// A C string in a field of so many bytes, cut off where it is longer.
fn text(event: &mut Vec<u8>, text: &str, field: usize) {
    let end = event.len() + field;
    event.extend(text.bytes().take(field - 1));
    event.resize(end, 0);
}

fn size(data: &[u8]) -> [u8; 2] {
    u16::try_from(data.len().min(MAX_DATA)).unwrap_or_default().to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_output_report_ends_where_its_size_says() {
        let mut bytes = OUTPUT.to_le_bytes().to_vec();
        bytes.extend([0x15, 0x01]);
        bytes.resize(4 + MAX_DATA, 0);
        bytes.extend([2, 0, 1]);
        assert_eq!(Event::parse(&bytes), Event::Output(vec![0x15, 0x01]));
    }

    #[test]
    fn a_report_that_is_set_comes_with_its_number() {
        let mut bytes = SET_REPORT.to_le_bytes().to_vec();
        bytes.extend([9, 0, 0, 0, 0x04, 0, 3, 0, 0x04, 0xFF, 0x01, 0xEE]);
        assert_eq!(Event::parse(&bytes), Event::SetReport { id: 9, data: vec![0x04, 0xFF, 0x01] });
    }

    #[test]
    fn a_device_is_created_with_its_descriptor_at_the_end() {
        let event =
            create(Device { name: "a bridge", vendor: 0x10C4, product: 0xEA90, descriptor: &[1, 2, 3] });
        assert_eq!(event.len(), MAX_EVENT - MAX_DATA + 3);
        assert!(event[4..].starts_with(b"a bridge\0"));
        assert_eq!(event[4 + 256..][..12], [3, 0, 3, 0, 0xC4, 0x10, 0, 0, 0x90, 0xEA, 0, 0]);
        assert!(event.ends_with(&[0, 0, 0, 0, 1, 2, 3]));
    }

    #[test]
    fn answers_carry_the_number_of_the_question() {
        assert_eq!(get_report_reply(7, Some(&[5, 12, 3])), [10, 0, 0, 0, 7, 0, 0, 0, 0, 0, 3, 0, 5, 12, 3]);
        assert_eq!(get_report_reply(7, None), [10, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(set_report_reply(8, true), [14, 0, 0, 0, 8, 0, 0, 0, 0, 0]);
        assert_eq!(input(&[0x16, 2]), [12, 0, 0, 0, 2, 0, 0x16, 2]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 0u32..16, bytes: Vec<u8>) {
            Event::parse(&[&kind.to_le_bytes()[..], &bytes].concat());
        }
    }
}
