//! `sedge sensor record NAME`: keeps what a device and its driver say to each other, as a cassette.
//!
//! The device is opened and read here, as a node would do it, and nothing else of the config runs but what switches its supply.
//! It must not run beside a node that has the sensor: two programs on one chip spoil each other's conversions.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sedge_actors::RunningNode;
use sedge_config::{Config, Sensor};
use sedge_hal::{Bus, HANGS_AFTER, Header, Mark, Seat, SystemClock, Tape};
use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::prelude::*;
use sedge_plugin::schema::nearest;
use sedge_plugins::processors::common::round;
use serde_json::{Value as Json, json};
use tokio::time::MissedTickBehavior;

use super::hardware::Hardware;
use super::run::Stop;
use super::version::VERSION;
use super::{local, node};
use crate::assemble::seat;
use crate::buses::simulated;
use crate::cli::{Global, RecordArgs};
use crate::control::Ask;
use crate::exit::Failure;
use crate::extend;
use crate::load::{Loaded, load};
use crate::show::{self, complain, say};

/// So many beats in a row may fail before the device is opened anew.
const TRIES: u32 = 2;

/// Records a sensor.
pub async fn record(global: &Global, args: &RecordArgs) -> Result<(), Failure> {
    if args.lasts.0.is_zero() {
        return Err(Failure::Usage("--for: longer than nothing, such as 60s".into()));
    }
    let mut stop = Stop::new()?;
    let loaded = load(global)?;
    let Some(config) = loaded.config.clone() else {
        loaded.show(global);
        return Err(Failure::ConfigShown);
    };
    let config = if args.sim { simulated(config) } else { config };
    let sensor = named(&config, &args.name)?;
    if let Some(fault) = &sensor.fault {
        return Err(Failure::Config(format!("[sensor.{}]: {fault}; `sedge check` shows where", sensor.id)));
    }
    let file = args.output.clone().unwrap_or_else(|| format!("{}.cassette", sensor.id).into());
    if file.exists() && !args.force {
        return Err(Failure::Failed(format!(
            "{} is there already; name another file with -o, or overwrite it with --force",
            file.display()
        )));
    }
    let kind = extend::sensor(&sensor.kind)
        .ok_or_else(|| Failure::Config(format!("there is no kind of sensor `{}`", sensor.kind)))?;
    let name = sensor.bus.clone().unwrap_or_default();
    let hardware = Hardware::open(config.clone(), loaded.folder());
    if !is_simulated(&hardware, &name) {
        alone(global, &sensor.id).await?;
    }
    let bus = hardware.bus(&name).map_err(Failure::Failed)?;
    let supply = supply(config, &sensor, &loaded).await;

    let part = PathBuf::from(format!("{}.part", file.display()));
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", part.display()));
    let seat = seat(kind, sensor.address.clone());
    let to = BufWriter::new(File::create(&part).map_err(failed)?);
    let tape = Tape::streamed(&header(&sensor, kind, seat.clone()), Arc::new(SystemClock), to);
    bus.record(seat.clone(), tape.clone()).await.map_err(|error| Failure::Failed(error.to_string()))?;
    let place = format!("{name}/{seat}");
    let mut session = Session::new(global, sensor, kind, bus, seat, &place, tape);
    let outcome = session.run(args.lasts.0, &mut stop).await;
    session.close().await;
    if let Some(supply) = supply {
        supply.stop().await;
    }
    let outcome = outcome.and_then(|()| session.tape.flush().map_err(failed));
    let outcome = outcome.and_then(|()| std::fs::rename(&part, &file).map_err(failed));
    match outcome {
        Ok(()) => session.sum_up(&file),
        // A reader of the output who has gone is no reason to throw away what there is.
        Err(Failure::NobodyReads) => std::fs::rename(&part, &file).map_err(failed)?,
        Err(error) => {
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
    }
    Ok(())
}

fn named(config: &Config, name: &str) -> Result<Sensor, Failure> {
    if let Some(sensor) = config.sensors.iter().find(|sensor| sensor.id.as_str() == name) {
        return Ok(sensor.clone());
    }
    let ids = || config.sensors.iter().map(|sensor| sensor.id.as_str());
    let hint = match nearest(name, ids()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if ids().next().is_none() => "the config has none".into(),
        None => format!("there are: {}", ids().collect::<Vec<_>>().join(", ")),
    };
    Err(Failure::Failed(format!("there is no sensor `{name}`; {hint}")))
}

/// Whether nobody else can be at the bus, because this process makes it up.
fn is_simulated(hardware: &Hardware, bus: &str) -> bool {
    let Some(section) = hardware.section(bus) else { return false };
    let all = hardware.parents(section).into_iter().chain([section]);
    all.into_iter().any(|bus| matches!(bus.kind.as_str(), "sim" | "replay"))
}

/// Makes sure that no node on this machine has the sensor.
async fn alone(global: &Global, sensor: &Id) -> Result<(), Failure> {
    let there = match local::node(global) {
        Ok(there) if there.answers() => there,
        Ok(_) | Err(Failure::Unreachable(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let plugins = there.ask(&Ask::Plugins).await?;
    let off = [State::Disabled, State::Failed].map(State::word);
    let is_it = |plugin: &Json| {
        let state = plugin["state"].as_str().unwrap_or_default();
        plugin["id"] == sensor.as_str() && !off.contains(&state)
    };
    if !plugins.as_array().is_some_and(|all| all.iter().any(is_it)) {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "node `{}` runs on this machine and reads `{sensor}`; two programs on one chip spoil each other's conversions: \
         stop it first (`sudo systemctl stop sedge`, or Ctrl-C where it runs)",
        there.node()
    )))
}

/// A node with nothing but what switches the supply of the sensor, where something does.
async fn supply(mut config: Config, sensor: &Sensor, loaded: &Loaded) -> Option<RunningNode> {
    let power = sensor.power.as_ref()?;
    config.gpios.retain(|gpio| gpio.id == *power);
    config.sensors.clear();
    config.processors.clear();
    config.destinations.clear();
    config.remotes.clear();
    config.plugins.clear();
    config.guards.clear();
    let prepared = node::prepare(config, loaded.along(), node::Keep::Nothing);
    Some(prepared.start(None).await.0)
}

fn header(sensor: &Sensor, kind: &SensorKind, seat: Seat) -> Header {
    // As they are printed: what is secret is masked.
    let settings = match serde_json::to_value(&sensor.settings) {
        Ok(settings @ Json::Object(_)) => settings,
        _ => json!({}),
    };
    Header {
        recorded: SystemClock.wall_ms().map(rfc3339),
        sedge: Some(VERSION.into()),
        others: vec![("every".into(), sensor.every.to_string())],
        ..Header::new(kind, seat, settings)
    }
}

/// A sensor that is recorded.
struct Session<'a> {
    global: &'a Global,
    sensor: Sensor,
    kind: &'static SensorKind,
    bus: Bus,
    seat: Seat,
    tape: Tape,
    descriptor: SensorDescriptor,
    is_open: bool,
    /// Beats in a row that failed.
    failed: u32,
    /// Readings and failures since the start.
    counts: (u64, u64),
}

impl<'a> Session<'a> {
    fn new(
        global: &'a Global,
        sensor: Sensor,
        kind: &'static SensorKind,
        bus: Bus,
        seat: Seat,
        place: &str,
        tape: Tape,
    ) -> Self {
        let descriptor = SensorDescriptor::new(sensor.id.clone(), kind.kind, VERSION, place, kind.fields);
        Self { global, sensor, kind, bus, seat, tape, descriptor, is_open: false, failed: 0, counts: (0, 0) }
    }

    /// Beats for so long, or until the program is told to stop.
    async fn run(&mut self, lasts: Duration, stop: &mut Stop) -> Result<(), Failure> {
        let end = tokio::time::sleep(lasts);
        tokio::pin!(end);
        let mut beats = tokio::time::interval(self.sensor.every.0);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.asked() => return Ok(()),
                () = &mut end => return Ok(()),
                _ = beats.tick() => {}
            }
            let said = tokio::select! {
                biased;
                // Nobody looks after the thread of the bus here: a transfer that never ends is given up.
                said = tokio::time::timeout(HANGS_AFTER * 2, self.beat()) => said.unwrap_or(Err(BusError::Hung.into())),
                () = stop.asked() => return Ok(()),
            };
            self.tell(&said)?;
            self.tape
                .flush()
                .map_err(|error| Failure::Failed(format!("cannot write the cassette: {error}")))?;
            match said {
                Err(SensorError::Bus(BusError::Hung)) => return Ok(()),
                // What is not there, or cannot be meant, is nothing to be recorded.
                Err(error @ (SensorError::Settings(_) | SensorError::Bus(BusError::Gone(_))))
                    if self.counts.0 == 0 =>
                {
                    return Err(Failure::Failed(format!("{}: {error}", self.sensor.id)));
                }
                Err(_) => {
                    self.failed += 1;
                    if self.failed >= TRIES {
                        self.close().await;
                    }
                }
                Ok(_) => self.failed = 0,
            }
            if self.tape.is_full() {
                complain("no more fits on a cassette; this is its end");
                return Ok(());
            }
        }
    }

    async fn beat(&mut self) -> Result<Frame, SensorError> {
        let id = &self.sensor.id;
        if !self.is_open {
            self.tape.mark(Mark::Open);
            let settings = self.sensor.settings.clone().into_value();
            self.bus.open(id, self.seat.clone(), self.kind, settings).await?;
            self.is_open = true;
        }
        self.tape.mark(Mark::Start);
        if let Some(conversion) = self.bus.start(id).await? {
            tokio::time::sleep(conversion).await;
        }
        self.tape.mark(Mark::Read);
        self.bus.read(id).await
    }

    /// Says on the tape and to the person what came of a beat.
    fn tell(&mut self, said: &Result<Frame, SensorError>) -> Result<(), Failure> {
        let id = &self.sensor.id;
        let frame = match said {
            Ok(frame) => rounded(frame.clone(), self.kind.fields),
            Err(error) => {
                self.counts.1 += 1;
                self.tape.mark(Mark::Said(format!("! {error}")));
                return match self.global.json {
                    true => {
                        say(json!({ "sensor": id, "error": error.to_string(), "reason": error.reason() }))
                    }
                    false => say(format_args!("{} {id} ! {error}", show::time(SystemClock.wall_ms()))),
                };
            }
        };
        self.counts.0 += 1;
        let reading = Reading {
            sensor: id.clone(),
            boot: Boot(0),
            seq: self.counts.0,
            taken: SystemClock.taken(),
            frame,
            origin: None,
        };
        let shown = ReadingFrame::from(&reading);
        let unit = |field: &str| self.descriptor.fields.get(field).map_or("", |field| field.unit.symbol());
        self.tape.mark(Mark::Said(show::fields(&shown, unit)));
        match self.global.json {
            true => say(show::json(node::host_id().as_str(), id.as_str(), &shown)),
            false => say(show::line(&reading, Some(&self.descriptor))),
        }
    }

    async fn close(&mut self) {
        self.tape.pause();
        self.is_open = false;
        // Where its thread hangs nobody hears of it.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.bus.close(&self.sensor.id)).await;
    }

    fn sum_up(&self, file: &Path) {
        let (readings, failures) = self.counts;
        if !self.global.quiet {
            complain(format_args!(
                "{}: {readings} readings, {failures} failures, {} transactions",
                file.display(),
                self.tape.transactions()
            ));
        }
    }
}

/// To the digits that a node shows; all of them are in the bytes.
fn rounded(mut frame: Frame, fields: &[Field]) -> Frame {
    for sample in &mut frame.samples {
        let field = fields.iter().find(|field| field.name == sample.field);
        if let (Ok(Value::Number(n)), Some(field)) = (&mut sample.value, field) {
            *n = round(*n, field.precision);
        }
    }
    frame
}
