//! A bus and a GPIO chip without hardware.
//!
//! Every sensor kind brings a model of its chip, spoken to in bytes, so the real driver runs. Time is the
//! given clock's; nothing here waits, but a [`Fault::Hang`] that was asked for.
//!
//! ```
//! use std::sync::Arc;
//! use sedge_hal::{SimBus, SystemClock};
//! use sedge_plugin::sim::RegisterFile;
//! let bus = SimBus::new("i2c-1", Arc::new(SystemClock));
//! bus.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x17])])));
//! assert_eq!(bus.device(0x48).read_u8(0x0F), Ok(0x17));
//! bus.detach(0x48);
//! assert!(bus.device(0x48).read_u8(0x0F).is_err());
//! ```
//!
//! It must not know any chip.

mod fault;
mod files;
mod lines;
mod spi;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use sedge_plugin::device::NoDelay;
use sedge_plugin::prelude::{FileModel, I2cModel, SpiModel};
use sedge_plugin::sim::transfer;
use sedge_plugin::{
    Attachment, BusError, Clock, FileDevice, I2cDevice, Id, SensorKind, SpiDevice, SpiMode, Sysfs, fnv1a,
};

use crate::bus::{Adapter, Bus, Seat};
use crate::lines::Lines;

pub use fault::{Cure, Fault};

use fault::Active;
use files::Opened;
use spi::Select;

/// A simulated bus with devices on it, and a simulated GPIO chip. Clones are the same bus.
#[derive(Clone)]
pub struct SimBus {
    name: Arc<str>,
    clock: Arc<dyn Clock>,
    state: Arc<(Mutex<State>, Condvar)>,
    lines: lines::SimLines,
}

#[derive(Default)]
struct State {
    chips: BTreeMap<u8, Chip<dyn I2cModel>>,
    selects: BTreeMap<u8, Chip<dyn SpiModel>>,
    folders: BTreeMap<String, Chip<dyn FileModel>>,
    /// Buses behind the channels of a multiplexer.
    channels: BTreeMap<(u8, u8), SimBus>,
    /// The channels that each multiplexer connects.
    connected: BTreeMap<u8, u8>,
    faults: BTreeMap<String, Active>,
    script: Vec<(String, Fault, Range<Duration>)>,
    /// Transfers that hang.
    hanging: u32,
}

impl State {
    fn follow_script(&mut self, now: Duration) {
        let Self { script, faults, .. } = self;
        script.retain(|(seat, fault, time)| {
            if time.contains(&now) {
                faults.insert(seat.clone(), Active { fault: *fault, cure: Cure::Hand });
            } else if now >= time.end {
                faults.remove(seat);
            }
            now < time.end
        });
    }
}

/// A device, and how a fresh one is made: after its supply was off it has forgotten everything.
struct Chip<M: ?Sized> {
    model: Box<M>,
    make: Option<Box<dyn Fn() -> Box<M> + Send>>,
}

impl<M: ?Sized + 'static> Chip<M> {
    fn seeded(simulate: fn(u64) -> Box<M>, seed: u64) -> Self {
        Self { model: simulate(seed), make: Some(Box::new(move || simulate(seed))) }
    }

    fn restart(&mut self) {
        if let Some(make) = &self.make {
            self.model = make();
        }
    }
}

impl SimBus {
    /// An empty bus.
    pub fn new(name: &str, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.into(), clock, state: Arc::default(), lines: lines::SimLines::default() }
    }

    /// Puts a chip at an I2C address (7 bits); one that was there goes.
    pub fn attach(&self, address: u8, chip: Box<dyn I2cModel>) {
        self.state().chips.insert(address, Chip { model: chip, make: None });
    }

    /// Puts a chip behind a chip select; one that was there goes.
    pub fn attach_spi(&self, select: u8, chip: Box<dyn SpiModel>) {
        self.state().selects.insert(select, Chip { model: chip, make: None });
    }

    /// Puts a device there that the kernel would drive; one that was there goes.
    pub fn attach_files(&self, seat: &Seat, device: Box<dyn FileModel>) {
        self.state().folders.insert(folder(seat), Chip { model: device, make: None });
    }

    /// Puts the device of sensor `id` where it belongs. What it measures depends on the id alone.
    pub fn simulate(&self, id: &Id, seat: &Seat, kind: &SensorKind) {
        let seed = fnv1a(id.as_str().as_bytes());
        let mut state = self.state();
        match (kind.attachment, seat) {
            (Attachment::I2c { simulate, .. }, Seat::Number(address)) => {
                state.chips.insert(*address, Chip::seeded(simulate, seed));
            }
            (Attachment::Spi { simulate, .. }, Seat::Number(select)) => {
                state.selects.insert(*select, Chip::seeded(simulate, seed));
            }
            (Attachment::Files { simulate, .. }, seat) => {
                state.folders.insert(folder(seat), Chip::seeded(simulate, seed));
            }
            // A device without its number cannot be opened either.
            _ => {}
        }
    }

    /// Takes the chip at an address away, as if its wire had come off.
    pub fn detach(&self, address: u8) {
        self.state().chips.remove(&address);
    }

    /// The bus behind a channel of a TCA9548A at `address`, which is put there with it.
    #[must_use]
    pub fn channel(&self, address: u8, channel: u8) -> Self {
        let mut state = self.state();
        state.connected.entry(address).or_default();
        let inner = || Self::new(&format!("{}-{address:02x}-{channel}", self.name), self.clock.clone());
        state.channels.entry((address, channel)).or_insert_with(inner).clone()
    }

    /// Breaks a device, until it is cured. A second fault takes the place of the first.
    pub fn fault(&self, seat: &Seat, fault: Fault, cure: Cure) {
        self.state().faults.insert(folder(seat), Active { fault, cure });
    }

    /// Breaks a device once, from `after` now on and for so long. Not for a [`Fault::Hang`].
    pub fn schedule(&self, seat: &Seat, fault: Fault, after: Duration, lasts: Duration) {
        let from = self.clock.up().saturating_add(after);
        self.state().script.push((folder(seat), fault, from..from.saturating_add(lasts)));
    }

    /// Ends the fault of a device. Transfers that hang come back.
    pub fn heal(&self, seat: &Seat) {
        self.state().faults.remove(&folder(seat));
        self.state.1.notify_all();
    }

    /// Whether a device has a fault still.
    pub fn is_faulty(&self, seat: &Seat) -> bool {
        self.state().faults.contains_key(&folder(seat))
    }

    /// Waits until a transfer hangs. For tests of a [`Fault::Hang`].
    pub fn wait_for_hang(&self) {
        self.wait_for_hangs(1);
    }

    /// Waits until so many transfers hang.
    pub fn wait_for_hangs(&self, count: u32) {
        let mut state = self.state();
        while state.hanging < count {
            state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The way to an I2C address, without a thread.
    pub fn device(&self, address: u8) -> I2cDevice {
        I2cDevice::new(address, self.clone(), NoDelay)
    }

    /// The way to a chip select, without a thread.
    pub fn spi_device(&self, select: u8) -> SpiDevice {
        SpiDevice::new(Select { bus: self.clone(), select }, NoDelay)
    }

    /// The way to a device that the kernel would drive, without a thread.
    pub fn file_device(&self, seat: &Seat) -> FileDevice {
        let name = folder(seat);
        FileDevice::new(&name.clone(), Opened { bus: self.clone(), name })
    }

    /// A handle to the bus with a thread of its own.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn bus(&self) -> io::Result<Bus> {
        let bus = self.clone();
        Bus::new(&self.name, self.clock.clone(), move || bus.clone())
    }

    /// The lines of the GPIO chip.
    pub fn lines(&self) -> Lines {
        Lines::new(self.lines.clone())
    }

    /// The level of a line, as a meter would show it: true is high. None for a line that was never driven.
    pub fn level(&self, line: u32) -> Option<bool> {
        self.lines.level(line)
    }

    /// Drives an input line, for good.
    pub fn set_input(&self, line: u32, high: bool) {
        self.lines.set_input(line, high, self.clock.up());
    }

    /// Gives an input line so many pulses, at once and each too short for any debouncing.
    pub fn pulse(&self, line: u32, count: u32) {
        self.lines.pulse(line, count, self.clock.up());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state.0)
    }

    fn cured(&self, by: Cure) {
        self.state().faults.retain(|_, active| active.cure != by);
        self.state.1.notify_all();
    }

    /// What a transfer with a device meets. The state is locked when it goes on, but not while it hangs.
    fn meet(&self, seat: &str) -> Result<(MutexGuard<'_, State>, Option<Fault>), BusError> {
        let mut state = self.state();
        state.follow_script(self.clock.up());
        let stuck = state.faults.values().any(|active| active.fault == Fault::StuckLow);
        let Some(active) = state.faults.get_mut(seat) else {
            return if stuck { Err(BusError::Timeout) } else { Ok((state, None)) };
        };
        let (on, fault) = (active.met(), active.fault);
        if active.is_over() {
            state.faults.remove(seat);
        }
        if !on {
            return Ok((state, None));
        }
        if fault == Fault::Hang {
            state.hanging += 1;
            self.state.1.notify_all();
            while state.faults.get(seat).is_some_and(|active| active.fault == Fault::Hang) {
                state = self.state.1.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.hanging -= 1;
            return Err(BusError::Timeout);
        }
        match fault.error() {
            Some(error) => Err(error),
            None => Ok((state, Some(fault))),
        }
    }
}

/// The time that a device believes it is.
fn felt(now: Duration, fault: Option<Fault>) -> Duration {
    match fault {
        Some(Fault::Slow(lag)) => now.saturating_sub(lag),
        _ => now,
    }
}

fn distort(fault: Option<Fault>, buffer: &mut [u8]) {
    match fault {
        Some(Fault::Corrupt) => buffer.iter_mut().for_each(|byte| *byte ^= 0x55),
        Some(Fault::Stranger) => buffer.fill(0),
        _ => {}
    }
}

/// What a seat is called among the faults and the folders.
fn folder(seat: &Seat) -> String {
    seat.to_string()
}

impl ErrorType for SimBus {
    type Error = BusError;
}

impl I2c for SimBus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        let now = self.clock.up();
        let (mut state, fault) = self.meet(&folder(&Seat::Number(address)))?;
        if let Some(connected) = state.connected.get_mut(&address) {
            return multiplex(connected, operations);
        }
        let Some(chip) = state.chips.get_mut(&address) else {
            let behind = state.channels.iter().filter(|((mux, channel), _)| {
                state.connected.get(mux).is_some_and(|connected| connected >> channel & 1 == 1)
            });
            let mut behind: Vec<SimBus> = behind.map(|(_, bus)| bus.clone()).collect();
            drop(state);
            let answers = behind.iter_mut().map(|bus| bus.transaction(address, operations));
            let mut answers = answers.filter(|answer| *answer != Err(BusError::NoAnswer));
            return match (answers.next(), answers.next()) {
                (Some(answer), None) => answer,
                (None, _) => Err(BusError::NoAnswer),
                (Some(_), Some(_)) => Err(BusError::Other("two chips answer at once".into())),
            };
        };
        for operation in operations {
            match operation {
                Operation::Write(_) if fault == Some(Fault::Stranger) => {}
                Operation::Write(_) => transfer(chip.model.as_mut(), std::slice::from_mut(operation), now)?,
                Operation::Read(buffer) => {
                    chip.model.read(buffer, felt(now, fault))?;
                    distort(fault, buffer);
                }
            }
        }
        Ok(())
    }
}

/// Datasheet: SCPS207G, section 8.6.2.
fn multiplex(connected: &mut u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
    for operation in operations {
        match operation {
            Operation::Write([.., last]) => *connected = *last,
            Operation::Write([]) => {}
            Operation::Read(buffer) => buffer.fill(*connected),
        }
    }
    Ok(())
}

impl Adapter for SimBus {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        self.opened(&Seat::Number(address));
        Ok(self.device(address))
    }

    fn spi(&mut self, select: u8, _: SpiMode) -> Result<SpiDevice, BusError> {
        self.opened(&Seat::Number(select));
        Ok(self.spi_device(select))
    }

    fn files(&mut self, name: Option<&str>, _: Sysfs) -> Result<FileDevice, BusError> {
        let seat = name.map_or(Seat::Only, |name| Seat::Name(name.into()));
        self.opened(&seat);
        Ok(self.file_device(&seat))
    }

    fn reopen(&mut self) -> Result<(), BusError> {
        self.cured(Cure::Reopen);
        Ok(())
    }

    fn recover(&mut self) -> Option<Result<(), BusError>> {
        self.cured(Cure::Recover);
        Some(Ok(()))
    }

    fn power_cycled(&mut self, seat: &Seat) {
        let mut state = self.state();
        state.faults.retain(|at, active| !(*at == folder(seat) && active.cure == Cure::Power));
        match seat {
            Seat::Number(number) => {
                state.chips.get_mut(number).map(Chip::restart);
                state.selects.get_mut(number).map(Chip::restart);
            }
            seat => {
                state.folders.get_mut(&folder(seat)).map(Chip::restart);
            }
        }
        drop(state);
        self.state.1.notify_all();
    }
}

impl SimBus {
    /// A device is opened anew.
    fn opened(&self, seat: &Seat) {
        self.state().faults.retain(|at, active| !(*at == folder(seat) && active.cure == Cure::Reinit));
        self.state.1.notify_all();
    }
}

/// A model that panicked has harmed itself alone.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
