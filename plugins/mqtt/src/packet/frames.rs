//! Packets out of a stream of bytes, however it is cut.

use super::{Malformed, kind};

/// What the stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A packet: its first byte, and what follows its length.
    Whole {
        /// Kind and flags.
        first: u8,
        /// The rest.
        body: &'a [u8],
    },
    /// A message beyond the limit; its body is read past.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The topic.
        topic: String,
        /// What to acknowledge, where it wants that.
        id: Option<u16>,
    },
}

/// The stream. Holds at most one packet and what was read along with it.
#[derive(Debug)]
pub struct Frames {
    limit: usize,
    bytes: Vec<u8>,
    /// How much of `bytes` is done with.
    done: usize,
    /// How much of a message that is too large is still to come.
    skip: usize,
}

/// Bytes that are kept free for the next read.
const ROOM: usize = 8 * 1024;

impl Frames {
    /// Packets of at most `limit` bytes are given whole.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new(), done: 0, skip: 0 }
    }

    /// Where to put what was read.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.done));
        if self.bytes.is_empty() && self.bytes.capacity() > 8 * ROOM {
            self.bytes = Vec::new();
        }
        self.bytes.reserve(ROOM);
        &mut self.bytes
    }

    /// The next packet; nothing where more must be read first.
    ///
    /// # Errors
    /// Where the stream cannot be understood any more.
    // Not an iterator: what it gives borrows from it.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, Malformed> {
        let skipped = self.skip.min(self.bytes.len() - self.done);
        self.skip -= skipped;
        self.done += skipped;
        let rest = &self.bytes[self.done..];
        let Some((&first, after)) = rest.split_first() else { return Ok(None) };
        let Some((length, width)) = length(after)? else { return awaits(first) };
        let (head, whole) = (1 + width, 1 + width + length);
        if whole > self.limit {
            return self.too_large(first, head, whole);
        }
        if rest.len() < whole {
            return awaits(first);
        }
        let start = self.done + head;
        self.done += whole;
        Ok(Some(Frame::Whole { first, body: &self.bytes[start..self.done] }))
    }

    /// Past a message that is too large, once what is told of it has come.
    fn too_large(&mut self, first: u8, head: usize, whole: usize) -> Result<Option<Frame<'_>>, Malformed> {
        if first & 0xf0 != kind::PUBLISH {
            return Err(Malformed::Kind(first));
        }
        let rest = &self.bytes[self.done..];
        let at = |from: usize| rest.get(from..from + 2).map(|b| usize::from(b[0]) << 8 | usize::from(b[1]));
        let Some(length) = at(head) else { return Ok(None) };
        let end = head + 2 + length;
        let seen = if first & 0x06 == 0x02 { end + 2 } else { end };
        if seen > whole {
            return Err(Malformed::Short);
        }
        if rest.len() < seen {
            return Ok(None);
        }
        let topic = String::from_utf8_lossy(&rest[head + 2..end]).into_owned();
        let id = at(end).and_then(|id| u16::try_from(id).ok()).filter(|_| seen > end);
        self.done += seen;
        self.skip = whole - seen;
        Ok(Some(Frame::TooLarge { bytes: whole, topic, id }))
    }
}

/// What is not of a broker is not waited for: noise may say that megabytes follow, and all that comes would be taken for them.
fn awaits(first: u8) -> Result<Option<Frame<'static>>, Malformed> {
    let is_message = first & 0xf0 == kind::PUBLISH && first & 0x06 != 0x06;
    match first {
        kind::CONNACK | kind::PUBACK | kind::SUBACK | kind::UNSUBACK | kind::PINGRESP | kind::DISCONNECT => {
            Ok(None)
        }
        _ if is_message => Ok(None),
        first => Err(Malformed::Kind(first)),
    }
}

/// A length and how many bytes it takes; nothing where they have not all come.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Malformed::Length) }
}
