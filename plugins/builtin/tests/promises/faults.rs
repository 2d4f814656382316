//! The fault matrix: every fault of a sensor against everything that can cure it, with a healthy neighbour on the same bus.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-plugins --test promises faults` writes the table into `FAULTS.md`.

use std::fmt::Write;
use std::time::Duration;

use sedge_hal::{Bus, Cure, Fault, HANGS_AFTER, Seat, SimBus, Supply};
use sedge_plugin::metrics::Metric;
use sedge_plugin::prelude::*;
use sedge_plugin::testing::{TestNode, block_on};
use sedge_plugins::sensor::{Rung, SensorArgs, SensorPlugin};
use sedge_plugins::sensors;
use serde_json::json;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FAULTS.md");
const SECOND: Duration = Duration::from_secs(1);
/// So many failures in a row end a sensor; see `sedge_actors`.
const FAILURES: u32 = 3;

const CURES: [(&str, Cure); 6] = [
    ("is over after two transfers", Cure::Transfers(2)),
    ("needs the bus opened anew", Cure::Reopen),
    ("needs the sensor set up anew", Cure::Reinit),
    ("needs the bus recovered", Cure::Recover),
    ("needs its supply switched", Cure::Power),
    ("needs a person", Cure::Hand),
];

/// A sensor, as its supervisor treats it: three failures in a row end it, then it is set up again.
struct Kept {
    id: &'static str,
    args: SensorArgs,
    running: Option<SensorPlugin>,
    failures: u32,
    left_alone: u32,
}

impl Kept {
    /// A beat: a reading, or none.
    fn beat(&mut self, node: &TestNode) {
        if self.running.is_none() {
            self.left_alone += 1;
            self.running = block_on(SensorPlugin::setup(&self.args, node.context(self.id))).ok();
            self.failures = 0;
        }
        let Some(plugin) = &mut self.running else { return };
        match block_on(plugin.tick()) {
            Ok(()) => self.failures = 0,
            Err(_) => self.failures += 1,
        }
        if self.failures == FAILURES {
            let _ = block_on(plugin.teardown());
            self.running = None;
        }
    }
}

struct Trial {
    node: TestNode,
    sim: SimBus,
    bus: Bus,
    sick: Kept,
    well: Kept,
}

const SICK: Seat = Seat::Number(0x44);

impl Trial {
    fn new() -> Self {
        let node = TestNode::new();
        let sim = SimBus::new("i2c-1", node.clock());
        let bus = sim.bus().unwrap();
        let supply = Supply::new(node.clock());
        supply.provide(sim.lines().output(22, true, false).unwrap());
        let kept = |id: &'static str, kind: &str, seat: Seat, power| {
            let kind = sensors::kind(kind).unwrap();
            sim.simulate(&Id::new(id).unwrap(), &seat, kind);
            let (bus, bus_name) = (bus.clone(), "i2c-1".into());
            let args = SensorArgs { kind, bus, bus_name, seat, every: SECOND, settings: json!({}), power };
            let running = block_on(SensorPlugin::setup(&args, node.context(id))).ok();
            Kept { id, args, running, failures: 0, left_alone: 0 }
        };
        let sick = kept("sick", "sht3x", SICK, Some(supply));
        let well = kept("well", "bme280", Seat::Number(0x76), None);
        Self { node, sim, bus, sick, well }
    }

    /// A second of both. Gives how many readings of each came, and how many of them were without values.
    fn second(&mut self) -> [(u32, u32); 2] {
        self.sick.beat(&self.node);
        self.well.beat(&self.node);
        self.node.clock().advance(SECOND);
        let drafts = self.node.submitted();
        ["sick", "well"].map(|id| {
            let of = drafts.iter().filter(|draft| draft.sensor.as_str() == id);
            let empty =
                of.clone().filter(|draft| draft.frame.samples.iter().all(|s| s.value.is_err())).count();
            ((of.count() - empty) as u32, empty as u32)
        })
    }

    /// The rung that brought the sensor back.
    fn healed(&self) -> Option<Rung> {
        let metrics = self.node.context("x").metrics().snapshot();
        let counted = |rung: &Rung| {
            metrics.iter().any(|row| {
                row.plugin.as_str() == "sick"
                    && row.name.as_str() == rung.healed()
                    && matches!(row.metric, Metric::Counter(1..))
            })
        };
        Rung::ALL.into_iter().find(counted)
    }
}

/// What became of a fault.
#[derive(Debug, PartialEq)]
struct Outcome {
    healed: Option<Rung>,
    /// Seconds without a value of the sensor, and of its neighbour.
    lost: [u32; 2],
    /// Whether it was left alone in between, and tried again.
    left_alone: bool,
}

/// The longest trial. A person comes after half of it.
const SECONDS: u32 = 12;

fn outcome(fault: Fault, cure: Cure) -> Outcome {
    let mut trial = Trial::new();
    assert_eq!(trial.second(), [(1, 0), (1, 0)], "both are well before");
    trial.sim.fault(&SICK, fault, cure);
    let mut lost = [0, 0];
    for second in 0..SECONDS {
        if second == SECONDS / 2 {
            trial.sim.heal(&SICK);
        }
        let came = trial.second();
        for (lost, (values, _)) in lost.iter_mut().zip(came) {
            *lost += u32::from(values == 0);
        }
        let told = came[0].0 + came[0].1;
        assert!(told > 0, "{fault:?}, {cure:?}: a second without a reading and without a reason");
    }
    assert!(!trial.sim.is_faulty(&SICK));
    assert_eq!(trial.second(), [(1, 0), (1, 0)], "{fault:?}, {cure:?}: both are well in the end");
    Outcome { healed: trial.healed(), lost, left_alone: trial.sick.left_alone > 0 }
}

impl Outcome {
    fn cell(&self) -> String {
        let mut text = match self.healed {
            None if self.left_alone => "left alone, then tried again".into(),
            None => "nothing to do".into(),
            Some(rung) if self.left_alone => format!("left alone; then {rung}"),
            Some(rung) => rung.to_string(),
        };
        if self.lost != [0, 0] {
            let _ = write!(text, " ({} lost", self.lost[0]);
            if self.lost[1] > 0 {
                let _ = write!(text, ", neighbour {}", self.lost[1]);
            }
            text.push(')');
        }
        text
    }
}

fn title(fault: Fault) -> &'static str {
    match fault {
        Fault::Nack => "does not answer",
        Fault::Refuse => "refuses a byte",
        Fault::Timeout => "holds the clock until the kernel gives up",
        Fault::StuckLow => "holds the data line: the bus is dead",
        Fault::Corrupt => "its bytes arrive changed",
        Fault::Stranger => "another chip answers",
        Fault::Slow(_) => "its conversions take 3 s longer",
        Fault::Hang => "a transfer never ends",
    }
}

fn table() -> String {
    let mut text = String::from("| the sensor … |");
    for (cure, _) in CURES {
        let _ = write!(text, " {cure} |");
    }
    let _ = write!(text, "\n|---|{}", "---|".repeat(CURES.len()));
    for fault in Fault::ALL.into_iter().filter(|fault| *fault != Fault::Hang) {
        let _ = write!(text, "\n| {} |", title(fault));
        for (_, cure) in CURES {
            let _ = write!(text, " {} |", outcome(fault, cure).cell());
        }
    }
    text
}

#[test]
fn every_fault_has_its_rung_and_the_table_says_which() {
    let table = table();
    let text = std::fs::read_to_string(FILE).unwrap();
    let (begin, end) = ("<!-- table: begin -->\n", "\n<!-- table: end -->");
    let (before, rest) = text.split_once(begin).expect("FAULTS.md has a place for the table");
    let (found, after) = rest.split_once(end).expect("the place has an end");
    if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(FILE, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, table, "FAULTS.md is not what the faults do; write it anew");
    }
}

#[test]
fn a_fault_that_something_cures_costs_no_reading_and_the_neighbour_none() {
    for fault in Fault::ALL.into_iter().filter(|fault| !matches!(fault, Fault::Hang | Fault::StuckLow)) {
        for cure in [Cure::Transfers(2), Cure::Reopen, Cure::Reinit, Cure::Power] {
            let outcome = outcome(fault, cure);
            assert_eq!((outcome.lost, outcome.left_alone), ([0, 0], false), "{fault:?}, {cure:?}");
            assert!(outcome.healed.is_some(), "{fault:?}, {cure:?}");
        }
        let Outcome { lost: [_, neighbour], left_alone, .. } = outcome(fault, Cure::Hand);
        assert_eq!((neighbour, left_alone), (0, true), "{fault:?}");
    }
    assert_eq!(outcome(Fault::StuckLow, Cure::Recover).healed, Some(Rung::Recover));
    assert_eq!(outcome(Fault::StuckLow, Cure::Recover).lost, [0, 0]);
}

#[test]
fn a_transfer_that_never_ends_costs_the_neighbour_one_beat() {
    let mut trial = Trial::new();
    trial.second();
    trial.sim.fault(&SICK, Fault::Hang, Cure::Reinit);
    let (bus, sim, clock) = (trial.bus.clone(), trial.sim.clone(), trial.node.clock());
    let watch = std::thread::spawn(move || {
        sim.wait_for_hang();
        bus.watch();
        clock.advance(HANGS_AFTER);
        bus.watch()
    });
    assert_eq!(trial.second(), [(1, 0), (1, 0)], "it waits, and is then read on another thread");
    assert_eq!(watch.join().unwrap().hangs, 1);
    assert_eq!(trial.healed(), Some(Rung::Reinit));
    assert_eq!(trial.second(), [(1, 0), (1, 0)]);
}
