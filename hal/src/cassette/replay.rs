//! Plays a cassette to a driver.
//!
//! The driver must say what it said when the cassette was recorded, in the same order: another driver, or a changed one, is
//! told at which line it differs. Nothing is waited for.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_hal::i2c::{self, I2c};
use embedded_hal::spi;
use sedge_plugin::device::{Files, NoDelay};
use sedge_plugin::{BusError, Clock, FileDevice, I2cDevice, SpiDevice, SpiMode, Sysfs};

use super::format::Cassette;
use super::line::{Entry, Event, Got, Mark, Op};
use crate::bus::{Adapter, Bus, Seat};

/// So much of a line is told where a driver says something else.
const TOLD_CHARS: usize = 120;
const AT_ITS_END: &str = "the cassette is at its end";

/// A bus whose one device is played from a cassette. `once`: it ends with the cassette, instead of beginning again.
///
/// # Errors
/// When the system gives no more threads.
pub fn replay_bus(
    name: &str,
    cassette: impl Into<Arc<Cassette>>,
    once: bool,
    clock: Arc<dyn Clock>,
) -> io::Result<Bus> {
    let replay = Replay::new(cassette, once);
    Bus::new(name, clock, move || replay.clone())
}

/// An adapter that answers from a cassette. Clones play on at the same place.
#[derive(Clone)]
pub struct Replay(Arc<Mutex<State>>);

struct State {
    cassette: Arc<Cassette>,
    once: bool,
    /// The entry that comes next.
    next: usize,
    /// Where it goes on behind the end; none where that is the end.
    beat: Option<usize>,
}

impl Replay {
    /// Plays `cassette`. `once`: up to its end; else, at the end, again from the first reading. Whoever opens the device anew
    /// goes on where the cassette does so next, or begins again.
    pub fn new(cassette: impl Into<Arc<Cassette>>, once: bool) -> Self {
        let cassette = cassette.into();
        let beat = if once { None } else { first_beat(cassette.entries()) };
        Self(Arc::new(Mutex::new(State { cassette, once, next: 0, beat })))
    }

    /// How many transactions have not been played since the beginning, or since it began again.
    pub fn left(&self) -> usize {
        let state = self.state();
        let rest = state.cassette.entries().get(state.next..).unwrap_or_default();
        rest.iter().filter(|entry| !matches!(entry.event, Event::Mark(_))).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the device, where it sits on such a bus; says what the kernel calls it, where it has a name.
    fn open(&self, bus: &str, seat: &Seat) -> Result<Option<String>, BusError> {
        let mut state = self.state();
        let own = &state.cassette.header.bus;
        if own != bus {
            let kind = &state.cassette.header.kind;
            let text = format!("the cassette is of a `{kind}` on a bus of kind `{own}`, not `{bus}`");
            return Err(BusError::Gone(text.into()));
        }
        state.cassette.sits(seat)?;
        state.open()
    }
}

/// The first reading: what is asked for again and again.
fn first_beat(entries: &[Entry]) -> Option<usize> {
    let is_beat = |entry: &Entry| matches!(entry.event, Event::Mark(Mark::Start | Mark::Read));
    let beat = entries.iter().position(is_beat)?;
    // A driver that speaks to nobody must not go round for ever.
    entries[beat..].iter().any(|entry| !matches!(entry.event, Event::Mark(_))).then_some(beat)
}

impl State {
    fn entry(&self, place: usize) -> Option<&Entry> {
        self.cassette.entries().get(place)
    }

    /// The place of the next entry that is a transaction, or that opens the device.
    fn ahead(&self) -> Option<usize> {
        let is_telling = |entry: &Entry| !matches!(&entry.event, Event::Mark(mark) if *mark != Mark::Open);
        let rest = self.cassette.entries().get(self.next..)?;
        rest.iter().position(is_telling).map(|place| self.next + place)
    }

    fn open(&mut self) -> Result<Option<String>, BusError> {
        let opens = |entry: &Entry| entry.event == Event::Mark(Mark::Open);
        match self.ahead() {
            Some(place) if self.entry(place).is_some_and(opens) => self.next = place + 1,
            // A cassette without marks, as a person may write one.
            _ if self.next == 0 => {}
            None if self.once => return Err(BusError::Gone(AT_ITS_END.into())),
            Some(place) if self.once => return Err(self.other(place, "the device was opened anew")),
            _ => {
                let first = self.cassette.entries().iter().position(opens);
                self.next = first.map_or(0, |place| place + 1);
            }
        }
        match self.entry(self.next).map(|entry| entry.event.clone()) {
            Some(Event::Device(device)) => {
                self.next += 1;
                device.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The next transaction, where it is what the driver wants.
    fn take<T>(
        &mut self,
        wanted: impl FnOnce(&Event) -> Option<T>,
        sent: impl FnOnce() -> String,
    ) -> Result<T, BusError> {
        let place = self.ahead().or_else(|| {
            self.next = self.beat?;
            self.ahead()
        });
        let Some(place) = place else {
            let text = match self.once {
                true => AT_ITS_END.into(),
                false => format!("{AT_ITS_END}, and has no `read` from which it could begin again"),
            };
            return Err(BusError::Gone(text.into()));
        };
        match self.entry(place).and_then(|entry| wanted(&entry.event)) {
            Some(found) => {
                self.next = place + 1;
                Ok(found)
            }
            None => Err(self.other(place, &format!("the driver sent `{}`", shortened(sent())))),
        }
    }

    fn other(&self, place: usize, what: &str) -> BusError {
        let (line, has) = self.entry(place).map_or((0, String::new()), |e| (e.line(), e.event.to_string()));
        let kind = &self.cassette.header.kind;
        let text = format!("line {line} of the cassette (a {kind}): it has `{}`, {what}", shortened(has));
        BusError::Other(text.into())
    }

    /// Answers a transaction; gives what is to be read, in order.
    fn transfer(&mut self, sent: Vec<Op>) -> Result<Vec<Vec<u8>>, BusError> {
        if sent.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = |event: &Event| match event {
            Event::Transfer(ops, result) if is_answer(ops, &sent) => Some((ops.clone(), result.clone())),
            _ => None,
        };
        let shown = || Event::Transfer(sent.clone(), Ok(())).to_string();
        let (ops, result) = self.take(wanted, shown)?;
        result?;
        let read = ops.into_iter().filter_map(|op| match op {
            Op::Read(Got::Bytes(bytes)) | Op::Exchange(_, Got::Bytes(bytes)) => Some(bytes),
            _ => None,
        });
        Ok(read.collect())
    }
}

/// Whether the same is written, and as much is read.
fn is_answer(ops: &[Op], sent: &[Op]) -> bool {
    let same = |(op, sent): (&Op, &Op)| match (op, sent) {
        (Op::Write(out), Op::Write(sent)) => out == sent,
        (Op::Read(got), Op::Read(wanted)) => got.len() == wanted.len(),
        (Op::Exchange(out, got), Op::Exchange(sent, wanted)) => out == sent && got.len() == wanted.len(),
        _ => false,
    };
    ops.len() == sent.len() && ops.iter().zip(sent).all(same)
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(TOLD_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Adapter for Replay {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        self.open("i2c", &Seat::Number(address))?;
        Ok(I2cDevice::new(address, self.clone(), NoDelay))
    }

    fn spi(&mut self, select: u8, _: SpiMode) -> Result<SpiDevice, BusError> {
        self.open("spi", &Seat::Number(select))?;
        Ok(SpiDevice::new(self.clone(), NoDelay))
    }

    fn files(&mut self, name: Option<&str>, place: Sysfs) -> Result<FileDevice, BusError> {
        let seat = name.map_or(Seat::Only, |name| Seat::Name(name.into()));
        let called = self.open(place.bus, &seat)?;
        Ok(FileDevice::new(&called.unwrap_or_else(|| seat.to_string()), self.clone()))
    }
}

impl i2c::ErrorType for Replay {
    type Error = BusError;
}

impl I2c for Replay {
    fn transaction(&mut self, _: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), BusError> {
        let op = |operation: &i2c::Operation<'_>| match operation {
            i2c::Operation::Write(out) => Op::Write(out.to_vec()),
            i2c::Operation::Read(buffer) => Op::Read(Got::Nothing(buffer.len())),
        };
        let mut read = self.state().transfer(operations.iter().map(op).collect())?.into_iter();
        for operation in operations {
            if let i2c::Operation::Read(buffer) = operation
                && let Some(bytes) = read.next()
            {
                buffer.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

impl spi::ErrorType for Replay {
    type Error = BusError;
}

impl spi::SpiDevice for Replay {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), BusError> {
        let op = |operation: &spi::Operation<'_, u8>| match operation {
            spi::Operation::Write(out) => Some(Op::Write(out.to_vec())),
            spi::Operation::Read(buffer) => Some(Op::Read(Got::Nothing(buffer.len()))),
            spi::Operation::Transfer(buffer, out) => {
                Some(Op::Exchange(out.to_vec(), Got::Nothing(buffer.len())))
            }
            spi::Operation::TransferInPlace(buffer) => {
                Some(Op::Exchange(buffer.to_vec(), Got::Nothing(buffer.len())))
            }
            spi::Operation::DelayNs(_) => None,
        };
        let mut read = self.state().transfer(operations.iter().filter_map(op).collect())?.into_iter();
        for operation in operations {
            let (spi::Operation::Read(buffer)
            | spi::Operation::Transfer(buffer, _)
            | spi::Operation::TransferInPlace(buffer)) = operation
            else {
                continue;
            };
            if let Some(bytes) = read.next() {
                buffer.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

impl Files for Replay {
    fn read(&mut self, file: &str) -> Result<String, BusError> {
        let wanted = |event: &Event| match event {
            Event::File(name, result) if name == file => Some(result.clone()),
            _ => None,
        };
        let sent = || Event::File(file.into(), Ok(String::new())).to_string().replace(" = \"\"", "");
        self.state().take(wanted, sent)?
    }

    fn names(&mut self) -> Result<Vec<String>, BusError> {
        let wanted = |event: &Event| match event {
            Event::Names(result) => Some(result.clone()),
            _ => None,
        };
        self.state().take(wanted, || "ls".into())?
    }
}
