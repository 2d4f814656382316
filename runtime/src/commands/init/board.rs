//! What is on the board, and what of it goes into the config.

use std::path::{Path, PathBuf};

use crate::commands::doctor::enable_i2c;
use crate::commands::scan::{Around, Device, Devices, Look, Running, around, is_general, is_new};
use crate::exit::Failure;
use sedge_hal::scan::Found;

/// A device that the config may have a section for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// The bus: the number of its look, or of its class.
    place: Place,
    /// For a person: `bme280 at 0x76 on /dev/i2c-1`.
    pub(super) title: String,
    /// Whether its identity was seen.
    pub(super) certain: bool,
    /// Whether it goes in.
    pub(super) chosen: bool,
    /// It is left alone though guesses are wanted.
    pub(super) spared: bool,
}

impl Item {
    /// Whether it goes in where nobody says otherwise.
    pub(super) fn is_usual(&self, guesses: bool) -> bool {
        self.certain || (guesses && !self.spared)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    I2c { look: usize, address: u8 },
    Kernel { class: usize, device: usize },
}

/// The board.
#[derive(Default)]
pub(super) struct Board {
    pub(super) around: Around,
    pub(super) items: Vec<Item>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
    /// Why there is no I2C bus, as what to do about it; none where there is one, or nobody looked.
    pub(super) no_i2c: Option<String>,
    /// Whether somebody looked.
    pub(super) seen: bool,
    root: PathBuf,
}

impl Board {
    /// One that nobody looked at.
    pub(super) fn unseen(root: &Path) -> Self {
        Self { root: root.into(), ..Self::default() }
    }

    /// Looks at the board below `root`, for a config at `file`.
    pub(super) async fn look(file: &Path, root: &Path, running: Option<&Running>) -> Result<Self, Failure> {
        let around = around(file, root, running).await?;
        let mut board = Self::of(around);
        board.root = root.into();
        if board.around.looks.is_empty() {
            let remedy = enable_i2c(root);
            board.notes.push(format!("there is no I2C bus: {remedy}"));
            board.no_i2c = Some(remedy);
        }
        Ok(board)
    }

    pub(super) fn of(around: Around) -> Self {
        let mut board = Self { seen: true, ..Self::default() };
        board.notes.clone_from(&around.notes);
        for (look, bus) in around.looks.iter().enumerate() {
            match &bus.found {
                Err(why) => board.notes.push(format!("{}: not looked at: {why}", bus.place)),
                Ok(found) => {
                    let new = found.iter().filter(|found| is_new(bus, found));
                    board.items.extend(new.map(|found| Item {
                        place: Place::I2c { look, address: found.address },
                        title: format!("{} at {:#04x} on {}", named(found), found.address, bus.place),
                        certain: found.multiplexer || found.certain.len() == 1,
                        chosen: false,
                        spared: found.may_store(),
                    }));
                }
            }
        }
        for (class, (heading, all)) in around.devices.iter().enumerate() {
            match all {
                Err(why) => board.notes.push(format!("{heading}: {why}")),
                Ok(all) => {
                    let new = all.iter().enumerate().filter(|(_, device)| is_wanted(device));
                    board.items.extend(new.map(|(number, device)| Item {
                        place: Place::Kernel { class, device: number },
                        title: format!("{} {} on {}", device.kinds[0].kind, device.address, device.class),
                        certain: true,
                        chosen: false,
                        spared: false,
                    }));
                }
            }
        }
        board.around = around;
        board
    }

    /// Takes what is sure, and what is guessed as well where it is wanted.
    pub(super) fn choose_certain(&mut self, guesses: bool) {
        self.items.iter_mut().for_each(|item| item.chosen = item.is_usual(guesses));
        let left = self.items.iter().filter(|item| !item.chosen).count();
        if left > 0 {
            self.notes.push(format!(
                "{left} of the chips that answer have no id to tell them by: their sections are written as comments; take away \
                 the `#` where the guess is right, or use --guesses"
            ));
        }
    }

    /// What was found and goes in, or does not.
    pub(super) fn part(&self, chosen: bool) -> (Vec<Look>, Devices) {
        let is_in = |place: Place| self.items.iter().any(|item| item.place == place && item.chosen == chosen);
        let looks = self.around.looks.iter().enumerate().map(|(look, bus)| {
            let found = bus.found.iter().flatten();
            let found = found.filter(|found| is_in(Place::I2c { look, address: found.address }));
            Look {
                bus: bus.bus.clone(),
                place: bus.place.clone(),
                configured: bus.configured,
                found: Ok(found.cloned().collect()),
                expected: Vec::new(),
                multiplexers: Vec::new(),
                kernel: Default::default(),
            }
        });
        let devices = self.around.devices.iter().enumerate().map(|(class, (heading, all))| {
            let all = all.iter().flatten().enumerate();
            let all = all.filter(|(device, _)| is_in(Place::Kernel { class, device: *device }));
            (heading.clone(), Ok(all.map(|(_, device)| device.clone()).collect()))
        });
        (looks.collect(), devices.collect())
    }

    /// What goes in, for a person.
    pub(super) fn names(&self) -> Vec<&str> {
        self.items.iter().filter(|item| item.chosen).map(|item| item.title.as_str()).collect()
    }
}

/// What the kernel measures on the board itself, `[plugin.system]` tells already.
fn is_wanted(device: &Device) -> bool {
    device.sensors.is_empty() && device.kinds.first().is_some_and(|kind| !is_general(kind))
}

fn named(found: &Found) -> String {
    if found.multiplexer {
        return "a multiplexer".into();
    }
    let mut names = found.certain.iter().chain(&found.possible).map(|kind| kind.kind);
    let first = names.next().unwrap_or_default();
    let others: Vec<&str> = names.collect();
    match (found.certain.len(), others.is_empty()) {
        (1, _) => first.into(),
        (_, true) => format!("{first}, a guess by the address,"),
        (_, false) => format!("{first} or {}, a guess,", others.join(" or ")),
    }
}
