use sedge_plugin::sim::RegisterFile;
use sedge_plugin::testing::HandClock;

use super::*;

fn bus() -> (Arc<HandClock>, SimBus) {
    let clock = Arc::new(HandClock::default());
    (clock.clone(), SimBus::new("test", clock))
}

const SEAT: Seat = Seat::Number(0x20);

#[test]
fn a_chip_is_told_the_time_of_the_clock() {
    let (clock, bus) = bus();
    bus.attach(0x20, Box::new(RegisterFile::live(|chip, now| chip.set(0, &[now.as_secs() as u8]))));
    assert_eq!(bus.device(0x20).read_u8(0), Ok(0));
    clock.advance(Duration::from_secs(9));
    assert_eq!(bus.device(0x20).read_u8(0), Ok(9));
    bus.fault(&SEAT, Fault::Slow(Duration::from_secs(4)), Cure::Hand);
    assert_eq!(bus.device(0x20).read_u8(0), Ok(5));
}

#[test]
fn nobody_answers_at_an_empty_address() {
    let (_, bus) = bus();
    assert_eq!(bus.device(0x20).read_u8(0), Err(BusError::NoAnswer));
}

#[test]
fn a_fault_lasts_until_its_cure_and_one_that_holds_the_bus_is_everybodys() {
    let (_, mut bus) = bus();
    for address in [0x20, 0x21] {
        bus.attach(address, Box::new(RegisterFile::new(&[(0, &[7])])));
    }
    bus.fault(&SEAT, Fault::Nack, Cure::Transfers(2));
    let answers: Vec<_> = (0..3).map(|_| bus.device(0x20).read_u8(0)).collect();
    assert_eq!(answers, [Err(BusError::NoAnswer), Err(BusError::NoAnswer), Ok(7)]);

    bus.fault(&SEAT, Fault::StuckLow, Cure::Recover);
    bus.reopen().unwrap();
    assert_eq!(bus.device(0x21).read_u8(0), Err(BusError::Timeout), "its neighbour");
    bus.recover().unwrap().unwrap();
    assert_eq!(bus.device(0x20).read_u8(0), Ok(7));

    bus.fault(&SEAT, Fault::Corrupt, Cure::Reinit);
    assert_ne!(bus.device(0x20).read_u8(0), Ok(7));
    assert_eq!(bus.device(0x21).read_u8(0), Ok(7));
    bus.i2c(0x20).unwrap();
    assert_eq!(bus.device(0x20).read_u8(0), Ok(7));
}

#[test]
fn a_script_breaks_a_device_for_its_time() {
    let (clock, bus) = bus();
    bus.attach(0x20, Box::new(RegisterFile::new(&[(0, &[7])])));
    bus.schedule(&SEAT, Fault::Nack, Duration::from_secs(2), Duration::from_secs(3));
    let answers = (0..7).map(|_| {
        let well = bus.device(0x20).read_u8(0).is_ok();
        clock.advance(Duration::from_secs(1));
        well
    });
    assert_eq!(answers.collect::<Vec<_>>(), [true, true, false, false, false, true, true]);
}

#[test]
fn two_chips_of_one_address_are_told_apart_by_the_multiplexer() {
    let (_, bus) = bus();
    for channel in [1, 5] {
        let behind = bus.channel(0x70, channel);
        behind.attach(0x20, Box::new(RegisterFile::new(&[(0, &[channel])])));
    }
    assert_eq!(bus.device(0x20).read_u8(0), Err(BusError::NoAnswer), "nothing is connected");
    for channel in [1, 5] {
        bus.device(0x70).write(&[1 << channel]).unwrap();
        assert_eq!(bus.device(0x20).read_u8(0), Ok(channel));
    }
}
