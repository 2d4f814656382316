//! The hardware of a node for plugins from outside: devices on I2C, lines of GPIO chips.
//!
//! A plugin outside opens no device of the machine: it asks, and a bus's own thread does the transfer between those of the
//! other devices on it. A line is an instance's from its first use until that has ended; an output is off before it is let
//! go. What an instance may reach its grants say, which whoever asks here has checked.
//!
//! It must not keep a bus open that the config has no more: it holds what [`Devices::set`] was told last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sedge_hal::{Bus, InputLine, InputOptions, Lines, OutputLine, Part};
use sedge_host::outside::Hardware;
use sedge_plugin::grant::{Direction, GpioGrant, I2cGrant};
use sedge_plugin::{BoxFuture, BusError, Id, SensorError};
use sedge_protocol::{GpioOperation, I2cOperation};

use crate::buses::Opened;

/// Bytes of one transfer, read and written.
const LONGEST: usize = 64 * 1024;

/// What is there now, and which lines are whose.
#[derive(Default)]
pub struct Devices {
    buses: Mutex<BTreeMap<String, Result<Opened, String>>>,
    lines: Mutex<BTreeMap<Id, Owned>>,
}

/// The lines of an instance, by their chip and number.
type Owned = BTreeMap<(String, u32), Line>;

/// A line that an instance has.
enum Line {
    Output(OutputLine),
    Input(InputLine),
}

impl Devices {
    /// The buses of the config.
    pub(crate) fn set(&self, buses: BTreeMap<String, Result<Opened, String>>) {
        *lock(&self.buses) = buses;
    }

    fn opened(&self, name: &str) -> Result<Opened, String> {
        lock(&self.buses).get(name).cloned().unwrap_or_else(|| Err(format!("there is no bus `{name}`")))
    }

    fn bus(&self, name: &str) -> Result<Bus, BusError> {
        let why = match self.opened(name) {
            Ok(Opened::Bus(bus) | Opened::Sim(_, bus)) => return Ok(bus),
            Ok(Opened::Replay(..)) => format!(
                "`{name}` plays what was recorded with a driver in the node; a plugin from outside needs the device"
            ),
            Ok(Opened::Gpio(_) | Opened::Pwm(_)) => format!("devices cannot sit on `{name}`"),
            Err(why) => why,
        };
        Err(BusError::Gone(why.into()))
    }

    fn chip(&self, name: &str) -> Result<Lines, String> {
        match self.opened(name)? {
            Opened::Gpio(lines) => Ok(lines),
            Opened::Sim(sim, _) => Ok(sim.lines()),
            Opened::Bus(_) | Opened::Replay(..) | Opened::Pwm(_) => Err(format!("`{name}` is no GPIO chip")),
        }
    }

    fn operate(
        &self,
        plugin: &Id,
        GpioGrant { bus, line }: &GpioGrant,
        direction: Direction,
        operation: GpioOperation,
    ) -> Result<bool, String> {
        let mut all = lock(&self.lines);
        let own = all.entry(plugin.clone()).or_default();
        let key = (bus.clone(), *line);
        if !own.contains_key(&key) {
            let chip = self.chip(bus)?;
            let claimed = match (direction, operation) {
                // As it is to be from the first moment on.
                (Direction::Out, GpioOperation::Set(on)) => chip.output(*line, on, false).map(Line::Output),
                (Direction::Out, GpioOperation::Get(_)) => chip.output(*line, false, false).map(Line::Output),
                (Direction::In, _) => chip.input(*line, InputOptions::default()).map(Line::Input),
            };
            let claimed = claimed.map_err(|error| format!("`{bus}`: {error}"))?;
            own.insert(key.clone(), claimed);
        }
        let done = match (&own[&key], operation) {
            (Line::Output(line), GpioOperation::Set(on)) => line.set(on).map(|()| on),
            (Line::Output(line), GpioOperation::Get(_)) => line.get(),
            (Line::Input(line), GpioOperation::Get(_)) => line.get(),
            (Line::Input(_), GpioOperation::Set(_)) => {
                return Err(format!("line {line} of `{bus}` is an input in its manifest: it cannot be set"));
            }
        };
        done.map_err(|error| {
            // It may have been let go by the chip: the next one claims it anew.
            own.remove(&key);
            format!("`{bus}`: {error}")
        })
    }
}

impl Hardware for Devices {
    fn i2c(
        &self,
        device: &I2cGrant,
        operations: Vec<I2cOperation>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, BusError>> {
        let (bus, address) = (self.bus(&device.bus), device.address);
        let part = |operation| match operation {
            I2cOperation::Write(bytes) => Part::Write(bytes.0),
            I2cOperation::Read(bytes) => Part::Read(usize::from(bytes)),
        };
        let parts: Vec<Part> = operations.into_iter().map(part).collect();
        let bytes = |part: &Part| match part {
            Part::Write(bytes) => bytes.len(),
            Part::Read(bytes) => *bytes,
        };
        let all: usize = parts.iter().map(bytes).sum();
        Box::pin(async move {
            if all > LONGEST {
                let why = format!("a transfer of {all} bytes; at most {LONGEST} at once");
                return Err(BusError::Other(why.into()));
            }
            bus?.transfer(address, parts).await.map_err(|error| match error {
                SensorError::Bus(error) => error,
                other => BusError::Other(other.to_string().into()),
            })
        })
    }

    fn gpio(
        &self,
        plugin: &Id,
        line: &GpioGrant,
        direction: Direction,
        operation: GpioOperation,
    ) -> BoxFuture<'static, Result<bool, String>> {
        // One short system call.
        let done = self.operate(plugin, line, direction, operation);
        Box::pin(async move { done })
    }

    fn release(&self, plugin: &Id) {
        let lines = lock(&self.lines).remove(plugin);
        for line in lines.into_iter().flatten().map(|(_, line)| line) {
            if let Line::Output(output) = line
                && let Err(error) = output.set(false)
            {
                tracing::warn!(%plugin, %error, "An output cannot be switched off.");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by all instances.
pub(crate) type SharedDevices = Arc<Devices>;

#[cfg(test)]
mod tests {
    use sedge_hal::{SimBus, SystemClock};
    use sedge_plugin::sim::RegisterFile;
    use sedge_plugin::testing::block_on;
    use sedge_protocol::Bytes;

    use super::*;

    fn devices() -> (Devices, SimBus) {
        let sim = SimBus::new("b", Arc::new(SystemClock));
        let (devices, bus) = (Devices::default(), sim.bus().expect("a thread"));
        let broken = ("broken".to_owned(), Err("no such device".to_owned()));
        devices.set([("b".to_owned(), Ok(Opened::Sim(sim.clone(), bus))), broken].into());
        (devices, sim)
    }

    fn id(text: &str) -> Id {
        Id::new(text).expect("an id")
    }

    #[test]
    fn a_transfer_reaches_the_granted_device_and_says_what_is_wrong_with_a_bus() {
        let (devices, sim) = devices();
        sim.attach(0x20, Box::new(RegisterFile::new(&[(3, &[9, 8])])));
        let ask = |bus: &str, address, operations| {
            block_on(devices.i2c(&I2cGrant { bus: bus.into(), address }, operations))
        };
        let read = || vec![I2cOperation::Write(Bytes(vec![3])), I2cOperation::Read(2)];
        assert_eq!(ask("b", 0x20, read()), Ok(vec![vec![9, 8]]));
        assert_eq!(ask("b", 0x21, read()), Err(BusError::NoAnswer));
        assert!(ask("broken", 0x20, read()).unwrap_err().to_string().contains("no such device"));
        assert!(ask("c", 0x20, read()).unwrap_err().to_string().contains("there is no bus `c`"));
        let flood = vec![I2cOperation::Read(u16::MAX), I2cOperation::Read(u16::MAX)];
        assert!(ask("b", 0x20, flood).unwrap_err().to_string().contains("at most 65536"));
    }

    #[test]
    fn a_line_is_one_instances_until_that_has_ended_and_is_off_then() {
        let (devices, sim) = devices();
        let line = GpioGrant { bus: "b".into(), line: 4 };
        let ask = |plugin: &str, direction, operation| {
            block_on(devices.gpio(&id(plugin), &line, direction, operation))
        };
        let (out, set) = (Direction::Out, GpioOperation::Set(true));
        assert_eq!(ask("one", out, set), Ok(true));
        assert_eq!(sim.level(4), Some(true));
        assert_eq!(ask("one", out, GpioOperation::Get(true)), Ok(true));
        assert!(ask("two", out, set).unwrap_err().contains("in use"));
        devices.release(&id("one"));
        assert_eq!(sim.level(4), Some(false));
        assert_eq!(ask("two", Direction::In, GpioOperation::Get(true)), Ok(false));
        assert!(ask("two", Direction::In, set).unwrap_err().contains("is an input"));
        let none = GpioGrant { bus: "c".into(), line: 4 };
        assert!(block_on(devices.gpio(&id("two"), &none, out, set)).unwrap_err().contains("no bus `c`"));
    }
}
