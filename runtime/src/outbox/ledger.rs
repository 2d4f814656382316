//! The ledger of losses: which readings a reader will never get, to the reading, and why.
//!
//! It is on disk before the readings are gone. Until they are, it remembers which are to go: after a power cut between the two
//! they count as gone, so that nothing is both delivered and lost.

use std::collections::BTreeMap;
use std::ops::Range;

use sedge_journal::{Disk, Mode, replace};
use sedge_plugin::journal::{Cause, Loss};
use sedge_plugin::{Boot, Id, Reading};
use serde::{Deserialize, Serialize};
use tracing::warn;

const FILE: &str = "ledger.json";

/// Losses that are told apart; beyond it the oldest that were told are joined, without their numbers.
const MAX_LOSSES: usize = 500;

/// Lost readings that a reader may have in its hands, and whose places are remembered.
const LATELY: usize = 4096;

/// Bytes of the file that are read; what we write is far below it.
const MAX_BYTES: usize = 4 << 20;

/// See the [module](self).
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Positions that are to be removed from the journal, or are removed already.
    gone: Vec<(u64, u64)>,
    losses: Vec<Loss>,
    /// Of those that went last what a reader had in its hands, by place: it may arrive after all.
    #[serde(skip)]
    lately: BTreeMap<(u64, Id), (Id, Boot, u64, Cause)>,
    #[serde(skip)]
    dirty: bool,
}

impl Ledger {
    /// As it was written last; empty where it cannot be read.
    pub(crate) fn load(disk: &dyn Disk) -> Self {
        let Some(bytes) = read(disk, FILE) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            warn!(%error, "The ledger of losses cannot be read; it begins anew.");
            Self::default()
        })
    }

    /// Adds a reading that a reader will never get.
    pub(crate) fn add(&mut self, reader: &Id, reading: &Reading, cause: Cause) {
        let loss = self.entry(reader, Some(&reading.sensor), Some(reading.boot), cause);
        self.dirty |= loss.add(reading.seq, reading.taken.wall_ms);
    }

    /// The same of one that stood at a place in the journal, and that the reader has in its hands.
    pub(crate) fn add_in_hand(&mut self, position: u64, reader: &Id, reading: &Reading, cause: Cause) {
        self.add(reader, reading, cause);
        let of = (reading.sensor.clone(), reading.boot, reading.seq, cause);
        self.lately.insert((position, reader.clone()), of);
        if self.lately.len() > LATELY {
            self.lately.pop_first();
        }
    }

    /// These have arrived at a reader: what stands here of them is not lost.
    pub(crate) fn arrived(&mut self, reader: &Id, positions: Range<u64>) {
        let known = (positions.start, reader.clone())..;
        let within = self.lately.range(known).take_while(|((position, _), _)| *position < positions.end);
        let keys: Vec<(u64, Id)> =
            within.map(|(key, _)| key).filter(|(_, of)| of == reader).cloned().collect();
        for key in keys {
            let Some((sensor, boot, seq, cause)) = self.lately.remove(&key) else { continue };
            let fits = |loss: &&mut Loss| {
                (&loss.reader, loss.sensor.as_ref(), loss.boot, loss.cause)
                    == (reader, Some(&sensor), Some(boot), cause)
            };
            if let Some(loss) = self.losses.iter_mut().find(fits) {
                self.dirty |= loss.take_back(seq);
            }
        }
        self.losses.retain(|loss| loss.count > 0);
    }

    /// Adds readings of which nobody knows any more what they were.
    pub(crate) fn add_unknown(&mut self, reader: &Id, count: u64, cause: Cause) {
        self.entry(reader, None, None, cause).count += count;
        self.dirty = true;
    }

    fn entry(&mut self, reader: &Id, sensor: Option<&Id>, boot: Option<Boot>, cause: Cause) -> &mut Loss {
        let fits = |loss: &Loss| {
            (&loss.reader, loss.sensor.as_ref(), loss.boot, loss.cause) == (reader, sensor, boot, cause)
        };
        if let Some(at) = self.losses.iter().position(fits) {
            return &mut self.losses[at];
        }
        self.make_room();
        self.losses.push_mut(Loss::new(reader.clone(), sensor.cloned(), boot, cause))
    }

    /// Joins the oldest that was told with others of its sensor and cause, whatever their start of the process; where that is
    /// not enough, whatever their sensor.
    fn make_room(&mut self) {
        for keeps_sensor in [true, true, false, false] {
            if self.losses.len() < MAX_LOSSES {
                return;
            }
            let told = |loss: &Loss| loss.told >= loss.count && (loss.boot.is_some() || !keeps_sensor);
            let oldest = self.losses.iter().position(told).unwrap_or(0);
            let oldest = self.losses.remove(oldest);
            self.join(Loss {
                sensor: oldest.sensor.filter(|_| keeps_sensor),
                boot: None,
                seqs: Vec::new(),
                joined: true,
                ..oldest
            });
        }
    }

    fn join(&mut self, loss: Loss) {
        let fits = |other: &&mut Loss| {
            (&other.reader, &other.sensor, other.boot, other.cause)
                == (&loss.reader, &loss.sensor, loss.boot, loss.cause)
        };
        match self.losses.iter_mut().find(fits) {
            Some(joined) => {
                joined.count += loss.count;
                joined.told += loss.told;
                joined.from_ms = joined.from_ms.min(loss.from_ms);
                joined.to_ms = joined.to_ms.max(loss.to_ms);
            }
            None => self.losses.push(loss),
        }
    }

    /// All losses of a reader, or of all.
    pub(crate) fn losses(&self, reader: Option<&Id>) -> Vec<Loss> {
        self.losses
            .iter()
            .filter(|loss| reader.is_none_or(|reader| loss.reader == *reader))
            .cloned()
            .collect()
    }

    /// What people were not told.
    pub(crate) fn untold(&self, reader: &Id) -> Vec<Loss> {
        let untold = |loss: &&Loss| loss.reader == *reader && loss.told < loss.count;
        self.losses.iter().filter(untold).cloned().collect()
    }

    /// People were told of these.
    pub(crate) fn told(&mut self, told: &[Loss]) {
        for told in told {
            let same = |loss: &&mut Loss| {
                (&loss.reader, &loss.sensor, loss.boot, loss.cause)
                    == (&told.reader, &told.sensor, told.boot, told.cause)
            };
            if let Some(loss) = self.losses.iter_mut().find(same)
                && loss.told < told.count
            {
                // Some may have arrived after all.
                loss.told = told.count.min(loss.count);
                self.dirty = true;
            }
        }
    }

    /// These are to go from the journal.
    pub(crate) fn let_go(&mut self, positions: &[Range<u64>]) {
        self.gone = positions.iter().map(|range| (range.start, range.end)).collect();
        self.dirty = true;
    }

    /// What is gone, or was to go at the last end.
    pub(crate) fn gone(&self) -> impl Iterator<Item = Range<u64>> {
        self.gone.iter().map(|&(start, end)| start..end)
    }

    /// Whether there is something to write.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What is to be written, of which the ledger holds that it is.
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        self.dirty = false;
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What was taken was not written.
    pub(crate) fn not_written(&mut self) {
        self.dirty = true;
    }

    /// Writes it.
    pub(crate) fn write(disk: &dyn Disk, bytes: &[u8]) -> std::io::Result<()> {
        replace(disk, FILE, bytes)
    }
}

/// A small file; none where there is none, or it is not one of ours.
pub(crate) fn read(disk: &dyn Disk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name, Mode::Read).ok()?;
    let size = usize::try_from(file.size().ok()?).ok().filter(|size| *size <= MAX_BYTES)?;
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) | Err(_) => return None,
            Ok(read) => filled += read,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use sedge_journal::Memory;
    use sedge_plugin::{Boot, Frame, Taken};

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn reading(sensor: &str, boot: u32, seq: u64) -> Reading {
        let taken = Taken { up_ms: 0, wall_ms: Some(1000 + i64::try_from(seq).unwrap()) };
        Reading { sensor: id(sensor), boot: Boot(boot), seq, taken, frame: Frame::default(), origin: None }
    }

    #[test]
    fn what_is_written_is_there_after_a_restart() {
        let disk = Memory::new(1 << 20);
        let mut ledger = Ledger::load(&disk);
        for seq in [1, 2, 3, 7] {
            ledger.add(&id("mqtt"), &reading("air", 1, seq), Cause::Full);
        }
        ledger.let_go(&[0..4, 6..8]);
        assert!(ledger.is_dirty());
        Ledger::write(&disk, &ledger.take_bytes()).unwrap();
        let again = Ledger::load(&disk);
        assert_eq!(again, ledger);
        assert_eq!(again.gone().collect::<Vec<_>>(), [0..4, 6..8]);
        let loss = &again.losses(None)[0];
        assert_eq!(
            (loss.count, &loss.seqs[..], loss.from_ms, loss.to_ms),
            (4, &[(1, 3), (7, 7)][..], Some(1001), Some(1007))
        );
    }

    #[test]
    fn a_reading_that_is_counted_twice_is_lost_once() {
        let mut ledger = Ledger::default();
        for seq in [1, 2, 2, 1] {
            ledger.add(&id("mqtt"), &reading("air", 1, seq), Cause::Full);
        }
        assert_eq!(ledger.losses(None)[0].count, 2);
    }

    #[test]
    fn a_reading_that_arrives_after_its_room_was_needed_is_not_lost() {
        let (mut ledger, mqtt, card) = (Ledger::default(), id("mqtt"), id("card"));
        for seq in 1..=9 {
            for reader in [&mqtt, &card] {
                ledger.add_in_hand(100 + seq, reader, &reading("air", 1, seq), Cause::Full);
            }
        }
        ledger.arrived(&mqtt, 104..107);
        ledger.arrived(&mqtt, 104..107);
        assert_eq!(ledger.losses(Some(&mqtt))[0].seqs, [(1, 3), (7, 9)]);
        assert_eq!((ledger.losses(Some(&mqtt))[0].count, ledger.losses(Some(&card))[0].count), (6, 9));
        let told = ledger.untold(&card);
        ledger.arrived(&card, 109..200);
        ledger.told(&told);
        ledger.add_in_hand(200, &card, &reading("air", 1, 20), Cause::Full);
        assert_eq!(ledger.untold(&card)[0].count, 9, "one more than was told");
        ledger.arrived(&mqtt, 0..1000);
        assert_eq!(ledger.losses(Some(&mqtt)), [], "all of it arrived");
    }

    #[test]
    fn people_are_told_once() {
        let mut ledger = Ledger::default();
        ledger.add(&id("mqtt"), &reading("air", 1, 1), Cause::Full);
        let told = ledger.untold(&id("mqtt"));
        assert_eq!(told.len(), 1);
        assert_eq!(ledger.untold(&id("card")), []);
        ledger.told(&told);
        assert_eq!(ledger.untold(&id("mqtt")), []);
        ledger.add(&id("mqtt"), &reading("air", 1, 2), Cause::Full);
        assert_eq!(ledger.untold(&id("mqtt"))[0].count, 2);
    }

    #[test]
    fn it_is_bounded_and_counts_on() {
        let mut ledger = Ledger::default();
        let all = 3 * u32::try_from(MAX_LOSSES).unwrap();
        for boot in 0..all {
            ledger.add(&id("mqtt"), &reading("air", boot, 1), Cause::Full);
            let told = ledger.untold(&id("mqtt"));
            ledger.told(&told);
        }
        assert!(ledger.losses.len() <= MAX_LOSSES);
        assert_eq!(ledger.losses(None).iter().map(|loss| loss.count).sum::<u64>(), u64::from(all));
    }

    #[test]
    fn any_bytes_are_a_ledger_at_worst_an_empty_one() {
        let disk = Memory::new(1 << 20);
        for bytes in [&b""[..], b"{", b"[]", b"{\"gone\":[],\"losses\":[]}", b"\xff\xff"] {
            replace(&disk, FILE, bytes).unwrap();
            assert_eq!(Ledger::load(&disk), Ledger::default());
        }
    }
}
