//! The file itself: appending whole lines, beginning a new file, throwing away the oldest. Blocking.
//!
//! A reading is in the file as a whole or not at all: of one for which there was no room, what was written is taken back.
//! Only what a crash leaves can be torn; it is ended with a line break at the next opening, so that what follows can be
//! read.
//!
//! The path may come to name another file at any time (somebody moves, deletes, replaces or empties it), so each batch
//! begins with looking whether it is still the one that is open.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use sedge_plugin::clock::EARLIEST_WALL_MS;
use sedge_plugin::topics::{Event, Severity};
use sedge_plugin::{Id, Name};
use serde_json::json;

use super::super::parts::pump::{Now, Sink, Written};
use super::Fsync;

/// Digits of the number in a former file's name, at least.
const DIGITS: usize = 6;

/// What is written where.
pub(crate) struct Plan {
    /// Whose it is.
    pub(crate) destination: Id,
    pub(crate) path: PathBuf,
    /// The first line of each file; may be empty.
    pub(crate) header: &'static str,
    pub(crate) max_size: u64,
    pub(crate) every: Option<Duration>,
    pub(crate) keep: usize,
    pub(crate) fsync: Fsync,
}

/// How bytes get into a file. A test's disk may be full.
pub(super) type Put = Box<dyn FnMut(&mut File, &[u8]) -> io::Result<usize>>;

/// A file that is written to. See the [module](self).
pub struct Log {
    plan: Plan,
    put: Put,
    open: Option<Open>,
    /// Where somebody's file was set aside; not told yet.
    aside: Option<PathBuf>,
}

struct Open {
    file: File,
    /// Its device and its number there.
    identity: (u64, u64),
    length: u64,
    /// The stretch of time that its lines are of; none while that is not known.
    period: Option<i64>,
    /// Since when there is something that may not be on the disk.
    dirty: Option<Duration>,
}

impl Sink for Log {
    fn write(&mut self, readings: &[String], now: Now) -> Written {
        let mut written = Written::default();
        let result = self.write_all(readings, now, &mut written.count);
        let result = result.and_then(|()| self.sync_if_due(now.up));
        if let Err(error) = result {
            written.error = Some(self.told(&error));
            // Whatever it was: the next attempt begins with opening it.
            self.open = None;
        }
        written.event = self.aside.take().and_then(|aside| self.set_aside(&aside));
        written.unfinished = self.open.as_ref().is_some_and(|open| open.dirty.is_some());
        written
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.sync(&open).map_err(|error| self.told(&error))
    }
}

impl Log {
    pub(super) fn new(plan: Plan) -> Self {
        Self::putting(plan, Box::new(|file, bytes| file.write(bytes)))
    }

    pub(super) fn putting(plan: Plan, put: Put) -> Self {
        Self { plan, put, open: None, aside: None }
    }

    fn set_aside(&self, aside: &Path) -> Option<Event> {
        let (path, aside) = (self.plan.path.display(), aside.display());
        Some(Event {
            kind: Name::new("file_set_aside").ok()?,
            severity: Severity::Warning,
            text: format!("{path} had other columns; it was moved to {aside} and a new file begun"),
            data: json!({
                "destination": self.plan.destination,
                "path": path.to_string(),
                "moved_to": aside.to_string(),
            }),
        })
    }

    fn told(&self, error: &io::Error) -> String {
        let path = self.plan.path.display();
        match error.kind() {
            io::ErrorKind::StorageFull => format!("{path}: no room on the disk"),
            io::ErrorKind::NotFound => format!("{path}: its folder is not there"),
            io::ErrorKind::PermissionDenied => format!("{path}: may not be written: {error}"),
            io::ErrorKind::ReadOnlyFilesystem => format!("{path}: its disk is read-only"),
            _ => format!("{path}: {error}"),
        }
    }

    fn write_all(&mut self, mut readings: &[String], now: Now, count: &mut usize) -> io::Result<()> {
        self.let_go_of_another()?;
        while let Some(first) = readings.first() {
            let period = self.period(now.wall_ms);
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.reopen()?,
            };
            let begun = open.length > self.header();
            let full = open.length + size(first) > self.plan.max_size;
            let over = matches!((open.period, period), (Some(old), Some(new)) if old != new);
            if begun && (full || over) {
                self.rotate(open)?;
                continue;
            }
            open.period = open.period.filter(|_| begun).or(period);
            let room = self.plan.max_size.saturating_sub(open.length.max(self.header()));
            let fitting = fitting(readings, room);
            let (added, result) = self.append(&mut open, &readings[..fitting], now.up);
            *count += added;
            readings = &readings[added..];
            result?;
            self.open = Some(open);
        }
        Ok(())
    }

    /// Lets go of the file that is open where the path names another one, or none, or somebody has changed its length.
    fn let_go_of_another(&mut self) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let same = match fs::metadata(&self.plan.path) {
            Ok(found) => identity(&found) == open.identity && found.len() == open.length,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !same {
            // What was written before that is somebody's still.
            let synced = self.sync(open);
            self.open = None;
            synced?;
        }
        Ok(())
    }

    fn header(&self) -> u64 {
        self.plan.header.len() as u64
    }

    fn period(&self, wall_ms: Option<i64>) -> Option<i64> {
        let every = i64::try_from(self.plan.every?.as_millis()).ok()?;
        Some(wall_ms?.div_euclid(every))
    }

    /// Adds lines: how many were added whole, and what stopped it.
    fn append(&mut self, open: &mut Open, lines: &[String], up: Duration) -> (usize, io::Result<()>) {
        let header = if open.length == 0 { self.plan.header } else { "" };
        let bytes = [header, &lines.concat()].concat();
        let mut put = 0;
        let mut result = Ok(());
        while put < bytes.len() {
            match (self.put)(&mut open.file, &bytes.as_bytes()[put..]) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => put += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        let mut end = header.len();
        let whole = lines.iter().take_while(|line| {
            let fits = end + line.len() <= put;
            end += if fits { line.len() } else { 0 };
            fits
        });
        let added = whole.count();
        if result.is_err() {
            let kept = if added == 0 { 0 } else { end };
            // Where even this fails, the torn line is ended at the next opening.
            let _ = open.file.set_len(open.length + kept as u64);
        }
        open.length = open.file.metadata().map_or(open.length + end as u64, |found| found.len());
        open.dirty = open.dirty.or(Some(up));
        (added, result)
    }

    fn reopen(&mut self) -> io::Result<Open> {
        let path = &self.plan.path;
        // Opening a pipe would wait for its reader.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("is there and no file"));
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("somebody else writes it already")),
            // A file system without locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let found = file.metadata()?;
        if found.len() > 0 {
            if !self.is_ours(&mut file)? {
                let (aside, _) = self.move_to_next()?;
                self.aside = Some(aside);
                return self.reopen();
            }
            let missing = self.ending(&mut file)?;
            file.write_all(missing.as_bytes())?;
        }
        let length = file.metadata()?.len();
        let changed = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.and_then(|time| i64::try_from(time.as_millis()).ok());
        let period = self.period(changed.filter(|ms| length > 0 && *ms >= EARLIEST_WALL_MS));
        Ok(Open { identity: identity(&found), file, length, period, dirty: None })
    }

    /// Whether its first line is that of our files, as far as there is one.
    fn is_ours(&self, file: &mut File) -> io::Result<bool> {
        let mut first = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(self.header()).read_to_end(&mut first)?;
        Ok(self.plan.header.as_bytes().starts_with(&first))
    }

    /// What ends a torn last line.
    fn ending(&self, file: &mut File) -> io::Result<&'static str> {
        let header = self.plan.header;
        if !header.is_empty() {
            if file.metadata()?.len() < self.header() {
                // A crash within the very first line.
                file.set_len(0)?;
                file.write_all(header.as_bytes())?;
                return Ok("");
            }
            // A line break within quotes ends no row.
            if quotes(file)? % 2 == 1 {
                return Ok("\"\n");
            }
        }
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(if last == *b"\n" { "" } else { "\n" })
    }

    fn rotate(&self, open: Open) -> io::Result<()> {
        self.sync(&open)?;
        drop(open);
        let (_, former) = self.move_to_next()?;
        for old in &former[..former.len().saturating_sub(self.plan.keep)] {
            // One that cannot be removed now is tried again at the next turn.
            let _ = fs::remove_file(self.numbered(*old));
        }
        Ok(())
    }

    /// Gives the file at the path the next free number: its new name, and the numbers of the former files that are ours.
    fn move_to_next(&self) -> io::Result<(PathBuf, Vec<u64>)> {
        let mut former = self.former()?;
        let next = former.last().map_or(1, |last| last + 1);
        let target = self.numbered(next);
        // Takes the name: a rename alone would overwrite what has come meanwhile.
        OpenOptions::new().write(true).create_new(true).open(&target)?;
        if let Err(error) = fs::rename(&self.plan.path, &target) {
            let _ = fs::remove_file(&target);
            return Err(error);
        }
        self.sync_folder();
        former.push(next);
        // One that was set aside, or cannot be read, is nobody's to remove.
        former.retain(|number| {
            let file = File::open(self.numbered(*number));
            file.and_then(|mut file| self.is_ours(&mut file)).unwrap_or(false)
        });
        Ok((target, former))
    }

    /// The numbers of the former files, in order. A file of any other name is not ours.
    fn former(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| self.number(name));
            // A folder of such a name takes its number, too.
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn number(&self, name: &str) -> Option<u64> {
        let (before, after) = self.around_number();
        let digits = name.strip_prefix(&before)?.strip_suffix(&after)?;
        let number = digits.parse().ok()?;
        (format!("{number:0DIGITS$}") == digits).then_some(number)
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let (before, after) = self.around_number();
        self.folder().join(format!("{before}{number:0DIGITS$}{after}"))
    }

    fn around_number(&self) -> (String, String) {
        let lossy = |text: Option<&std::ffi::OsStr>| text.map(|text| text.to_string_lossy().into_owned());
        let stem = lossy(self.plan.path.file_stem()).unwrap_or_default();
        let ending = lossy(self.plan.path.extension());
        (format!("{stem}."), ending.map(|ending| format!(".{ending}")).unwrap_or_default())
    }

    fn folder(&self) -> &Path {
        match self.plan.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    fn sync_if_due(&mut self, up: Duration) -> io::Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let Some(since) = open.dirty else { return Ok(()) };
        let due = match self.plan.fsync {
            Fsync::Never | Fsync::Each => true,
            Fsync::Within(time) => up.saturating_sub(since) >= time,
        };
        if due {
            self.sync(open)?;
            if let Some(open) = &mut self.open {
                open.dirty = None;
            }
        }
        Ok(())
    }

    fn sync(&self, open: &Open) -> io::Result<()> {
        if self.plan.fsync == Fsync::Never || open.dirty.is_none() { Ok(()) } else { open.file.sync_data() }
    }

    /// So that a new name outlives a power cut. Not every file system can.
    fn sync_folder(&self) {
        if self.plan.fsync != Fsync::Never {
            let _ = File::open(self.folder()).and_then(|folder| folder.sync_all());
        }
    }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn size(line: &str) -> u64 {
    line.len() as u64
}

/// How many of these fit into so many bytes; at least one.
fn fitting(lines: &[String], room: u64) -> usize {
    let mut left = room;
    let fits = lines.iter().take_while(|line| match left.checked_sub(size(line)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    });
    fits.count().max(1)
}

/// How many quotes a file has. Of a file of the largest size that is a moment.
fn quotes(file: &mut File) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut quotes = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(quotes);
        }
        quotes += bytes.iter().filter(|byte| **byte == b'"').count() as u64;
        let read = bytes.len();
        reader.consume(read);
    }
}
