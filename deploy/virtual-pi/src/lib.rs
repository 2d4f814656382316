//! A virtual Raspberry Pi: devices that can be broken by a word, in front of the drivers of a real kernel.
//!
//! Two programs are made of it. `cp2112` runs in the guest and plays a USB bridge to I2C and GPIO, behind which our own
//! models of chips sit; the kernel's stock driver makes a `/dev/i2c-N` and a `/dev/gpiochipN` of it. `prove` runs on the
//! host, breaks things, and says whether the node in the guest said what it should. `run` does all of it.
//!
//! ```
//! use sedge_virtual_pi::command::Command;
//! assert_eq!("nack 0x76 3".parse(), Ok(Command::Nack { address: 0x76, transfers: 3 }));
//! ```
//!
//! It must not know how a node works: what it sees is what the kernel and the broker see.

pub mod bridge;
pub mod bus;
pub mod command;
pub mod control;
pub mod lines;
pub mod prove;
pub mod report;
pub mod uhid;
