//! A bus: one thread that owns it and the drivers of the devices on it.
//!
//! A driver blocks while it talks, and a device that holds the clock line blocks it for as long as the kernel
//! lets it. So a bus has its own thread, and a device that hangs holds up its bus and nothing else. A thread that does not
//! come back is left behind and replaced, once.
//!
//! ```
//! # use std::sync::Arc;
//! # use sedge_plugin::{Id, SensorError};
//! # use sedge_plugin::testing::block_on;
//! use sedge_hal::{Adapter, Bus, SystemClock};
//! struct Nothing;
//! impl Adapter for Nothing {}
//! // An adapter that is not there is no error until a device is opened.
//! let bus = Bus::new("i2c-1", Arc::new(SystemClock), || Nothing).unwrap();
//! let error = block_on(bus.read(&Id::new("kitchen").unwrap())).unwrap_err();
//! assert_eq!(error, SensorError::Closed);
//! ```
//!
//! It knows no cadence, and it does not try again: its callers do.

mod adapter;
mod devices;
mod mux;
mod transfer;

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sedge_plugin::{BusError, Clock, Frame, Id, SensorError, SensorKind};
use serde_json::Value as Json;

use crate::cassette::{Recording, Tape};
use crate::scan::Ways;
use crate::worker::{Worker, WorkerError};

pub use adapter::Adapter;
pub use mux::Hop;
pub use transfer::Part;

use devices::Devices;

/// So long may the thread of a bus be at one piece of work. A transfer that the kernel gives up takes a second at most.
pub const HANGS_AFTER: Duration = Duration::from_secs(8);

/// Where a device sits on its bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seat {
    /// An I2C address of 7 bits, or the number of a chip select.
    Number(u8),
    /// What the kernel calls it, such as `28-0316a2794cff`.
    Name(String),
    /// The only one of its kind there.
    Only,
}

impl Seat {
    fn number(&self) -> Result<u8, SensorError> {
        match self {
            Self::Number(number) => Ok(*number),
            other => Err(SensorError::Settings(format!("`{other}` is no number").into())),
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// As the place of a sensor shows it: `0x76`, `28-0316a2794cff`.
impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number:#04x}"),
            Self::Name(name) => f.write_str(name),
            Self::Only => f.write_str("*"),
        }
    }
}

/// What came of the recovery of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It was recovered.
    Done,
    /// It was not touched: other devices on it are well.
    OthersAnswer,
    /// It was not touched: it was recovered a moment ago.
    Recent,
    /// There is nothing that can be done to it from here.
    NoWay,
}

/// How a bus fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vitals {
    /// Threads that were left behind since the start.
    pub hangs: u32,
    /// Threads that have not come back yet.
    pub left: usize,
    /// The present thread hangs, and is not replaced, because one was left behind already.
    pub stuck: bool,
}

/// A handle to a bus and the drivers on it. Cheap to clone; the thread ends when the last one is dropped.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
    route: Arc<[Hop]>,
}

type Make = Box<dyn Fn() -> Box<dyn Adapter> + Send + Sync>;

struct Shared {
    name: String,
    clock: Arc<dyn Clock>,
    make: Make,
    thread: Mutex<Thread>,
    hangs: AtomicU32,
}

/// The thread that serves, and those that it replaced.
struct Thread {
    worker: Worker<Devices>,
    /// Alive as long as the thread is.
    alive: Weak<()>,
    left: Vec<Weak<()>>,
    /// The work that the thread was at when it was looked at, and since when.
    watched: Option<(u64, Duration)>,
    stuck: bool,
}

impl Bus {
    /// A bus with a thread called `name`, over the adapter that `make` makes for it.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new<A: Adapter>(
        name: &str,
        clock: Arc<dyn Clock>,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let make: Make = Box::new(move || Box::new(make()));
        let (worker, alive) = spawn(name, &make, &clock)?;
        let thread = Thread { worker, alive, left: Vec::new(), watched: None, stuck: false };
        let shared =
            Shared { name: name.into(), clock, make, thread: Mutex::new(thread), hangs: AtomicU32::new(0) };
        Ok(Self { shared: Arc::new(shared), route: Arc::default() })
    }

    /// The bus behind a channel of a multiplexer on this one. It shares the thread.
    #[must_use]
    pub fn channel(&self, hop: Hop) -> Self {
        let route = self.route.iter().copied().chain([hop]).collect();
        Self { shared: self.shared.clone(), route }
    }

    /// Opens the device of sensor `id`: drops a former driver of it, then makes the chip ready.
    ///
    /// # Errors
    /// What the driver says; [`BusError::Gone`] when there is no such bus.
    pub async fn open(
        &self,
        id: &Id,
        seat: Seat,
        kind: &'static SensorKind,
        settings: Json,
    ) -> Result<(), SensorError> {
        let (id, route) = (id.clone(), self.route.clone());
        self.ask(move |devices| devices.open(id, &route, &seat, kind, &settings)).await
    }

    /// Begins a conversion; see [`Sensor::start`](sedge_plugin::Sensor::start).
    ///
    /// # Errors
    /// What the driver says; [`SensorError::Closed`] when the device is not open.
    pub async fn start(&self, id: &Id) -> Result<Option<Duration>, SensorError> {
        let id = id.clone();
        self.ask(move |devices| devices.with(id, |driver| driver.start())).await
    }

    /// Takes a reading.
    ///
    /// # Errors
    /// What the driver says; [`SensorError::Closed`] when the device is not open.
    pub async fn read(&self, id: &Id) -> Result<Frame, SensorError> {
        let id = id.clone();
        self.ask(move |devices| devices.with(id, |driver| frame(driver))).await
    }

    /// Begins a conversion, and takes the reading at once where there is nothing to wait for.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`read`](Self::read).
    pub async fn begin(&self, id: &Id) -> Result<Begun, SensorError> {
        let id = id.clone();
        self.ask(move |devices| {
            devices.with(id, |driver| match driver.start()? {
                Some(conversion) => Ok(Begun::Wait(conversion)),
                None => frame(driver).map(Begun::Taken),
            })
        })
        .await
    }

    /// Has a device do something; see [`Sensor::operate`](sedge_plugin::Sensor::operate).
    ///
    /// # Errors
    /// What the driver says; [`SensorError::Closed`] when the device is not open.
    pub async fn operate(&self, id: &Id, operation: &'static str, args: Json) -> Result<Json, SensorError> {
        let id = id.clone();
        self.ask(move |devices| devices.with(id, |driver| driver.operate(operation, &args))).await
    }

    /// Closes sensor `id`, if it is open: makes it safe, and drops its driver. That is done whether or not anybody waits for it.
    /// Says whether it was open.
    ///
    /// # Errors
    /// When the bus is too busy to hear of it.
    pub async fn close(&self, id: &Id) -> Result<bool, SensorError> {
        let id = id.clone();
        let worker = self.thread().worker.clone();
        told(worker.ask_anyway(move |devices| Ok(devices.leave(&id))).await)
    }

    /// Opens the adapter anew beneath all devices. Their drivers keep what they know.
    ///
    /// # Errors
    /// [`BusError::Gone`] when there is no such adapter any more.
    pub async fn reopen(&self) -> Result<(), SensorError> {
        self.ask(|devices| Ok(devices.reopen()?)).await
    }

    /// Does what can be done to a bus that somebody holds, on behalf of sensor `id`. It is left alone where other devices on
    /// it are well, and where it was recovered a moment ago. `suspected`: what failed is more likely the bus than the device.
    ///
    /// # Errors
    /// What there was to do failed.
    pub async fn recover(&self, id: &Id, suspected: bool) -> Result<Recovery, SensorError> {
        let id = id.clone();
        self.ask(move |devices| Ok(devices.recover(&id, suspected)?)).await
    }

    /// Tells the bus that the supply of the device at `seat` was switched off and on.
    ///
    /// # Errors
    /// When the bus is too busy to hear of it.
    pub async fn power_cycled(&self, seat: &Seat) -> Result<(), SensorError> {
        let seat = seat.clone();
        self.ask(move |devices| {
            devices.adapter.power_cycled(&seat);
            Ok(())
        })
        .await
    }

    /// Keeps from now on what passes with the device at `seat`, once that is opened; not over a hang of the thread.
    ///
    /// # Errors
    /// When the bus is too busy to hear of it.
    pub async fn record(&self, seat: Seat, tape: Tape) -> Result<(), SensorError> {
        self.ask(move |devices| {
            let adapter = std::mem::replace(&mut devices.adapter, Box::new(NoAdapter));
            devices.adapter = Box::new(Recording::new(adapter, seat, tape));
            Ok(())
        })
        .await
    }

    /// Does something with the adapter, on the thread of the bus; what looks for devices uses it.
    ///
    /// # Errors
    /// What `work` says, and when the bus is too busy.
    pub async fn with_adapter<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Adapter) -> Result<R, SensorError> + Send + 'static,
    ) -> Result<R, SensorError> {
        self.ask(move |devices| work(devices.adapter.as_mut())).await
    }

    /// Does something with the ways to the I2C addresses here, through the multiplexers that this bus is behind, on its
    /// thread; [`scan`](crate::scan) uses it.
    ///
    /// # Errors
    /// What `work` says, and when the bus is too busy.
    pub async fn with_ways<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ways<'_>) -> Result<R, SensorError> + Send + 'static,
    ) -> Result<R, SensorError> {
        let route = self.route.clone();
        self.ask(move |devices| work(&mut |address| devices.i2c(&route, address))).await
    }

    /// Transfers with the device at an I2C address, without letting go of the bus: one answer per part that is read.
    ///
    /// # Errors
    /// What the bus says, and when it is too busy.
    pub async fn transfer(&self, address: u8, parts: Vec<Part>) -> Result<Vec<Vec<u8>>, SensorError> {
        let route = self.route.clone();
        self.ask(move |devices| transfer::run(devices.i2c(&route, address)?, &parts)).await
    }

    /// Looks whether the thread hangs, and leaves it behind if it does. To be called every second or so: a device whose
    /// transfer never ends is found by this alone.
    pub fn watch(&self) -> Vitals {
        let now = self.shared.clock.up();
        let mut thread = self.thread();
        thread.left.retain(|alive| alive.strong_count() > 0);
        thread.watched = match (thread.worker.at_work(), thread.watched) {
            (Some(work), Some((before, since))) if work == before => Some((work, since)),
            (Some(work), _) => Some((work, now)),
            (None, _) => None,
        };
        let hangs = thread.watched.is_some_and(|(_, since)| now.saturating_sub(since) >= HANGS_AFTER);
        thread.stuck = hangs && !thread.left.is_empty();
        if hangs && !thread.stuck {
            self.replace(&mut thread);
        }
        let hangs = self.shared.hangs.load(Ordering::Relaxed);
        Vitals { hangs, left: thread.left.len(), stuck: thread.stuck }
    }

    /// The new thread has no drivers: whoever asks for one is told that it is closed, and opens it again.
    fn replace(&self, thread: &mut Thread) {
        let Ok((worker, alive)) = spawn(&self.shared.name, &self.shared.make, &self.shared.clock) else {
            return;
        };
        self.shared.hangs.fetch_add(1, Ordering::Relaxed);
        let former = std::mem::replace(&mut thread.worker, worker);
        let was = std::mem::replace(&mut thread.alive, alive);
        thread.left.push(was);
        thread.watched = None;
        former.leave();
    }

    fn thread(&self) -> MutexGuard<'_, Thread> {
        self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Devices) -> Result<R, SensorError> + Send + 'static,
    ) -> Result<R, SensorError> {
        let worker = self.thread().worker.clone();
        told(worker.ask(work).await)
    }
}

fn told<R>(answer: Result<Result<R, SensorError>, WorkerError>) -> Result<R, SensorError> {
    match answer {
        Ok(result) => result,
        Err(WorkerError::Panicked(text)) => Err(SensorError::Panicked(text)),
        Err(error @ WorkerError::Busy) => Err(BusError::Other(format!("the bus is {error}").into()).into()),
        Err(WorkerError::Left) => Err(BusError::Hung.into()),
        Err(WorkerError::Ended) => Err(BusError::Gone("the thread of the bus has ended".into()).into()),
    }
}

/// Stands for an adapter while that is wrapped.
struct NoAdapter;

impl Adapter for NoAdapter {}

/// What [`Bus::begin`] came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// A conversion runs; read after this time.
    Wait(Duration),
    /// The reading.
    Taken(Frame),
}

fn frame(driver: &mut dyn sedge_plugin::Driver) -> Result<Frame, SensorError> {
    let mut frame = Frame::default();
    driver.read(&mut frame).map(|()| frame)
}

fn spawn(name: &str, make: &Make, clock: &Arc<dyn Clock>) -> io::Result<(Worker<Devices>, Weak<()>)> {
    let (token, adapter, clock) = (Arc::new(()), make(), clock.clone());
    let alive = Arc::downgrade(&token);
    let worker = Worker::spawn_with(name, token, move || Devices::new(adapter, clock))?;
    Ok((worker, alive))
}

#[cfg(test)]
mod tests;
