//! What passed between a device and its driver, kept as a text, and played to the driver again.
//!
//! So that somebody's odd sensor becomes a test case: `sedge sensor record NAME` writes a cassette, a bus of kind `replay` plays
//! it through the same driver. A line is one transaction, with the seconds since the start; others mark what the driver was
//! asked for, so that one sees which bytes belong to which reading:
//!
//! ```
//! use sedge_hal::{Adapter, Cassette, Replay};
//! let cassette = Cassette::parse(r#"sedge-cassette 1
//! kind: tmp117
//! bus: i2c
//! seat: 0x48
//! settings: {"offset":0.5}
//! recorded: 2026-11-21T10:00:00.000Z
//! sedge: 0.1.0
//!
//! 0.000000 open
//! 0.000412 w 0f r 01 17        # the id
//! 0.020000 start
//! 0.020105 w 01 0c 20
//! 0.150001 read
//! 0.150208 w 00 r 0a 80
//! 0.151000 said temperature=21.50°C
//! 10.02000 start
//! 10.02011 w 01 0c 20 ! timeout
//! "#).unwrap();
//! assert_eq!(cassette.header.kind, "tmp117");
//!
//! let mut device = Replay::new(cassette, true).i2c(0x48).unwrap();
//! assert_eq!(device.read_u16_be(0x0F), Ok(0x0117));
//! let error = device.read_u16_be(0x00).unwrap_err().to_string();
//! assert_eq!(error, "line 12 of the cassette (a tmp117): it has `w 01 0c 20`, the driver sent `w 00 r -- --`");
//! ```
//!
//! **The first line** names the format and its version; a cassette of a newer version is refused.
//!
//! **The header** is one `key: value` per line, up to the first line that begins with a digit:
//!
//! | key | what |
//! |---|---|
//! | `kind` | the kind of sensor, as in the config |
//! | `bus` | the kind of bus that it needs: `i2c`, `spi`, `w1`, `iio`, `hwmon` |
//! | `seat` | where it sits: `0x76`, `"28-0316a2794cff"`, `*` for the only one of its kind |
//! | `settings` | its settings, as one line of JSON; none: `{}` |
//! | `recorded`, `sedge` | when, and by which version; may be left out |
//! | any other | is kept, and means nothing |
//!
//! **A line after it** begins with the seconds since the start, at most six digits after the point; then:
//!
//! | word | what |
//! |---|---|
//! | `w d0 r 60` | a transaction: bytes written, bytes read, in hex; as many of either as there were |
//! | `x 80 00 > ff 12` | bytes that went out and came in at once, on SPI; may stand beside `w` and `r` |
//! | `f temperature = "21437"` | a file of a device that the kernel drives was read |
//! | `ls = ["name", "temp1_input"]` | its files were listed |
//! | `device "28-0316a2794cff"` | what the kernel calls the device that was opened |
//! | `open`, `start`, `read`, `operate NAME {…}` | what the driver was asked for, before what it did then |
//! | `said temperature=21.50°C` | what came of it, for a person |
//!
//! What failed ends with `!` and an error: `no-answer`, `refused`, `timeout`, `arbitration`, `busy`, `hung`,
//! `not-granted 0x77`, `absent "…"`, `gone "…"`, `other "…"`. Bytes that were to be read and did not come are `--`.
//! A `#` begins a comment, at the start of a line or after a transaction. Texts are in quotes, as in JSON.
//!
//! It must not know any chip, and it must not wait: the timing is for those who read it.

mod format;
mod line;
mod record;
mod replay;

pub use format::{Cassette, CassetteError, Header};
pub use line::{Entry, Event, Got, Mark, Op};
pub use record::{Recording, Tape};
pub use replay::{Replay, replay_bus};

#[cfg(test)]
mod tests;
