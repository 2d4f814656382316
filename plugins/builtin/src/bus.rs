//! Looks after a bus: finds out when its thread hangs, and tells how it fares.
//!
//! Every `[bus.NAME]` that devices sit on has one, called as the bus is. A transfer that the kernel never ends cannot be ended
//! from here either: the thread is left behind and replaced, once, and the devices on the bus are opened anew by their
//! sensors. It must not talk to the bus: that is how it would come to hang as well.

use std::time::Duration;

use sedge_hal::{Bus, Vitals};
use sedge_plugin::metrics::Gauge;
use sedge_plugin::prelude::*;

use crate::AUTHOR;

/// How often it looks. A hang is found after [`HANGS_AFTER`](sedge_hal::HANGS_AFTER) and this.
const EVERY: Duration = Duration::from_secs(1);

/// What looks after a bus.
pub struct BusPlugin {
    ctx: Context,
    bus: Bus,
    last: Vitals,
    hangs: Option<Gauge>,
}

impl Plugin for BusPlugin {
    type Args = Bus;
    const MANIFEST: Manifest =
        Manifest::new("bus", env!("CARGO_PKG_VERSION"), "Looks after a bus and its thread.")
            .author(AUTHOR)
            .category(Category::Service);

    async fn setup(bus: &Bus, ctx: Context) -> Result<Self, PluginError> {
        let name = Name::new("hangs").ok();
        let hangs = name.and_then(|name| ctx.gauge(name, "Threads of the bus that were left behind.").ok());
        Ok(Self { ctx, bus: bus.clone(), last: Vitals::default(), hangs })
    }

    fn every(&self) -> Option<Duration> {
        Some(EVERY)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        let vitals = self.bus.watch();
        if vitals == self.last {
            return Ok(());
        }
        self.last = vitals;
        if let Some(hangs) = &self.hangs {
            hangs.set(vitals.hangs.into());
        }
        self.ctx.degraded(amiss(vitals));
        Ok(())
    }
}

fn amiss(vitals: Vitals) -> Option<String> {
    match vitals {
        Vitals { stuck: true, .. } => Some(
            "a transfer hangs in the kernel, and so does the one that took its place; the bus stands still until one of \
             them comes back. Look at the wiring; a reboot frees it"
                .into(),
        ),
        Vitals { left: 1.., .. } => Some(
            "a transfer hangs in the kernel; its thread was left behind, and the devices were opened anew on another".into(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sedge_hal::{Cure, Fault, HANGS_AFTER, Seat, SimBus};
    use sedge_plugin::sim::RegisterFile;
    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    #[test]
    fn a_bus_that_hangs_is_told_of_until_the_thread_is_back() {
        let node = TestNode::new();
        let sim = SimBus::new("i2c-1", node.clock());
        sim.attach(0x20, Box::new(RegisterFile::new(&[])));
        let bus = sim.bus().unwrap();
        let mut plugin = block_on(BusPlugin::setup(&bus, node.context("i2c-1"))).unwrap();
        let mut beat = |node: &TestNode| {
            block_on(plugin.tick()).unwrap();
            node.degraded("i2c-1")
        };
        assert_eq!(beat(&node), None);

        let seat = Seat::Number(0x20);
        sim.fault(&seat, Fault::Hang, Cure::Hand);
        let asked = std::thread::spawn({
            let bus = bus.clone();
            move || block_on(bus.with_adapter(|adapter| Ok(adapter.i2c(0x20)?.read_u8(0)?)))
        });
        sim.wait_for_hang();
        assert_eq!(beat(&node), None);
        node.clock().advance(HANGS_AFTER);
        assert!(beat(&node).unwrap().contains("left behind"));
        assert_eq!(asked.join().unwrap(), Err(SensorError::Bus(BusError::Hung)));
        assert_eq!(block_on(bus.with_adapter(|_| Ok(7))), Ok(7), "the bus serves again");
        sim.heal(&seat);
        // The thread is on its way back; it needs nobody for that.
        while bus.watch().left > 0 {
            std::thread::yield_now();
        }
        assert_eq!(beat(&node), None);
    }
}
