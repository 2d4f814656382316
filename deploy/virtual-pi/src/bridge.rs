//! The CP2112 itself: what it does with each event of the kernel. Without a file and without a clock.
//!
//! ```
//! use sedge_virtual_pi::bridge::Bridge;
//! use sedge_virtual_pi::uhid::{Event, get_report_reply};
//! use std::time::Duration;
//! let mut bridge = Bridge::default();
//! let answer = bridge.answer(&Event::GetReport { id: 1, report: 0x05 }, Duration::ZERO);
//! assert_eq!(answer, Some(get_report_reply(1, Some(&[0x05, 0x0C, 0x03]))));
//! ```

use std::time::Duration;

use crate::bus::Bus;
use crate::lines::Lines;
use crate::report::{self, CHUNK, Request, Status};
use crate::uhid::{self, Device, Event};

/// Part 12, revision 3: one that can do a repeated start.
const VERSION: [u8; 3] = [report::VERSION, 0x0C, 0x03];
/// 100 kHz, address 2, no timeouts, no retries: as it leaves the factory.
const SMBUS: [u8; 14] = [report::SMBUS_CONFIG, 0, 1, 0x86, 0xA0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
/// Silicon Labs, CP2112, 60 mA, powered by the bus, release 1.0.
const USB: [u8; 10] = [report::USB_CONFIG, 0xC4, 0x10, 0x90, 0xEA, 30, 0, 1, 0, 0];
const UNLOCKED: [u8; 2] = [report::LOCK, 0xFF];

/// The bridge, its bus and its lines.
#[derive(Default)]
pub struct Bridge {
    /// The chips.
    pub bus: Bus,
    /// The lines.
    pub lines: Lines,
    status: Status,
    read: Vec<u8>,
}

impl Bridge {
    /// What it says when it is plugged in.
    pub fn hello() -> Vec<u8> {
        uhid::create(Device {
            name: "Silicon Labs CP2112 HID USB-to-SMBus Bridge",
            vendor: report::VENDOR,
            product: report::PRODUCT,
            descriptor: report::DESCRIPTOR,
        })
    }

    /// What it answers, as an event for `/dev/uhid`.
    pub fn answer(&mut self, event: &Event, now: Duration) -> Option<Vec<u8>> {
        match event {
            Event::Output(report) => self.request(Request::parse(report)?, now),
            Event::GetReport { id, report } => {
                Some(uhid::get_report_reply(*id, self.feature(*report).as_deref()))
            }
            Event::SetReport { id, data } => Some(uhid::set_report_reply(*id, self.set_feature(data))),
            Event::Other => None,
        }
    }

    fn request(&mut self, request: Request, now: Duration) -> Option<Vec<u8>> {
        match request {
            Request::Transfer(transfer) => {
                let read = self.bus.transfer(&transfer, now);
                self.status = read.as_ref().map_or(Status::Nack, |read| Status::Complete(read.len() as u16));
                self.read = read.unwrap_or_default();
                None
            }
            Request::Status => Some(uhid::input(&report::status(self.status))),
            Request::Send(bytes) => {
                let chunk = self.read.drain(..bytes.min(CHUNK).min(self.read.len()));
                Some(uhid::input(&report::read_response(chunk.as_slice())))
            }
            Request::Cancel => {
                (self.status, self.read) = (Status::Idle, vec![]);
                None
            }
        }
    }

    fn feature(&mut self, report: u8) -> Option<Vec<u8>> {
        Some(match report {
            report::GPIO_CONFIG => vec![report, self.lines.outputs(), 0xFF, 0, 0],
            report::GPIO_GET => vec![report, self.lines.look()],
            report::VERSION => VERSION.to_vec(),
            report::SMBUS_CONFIG => SMBUS.to_vec(),
            report::USB_CONFIG => USB.to_vec(),
            report::LOCK => UNLOCKED.to_vec(),
            _ => return None,
        })
    }

    /// Whether there is such a report.
    fn set_feature(&mut self, data: &[u8]) -> bool {
        match *data {
            [report::GPIO_CONFIG, outputs, ..] => self.lines.configure(outputs),
            [report::GPIO_SET, levels, mask, ..] => self.lines.set(levels, mask),
            [report::SMBUS_CONFIG | report::USB_CONFIG, ..] => {}
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bridge() -> Bridge {
        let mut bridge = Bridge::default();
        bridge.bus.attach(&"bme280@0x76".parse().unwrap()).unwrap();
        bridge
    }

    fn say(bridge: &mut Bridge, report: &[u8]) -> Option<Vec<u8>> {
        bridge.answer(&Event::Output(report.to_vec()), Duration::ZERO)
    }

    /// The input report within an event.
    fn input(event: Option<Vec<u8>>) -> Vec<u8> {
        event.unwrap().split_off(6)
    }

    #[test]
    fn a_register_is_read_as_the_kernel_does_it() {
        let mut bridge = bridge();
        assert_eq!(say(&mut bridge, &[0x11, 0xEC, 0, 1, 1, 0xD0]), None);
        assert_eq!(input(say(&mut bridge, &[0x15, 1]))[..7], [0x16, 2, 5, 0, 0, 0, 1]);
        assert_eq!(input(say(&mut bridge, &[0x12, 0, 1]))[..4], [0x13, 2, 1, 0x60]);
    }

    #[test]
    fn what_is_long_is_sent_in_pieces() {
        let mut bridge = bridge();
        say(&mut bridge, &[0x11, 0xEC, 0, 100, 1, 0x00]);
        let lengths = [0, 0, 0].map(|_| input(say(&mut bridge, &[0x12, 0, 100]))[2]);
        assert_eq!(lengths, [61, 39, 0]);
    }

    #[test]
    fn an_absent_chip_does_not_acknowledge() {
        let mut bridge = bridge();
        say(&mut bridge, &[0x10, 0x48 << 1, 0, 1]);
        assert_eq!(input(say(&mut bridge, &[0x15, 1]))[..3], [0x16, 3, 0]);
    }

    #[test]
    fn the_kernel_sets_an_output_and_reads_it_back() {
        let mut bridge = bridge();
        let mut set = |data: &[u8]| {
            bridge.answer(&Event::SetReport { id: 1, data: data.into() }, Duration::ZERO).unwrap()
        };
        assert_eq!(set(&[0x02, 0b100, 0xFF, 0, 0]), uhid::set_report_reply(1, true));
        assert_eq!(set(&[0x04, 0xFF, 0b100]), uhid::set_report_reply(1, true));
        assert_eq!(set(&[0x7F]), uhid::set_report_reply(1, false));
        let levels = bridge.answer(&Event::GetReport { id: 2, report: 0x03 }, Duration::ZERO);
        assert_eq!(levels, Some(uhid::get_report_reply(2, Some(&[0x03, 0b100]))));
    }

    proptest! {
        #[test]
        fn nothing_that_the_kernel_could_say_makes_it_panic(reports: Vec<Vec<u8>>) {
            let mut bridge = bridge();
            for data in reports {
                say(&mut bridge, &data);
                bridge.answer(&Event::SetReport { id: 0, data }, Duration::ZERO);
            }
        }
    }
}
