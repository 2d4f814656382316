//! An open connection: bytes in and out, the keep-alive, and the end in good order.
//!
//! The broker is dead where nothing was heard of it for twice the keep-alive, though it was asked: a wire that was cut
//! says nothing by itself.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tracing::warn;

use super::session::Session;
use super::transport::Stream;
use super::{Fault, Limits, LinkEvent, MAX_PACKET_BYTES, WINDOW, reasons, tls};
use crate::packet::{self, ConnAck, Frame, Frames, Packet, Version};

/// Topics about which it is remembered that a message was too large.
const MAX_COMPLAINTS: usize = 64;

/// How long the broker may take to close a connection that we have ended.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    No,
    /// Our DISCONNECT is to be written.
    Said,
    /// It was; until the broker closes.
    Waiting,
}

/// See the [module](self).
pub(super) struct Open {
    stream: Box<dyn Stream>,
    frames: Frames,
    pub(super) session: Session,
    limits: Limits,
    client_id: String,
    keep_alive: Duration,
    /// When something was heard, or sent, last.
    heard: Instant,
    spoken: Instant,
    /// Since when a sign of life is asked for.
    asked: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Written, and maybe not on its way yet.
    unflushed: bool,
    /// Writing has failed; what can still be read counts.
    broken: Option<io::Error>,
    parting: Parting,
    /// The message that was given last, if it is to be acknowledged.
    given: Option<u16>,
    too_large: BTreeSet<String>,
}

/// What a look at the stream brought.
enum Moved {
    Read,
    Written,
    Time,
    Ended(Option<io::Error>),
}

impl Open {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        frames: Frames,
        session: Session,
        version: Version,
        ack: &ConnAck,
        keep_alive: Duration,
        client_id: String,
    ) -> Self {
        let window = ack.receive_maximum.map_or(WINDOW, usize::from).clamp(1, WINDOW);
        let theirs = ack.maximum_packet.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let now = Instant::now();
        Self {
            stream,
            frames,
            session,
            limits: Limits { version, window, max_packet_bytes: theirs.min(MAX_PACKET_BYTES) },
            client_id,
            keep_alive,
            heard: now,
            spoken: now,
            asked: None,
            timer: Box::pin(tokio::time::sleep_until(now + keep_alive)),
            unflushed: false,
            broken: None,
            parting: Parting::No,
            given: None,
            too_large: BTreeSet::new(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn part(&mut self) {
        if self.parting == Parting::No {
            packet::disconnect(&mut self.session.out);
            self.parting = Parting::Said;
        }
    }

    /// Goes on until something has happened, or not; may be cancelled.
    pub(super) async fn step(&mut self, ready: &mut VecDeque<LinkEvent>) -> Result<(), Fault> {
        if let Some(id) = self.given.take() {
            packet::puback(&mut self.session.out, id);
        }
        // All that was read, up to a message: that one is acknowledged when it was given.
        let before = ready.len();
        while self.given.is_none() && self.take(ready)? {}
        if ready.len() > before {
            return Ok(());
        }
        let moved = poll_fn(|cx| self.poll(cx)).await;
        let now = Instant::now();
        match moved {
            Moved::Read => (self.heard, self.asked) = (now, None),
            Moved::Written => {
                self.spoken = now;
                self.unflushed = false;
                ready.extend(
                    self.session.written().map(|token| LinkEvent::Answered(token, super::Ack::Taken)),
                );
            }
            Moved::Time if self.parting == Parting::Waiting => return Self::parted(ready),
            Moved::Time => self.look_at_the_clock(now)?,
            Moved::Ended(_) if self.parting == Parting::Waiting => return Self::parted(ready),
            Moved::Ended(error) => {
                let error = error.or(self.broken.take());
                let lost = || {
                    Fault::Lost(
                        error.as_ref().map_or("the broker closed the connection".into(), ToString::to_string),
                    )
                };
                // Of TLS 1.3 a broker that wants another certificate says so only now.
                return Err(error.as_ref().and_then(tls::fault).unwrap_or_else(lost));
            }
        }
        Ok(())
    }

    /// Our DISCONNECT has gone; whatever comes of the connection now is as it should be.
    fn parted(ready: &mut VecDeque<LinkEvent>) -> Result<(), Fault> {
        ready.push_back(LinkEvent::Parted);
        Ok(())
    }

    /// Takes one packet from what was read. Whether there was one.
    fn take(&mut self, ready: &mut VecDeque<LinkEvent>) -> Result<bool, Fault> {
        let malformed = |error| Fault::Protocol(format!("the broker sends what is not MQTT: {error}"));
        match self.frames.next().map_err(malformed)? {
            None => return Ok(false),
            Some(Frame::TooLarge { bytes, topic, id }) => {
                if let Some(id) = id {
                    packet::puback(&mut self.session.out, id);
                }
                if self.too_large.len() < MAX_COMPLAINTS && self.too_large.insert(topic.clone()) {
                    let limit = MAX_PACKET_BYTES;
                    warn!(topic, bytes, limit, "A message from the broker is too large, and was left out.");
                }
            }
            Some(Frame::Whole { first, body }) => {
                let packet = Packet::read(self.limits.version, first, body).map_err(malformed)?;
                self.understood(packet, ready)?;
            }
        }
        Ok(true)
    }

    fn understood(&mut self, packet: Packet, ready: &mut VecDeque<LinkEvent>) -> Result<(), Fault> {
        match packet {
            Packet::Publish(message) => {
                self.given = message.id;
                ready.push_back(LinkEvent::Message(message.into()));
            }
            Packet::PubAck { id, code } => {
                if let Some(token) = self.session.answered(id) {
                    ready.push_back(LinkEvent::Answered(token, reasons::answer(code)));
                }
            }
            Packet::SubAck { id, codes } => {
                if self.session.subscribed(id) {
                    ready.push_back(LinkEvent::Subscribed(codes.iter().all(|code| *code < 0x80)));
                }
            }
            Packet::Disconnect { code, reason } => {
                return Err(reasons::parting(&self.client_id, code, reason));
            }
            Packet::UnsubAck | Packet::Pong => {}
            Packet::ConnAck(_) => {
                return Err(Fault::Protocol("the broker answers twice to one CONNECT".into()));
            }
        }
        Ok(())
    }

    /// A sign of life where it is time for one, or the end where none has come back.
    fn look_at_the_clock(&mut self, now: Instant) -> Result<(), Fault> {
        let due = |since: Instant| since + self.keep_alive;
        match self.asked {
            Some(asked) if now >= due(asked) => {
                let seconds = (now - self.heard).as_secs();
                return Err(Fault::Lost(format!("no sign of life for {seconds} s")));
            }
            None if now >= due(self.heard.min(self.spoken)) => {
                packet::ping(&mut self.session.out);
                self.asked = Some(now);
            }
            _ => {}
        }
        let next = due(self.asked.unwrap_or_else(|| self.heard.min(self.spoken)));
        self.timer.as_mut().reset(next);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        if self.broken.is_none() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(true)) => return Poll::Ready(Moved::Written),
                Poll::Ready(Err(error)) => self.broken = Some(error),
                Poll::Ready(Ok(false)) | Poll::Pending => {}
            }
        }
        match self.poll_read(cx) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Moved::Ended(None)),
            Poll::Ready(Ok(_)) => return Poll::Ready(Moved::Read),
            Poll::Ready(Err(error)) => return Poll::Ready(Moved::Ended(Some(error))),
            Poll::Pending if self.broken.is_some() => return Poll::Ready(Moved::Ended(None)),
            Poll::Pending => {}
        }
        self.timer.as_mut().poll(cx).map(|()| Moved::Time)
    }

    /// Writes what waits; whether all of something has gone.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { stream, session, .. } = self;
        while session.sent < session.out.len() {
            match Pin::new(&mut *stream).poll_write(cx, &session.out[session.sent..])? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(count) => session.sent += count,
                Poll::Pending => {
                    session.forget_sent();
                    return Poll::Pending;
                }
            }
            self.unflushed = true;
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            return Poll::Ready(Ok(true));
        }
        if self.parting == Parting::Said {
            std::task::ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            // Closing with something unread would take our last words away from the broker.
            self.parting = Parting::Waiting;
            self.timer.as_mut().reset(Instant::now() + LAST_WORDS);
        }
        Poll::Ready(Ok(false))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // It keeps nothing between two looks.
        std::pin::pin!(self.stream.read_buf(self.frames.buffer())).poll(cx)
    }
}
