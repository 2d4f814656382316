use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sedge_plugin::device::NoDelay;
use sedge_plugin::prelude::*;
use sedge_plugin::sim::{RegisterFile, Wire};
use sedge_plugin::testing::{HandClock, block_on};
use serde_json::json;

use super::*;
use crate::sim::{Cure, Fault, SimBus};

/// Reads one byte. Panics over 0xFF, and while it is dropped after that.
struct Touchy {
    device: I2cDevice,
    hurt: bool,
}

impl Drop for Touchy {
    fn drop(&mut self) {
        assert!(!self.hurt, "again");
    }
}

impl Sensor for Touchy {
    const KIND: &'static str = "touchy";
    const TITLE: &'static str = "Panics";
    const ADDRESSES: &'static [u8] = &[0x10];
    const FIELDS: &'static [Field] = &[Field::new("byte", Unit::None)];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        Ok(Self { device, hurt: false })
    }
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let byte = self.device.read_u8(0)?;
        self.hurt = byte == 0xFF;
        assert!(!self.hurt, "ouch");
        frame.push("byte", u32::from(byte));
        Ok(())
    }
    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(RegisterFile::new(&[]))
    }
}

static TOUCHY: SensorKind = SensorKind::i2c::<Touchy>();

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// An adapter that makes its devices with a function.
struct Made<F>(F);

impl<F: Fn(u8) -> Result<I2cDevice, BusError> + Send + 'static> Adapter for Made<F> {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        (self.0)(address)
    }
}

fn made(make: impl Fn(u8) -> Result<I2cDevice, BusError> + Clone + Send + Sync + 'static) -> Bus {
    Bus::new("test", Arc::new(HandClock::default()), move || Made(make.clone())).unwrap()
}

/// At 0x10 all is well, at 0x11 stands what makes the driver panic.
fn bus() -> Bus {
    made(|address| {
        let byte = if address == 0x11 { 0xFF } else { 0x07 };
        Ok(I2cDevice::new(address, Wire::to(address, RegisterFile::new(&[(0, &[byte])])), NoDelay))
    })
}

#[test]
fn a_driver_that_panics_is_dropped_and_the_others_go_on() {
    let bus = bus();
    block_on(async {
        bus.open(&id("well"), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        bus.open(&id("bad"), Seat::Number(0x11), &TOUCHY, json!({})).await.unwrap();
        assert_eq!(bus.read(&id("bad")).await, Err(SensorError::Panicked("ouch".into())));
        assert_eq!(bus.read(&id("bad")).await, Err(SensorError::Closed));
        assert_eq!(bus.read(&id("well")).await.unwrap().get("byte"), Some(&Value::Number(7.0)));
        bus.open(&id("bad"), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        bus.read(&id("bad")).await.unwrap();
    });
}

#[test]
fn a_device_that_was_closed_is_not_read() {
    let bus = bus();
    block_on(async {
        bus.open(&id("x"), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        assert_eq!(bus.start(&id("x")).await, Ok(None));
        bus.close(&id("x")).await.unwrap();
        bus.close(&id("x")).await.unwrap();
        assert_eq!(bus.start(&id("x")).await, Err(SensorError::Closed));
    });
}

#[test]
fn a_bus_that_appears_later_is_used_then() {
    let there = Arc::new(AtomicBool::new(false));
    let seen = there.clone();
    let bus = made(move |address| {
        if !seen.load(Ordering::Relaxed) {
            return Err(BusError::Gone("no bus".into()));
        }
        Ok(I2cDevice::new(address, Wire::to(address, RegisterFile::new(&[])), NoDelay))
    });
    block_on(async {
        let error = bus.open(&id("x"), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap_err();
        assert_eq!(error, SensorError::Bus(BusError::Gone("no bus".into())));
        there.store(true, Ordering::Relaxed);
        bus.open(&id("x"), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        bus.read(&id("x")).await.unwrap();
    });
}

#[test]
fn opening_again_drops_the_former_driver_first() {
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    struct Once;
    impl Drop for Once {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }
    impl Driver for Once {
        fn start(&mut self) -> Result<Option<Duration>, SensorError> {
            Ok(None)
        }
        fn read(&mut self, _: &mut Frame) -> Result<(), SensorError> {
            Ok(())
        }
        fn operate(&mut self, _: &str, _: &Json) -> Result<Json, SensorError> {
            Ok(Json::Null)
        }
        fn close(&mut self) {}
    }
    static ONCE: SensorKind = SensorKind {
        attachment: Attachment::I2c {
            addresses: &[0x10],
            identity: None,
            open: |_, _| match ALIVE.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(Box::new(Once)),
                _ => Err(SensorError::NotReady),
            },
            simulate: Touchy::simulate,
        },
        ..TOUCHY
    };
    let bus = bus();
    block_on(async {
        bus.open(&id("x"), Seat::Number(0x10), &ONCE, json!({})).await.unwrap();
        bus.open(&id("x"), Seat::Number(0x10), &ONCE, json!({})).await.unwrap();
    });
}

#[test]
fn a_thread_that_hangs_is_left_behind_and_replaced_once_and_the_drivers_are_opened_again() {
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    for address in [0x10, 0x11] {
        sim.attach(address, Box::new(RegisterFile::new(&[(0, &[7])])));
    }
    let bus = sim.bus().unwrap();
    let (bad, well) = (Seat::Number(0x10), Seat::Number(0x11));
    block_on(async {
        bus.open(&id("bad"), bad.clone(), &TOUCHY, json!({})).await.unwrap();
        bus.open(&id("well"), well.clone(), &TOUCHY, json!({})).await.unwrap();
    });
    sim.fault(&bad, Fault::Hang, Cure::Hand);
    let asked = {
        let bus = bus.clone();
        std::thread::spawn(move || block_on(bus.read(&id("bad"))))
    };
    sim.wait_for_hang();
    assert_eq!(bus.watch().hangs, 0, "seen for the first time");
    clock.advance(HANGS_AFTER);
    assert_eq!(bus.watch(), Vitals { hangs: 1, left: 1, stuck: false });
    assert_eq!(asked.join().unwrap(), Err(BusError::Hung.into()), "whoever waits is told");

    block_on(async {
        assert_eq!(bus.read(&id("well")).await, Err(SensorError::Closed));
        bus.open(&id("well"), well, &TOUCHY, json!({})).await.unwrap();
        bus.read(&id("well")).await.unwrap();
    });

    // A second one that hangs is not replaced while the first has not come back.
    let asked = {
        let bus = bus.clone();
        std::thread::spawn(move || {
            block_on(async {
                bus.open(&id("bad"), bad, &TOUCHY, json!({})).await.unwrap();
                bus.read(&id("bad")).await
            })
        })
    };
    sim.wait_for_hangs(2);
    bus.watch();
    clock.advance(HANGS_AFTER);
    assert_eq!(bus.watch(), Vitals { hangs: 1, left: 1, stuck: true });
    sim.heal(&Seat::Number(0x10));
    assert_eq!(asked.join().unwrap(), Err(BusError::Timeout.into()), "the thread came back by itself");
    block_on(bus.read(&id("well"))).unwrap();
    assert!(!bus.watch().stuck);
}

#[test]
fn devices_behind_a_multiplexer_share_an_address() {
    let sim = SimBus::new("test", Arc::new(HandClock::default()));
    let trunk = sim.bus().unwrap();
    block_on(async {
        for (mux, channel) in [(0x70, 0), (0x70, 7), (0x71, 3)] {
            let byte = mux + channel;
            sim.channel(mux, channel).attach(0x10, Box::new(RegisterFile::new(&[(0, &[byte])])));
            let bus = trunk.channel(Hop { address: mux, channel });
            let name = id(&format!("x-{byte}"));
            bus.open(&name, Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        }
        for byte in [0x70, 0x77, 0x74, 0x70, 0x74] {
            let frame = trunk.read(&id(&format!("x-{byte}"))).await.unwrap();
            assert_eq!(frame.get("byte"), Some(&Value::Number(f64::from(byte))));
        }
    });
}

#[test]
fn a_bus_is_recovered_for_a_device_whose_neighbours_fail_too_and_not_twice_at_once() {
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    let bus = sim.bus().unwrap();
    block_on(async {
        for (name, address) in [("x", 0x10), ("y", 0x11)] {
            sim.attach(address, Box::new(RegisterFile::new(&[(0, &[7])])));
            bus.open(&id(name), Seat::Number(address), &TOUCHY, json!({})).await.unwrap();
        }
        sim.fault(&Seat::Number(0x10), Fault::Nack, Cure::Hand);
        clock.advance(Duration::from_secs(1));
        bus.read(&id("y")).await.unwrap();
        assert_eq!(bus.recover(&id("x"), false).await, Ok(Recovery::OthersAnswer));

        sim.fault(&Seat::Number(0x10), Fault::StuckLow, Cure::Recover);
        clock.advance(Duration::from_secs(1));
        assert_eq!(bus.read(&id("y")).await, Err(BusError::Timeout.into()));
        assert_eq!(bus.recover(&id("y"), true).await, Ok(Recovery::Done));
        bus.read(&id("y")).await.unwrap();
        bus.read(&id("x")).await.unwrap();

        sim.fault(&Seat::Number(0x10), Fault::StuckLow, Cure::Hand);
        for name in ["x", "y"] {
            assert!(bus.read(&id(name)).await.is_err());
        }
        assert_eq!(bus.recover(&id("x"), false).await, Ok(Recovery::Recent));
    });
}

#[test]
fn no_two_multiplexers_are_connected_at_once_whatever_went_before() {
    let sim = SimBus::new("test", Arc::new(HandClock::default()));
    let trunk = sim.bus().unwrap();
    let hop = |address, channel| Hop { address, channel };
    // Two on the trunk, and two behind a channel of a third, each with a chip at one address.
    let ways = [
        vec![hop(0x70, 1)],
        vec![hop(0x71, 1)],
        vec![hop(0x74, 0), hop(0x72, 1)],
        vec![hop(0x74, 0), hop(0x73, 1)],
    ];
    block_on(async {
        for (n, way) in ways.iter().enumerate() {
            let behind = way.iter().fold(sim.clone(), |sim, hop| sim.channel(hop.address, hop.channel));
            behind.attach(0x10, Box::new(RegisterFile::new(&[(0, &[n as u8])])));
            let bus = way.iter().fold(trunk.clone(), |bus, hop| bus.channel(*hop));
            bus.open(&id(&format!("x-{n}")), Seat::Number(0x10), &TOUCHY, json!({})).await.unwrap();
        }
        for n in [0, 1, 2, 3, 2, 0, 3, 1] {
            for reopen in [false, true] {
                if reopen {
                    trunk.reopen().await.unwrap();
                }
                let frame = trunk.read(&id(&format!("x-{n}"))).await;
                assert_eq!(frame.unwrap().get("byte"), Some(&Value::Number(f64::from(n))), "{n}, {reopen}");
            }
        }
    });
}

#[test]
fn a_device_is_closed_also_when_nobody_waits_for_it_any_more() {
    let sim = SimBus::new("test", Arc::new(HandClock::default()));
    for address in [0x10, 0x11] {
        sim.attach(address, Box::new(RegisterFile::new(&[(0, &[7])])));
    }
    let bus = sim.bus().unwrap();
    let (slow, gone) = (Seat::Number(0x10), Seat::Number(0x11));
    block_on(async {
        bus.open(&id("slow"), slow.clone(), &TOUCHY, json!({})).await.unwrap();
        bus.open(&id("gone"), gone, &TOUCHY, json!({})).await.unwrap();
    });
    sim.fault(&slow, Fault::Hang, Cure::Hand);
    let asked = std::thread::spawn({
        let bus = bus.clone();
        move || block_on(bus.read(&id("slow")))
    });
    sim.wait_for_hang();
    let name = id("gone");
    let mut close = Box::pin(bus.close(&name));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::future::Future::poll(close.as_mut(), &mut context).is_pending());
    drop(close);
    sim.heal(&slow);
    assert!(asked.join().unwrap().is_err());
    assert_eq!(block_on(bus.read(&id("gone"))), Err(SensorError::Closed));
}

#[test]
fn a_device_that_was_never_open_does_not_have_the_bus_of_the_others_recovered() {
    let clock = Arc::new(HandClock::default());
    let sim = SimBus::new("test", clock.clone());
    for address in [0x10, 0x11] {
        sim.attach(address, Box::new(RegisterFile::new(&[(0, &[7])])));
    }
    let bus = sim.bus().unwrap();
    block_on(async {
        bus.open(&id("well"), Seat::Number(0x11), &TOUCHY, json!({})).await.unwrap();
        assert_eq!(bus.recover(&id("new"), true).await, Ok(Recovery::OthersAnswer));
        assert_eq!(bus.recover(&id("new"), false).await, Ok(Recovery::OthersAnswer));
    });
}

#[test]
fn a_transfer_without_a_driver_writes_and_reads_in_one_go_also_behind_a_multiplexer() {
    let sim = SimBus::new("i2c-1", Arc::new(HandClock::default()));
    sim.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x17, 0x2A])])));
    sim.channel(0x70, 2).attach(0x49, Box::new(RegisterFile::new(&[(0x01, &[7])])));
    let bus = sim.bus().unwrap();
    let ask =
        |register| vec![Part::Write(vec![register]), Part::Read(2), Part::Write(vec![0x10]), Part::Read(1)];
    let read = block_on(bus.transfer(0x48, ask(0x0F))).unwrap();
    assert_eq!((read.len(), &read[0][..], read[1].len()), (2, &[0x17, 0x2A][..], 1));
    let gone = block_on(bus.transfer(0x49, ask(1))).unwrap_err();
    assert_eq!(gone, SensorError::Bus(BusError::NoAnswer));
    let behind = bus.channel(Hop { address: 0x70, channel: 2 });
    assert_eq!(block_on(behind.transfer(0x49, ask(1))).unwrap()[0][0], 7);
}
