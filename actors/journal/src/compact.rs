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

type Kept = Vec<(u64, Vec<u8>)>;

impl Journal {
    /// Makes the oldest neighbours of which what is kept fits into one segment one, positions as they were. `keep` is asked
    /// once for each record, in order, also for such as stay where they are. False when nothing would be gained.
    ///
    /// Each moment of it may be the last before a power cut: there are the old segments, or the new one.
    pub fn compact(&mut self, keep: &mut dyn FnMut(u64, &[u8]) -> bool) -> Result<bool, CompactError> {
        let segments: Vec<Meta> = {
            let state = self.shared.state();
            let sealed = state.segments.len().saturating_sub(1);
            state.segments[..sealed.min(MOST_LOOKED_AT)].to_vec()
        };
        let room = self.room();
        let mut run: Vec<Meta> = Vec::new();
        let (mut kept, mut bytes) = (Kept::new(), 0);
        for meta in segments {
            let Some((mut more, size)) = self.kept(&meta, keep) else { break };
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
        let oldest = self.shared.state().segments.first().map(|meta| meta.epoch);
        if kept.is_empty() && run.first().is_some_and(|meta| Some(meta.epoch) == oldest) {
            self.release(&run)?;
            return Ok(true);
        }
        if run.len() < 2 || bytes > room {
            return Ok(false);
        }
        self.merge(&run, &kept)?;
        Ok(true)
    }

    /// What is kept of a segment, and the bytes of its frames. None where not all of it can be read now.
    fn kept(&self, meta: &Meta, keep: &mut dyn FnMut(u64, &[u8]) -> bool) -> Option<(Kept, u64)> {
        let file = self.shared.disk.open(&meta.name, Mode::Read).ok()?;
        let mut walk = Walk::new(&*file, meta.epoch, HEADER as u64, meta.limit);
        let (mut kept, mut bytes) = (Kept::new(), 0);
        let place = |span: Range<u64>, kind| {
            self.shared.aside.place(&*self.shared.disk, &*file, meta.epoch, span, kind);
        };
        loop {
            match walk.step() {
                Step::Record { position, .. } if position >= meta.end => break,
                Step::Record { position, payload } => {
                    if position >= meta.first && keep(position, payload) {
                        bytes += frame_bytes(payload.len());
                        kept.push((position, payload.to_vec()));
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
        (walk.unreadable() == 0).then_some((kept, bytes))
    }

    /// Writes a segment anew, into another file. One that cannot be read now, or does not fit, stays as it is.
    pub(crate) fn copy_segment(&mut self, meta: &Meta) -> io::Result<()> {
        let Some((kept, bytes)) = self.kept(meta, &mut |_, _| true) else { return Ok(()) };
        if bytes > self.room() {
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
