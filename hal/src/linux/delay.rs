//! Waiting, on the thread of a bus.

use std::time::Duration;

use embedded_hal::delay::DelayNs;

/// Lets the thread sleep.
pub(super) struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        pause(Duration::from_nanos(ns.into()));
    }

    fn delay_us(&mut self, us: u32) {
        pause(Duration::from_micros(us.into()));
    }

    fn delay_ms(&mut self, ms: u32) {
        pause(Duration::from_millis(ms.into()));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the delay of a device; its thread has nothing else to do"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
