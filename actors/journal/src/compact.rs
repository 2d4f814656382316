//! Makes several segments one, of what is kept of them.

use std::io;
use std::ops::Range;

use crate::CompactError;
use crate::aside::Kind;
use crate::disk::Mode;
use crate::format::{self, HEADER, Header, Mark, SMALLEST, frame_bytes};
use crate::journal::Journal;
use crate::state::Meta;
use crate::walk::{Step, Walk};

/// Segments that one call looks at, from the oldest on.
const MOST_LOOKED_AT: usize = 16;

/// Records with their positions.
pub type Records = Vec<(u64, Vec<u8>)>;

type Kept = Records;

/// Segments that are to become one, or none: see [`Journal::plan`].
#[derive(Debug)]
pub struct Compaction {
    run: Vec<Meta>,
    kept: Kept,
    gone: Vec<Range<u64>>,
}

impl Compaction {
    /// The positions of the segments.
    pub fn range(&self) -> Range<u64> {
        match (self.run.first(), self.run.last()) {
            (Some(first), Some(last)) => first.first..last.end,
            _ => 0..0,
        }
    }

    /// What of these will not be there any more.
    pub fn gone(&self) -> &[Range<u64>] {
        &self.gone
    }
}

impl Journal {
    /// Looks which of the oldest neighbours can be one segment when of each only what `keep` leaves in the list stays. None when
    /// nothing would be gained. Nothing is changed yet.
    pub fn plan(&self, keep: &mut dyn FnMut(&mut Records)) -> Option<Compaction> {
        let (segments, oldest) = {
            let state = self.shared.state();
            let sealed = state.segments.len().saturating_sub(1).min(MOST_LOOKED_AT);
            (state.segments[..sealed].to_vec(), state.segments.first().map(|meta| meta.epoch))
        };
        let room = self.room();
        let mut run: Vec<Meta> = Vec::new();
        let (mut kept, mut bytes) = (Kept::new(), 0);
        for meta in segments {
            let Some(mut more) = self.records(&meta) else { break };
            keep(&mut more);
            let size: u64 = more.iter().map(|(_, payload)| frame_bytes(payload.len())).sum();
            if bytes + size > room {
                if run.len() > 1 {
                    break;
                }
                run.clear();
                kept.clear();
                bytes = 0;
            }
            kept.append(&mut more);
            bytes += size;
            run.push(meta);
        }
        let all_goes = kept.is_empty() && run.first().is_some_and(|meta| Some(meta.epoch) == oldest);
        if !all_goes && (run.len() < 2 || bytes > room) {
            return None;
        }
        let mut plan = Compaction { run, kept, gone: Vec::new() };
        let Range { start, end } = plan.range();
        let mut at = start;
        for (position, _) in &plan.kept {
            if at < *position {
                plan.gone.push(at..*position);
            }
            at = position + 1;
        }
        if at < end {
            plan.gone.push(at..end);
        }
        Some(plan)
    }

    /// Makes several segments one, positions as they were.
    ///
    /// Each moment of it may be the last before a power cut: there are the old segments, or the new one.
    pub fn carry_out(&mut self, plan: Compaction) -> Result<(), CompactError> {
        let Compaction { run, kept, .. } = plan;
        if kept.is_empty() {
            return Ok(self.release(&run)?);
        }
        Ok(self.merge(&run, &kept)?)
    }

    /// Plans and carries out. `keep` is asked once for each record, in order, also for such as stay where they are. False when
    /// nothing would be gained.
    pub fn compact(&mut self, keep: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<bool, CompactError> {
        match self.plan(&mut |records| records.retain(|(position, bytes)| keep(*position, bytes))) {
            Some(plan) => self.carry_out(plan).map(|()| true),
            None => Ok(false),
        }
    }

    /// What is in a segment. None where not all of it can be read now.
    fn records(&self, meta: &Meta) -> Option<Kept> {
        let file = self.shared.disk.open(&meta.name, Mode::Read).ok()?;
        let mut walk = Walk::new(&*file, meta.epoch, HEADER as u64, meta.limit);
        let mut records = Kept::new();
        let place = |span: Range<u64>, kind| {
            self.shared.aside.place(&*self.shared.disk, &*file, meta.epoch, span, kind);
        };
        loop {
            match walk.step() {
                Step::Record { position, .. } if position >= meta.end => break,
                Step::Record { position, payload } => {
                    if position >= meta.first {
                        records.push((position, payload.to_vec()));
                    }
                }
                Step::Mark(Mark::Sealed, _) => break,
                Step::Mark(..) => {}
                Step::Bad(span) => place(span, Kind::Span),
                Step::End { at, torn: true } => {
                    place(at..meta.limit, Kind::Tail);
                    break;
                }
                Step::End { .. } => break,
            }
        }
        (walk.unreadable() == 0).then_some(records)
    }

    /// Writes a segment anew, into another file. One that cannot be read now, or does not fit, stays as it is.
    pub(crate) fn copy_segment(&mut self, meta: &Meta) -> io::Result<()> {
        let Some(kept) = self.records(meta) else { return Ok(()) };
        if kept.iter().map(|(_, payload)| frame_bytes(payload.len())).sum::<u64>() > self.room() {
            return Ok(());
        }
        self.merge(std::slice::from_ref(meta), &kept)
    }

    /// What a segment has for frames, when it is written at once.
    fn room(&self) -> u64 {
        self.segment_bytes - HEADER as u64 - SMALLEST - 8
    }

    fn merge(&mut self, run: &[Meta], kept: &Kept) -> io::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let epoch = self.next_epoch();
        let mut header = Header::new(epoch, first.first);
        header.end = last.end;
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        for (position, payload) in kept {
            format::encode_record(&mut bytes, epoch, *position, payload);
        }
        format::encode_mark(&mut bytes, epoch, last.end, Mark::Sealed);
        bytes.extend_from_slice(&[0; 8]);
        self.create(epoch, &bytes)?;
        let (name, limit) = (format::segment_name(epoch), self.segment_bytes);
        let new =
            Meta { name, epoch, first: first.first, end: last.end, limit, compacted: true, active: false };
        {
            let mut state = self.shared.state();
            let at = state.segments.partition_point(|held| held.first < first.first);
            state.segments.insert(at, new);
            let replaced = |held: &Meta| run.iter().any(|meta| meta.name == held.name);
            state.segments.retain(|held| !replaced(held));
        }
        // The new one says which it stands for: what cannot be removed now is when the journal is opened again.
        let _ = self.release(run);
        Ok(())
    }
}
