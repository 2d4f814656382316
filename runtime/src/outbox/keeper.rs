//! The thread that owns the journal: writes what comes, commits it in time, makes room.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sedge_config::Policy;
use sedge_journal::{AppendError, Journal};
use sedge_plugin::journal::{Cause, Entry};
use sedge_plugin::record::{self, Record};
use sedge_plugin::{Frame, Reading};
use tracing::{debug, error, info, warn};

use super::ledger::Ledger;
use super::place::Place;
use super::thin::Thinned;
use super::times::Times;
use super::{Item, RECENT, Shared, lock};

/// How often ledger and times are written where they have changed, and the disk is tried again.
const BEAT: Duration = Duration::from_secs(1);

/// How often places are written. They change all the time, and cost a block and a flush each; an older one costs readings that
/// come twice after a crash, and nothing else.
const PLACES: Duration = Duration::from_secs(5);

/// How often readings that are too old are looked for.
const AGES: Duration = Duration::from_secs(60);

/// Readings that are written at once.
const MOST: usize = 1024;

/// Records that are read at once when room is made.
const CHUNK: (usize, usize) = (1000, 1 << 20);

/// See the [module](self).
pub(super) struct Keeper {
    shared: Arc<Shared>,
    journal: Journal,
    /// When what was written is to be committed.
    due: Option<Instant>,
    beat: Instant,
    /// Until when it is known that there is no room to be made.
    no_room: Option<Instant>,
    places: Instant,
    ages: Instant,
    /// Since when the wall clock goes with the clock that never jumps; what it said then.
    steady: Option<(Duration, i64)>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        let now = Instant::now();
        Self {
            shared,
            journal,
            due: None,
            beat: now + BEAT,
            no_room: None,
            places: now + PLACES,
            ages: now + AGES,
            steady: None,
        }
    }

    pub(super) fn run(mut self) {
        loop {
            *lock(&self.shared.alive) = Instant::now();
            let (items, closed) = self.wait();
            let last = closed && items.is_empty();
            if !items.is_empty() {
                self.take(items);
                self.shared.room.notify_waiters();
            }
            let now = Instant::now();
            if last || self.due.is_some_and(|due| due <= now) {
                self.commit();
            }
            if last || self.beat <= now {
                self.beat = now + BEAT;
                self.beat();
            }
            if last || self.places <= now {
                self.places = now + PLACES;
                self.save_places();
            }
            if self.ages <= now {
                self.ages = now + AGES;
                self.drop_old();
            }
            if last {
                return;
            }
        }
    }

    /// Until there is something to write, or something is due.
    fn wait(&self) -> (Vec<Item>, bool) {
        let until = self.due.map_or(self.beat, |due| due.min(self.beat));
        let mut queue = lock(&self.shared.queue);
        while queue.items.is_empty() && !queue.closed {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            queue = match self.shared.filled.wait_timeout(queue, left) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let many = queue.items.len().min(MOST);
        (queue.items.drain(..many).collect(), queue.closed)
    }

    fn take(&mut self, items: Vec<Item>) {
        let rules = self.shared.rules.load_full();
        let mut each = false;
        let mut soonest: Option<Duration> = None;
        {
            let mut times = lock(&self.shared.times);
            for item in &items {
                // What another node measured says nothing about this machine's clocks.
                if item.reading.origin.is_none() {
                    times.learn(self.shared.kernel, item.reading.taken);
                }
                let rule = rules.of(&item.reading.sensor);
                each |= rule.commits_each;
                soonest = Some(soonest.map_or(rule.commit, |soonest| soonest.min(rule.commit)));
            }
        }
        let payloads: Vec<Vec<u8>> =
            items.iter().map(|item| record::encode(self.shared.kernel, &item.reading)).collect();
        let mut written = 0;
        while written < items.len() {
            let appended = self.journal.append_all(&payloads[written..]);
            let taken = usize::try_from(appended.positions.end - appended.positions.start).unwrap_or(0);
            self.publish(&items[written..][..taken], appended.positions);
            written += taken;
            match appended.stopped {
                None => break,
                Some(AppendError::TooLarge { .. }) => {
                    self.shared.lose_unplaced(&items[written].reading, Cause::TooLarge);
                    written += 1;
                }
                Some(AppendError::Full) => {
                    if !self.has_room() {
                        self.shared.lose_unplaced(&items[written].reading, Cause::Refused);
                        written += 1;
                    }
                }
            }
        }
        if let Some(soonest) = soonest {
            let due = Instant::now() + soonest;
            self.due = Some(self.due.map_or(due, |now| now.min(due)));
        }
        if each {
            self.commit();
        }
        for safe in items.into_iter().filter_map(|item| item.safe) {
            // Whoever waited may have gone.
            let _ = safe.send(());
        }
    }

    /// Tells readers of what was written.
    fn publish(&self, items: &[Item], positions: Range<u64>) {
        if positions.is_empty() {
            return;
        }
        let mut recent = lock(&self.shared.recent);
        for (position, item) in positions.clone().zip(items) {
            // Positions may have a hole before this one: what is asked for before it is not all here.
            if recent.back().is_some_and(|last| last.position + 1 != position) {
                recent.clear();
            }
            if recent.len() >= RECENT {
                recent.pop_front();
            }
            recent.push_back(Entry { position, reading: item.reading.clone() });
        }
        drop(recent);
        self.shared.head.send_replace(positions.end);
    }

    fn commit(&mut self) {
        self.due = None;
        // What was not committed is in memory, and written anew at the next beat, which tells of the trouble.
        if let Err(error) = self.journal.sync() {
            debug!(%error, "A commit of the journal failed.");
        }
    }

    fn beat(&mut self) {
        if self.journal.trouble().is_some() {
            self.journal.retry();
        }
        let unsaved = self.journal.take_unsaved();
        if !unsaved.is_empty() {
            self.lose(unsaved.iter().map(|(position, bytes)| (*position, &bytes[..])), Cause::Disk);
        }
        let trouble = self.journal.trouble().map(|trouble| trouble.text);
        self.shared.trouble.send_if_modified(|now| {
            // A journal in memory stays in trouble with the folder that it was to have.
            let changed = *now != trouble && (self.shared.durable || trouble.is_some());
            if changed {
                match &trouble {
                    Some(trouble) => {
                        error!(trouble, "The disk of the journal fails; readings are kept in memory.")
                    }
                    None => info!("The disk of the journal works again."),
                }
                now.clone_from(&trouble);
            }
            changed
        });
        if let Err(error) = self.save_ledger().and_then(|()| self.save_times()) {
            warn!(%error, "The ledger of losses was not written.");
        }
    }

    fn save_times(&self) -> std::io::Result<()> {
        let times = lock(&self.shared.times).take_bytes();
        times.map_or(Ok(()), |times| Times::write(&*self.shared.disk, &times))
    }

    /// The ledger before the places: what is lost must not be taken for delivered.
    fn save_places(&self) {
        let store = |place: &Arc<Place>| place.store(&self.shared);
        let saved = self.save_ledger().and_then(|()| self.shared.places().iter().try_for_each(store));
        if let Err(error) = saved {
            warn!(%error, "The places of the journal's readers were not written: after a restart readings come twice.");
        }
    }

    fn save_ledger(&self) -> std::io::Result<()> {
        let bytes = {
            let mut ledger = lock(&self.shared.ledger);
            if !ledger.is_dirty() {
                return Ok(());
            }
            ledger.take_bytes()
        };
        Ledger::write(&*self.shared.disk, &bytes).inspect_err(|_| lock(&self.shared.ledger).not_written())
    }

    /// Makes room, unless there was none to be made a moment ago: it costs reading what there is.
    fn has_room(&mut self) -> bool {
        let now = Instant::now();
        if self.no_room.is_some_and(|until| now < until) {
            return false;
        }
        let made = self.make_room();
        self.no_room = (!made).then(|| Instant::now() + BEAT);
        made
    }

    /// Makes room for one segment more. False where all is to be kept.
    fn make_room(&mut self) -> bool {
        // Only whole segments go, and what nobody waits for goes first.
        let Some(oldest) = self.journal.oldest() else { return false };
        let range = oldest.first..oldest.end;
        let places = self.shared.places();
        let rules = self.shared.rules.load_full();
        if !rules.keeps_some() || places.iter().all(|place| place.pending(range.clone()).is_empty()) {
            return self.drop_oldest(range, Cause::Full);
        }
        match self.thin_out(&places) {
            Ok(done) => done,
            Err(error) => {
                warn!(%error, "The journal could not be thinned out; its oldest readings go.");
                self.drop_oldest(range, Cause::Full)
            }
        }
    }

    /// Whole segments, all of whose readings go; those that a reader did not have stand in the ledger before.
    fn drop_oldest(&mut self, range: Range<u64>, cause: Cause) -> bool {
        self.lose_range(range.clone(), cause);
        for place in self.shared.places() {
            place.done(0..range.end);
        }
        lock(&self.shared.ledger).let_go(std::slice::from_ref(&(0..range.end)));
        if let Err(error) = self.save_ledger() {
            warn!(%error, "The ledger of losses was not written.");
        }
        match self.journal.drop_oldest() {
            Ok(_) => true,
            Err(error) => {
                warn!(%error, "The oldest segment of the journal could not be dropped.");
                false
            }
        }
    }

    /// Some segments become one: what the rules of each sensor keep stays.
    fn thin_out(&mut self, places: &[Arc<Place>]) -> Result<bool, sedge_journal::CompactError> {
        let rules = self.shared.rules.load_full();
        let mut going: Vec<(u64, Reading)> = Vec::new();
        let plan = self.journal.plan(&mut |records| {
            let mut thinned = Thinned::default();
            let mut readings = Vec::new();
            for (position, bytes) in records.iter() {
                let Ok(record) = Record::decode(bytes) else { continue };
                let Entry { reading, .. } = self.shared.entry(*position, record);
                if places.iter().any(|place| !place.has_done(*position)) {
                    thinned.see(*position, &reading, rules.of(&reading.sensor));
                    // What was measured is not needed any more, and is the most of it.
                    let reading = Reading { frame: Frame::default(), ..Arc::unwrap_or_clone(reading) };
                    readings.push((*position, reading));
                }
            }
            let kept = thinned.kept();
            records.retain(|(position, _)| kept.contains(position));
            going.extend(readings.into_iter().filter(|(position, _)| !kept.contains(position)));
        });
        let Some(plan) = plan else { return Ok(false) };
        {
            let mut ledger = lock(&self.shared.ledger);
            for (position, reading) in going.iter().filter(|(position, _)| plan.range().contains(position)) {
                let cause = match rules.of(&reading.sensor).policy {
                    Policy::Thin => Cause::Thinned,
                    Policy::DropOldest | Policy::Refuse => Cause::Full,
                };
                for place in places.iter().filter(|place| !place.has_done(*position)) {
                    lose(&mut ledger, place, *position, reading, cause);
                }
            }
            ledger.let_go(plan.gone());
        }
        for (gone, place) in plan.gone().iter().flat_map(|gone| places.iter().map(move |place| (gone, place)))
        {
            place.done(gone.clone());
        }
        self.shared.lost.send_modify(|count| *count += 1);
        if let Err(error) = self.save_ledger() {
            warn!(%error, "The ledger of losses was not written.");
        }
        self.journal.carry_out(plan)?;
        Ok(true)
    }

    /// Puts what readers did not have of a range into the ledger.
    fn lose_range(&self, range: Range<u64>, cause: Cause) {
        let places = self.shared.places();
        let open: Vec<Range<u64>> = places.iter().flat_map(|place| place.pending(range.clone())).collect();
        let Some(first) = open.iter().map(|open| open.start).min() else { return };
        let mut lost = false;
        let mut ledger = lock(&self.shared.ledger);
        self.each_record(first..range.end, |position, record| {
            for place in places.iter().filter(|place| !place.has_done(position)) {
                lose(&mut ledger, place, position, &record.reading, cause);
                lost = true;
            }
        });
        drop(ledger);
        if lost {
            self.shared.lost.send_modify(|count| *count += 1);
        }
    }

    /// These have left memory and are nowhere.
    fn lose<'a>(&self, records: impl Iterator<Item = (u64, &'a [u8])>, cause: Cause) {
        let places = self.shared.places();
        for (position, bytes) in records {
            let Ok(record) = Record::decode(bytes) else { continue };
            for place in places.iter().filter(|place| !place.has_done(position)) {
                lose(&mut lock(&self.shared.ledger), place, position, &record.reading, cause);
                place.done(position..position + 1);
            }
        }
        self.shared.lost.send_modify(|count| *count += 1);
    }

    fn each_record(&self, range: Range<u64>, mut see: impl FnMut(u64, Record)) {
        let mut at = range.start;
        while at < range.end {
            let chunk = self.shared.reader.read(at, CHUNK.0, CHUNK.1);
            for (position, bytes) in chunk.records {
                if position < range.end
                    && let Ok(record) = Record::decode(&bytes)
                {
                    let Entry { reading, .. } = self.shared.entry(position, record);
                    let reading = Arc::unwrap_or_clone(reading);
                    see(position, Record { kernel: 0, reading });
                }
            }
            if chunk.next <= at {
                return;
            }
            at = chunk.next;
        }
    }

    /// Drops whole segments whose newest reading is older than readings are kept.
    fn drop_old(&mut self) {
        let Some(max_age) = self.shared.rules.load().max_age else { return };
        let Some(now) = self.trusted_time() else { return };
        while let Some(oldest) = self.journal.oldest() {
            let mut newest = None;
            // What was imported may be of any time.
            self.each_record(oldest.first..oldest.end, |_, record| {
                let Reading { taken, origin, .. } = &record.reading;
                newest = newest.max(taken.wall_ms.filter(|_| origin.is_none()));
            });
            let age = newest.and_then(|newest| u64::try_from(now - newest).ok()).map(Duration::from_millis);
            let is_old = age.is_some_and(|age| age > max_age);
            if !is_old || !self.drop_oldest(oldest.first..oldest.end, Cause::Expired) {
                return;
            }
        }
    }

    /// The wall time, once it has gone with the other clock for as long as it takes to trust it: a clock that was set wrong for a
    /// moment must not make everything old.
    fn trusted_time(&mut self) -> Option<i64> {
        const TRUST: Duration = Duration::from_secs(3600);
        const APART_MS: u64 = 10_000;
        let (up, wall) = (self.shared.clock.up(), self.shared.clock.wall_ms()?);
        let (since, then) = *self.steady.get_or_insert((up, wall));
        let passed = i64::try_from(up.saturating_sub(since).as_millis()).unwrap_or(i64::MAX);
        if (wall - then).abs_diff(passed) > APART_MS {
            self.steady = Some((up, wall));
            return None;
        }
        (up.saturating_sub(since) >= TRUST).then_some(wall)
    }
}

/// Puts a reading that a reader does not have into the ledger; what it has in its hands may arrive after all.
fn lose(ledger: &mut Ledger, place: &Place, position: u64, reading: &Reading, cause: Cause) {
    match place.was_given(position) {
        true => ledger.add_in_hand(position, &place.reader, reading, cause),
        false => ledger.add(&place.reader, reading, cause),
    }
}
