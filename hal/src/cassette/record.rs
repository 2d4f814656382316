//! Keeps what passes between a device and its driver.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use embedded_hal::i2c::{self, I2c};
use embedded_hal::spi;
use sedge_plugin::device::Files;
use sedge_plugin::{BusError, Clock, FileDevice, I2cDevice, SpiDevice, SpiMode, Sysfs};

use super::format::{Cassette, CassetteError, Header, MOST_BYTES, MOST_LINE_BYTES};
use super::line::{Entry, Event, Got, Mark, Op};
use crate::bus::{Adapter, Seat};

/// Where a recording is kept. Clones are the same tape.
///
/// ```
/// # use std::sync::Arc;
/// # use sedge_hal::{Adapter, Header, Mark, Recording, Seat, SimBus, SystemClock, Tape};
/// # use sedge_plugin::sim::RegisterFile;
/// # let clock = Arc::new(SystemClock);
/// # let bus = SimBus::new("i2c-1", clock.clone());
/// # bus.attach(0x48, Box::new(RegisterFile::new(&[(0x0F, &[0x17])])));
/// # let header = Header { kind: "tmp117".into(), bus: "i2c".into(), seat: Seat::Number(0x48),
/// #     settings: serde_json::json!({}), recorded: None, sedge: None, others: vec![] };
/// let tape = Tape::new(&header, clock);
/// let mut adapter = Recording::new(bus, Seat::Number(0x48), tape.clone());
/// tape.mark(Mark::Open);
/// adapter.i2c(0x48).unwrap().read_u8(0x0F).unwrap();
/// assert!(tape.text().ends_with("w 0f r 17\n"));
/// ```
#[derive(Clone)]
pub struct Tape {
    clock: Arc<dyn Clock>,
    began: Duration,
    state: Arc<Mutex<State>>,
}

struct State {
    sink: Sink,
    bytes: usize,
    transactions: u64,
    paused: bool,
    full: bool,
    failed: Option<io::Error>,
}

enum Sink {
    Memory(String),
    Stream(Box<dyn Write + Send>),
}

impl State {
    fn write(&mut self, text: &str) {
        if self.failed.is_some() || self.full {
            return;
        }
        // What does not fit would leave a hole, so nothing that follows is kept either.
        if self.bytes + text.len() > MOST_BYTES || text.len() > MOST_LINE_BYTES {
            self.full = true;
            return;
        }
        self.bytes += text.len();
        match &mut self.sink {
            Sink::Memory(all) => all.push_str(text),
            Sink::Stream(to) => self.failed = to.write_all(text.as_bytes()).err(),
        }
    }

    fn flush(&mut self) {
        if let (Sink::Stream(to), None) = (&mut self.sink, &self.failed) {
            self.failed = to.flush().err();
        }
    }
}

impl Tape {
    /// A tape in memory, which begins now.
    pub fn new(header: &Header, clock: Arc<dyn Clock>) -> Self {
        Self::on(Sink::Memory(String::new()), header, clock)
    }

    /// A tape that is written as it goes on, which begins now.
    pub fn streamed(header: &Header, clock: Arc<dyn Clock>, to: impl Write + Send + 'static) -> Self {
        Self::on(Sink::Stream(Box::new(to)), header, clock)
    }

    fn on(sink: Sink, header: &Header, clock: Arc<dyn Clock>) -> Self {
        let mut state = State { sink, bytes: 0, transactions: 0, paused: false, full: false, failed: None };
        state.write(&header.to_string());
        Self { began: clock.up(), clock, state: Arc::new(Mutex::new(state)) }
    }

    /// Notes what the driver is about to be asked for, or what came of it. Ends a [pause](Self::pause) where the device is
    /// opened.
    pub fn mark(&self, mark: Mark) {
        let opens = mark == Mark::Open;
        let at = self.now();
        let mut state = self.state();
        state.paused &= !opens;
        if !state.paused {
            state.write(&line(at, Event::Mark(mark)));
            state.flush();
        }
    }

    /// Keeps nothing until the device is opened anew. Before it is closed: what makes it safe belongs to no reading.
    pub fn pause(&self) {
        self.state().paused = true;
    }

    /// What is in memory, as text.
    pub fn text(&self) -> String {
        match &self.state().sink {
            Sink::Memory(all) => all.clone(),
            Sink::Stream(_) => String::new(),
        }
    }

    /// What is in memory.
    ///
    /// # Errors
    /// It is not in memory, or its header makes no cassette.
    pub fn cassette(&self) -> Result<Cassette, CassetteError> {
        Cassette::parse(&self.text())
    }

    /// How many transactions are on it.
    pub fn transactions(&self) -> u64 {
        self.state().transactions
    }

    /// Whether no more fits.
    pub fn is_full(&self) -> bool {
        self.state().full
    }

    /// Hands on what is to be written. To be called at the end.
    ///
    /// # Errors
    /// It could not be written, now or before.
    pub fn flush(&self) -> io::Result<()> {
        let mut state = self.state();
        state.flush();
        state.failed.take().map_or(Ok(()), Err)
    }

    fn now(&self) -> Duration {
        self.clock.up().saturating_sub(self.began)
    }

    fn keep(&self, at: Duration, event: Event) {
        let mut state = self.state();
        if !state.paused {
            state.transactions += 1;
            state.write(&line(at, event));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(at: Duration, event: Event) -> String {
    format!("{}\n", Entry { at, event, line: 0 })
}

/// An adapter, of which all that passes with the device at one seat is kept. The driver does not notice, nor do other
/// devices.
pub struct Recording<A> {
    adapter: A,
    seat: Seat,
    tape: Tape,
}

impl<A: Adapter> Recording<A> {
    /// Keeps on `tape` what passes with the device at `seat`.
    pub fn new(adapter: A, seat: Seat, tape: Tape) -> Self {
        Self { adapter, seat, tape }
    }

    /// What the adapter said when it was asked for the device.
    fn opened<D>(&self, at: Duration, device: Result<D, BusError>) -> Result<D, BusError> {
        device.inspect_err(|error| self.tape.keep(at, Event::Device(Err(error.clone()))))
    }
}

impl<A: Adapter> Adapter for Recording<A> {
    fn i2c(&mut self, address: u8) -> Result<I2cDevice, BusError> {
        if self.seat != Seat::Number(address) {
            return self.adapter.i2c(address);
        }
        let (at, device) = (self.tape.now(), self.adapter.i2c(address));
        let (bus, delay) = self.opened(at, device)?.split();
        Ok(I2cDevice::new(address, Tap { bus, tape: self.tape.clone() }, delay))
    }

    fn spi(&mut self, select: u8, mode: SpiMode) -> Result<SpiDevice, BusError> {
        if self.seat != Seat::Number(select) {
            return self.adapter.spi(select, mode);
        }
        let (at, device) = (self.tape.now(), self.adapter.spi(select, mode));
        let (bus, delay) = self.opened(at, device)?.split();
        Ok(SpiDevice::new(Tap { bus, tape: self.tape.clone() }, delay))
    }

    fn files(&mut self, name: Option<&str>, place: Sysfs) -> Result<FileDevice, BusError> {
        if self.seat != name.map_or(Seat::Only, |name| Seat::Name(name.into())) {
            return self.adapter.files(name, place);
        }
        let (at, device) = (self.tape.now(), self.adapter.files(name, place));
        let bus = self.opened(at, device)?;
        let name = bus.name().to_owned();
        self.tape.keep(at, Event::Device(Ok(name.clone())));
        Ok(FileDevice::new(&name, Tap { bus, tape: self.tape.clone() }))
    }

    fn reopen(&mut self) -> Result<(), BusError> {
        self.adapter.reopen()
    }

    fn recover(&mut self) -> Option<Result<(), BusError>> {
        self.adapter.recover()
    }

    fn power_cycled(&mut self, seat: &Seat) {
        self.adapter.power_cycled(seat);
    }
}

/// A device's way to its bus, with an ear on it.
struct Tap<B> {
    bus: B,
    tape: Tape,
}

impl<B> Tap<B> {
    /// A transaction without any parts is none.
    fn keep(&self, at: Duration, ops: Vec<Op>, result: &Result<(), BusError>) {
        if !ops.is_empty() {
            self.tape.keep(at, Event::Transfer(ops, result.clone()));
        }
    }
}

fn got(buffer: &[u8], result: &Result<(), BusError>) -> Got {
    match result {
        Ok(()) => Got::Bytes(buffer.into()),
        Err(_) => Got::Nothing(buffer.len()),
    }
}

impl<B> i2c::ErrorType for Tap<B> {
    type Error = BusError;
}

impl<B: I2c<Error = BusError>> I2c for Tap<B> {
    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), BusError> {
        let at = self.tape.now();
        // The plain ones are passed on as what they are: a bus may tell them apart.
        let result = match &mut *operations {
            [i2c::Operation::Write(out)] => self.bus.write(address, out),
            [i2c::Operation::Read(buffer)] => self.bus.read(address, buffer),
            [i2c::Operation::Write(out), i2c::Operation::Read(buffer)] => {
                self.bus.write_read(address, out, buffer)
            }
            _ => self.bus.transaction(address, operations),
        };
        let op = |operation: &i2c::Operation<'_>| match operation {
            i2c::Operation::Write(out) => Op::Write(out.to_vec()),
            i2c::Operation::Read(buffer) => Op::Read(got(buffer, &result)),
        };
        self.keep(at, operations.iter().map(op).collect(), &result);
        result
    }
}

impl<B> spi::ErrorType for Tap<B> {
    type Error = BusError;
}

impl<B: spi::SpiDevice<Error = BusError>> spi::SpiDevice for Tap<B> {
    /// A pause within it is passed on and not kept.
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), BusError> {
        let at = self.tape.now();
        // What goes out in place is gone afterwards.
        let out: Vec<Vec<u8>> = operations
            .iter()
            .map(|operation| match operation {
                spi::Operation::TransferInPlace(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        let result = self.bus.transaction(operations);
        let op = |(operation, before): (&spi::Operation<'_, u8>, Vec<u8>)| match operation {
            spi::Operation::Write(out) => Some(Op::Write(out.to_vec())),
            spi::Operation::Read(buffer) => Some(Op::Read(got(buffer, &result))),
            spi::Operation::Transfer(buffer, out) => Some(Op::Exchange(out.to_vec(), got(buffer, &result))),
            spi::Operation::TransferInPlace(buffer) => Some(Op::Exchange(before, got(buffer, &result))),
            spi::Operation::DelayNs(_) => None,
        };
        self.keep(at, operations.iter().zip(out).filter_map(op).collect(), &result);
        result
    }
}

impl Files for Tap<FileDevice> {
    fn read(&mut self, file: &str) -> Result<String, BusError> {
        let at = self.tape.now();
        let result = self.bus.read(file);
        self.tape.keep(at, Event::File(file.into(), result.clone()));
        result
    }

    fn names(&mut self) -> Result<Vec<String>, BusError> {
        let at = self.tape.now();
        let result = self.bus.names();
        self.tape.keep(at, Event::Names(result.clone()));
        result
    }
}
