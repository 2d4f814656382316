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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::{BoxFuture, Clock, Id};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::link::{Ack, Fault, Incoming, Limits, Link, LinkEvent, LinkOptions, Message};
use crate::lost::Lost;
use crate::outbox::{Next, Outbox, Rank, Refused};
use crate::wire::Topics;

/// The token of the last message of all.
const FAREWELL: u64 = u64::MAX;

/// Topics about which a complaint is remembered, so that it is made once.
const MAX_COMPLAINTS: usize = 64;

/// A connection that has lasted this long is a steady one.
const STEADY: Duration = Duration::from_secs(30);

/// So many unsteady ones after another are no accident.
const SUSPICIOUS: u32 = 3;

/// How long the broker may take to say what it has retained.
const SWEEP: Duration = Duration::from_secs(5);

/// Where what is retained may be of components that are no more.
const GHOSTS: [(Rank, &str); 3] = [(Rank::Sensor, "sensor"), (Rank::Tool, "tool"), (Rank::Health, "health")];

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
    /// The broker refuses readings, and why; none when it takes them again.
    fn refusing(&self, reason: Option<&str>);
    /// A message is larger than this broker takes, and was not sent.
    fn too_large(&self, message: Message);
}

/// The way to the outbox.
#[derive(Clone)]
pub(crate) struct Line(Arc<Shared>);

struct Shared {
    outbox: Mutex<Outbox>,
    changed: Notify,
    losing: Notify,
    closing: AtomicBool,
    /// Whether the node has started: all of its components are known then.
    started: AtomicBool,
    /// Topics whose last message was refused.
    refused: Mutex<BTreeSet<String>>,
}

impl Line {
    /// With room for that many readings.
    pub(crate) fn new(capacity: usize, topics: Topics) -> Self {
        let outbox = Mutex::new(Outbox::new(capacity, topics));
        let (changed, losing, refused) = (Notify::new(), Notify::new(), Mutex::default());
        let (closing, started) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Shared { outbox, changed, losing, closing, started, refused }))
    }

    /// Sets what is retained at a topic; nothing (empty) takes it back. Not any more once the line is closed.
    pub(crate) fn state(&self, rank: Rank, topic: String, payload: Vec<u8>) {
        if self.closing() {
            return;
        }
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

    /// Publishes how far a call is, where nothing stands in the way.
    pub(crate) fn progress(&self, message: Message) {
        self.outbox().progress(message);
        self.0.changed.notify_one();
    }

    /// Publishes an answer that costs nothing to give again.
    pub(crate) fn refusal(&self, message: Message) {
        let topic = message.topic.clone();
        let outcome = self.outbox().refusal(message);
        self.put(&topic, outcome);
    }

    /// Publishes a reading, taken now.
    pub(crate) fn reading(&self, sensor: &Id, payload: Vec<u8>, now: Duration) {
        self.outbox().reading(sensor, payload, now);
        self.0.changed.notify_one();
        self.look_for_losses();
    }

    /// Publishes the account of what is lost; it is told whether the one before still waits, and takes its place.
    pub(crate) fn note(&self, note: impl FnOnce(bool) -> Message) {
        self.outbox().note(note);
        self.0.changed.notify_one();
    }

    /// Until a reading is lost.
    pub(crate) async fn losing(&self) {
        self.0.losing.notified().await;
    }

    /// What was lost since this was asked last.
    pub(crate) fn take_lost(&self) -> Lost {
        self.outbox().take_lost()
    }

    fn look_for_losses(&self) {
        if self.outbox().has_lost() {
            self.0.losing.notify_one();
        }
    }

    /// The largest packet that the broker takes, as far as is known.
    pub(crate) fn limit(&self) -> usize {
        self.outbox().limit()
    }

    /// The node has started: what the broker has beyond its components is not of this node any more.
    pub(crate) fn started(&self) {
        self.0.started.store(true, Ordering::Release);
        self.0.changed.notify_one();
    }

    /// The topics of a rank at which something is retained.
    pub(crate) fn topics(&self, rank: Rank) -> Vec<String> {
        self.outbox().topics(rank)
    }

    /// Whether the broker has what is retained at a topic as it is now.
    pub(crate) fn has(&self, rank: Rank, topic: &str) -> bool {
        self.outbox().has(rank, topic)
    }

    /// Publishes the state of some ranks once more.
    pub(crate) fn again(&self, ranks: &[Rank]) {
        self.outbox().again(ranks);
        self.0.changed.notify_one();
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
    pub(crate) topics: Topics,
    /// What the node listens to.
    pub(crate) subscriptions: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
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
        while !self.alive.is_closed() && !self.line.closing() {
            let mut link = Link::open(&self.options);
            let end = self.serve(&mut link, &mut course).await;
            drop(link);
            let aside = self.line.outbox().returned(course.unsteady > 0);
            for topic in aside {
                warn!(topic, "The connection broke with this message again and again; it is put aside.");
            }
            self.line.look_for_losses();
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
        let mut refusing: BTreeMap<Id, &'static str> = BTreeMap::new();
        let mut sweep = Sweep::default();
        let mut leaving = false;
        loop {
            let Some(granted) = limits else {
                if self.line.closing() {
                    return End::Parted;
                }
                match self.rise(link, &mut steady, course).await {
                    Ok(granted) => limits = granted,
                    Err(fault) => return End::Fault(fault),
                }
                continue;
            };
            if !leaving {
                self.hand_over(link, granted, &mut complaints);
                if self.line.closing() && self.line.outbox().is_empty() {
                    leaving = link.publish(FAREWELL, self.farewell());
                } else {
                    self.begin_sweep(link, &mut sweep);
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
                    if let Some(reason) = refusing.values().next() {
                        self.listener.refusing(Some(reason));
                    }
                    continue;
                }
                () = &mut sweep.time => {
                    sweep.time = Box::pin(std::future::pending());
                    GHOSTS.iter().for_each(|(_, kind)| link.unsubscribe(&self.every(kind)));
                    continue;
                }
            };
            match event {
                LinkEvent::Answered(FAREWELL, _) => drop(link.part()),
                LinkEvent::Answered(token, ack) => {
                    self.answered(token, ack, &mut complaints, &mut refusing, course);
                }
                LinkEvent::Subscribed(granted) => {
                    // They are answered in the order in which they were asked for.
                    if let Some(filter) = self.subscriptions.get(sweep.answered) {
                        sweep.answered += 1;
                        if !granted {
                            complain(&mut complaints, filter, "the subscription was not granted");
                        }
                    } else if !granted {
                        debug!("The broker does not let the node read what it has retained.");
                    }
                }
                LinkEvent::Message(message) => {
                    if let Some(message) = self.swept(message) {
                        self.listener.message(message);
                    }
                }
                LinkEvent::Up(_) => {}
                LinkEvent::Parted => return End::Parted,
                LinkEvent::Down(fault) => return End::Fault(fault),
            }
        }
    }

    /// The first thing that happens on a link; nothing where it is to be asked again.
    async fn rise(
        &mut self,
        link: &mut Link,
        steady: &mut BoxFuture<'static, ()>,
        course: &mut Course,
    ) -> Result<Option<Limits>, Fault> {
        let event = tokio::select! {
            event = link.next() => event,
            () = self.line.0.changed.notified() => return Ok(None),
        };
        match event {
            LinkEvent::Up(granted) => {
                for filter in &self.subscriptions {
                    link.subscribe(filter);
                }
                self.line.outbox().connected(granted.max_packet_bytes, self.clock.up());
                course.unsteady += 1;
                *steady = (self.sleep)(STEADY);
                // Where it was cut off again and again, one more connection is no news.
                if course.told != Some(Kind::Unsteady) {
                    self.connected(course);
                }
                Ok(Some(granted))
            }
            LinkEvent::Down(fault) => Err(fault),
            _ => Ok(None),
        }
    }

    fn answered(
        &self,
        token: u64,
        ack: Ack,
        complaints: &mut BTreeSet<String>,
        refusing: &mut BTreeMap<Id, &'static str>,
        course: &Course,
    ) {
        let error = match ack {
            Ack::Refused(error) => Some(error),
            Ack::Taken | Ack::NobodyListens => None,
        };
        let Some(answered) = self.line.outbox().answered(token, error) else { return };
        match (answered.sensor, error) {
            (None, None) => {}
            (None, Some(error)) => complain(complaints, &answered.topic, error),
            (Some(sensor), Some(error)) => {
                self.line.look_for_losses();
                if refusing.is_empty() && course.connected {
                    self.listener.refusing(Some(error));
                }
                refusing.insert(sensor, error);
            }
            (Some(sensor), None) => {
                if refusing.remove(&sensor).is_some() && refusing.is_empty() && course.connected {
                    self.listener.refusing(None);
                }
            }
        }
    }

    /// Asks what the broker has of the node, once all is there that should be.
    fn begin_sweep(&self, link: &mut Link, sweep: &mut Sweep) {
        let ready = !sweep.begun
            && self.line.0.started.load(Ordering::Acquire)
            && !self.line.closing()
            && self.line.outbox().is_settled();
        if ready {
            sweep.begun = true;
            sweep.time = (self.sleep)(SWEEP);
            for (_, kind) in GHOSTS {
                link.subscribe_retained(&self.every(kind));
            }
        }
    }

    /// Takes back what is retained and not of the node as it is now. Gives the message where it is of another kind.
    fn swept(&self, message: Incoming) -> Option<Incoming> {
        let kind = |(rank, kind): (Rank, &str)| {
            let under = message.topic.strip_prefix(&self.topics.stem(kind))?;
            (!under.contains('/')).then_some(rank)
        };
        let Some(rank) = GHOSTS.into_iter().find_map(kind) else { return Some(message) };
        if message.retain && !message.payload.is_empty() {
            let topic = message.topic;
            if self.line.outbox().exorcise(rank, topic.clone()) {
                debug!(topic, "Retained by the broker, and not of this node any more; taken back.");
            }
        }
        None
    }

    fn every(&self, kind: &str) -> String {
        format!("{}+", self.topics.stem(kind))
    }

    /// As much as the window has room for.
    fn hand_over(&self, link: &mut Link, limits: Limits, complaints: &mut BTreeSet<String>) {
        loop {
            let next = {
                let mut outbox = self.line.outbox();
                if outbox.flying() >= limits.window { Next::Nothing } else { outbox.next() }
            };
            match next {
                Next::Nothing => break,
                Next::TooLarge(message, refused) => {
                    complain(complaints, &message.topic, &refused.to_string());
                    self.listener.too_large(message);
                }
                // What the link does not take stays with those that wait for an acknowledgement: it comes again.
                Next::Publish(token, message) => {
                    if !link.publish(token, message) {
                        break;
                    }
                }
            }
        }
        self.line.look_for_losses();
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

/// What the broker has of the node beyond its components.
struct Sweep {
    begun: bool,
    /// When it has taken long enough.
    time: BoxFuture<'static, ()>,
    /// How many of the node's own subscriptions were answered.
    answered: usize,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { begun: false, time: Box::pin(std::future::pending()), answered: 0 }
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
