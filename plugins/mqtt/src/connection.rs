//! Stays connected: opens one [`Link`] after the other and empties the [`Outbox`] through it.
//!
//! ```text
//! Line (handle, cheap to clone) ── puts into ──> Outbox <── takes from ── Driver ── owns ──> Link ──> broker
//!                                                            └── tells the Listener: up, down, a message
//! ```
//!
//! Why not the library's own reconnect: it forgets what it was given when the broker has lost the session. Here what
//! is not acknowledged stays in the outbox, whatever happens to the connection.
//!
//! A listener is called from the driver's task and must return at once; nothing here waits for a plugin, and a plugin
//! that puts something into the outbox never waits for the broker.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::BoxFuture;
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::link::{Ack, Fault, Incoming, Limits, Link, LinkEvent, LinkOptions, Message};
use crate::outbox::{Next, Outbox, Rank, Refused};

/// The token of the last message of all.
const FAREWELL: u64 = u64::MAX;

/// Topics about which a complaint is remembered, so that it is made once.
const MAX_COMPLAINTS: usize = 64;

/// A connection that has lasted this long is a steady one.
const STEADY: Duration = Duration::from_secs(30);

/// So many unsteady ones after another are no accident.
const SUSPICIOUS: u32 = 3;

/// Waits, on a clock of the owner's.
pub(crate) type Sleep = Box<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// Hears what happens. Must return at once.
pub(crate) trait Listener: Send + Sync {
    /// Connected; everything retained is on its way.
    fn up(&self);
    /// Not connected, and why. Told again when the reason becomes another.
    fn down(&self, fault: &Fault);
    /// A message came.
    fn message(&self, message: Incoming);
    /// So many readings were dropped since this was told last.
    fn dropped(&self, readings: u64);
}

/// The way to the outbox.
#[derive(Clone)]
pub(crate) struct Line(Arc<Shared>);

struct Shared {
    outbox: Mutex<Outbox>,
    changed: Notify,
    closing: AtomicBool,
    /// Topics whose last message was refused.
    refused: Mutex<BTreeSet<String>>,
}

impl Line {
    /// With room for that many readings.
    pub(crate) fn new(capacity: usize) -> Self {
        let outbox = Mutex::new(Outbox::new(capacity));
        let (changed, closing, refused) = (Notify::new(), AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Shared { outbox, changed, closing, refused }))
    }

    /// Sets what is retained at a topic; nothing (empty) takes it back.
    pub(crate) fn state(&self, rank: Rank, topic: String, payload: Vec<u8>) {
        let refused = self.outbox().state(rank, topic.clone(), payload);
        self.put(&topic, refused);
    }

    /// Publishes a result or an event.
    pub(crate) fn message(&self, message: Message) {
        let topic = message.topic.clone();
        let outcome = self.outbox().message(message);
        if outcome == Ok(true) {
            warn!("More results and events wait than there is room for; the oldest are dropped.");
        }
        self.put(&topic, outcome.map(drop));
    }

    /// Publishes a reading.
    pub(crate) fn reading(&self, message: Message) {
        let topic = message.topic.clone();
        let outcome = self.outbox().reading(message);
        if outcome == Ok(true) {
            warn!("More readings wait than there is room for; the oldest are dropped.");
        }
        self.put(&topic, outcome.map(drop));
    }

    /// The topics of a rank at which something is retained.
    pub(crate) fn topics(&self, rank: Rank) -> Vec<String> {
        self.outbox().topics(rank)
    }

    /// Empties the outbox, says farewell and ends the driver; where there is no connection it ends at once.
    pub(crate) fn close(&self) {
        self.0.closing.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }

    fn put(&self, topic: &str, outcome: Result<(), Refused>) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                self.0.changed.notify_one();
                if refused.remove(topic) {
                    info!(topic, "Messages are taken again.");
                }
            }
            Err(error) if refused.len() < MAX_COMPLAINTS && refused.insert(topic.into()) => {
                warn!(topic, %error, "A message was not taken; more of its kind are not told.");
            }
            Err(_) => {}
        }
    }

    fn closing(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the connection, until the [`Line`] is closed.
pub(crate) struct Driver<L> {
    pub(crate) options: LinkOptions,
    /// Subscribed to after every connect.
    pub(crate) filter: String,
    pub(crate) line: Line,
    pub(crate) listener: L,
    pub(crate) backoff: Backoff,
    pub(crate) sleep: Sleep,
    /// Dropped with the driver: its receiver then knows that the driver has ended.
    pub(crate) alive: watch::Sender<()>,
}

/// How a link ended.
enum End {
    Fault(Fault),
    Parted,
}

impl<L: Listener> Driver<L> {
    /// Runs until the line is closed.
    pub(crate) async fn run(mut self) {
        let mut course = Course::default();
        while !self.alive.is_closed() {
            let mut link = Link::open(&self.options);
            let end = self.serve(&mut link, &mut course).await;
            drop(link);
            self.line.outbox().returned();
            let fault = match end {
                End::Parted => return,
                End::Fault(Fault::Lost(_)) if course.unsteady >= SUSPICIOUS => {
                    Fault::Unsteady { id: self.options.client_id.clone(), times: course.unsteady }
                }
                End::Fault(fault) => fault,
            };
            self.tell(&fault, &mut course);
            if self.line.closing() {
                return;
            }
            let wait = match fault {
                Fault::Login(_) | Fault::TakenOver(_) | Fault::Unsteady { .. } => self.backoff.slow(),
                _ => self.backoff.next(),
            };
            let mut pause = (self.sleep)(wait);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.line.0.changed.notified() => if self.line.closing() { return },
                }
            }
        }
    }

    async fn serve(&mut self, link: &mut Link, course: &mut Course) -> End {
        let mut limits: Option<Limits> = None;
        let mut steady: BoxFuture<'static, ()> = Box::pin(std::future::pending());
        let mut complaints = BTreeSet::new();
        let mut leaving = false;
        loop {
            if let Some(limits) = limits
                && !leaving
            {
                self.hand_over(link, limits, &mut complaints);
                if self.line.closing() && self.line.outbox().is_empty() {
                    leaving = link.publish(FAREWELL, self.farewell());
                }
            }
            let event = tokio::select! {
                event = link.next() => event,
                () = self.line.0.changed.notified() => continue,
                () = &mut steady => {
                    steady = Box::pin(std::future::pending());
                    self.backoff.reset();
                    course.unsteady = 0;
                    self.connected(course);
                    continue;
                }
            };
            match event {
                LinkEvent::Up(granted) => {
                    limits = Some(granted);
                    link.subscribe(&self.filter);
                    course.unsteady += 1;
                    steady = (self.sleep)(STEADY);
                    // Where it was cut off again and again, one more connection is no news.
                    if course.told != Some(Kind::Unsteady) {
                        self.connected(course);
                    }
                }
                LinkEvent::Answered(FAREWELL, _) => drop(link.part()),
                LinkEvent::Answered(token, ack) => {
                    let topic = self.line.outbox().answered(token);
                    if let (Some(topic), Ack::Refused(error)) = (topic, ack) {
                        complain(&mut complaints, &topic, error);
                    }
                }
                LinkEvent::Subscribed(granted) => {
                    if !granted {
                        complain(&mut complaints, &self.filter, "the subscription was not granted");
                    }
                }
                LinkEvent::Message(message) => self.listener.message(message),
                LinkEvent::Parted => return End::Parted,
                LinkEvent::Down(fault) => return End::Fault(fault),
            }
        }
    }

    /// As much as the window has room for.
    fn hand_over(&self, link: &mut Link, limits: Limits, complaints: &mut BTreeSet<String>) {
        loop {
            let next = {
                let mut outbox = self.line.outbox();
                if outbox.flying() >= limits.window {
                    Next::Nothing
                } else {
                    outbox.next(limits.max_packet_bytes)
                }
            };
            match next {
                Next::Nothing => break,
                Next::TooLarge(topic, refused) => complain(complaints, &topic, &refused.to_string()),
                // What the link does not take stays with those that wait for an acknowledgement: it comes again.
                Next::Publish(token, message) => {
                    if !link.publish(token, message) {
                        break;
                    }
                }
            }
        }
        let dropped = self.line.outbox().take_dropped();
        if dropped > 0 {
            self.listener.dropped(dropped);
        }
    }

    fn farewell(&self) -> Message {
        let (topic, payload) = self.options.will.clone().unwrap_or_default();
        Message { topic, payload: payload.into(), retain: true, ..Message::default() }
    }

    fn connected(&self, course: &mut Course) {
        if std::mem::replace(&mut course.connected, true) {
            return;
        }
        course.told = None;
        info!(host = %self.options.host, port = self.options.port, "Connected to the broker.");
        self.listener.up();
    }

    /// Another kind of fault is news; the same one is not.
    fn tell(&self, fault: &Fault, course: &mut Course) {
        course.connected = false;
        let before = course.told.replace(kind(fault));
        if before == course.told {
            return;
        }
        // A lost connection that cannot be made again is one piece of news.
        let follows = (before, course.told) == (Some(Kind::Lost), Some(Kind::Unreachable));
        if !follows && !self.line.closing() {
            let (host, port) = (self.options.host.as_str(), self.options.port);
            warn!(host, port, error = %fault, "Not connected to the broker; trying again.");
        }
        self.listener.down(fault);
    }
}

/// How things have gone so far.
#[derive(Default)]
struct Course {
    /// Whether it was said that there is a connection.
    connected: bool,
    /// The kind of fault that was said last, since then.
    told: Option<Kind>,
    /// Connections that ended soon after they began, one after another.
    unsteady: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unreachable,
    Lost,
    Login,
    TakenOver,
    Unsteady,
    Protocol,
}

fn kind(fault: &Fault) -> Kind {
    match fault {
        Fault::Unreachable(_) => Kind::Unreachable,
        Fault::Lost(_) => Kind::Lost,
        Fault::Login(_) => Kind::Login,
        Fault::TakenOver(_) => Kind::TakenOver,
        Fault::Unsteady { .. } => Kind::Unsteady,
        Fault::Protocol(_) => Kind::Protocol,
    }
}

fn complain(complaints: &mut BTreeSet<String>, topic: &str, error: &str) {
    if complaints.len() < MAX_COMPLAINTS && complaints.insert(topic.into()) {
        warn!(topic, error, "The broker did not take a message; more of its kind are not told.");
    }
}
