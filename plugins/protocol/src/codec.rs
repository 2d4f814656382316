//! How messages stand in a stream of bytes: cut out of what was read, made into what is written.
//!
//! ```
//! use sedge_protocol::{Decoder, Encoding, MAX_MESSAGE, ToNode, encode};
//! let mut decoder = Decoder::<ToNode>::new(MAX_MESSAGE);
//! decoder.push(b"{\"type\":\"pong\",");
//! assert_eq!(decoder.next(), Ok(None), "half a message so far");
//! decoder.push(b"\"id\":7}\n");
//! assert_eq!(decoder.next(), Ok(Some(ToNode::Pong { id: 7 })));
//! assert_eq!(encode(&ToNode::Pong { id: 7 }, Encoding::Json).unwrap(), b"{\"type\":\"pong\",\"id\":7}\n");
//! ```
//!
//! JSON: one object per line, UTF-8, ended by `\n`; a `\r` before it and blank lines are nothing. MessagePack: four bytes of
//! length, high byte first, and a map with the same keys. A stream begins as JSON, and goes on in the encoding that the
//! welcome names ([`Decoder::switch`]).
//!
//! It must not read or write anything, keep more than one message and what was pushed last, or trust a length that somebody
//! announces.

use std::io::{self, Write};
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Encoding, ToNode, ToPlugin};

/// How deep a message may be nested: what `serde_json` allows too.
pub const MAX_DEPTH: usize = 128;

/// How much of what was amiss an error quotes, in characters.
const QUOTED: usize = 60;

/// The bytes of a length before a message of MessagePack.
const HEAD: usize = 4;

/// A message of one of the two directions.
pub trait Message: Serialize + DeserializeOwned + sealed::Sealed {
    /// Whether it is one of a later version, to be ignored.
    fn is_unknown(&self) -> bool;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ToNode {}
    impl Sealed for crate::ToPlugin {}
}

impl Message for ToNode {
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl Message for ToPlugin {
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// What was read is no message, or could not be written as one. Nothing can be read after it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A message is longer than allowed.
    #[error(
        "a message of {} bytes, where {max} are allowed; it begins with `{begins}`",
        announced.map_or_else(|| format!("more than {max}"), |bytes| bytes.to_string())
    )]
    TooLong {
        /// The most that is allowed.
        max: usize,
        /// What was announced; nothing for a line, which does not say.
        announced: Option<u32>,
        /// What there is of it.
        begins: String,
    },
    /// It is not a message.
    #[error("`{begins}` is not a message: {why}")]
    NotAMessage {
        /// What came.
        begins: String,
        /// What is wrong with it.
        why: String,
    },
    /// The stream ended within a message.
    #[error("the line ended within a message, {have} bytes after its beginning: `{begins}`")]
    Half {
        /// How much of it came.
        have: usize,
        /// What came.
        begins: String,
    },
    /// The encoding is one of a later version.
    #[error("an encoding that this version does not have; there are `json` and `msgpack`")]
    NoSuchEncoding,
    /// A message that cannot be encoded.
    #[error("a message cannot be encoded: {0}")]
    Encode(String),
}

/// Cuts messages out of a stream. After every [`push`](Self::push), take messages until there is none: then it holds less than
/// one message.
#[derive(Debug)]
pub struct Decoder<M> {
    max: usize,
    encoding: Encoding,
    buffer: Vec<u8>,
    /// Where in the buffer what was not taken yet begins.
    from: usize,
    /// How much of that was searched for the end of a line.
    searched: usize,
    skipped: u64,
    error: Option<CodecError>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Decoder<M> {
    /// Of a stream that begins as JSON, with messages of at most `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            max,
            encoding: Encoding::Json,
            buffer: Vec::new(),
            from: 0,
            searched: 0,
            skipped: 0,
            error: None,
            message: PhantomData,
        }
    }

    /// What follows is in this encoding.
    pub fn switch(&mut self, encoding: Encoding) {
        self.encoding = encoding;
        self.searched = 0;
    }

    /// Takes what was read. After an error it is not kept.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.buffer.drain(..self.from);
        self.from = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is there in full. Messages of a later version are skipped.
    ///
    /// # Errors
    /// What came is no message, or too long. The same again, ever after.
    #[expect(clippy::should_implement_trait, reason = "that there is none yet does not end a stream")]
    pub fn next(&mut self) -> Result<Option<M>, CodecError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let next = self.known();
        if let Err(error) = &next {
            self.error = Some(error.clone());
            self.buffer = Vec::new();
            (self.from, self.searched) = (0, 0);
        }
        next
    }

    /// How many messages of a later version were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// It ended within a message, or there was an error before.
    pub fn finish(&self) -> Result<(), CodecError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let rest = &self.buffer[self.from..];
        let is_blank = matches!(self.encoding, Encoding::Json) && is_blank(rest);
        if rest.is_empty() || is_blank {
            return Ok(());
        }
        Err(CodecError::Half { have: rest.len(), begins: quote(rest) })
    }

    fn known(&mut self) -> Result<Option<M>, CodecError> {
        loop {
            let next = match self.encoding {
                Encoding::Json => self.line()?,
                Encoding::Msgpack => self.frame()?,
                Encoding::Unknown => return Err(CodecError::NoSuchEncoding),
            };
            match next {
                Some(message) if message.is_unknown() => self.skipped = self.skipped.saturating_add(1),
                next => return Ok(next),
            }
        }
    }

    fn line(&mut self) -> Result<Option<M>, CodecError> {
        loop {
            let rest = &self.buffer[self.from..];
            let end = rest[self.searched..].iter().position(|byte| *byte == b'\n');
            let until = end.map_or(rest.len(), |end| self.searched + end);
            // A `\r` is not counted, also where its `\n` is yet to come.
            let line = rest[..until].strip_suffix(b"\r").unwrap_or(&rest[..until]);
            if line.len() > self.max {
                return Err(CodecError::TooLong { max: self.max, announced: None, begins: quote(line) });
            }
            if end.is_none() {
                self.searched = until;
                return Ok(None);
            }
            let message = (!is_blank(line)).then(|| parse(line));
            self.from += until + 1;
            self.searched = 0;
            if let Some(message) = message {
                return message.map(Some);
            }
        }
    }

    fn frame(&mut self) -> Result<Option<M>, CodecError> {
        let rest = &self.buffer[self.from..];
        let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else { return Ok(None) };
        let announced = u32::from_be_bytes(*head);
        let length = usize::try_from(announced).ok().filter(|length| *length <= self.max);
        let Some(length) = length else {
            let begins = quote(&self.buffer[self.from..]);
            return Err(CodecError::TooLong { max: self.max, announced: Some(announced), begins });
        };
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = unpack(body)?;
        self.from += HEAD + length;
        Ok(Some(message))
    }
}

/// A message as it is sent.
///
/// # Errors
/// It cannot be written in this encoding.
pub fn encode<M: Message>(message: &M, encoding: Encoding) -> Result<Vec<u8>, CodecError> {
    match encoding {
        Encoding::Json => {
            let mut line =
                serde_json::to_vec(message).map_err(|error| CodecError::Encode(error.to_string()))?;
            line.push(b'\n');
            Ok(line)
        }
        Encoding::Msgpack => {
            let mut frame = vec![0; HEAD];
            rmp_serde::encode::write_named(&mut frame, message)
                .map_err(|error| CodecError::Encode(error.to_string()))?;
            let length = u32::try_from(frame.len() - HEAD)
                .map_err(|_| CodecError::Encode("it has more than 4 GiB".to_owned()))?;
            frame[..HEAD].copy_from_slice(&length.to_be_bytes());
            Ok(frame)
        }
        Encoding::Unknown => Err(CodecError::NoSuchEncoding),
    }
}

/// Whether a message is as short as it has to be, without writing it.
#[must_use]
pub fn fits<M: Message>(message: &M, encoding: Encoding, max: usize) -> bool {
    let mut room = Room(max);
    match encoding {
        Encoding::Json => serde_json::to_writer(&mut room, message).is_ok(),
        Encoding::Msgpack => rmp_serde::encode::write_named(&mut room, message).is_ok(),
        Encoding::Unknown => false,
    }
}

/// How much may still be written.
struct Room(usize);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.0 = left;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse<M: Message>(line: &[u8]) -> Result<M, CodecError> {
    serde_json::from_slice(line).map_err(|error| not_a_message(line, &error.to_string()))
}

fn unpack<M: Message>(body: &[u8]) -> Result<M, CodecError> {
    let mut left = body;
    let mut unpacker = rmp_serde::Deserializer::new(&mut left);
    unpacker.set_max_depth(MAX_DEPTH);
    let message = M::deserialize(&mut unpacker).map_err(|error| not_a_message(body, &error.to_string()))?;
    if !left.is_empty() {
        return Err(not_a_message(body, &format!("{} bytes follow its end", left.len())));
    }
    Ok(message)
}

fn not_a_message(bytes: &[u8], why: &str) -> CodecError {
    // What is amiss may itself be quoted by the parser, at any length.
    CodecError::NotAMessage { begins: quote(bytes), why: why.chars().take(200).collect() }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The beginning of what came, so that it can be shown anywhere.
fn quote(bytes: &[u8]) -> String {
    let begin = &bytes[..bytes.len().min(4 * QUOTED)];
    let text = String::from_utf8_lossy(begin);
    let mut shown: String = text.chars().take(QUOTED).map(printable).collect();
    if bytes.len() > begin.len() || text.chars().nth(QUOTED).is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

fn printable(character: char) -> char {
    let is_shown = character == ' ' || (!character.is_whitespace() && !character.is_control());
    if is_shown && character != '`' { character } else { '·' }
}
