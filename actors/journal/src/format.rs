//! How segments and frames lie on disk. Little-endian throughout.
//!
//! ```text
//! segment  NNNNNNNNNN.seg: header (64 bytes), then frames, each at a multiple of 8
//! header   magic 8 | version u32 | epoch u32 | base u64 | end u64 | zeros 28 | crc32c u32
//! frame    length u32 | crc32c over (epoch, position, length, payload) u32 | epoch u32 | position u64 | payload
//! mark     a frame without payload whose "length" is above all lengths: sealed, closed, opened
//! ```
//!
//! The epoch is new at each use of a file, so that what is left of a former use is no frame. `end` is 0 but in a segment that
//! compaction made: then it holds what was kept of the positions from `base` to `end`, and stands for all older segments
//! there, which a crash may have left.

pub(crate) const HEADER: usize = 64;
pub(crate) const FRAME: usize = 20;
/// A mark, or the smallest record.
pub(crate) const SMALLEST: u64 = 24;
/// Positions at or above this are made up.
pub(crate) const MOST_POSITION: u64 = 1 << 62;
/// Epochs at or above this are made up.
pub(crate) const MOST_EPOCH: u32 = u32::MAX - (1 << 20);

const MAGIC: &[u8; 8] = b"SEDGELOG";
const VERSION: u32 = 1;

/// Says something about the log, at a place in it. Its position is the one the next record gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The log goes on in another segment.
    Sealed,
    /// The journal was closed in order: nothing was given out above.
    Closed,
    /// It was opened again.
    Opened,
}

impl Mark {
    const ALL: [(u32, Mark); 3] =
        [(u32::MAX - 2, Mark::Sealed), (u32::MAX - 1, Mark::Closed), (u32::MAX, Mark::Opened)];

    pub(crate) fn of(length: u32) -> Option<Self> {
        Self::ALL.iter().find(|(code, _)| *code == length).map(|(_, mark)| *mark)
    }

    fn code(self) -> u32 {
        Self::ALL.iter().find(|(_, mark)| *mark == self).map_or(u32::MAX, |(code, _)| *code)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) epoch: u32,
    pub(crate) base: u64,
    pub(crate) end: u64,
}

impl Header {
    pub(crate) fn new(epoch: u32, base: u64) -> Self {
        Self { epoch, base, end: 0 }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.end.to_le_bytes());
        out.extend_from_slice(&[0; 28]);
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let good = bytes[..8] == *MAGIC
            && u32_at(bytes, 8) == VERSION
            && u32_at(bytes, 60) == crc32c::crc32c(&bytes[..60]);
        let header = Self { epoch: u32_at(bytes, 12), base: u64_at(bytes, 16), end: u64_at(bytes, 24) };
        let sound = header.epoch < MOST_EPOCH && header.base < MOST_POSITION && header.end < MOST_POSITION;
        (good && sound).then_some(header)
    }
}

/// Bytes that a record takes.
pub(crate) fn frame_bytes(payload: usize) -> u64 {
    (FRAME + payload).next_multiple_of(8) as u64
}

pub(crate) fn encode_record(out: &mut Vec<u8>, epoch: u32, position: u64, payload: &[u8]) {
    encode(out, payload.len() as u32, epoch, position, payload);
}

pub(crate) fn encode_mark(out: &mut Vec<u8>, epoch: u32, position: u64, mark: Mark) {
    encode(out, mark.code(), epoch, position, &[]);
}

fn encode(out: &mut Vec<u8>, length: u32, epoch: u32, position: u64, payload: &[u8]) {
    let end = out.len() + frame_bytes(payload.len()) as usize;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc(length, epoch, position, payload).to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(end, 0);
}

pub(crate) fn crc(length: u32, epoch: u32, position: u64, payload: &[u8]) -> u32 {
    let mut head = [0; 16];
    head[..4].copy_from_slice(&epoch.to_le_bytes());
    head[4..12].copy_from_slice(&position.to_le_bytes());
    head[12..].copy_from_slice(&length.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), payload)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

pub(crate) fn segment_name(epoch: u32) -> String {
    format!("{epoch:010}.seg")
}

pub(crate) fn free_name(epoch: u32) -> String {
    format!("{epoch:010}.free")
}

pub(crate) fn new_name(epoch: u32) -> String {
    format!("{epoch:010}.new")
}

/// The epoch in the name of a file of ours, and its ending.
pub(crate) fn parse_name(name: &str) -> Option<(u32, &str)> {
    let (epoch, ending) = name.split_once('.')?;
    let digits = epoch.len() == 10 && epoch.bytes().all(|byte| byte.is_ascii_digit());
    let epoch = epoch.parse().ok().filter(|epoch| digits && *epoch < MOST_EPOCH)?;
    matches!(ending, "seg" | "free" | "new").then_some((epoch, ending))
}
