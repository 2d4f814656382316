//! Stays connected: opens one [`Link`] after the other and empties the [`Outbox`] through it.
//!
//! ```text
//! Line (handle, cheap to clone) ── puts into ──> Outbox <── takes from ── Driver ── owns ──> Link ──> broker
//!                                                            └── tells the Listener: up, down, a message
//! ```
//!
//! What is not acknowledged stays in the outbox, whatever happens to the connection.
//!
//! A listener is called from the driver's task and must return at once; nothing here waits for a plugin, and a plugin
//! that puts something into the outbox never waits for the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sedge_plugin::journal::{Batch, Cause, Entry};
use sedge_plugin::{BoxFuture, Clock, Cursor};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::asking::Asking;
use crate::backoff::Backoff;
use crate::choice::Choice;
use crate::course::{CUT_SUBSCRIBING, Course, Fetch, Heard, Kind, Sweep, kind};
use crate::line::Line;
use crate::link::{Ack, Fault, Incoming, Limits, Link, LinkEvent, LinkOptions, Message};
use crate::outbox::{Next, Rank, Wish};
use crate::packet::Version;
use crate::wire::Topics;

/// Readings that are no older when the first connection is made are news.
const NEWS: Duration = Duration::from_secs(5);

/// The least time between two attempts to send again what the broker had refused.
const REOPEN: Duration = Duration::from_secs(60);

/// How often more of the backlog may go.
const PACE: Duration = Duration::from_millis(100);
const PACES_PER_SECOND: usize = 10;

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
    /// Connected, and no calls can come: the broker cuts a connection on which the node subscribes to them.
    fn deaf(&self);
    /// A message came.
    fn message(&self, message: Incoming);
    /// The broker refuses readings, and why; none when it takes them again.
    fn refusing(&self, reason: Option<&str>);
    /// A message is larger than this broker takes, and was not sent.
    fn too_large(&self, message: Message);
}

/// Where readings come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) cursor: Cursor,
    /// Readings of the backlog that may go in a second; 0 for no limit.
    pub(crate) backlog_rate: u32,
    /// Where the journal stood when the bridge began, and when that was.
    pub(crate) began: (u64, Duration),
}

/// Keeps the connection, until the [`Line`] is closed.
pub(crate) struct Driver<L> {
    /// How to connect; to which broker, the choice says.
    pub(crate) options: LinkOptions,
    pub(crate) choice: Choice,
    pub(crate) topics: Topics,
    /// What the node listens to: to its calls first.
    pub(crate) subscriptions: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) line: Line,
    pub(crate) source: Source,
    pub(crate) listener: L,
    pub(crate) backoff: Backoff,
    pub(crate) sleep: Sleep,
    /// Whether there was a connection yet.
    pub(crate) was_connected: bool,
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
            self.options.broker = self.choice.current().clone();
            let mut link = Link::open(&self.options);
            let end = self.serve(&mut link, &mut course).await;
            drop(link);
            let (aside, entries) = self.line.outbox().returned(course.unsteady > 0);
            for topic in aside {
                warn!(topic, "The connection broke with this message again and again; it is put aside.");
            }
            self.give_up(&entries, Cause::PutAside);
            let fault = match end {
                End::Parted => return,
                End::Fault(Fault::Lost(_))
                    if course.unsteady >= SUSPICIOUS && course.cut_subscribing == 0 =>
                {
                    Fault::Unsteady { id: self.options.client_id.clone(), times: course.unsteady }
                }
                End::Fault(fault) => fault,
            };
            // Steady until now: the best broker comes first again. Else the next one has its turn.
            let another = match course.connected && course.unsteady == 0 {
                true => self.choice.begin_again(),
                false => self.choice.next(),
            };
            self.tell(&fault, &mut course);
            if self.line.closing() {
                return;
            }
            let wait = match fault {
                _ if another => self.backoff.brief(),
                // Over MQTT 5 most brokers say that another client has come; Mosquitto 2.0 does not.
                Fault::Unsteady { .. } if course.tells_why => self.backoff.wary(),
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
        let mut heard = Heard::default();
        let mut sweep = Sweep::default();
        let mut leaving = false;
        let mut fetch = Fetch::default();
        loop {
            let Some(granted) = limits else {
                if self.line.closing() {
                    return End::Parted;
                }
                match self.rise(link, &mut steady, course).await {
                    Ok(granted) => {
                        limits = granted;
                        sweep.answered = usize::from(course.deaf);
                    }
                    Err(fault) => return End::Fault(fault),
                }
                continue;
            };
            if !leaving {
                // Alone, so that it is known what the connection is cut for.
                if course.cut_subscribing == 0 || sweep.answered > 0 || self.line.closing() {
                    self.hand_over(link, granted, &mut heard.complaints);
                    self.fetch(&mut fetch);
                }
                if self.line.closing() && self.is_done(&fetch) {
                    leaving = link.publish(FAREWELL, self.farewell());
                } else {
                    self.begin_sweep(link, &mut sweep, &heard.asking, course);
                }
            }
            let event = tokio::select! {
                event = link.next() => event,
                () = self.line.0.changed.notified() => continue,
                batch = &mut fetch.batch => {
                    fetch.batch = Box::pin(std::future::pending());
                    if let Some(wish) = fetch.wish.take() {
                        let own = self.own(batch);
                        self.line.outbox().feed(&wish, own);
                    }
                    continue;
                }
                () = &mut fetch.grown => {
                    fetch.grown = Box::pin(std::future::pending());
                    fetch.waits = false;
                    continue;
                }
                () = &mut fetch.pace => {
                    fetch.pace = Box::pin(std::future::pending());
                    fetch.paced = false;
                    self.line.outbox().allow(self.allowance());
                    continue;
                }
                () = &mut steady => {
                    steady = Box::pin(std::future::pending());
                    self.backoff.reset();
                    course.unsteady = 0;
                    course.cut_subscribing = 0;
                    self.connected(course, granted);
                    if let Some(reason) = heard.refusing.values().next() {
                        self.listener.refusing(Some(reason));
                    }
                    continue;
                }
                () = &mut sweep.time => {
                    sweep.time = Box::pin(std::future::pending());
                    GHOSTS.iter().for_each(|(_, kind)| link.unsubscribe(&self.every(kind)));
                    continue;
                }
                () = &mut heard.asking.time => {
                    if sweep.unanswered > 0 {
                        heard.asking.time = (self.sleep)(SWEEP);
                    } else {
                        ask(link, &heard.asking.again());
                    }
                    continue;
                }
            };
            // All that came at once is seen to before more is handed over.
            let (mut next, mut end) = (Some(event), None);
            while let Some(event) = next {
                end = self.hear(event, link, &mut heard, &mut sweep, course);
                next = end.is_none().then(|| link.ready()).flatten();
            }
            self.settle(&mut heard);
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn hear(
        &self,
        event: LinkEvent,
        link: &mut Link,
        heard: &mut Heard,
        sweep: &mut Sweep,
        course: &mut Course,
    ) -> Option<End> {
        match event {
            LinkEvent::Answered(FAREWELL, _) => drop(link.part()),
            LinkEvent::Answered(token, ack) => self.answered(token, ack, heard, course),
            LinkEvent::Subscribed(granted) => {
                course.cut_subscribing = 0;
                if std::mem::take(&mut course.alone) {
                    ask(link, &self.subscriptions[1..]);
                }
                self.subscribed(granted, sweep, heard);
            }
            LinkEvent::Message(message) => {
                if let Some(message) = self.swept(message) {
                    self.listener.message(message);
                }
            }
            LinkEvent::Up(_) => {}
            LinkEvent::Parted => return Some(End::Parted),
            LinkEvent::Down(fault) => {
                course.ended(&fault, sweep.answered > 0);
                return Some(End::Fault(fault));
            }
        }
        None
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
                course.deaf = course.cut_subscribing >= CUT_SUBSCRIBING;
                course.alone = course.cut_subscribing > 0 && !course.deaf;
                let (calls, others) = self.subscriptions.split_at(1);
                if !course.deaf {
                    ask(link, calls);
                }
                if !course.alone {
                    ask(link, others);
                }
                self.begin(granted.max_packet_bytes);
                course.unsteady += 1;
                course.tells_why = granted.version == Version::V5;
                *steady = (self.sleep)(STEADY);
                // Where it was cut off again and again, one more connection is no news.
                if course.told != Some(Kind::Unsteady) {
                    self.connected(course, granted);
                }
                Ok(Some(granted))
            }
            LinkEvent::Down(fault) => Err(fault),
            _ => Ok(None),
        }
    }

    fn answered(&self, token: u64, ack: Ack, heard: &mut Heard, course: &Course) {
        let error = match ack {
            Ack::Refused(error) => Some(error),
            Ack::Taken | Ack::NobodyListens => None,
        };
        let Some(answered) = self.line.outbox().answered(token) else { return };
        match error {
            None => {
                heard.arrived.extend(answered.entries.iter().map(|entry| entry.position));
                self.source.cursor.told(&answered.told);
            }
            // Another rule of the broker's may let them through later: they stay in the journal.
            Some(error) if !is_final(error) => {}
            Some(_) => self.give_up(&answered.entries, Cause::Rejected),
        }
        match (answered.sensor, error) {
            (None, None) => {}
            (None, Some(error)) => complain(&mut heard.complaints, &answered.topic, error),
            (Some(_), Some(error)) => {
                if heard.refusing.is_empty() && course.connected {
                    self.listener.refusing(Some(error));
                }
                heard.refusing.insert(answered.topic, error);
            }
            (Some(_), None) => {
                let was_refused = heard.refusing.remove(&answered.topic).is_some();
                if was_refused && heard.refusing.is_empty() && course.connected {
                    self.listener.refusing(None);
                    // A broker that takes some and refuses some is not to get the rest again and again.
                    let now = self.clock.up();
                    if heard.reopened.is_some_and(|last| now.saturating_sub(last) < REOPEN) {
                        return;
                    }
                    heard.reopened = Some(now);
                    self.settle(heard);
                    let mut outbox = self.line.outbox();
                    let open = self.source.cursor.pending(0..outbox.live_next());
                    outbox.reopen(open);
                }
            }
        }
    }

    /// These have arrived; what stands side by side in the journal is told as one.
    fn settle(&self, heard: &mut Heard) {
        heard.arrived.sort_unstable();
        for run in heard.arrived.chunk_by(|before, after| before + 1 == *after) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                self.source.cursor.done(*first..last + 1);
            }
        }
        heard.arrived.clear();
    }

    /// One of our subscriptions was answered. They are answered in the order in which they were asked for.
    fn subscribed(&self, granted: bool, sweep: &mut Sweep, heard: &mut Heard) {
        let first = self.subscriptions.get(sweep.answered);
        sweep.answered += usize::from(first.is_some());
        let again = if first.is_none() { heard.asking.answered() } else { None };
        match (first.cloned(), again) {
            (None, None) => {
                sweep.unanswered = sweep.unanswered.saturating_sub(1);
                if !granted {
                    debug!("The broker does not let the node read what it has retained.");
                }
            }
            (Some(_), _) if granted => {}
            (None, Some(topic)) if granted => info!(topic, "The subscription is granted now."),
            (Some(filter), _) | (None, Some(filter)) => {
                let error = "the subscription was not granted; it is asked for again";
                complain(&mut heard.complaints, &filter, error);
                if let Some(pause) = heard.asking.refused(filter) {
                    heard.asking.time = (self.sleep)(pause);
                }
            }
        }
    }

    /// Asks what the broker has of the node, once all is there that should be.
    fn begin_sweep(&self, link: &mut Link, sweep: &mut Sweep, asking: &Asking, course: &Course) {
        // Not before the broker has answered to other subscriptions: one that cuts the connection at them would here too.
        let ready = !sweep.begun
            && !course.deaf
            && sweep.answered >= self.subscriptions.len()
            && !asking.is_open()
            && self.line.0.started.load(Ordering::Acquire)
            && !self.line.closing()
            && self.line.outbox().is_settled();
        if ready {
            sweep.begun = true;
            sweep.time = (self.sleep)(SWEEP);
            for (_, kind) in GHOSTS {
                sweep.unanswered += usize::from(link.subscribe_retained(&self.every(kind)));
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
                if outbox.flying() >= limits.window || !link.has_room() {
                    Next::Nothing
                } else {
                    outbox.next()
                }
            };
            match next {
                Next::Nothing => break,
                Next::TooLarge(message, refused, entries) => {
                    complain(complaints, &message.topic, &refused.to_string());
                    self.give_up(&entries, Cause::TooLarge);
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
    }

    /// What is in the journal when the connection is made is not news any more, unless the node has just started.
    fn begin(&mut self, limit: usize) {
        let cursor = &self.source.cursor;
        let (began, since) = self.source.began;
        let head = cursor.head();
        let young = !self.was_connected && self.clock.up().saturating_sub(since) < NEWS;
        self.was_connected = true;
        let live = if young { began } else { head };
        self.line.outbox().connected(limit, live, cursor.pending(0..live));
        self.line.outbox().allow(self.allowance());
    }

    /// Readings of the backlog in one [`PACE`].
    fn allowance(&self) -> Option<usize> {
        let rate = usize::try_from(self.source.backlog_rate).unwrap_or(usize::MAX);
        (rate > 0).then(|| (rate / PACES_PER_SECOND).max(1))
    }

    /// Sees to it that what there is room for is read from the journal.
    fn fetch(&self, fetch: &mut Fetch) {
        let cursor = &self.source.cursor;
        let outbox = self.line.outbox();
        if fetch.wish.is_none()
            && let Some(wish) = outbox.wish(cursor.head())
        {
            let (cursor, Wish { range, most, .. }) = (cursor.clone(), wish.clone());
            fetch.batch = Box::pin(async move { cursor.read(range, most).await });
            fetch.wish = Some(wish);
        }
        let next = outbox.live_next();
        if !fetch.waits && cursor.head() <= next {
            let cursor = cursor.clone();
            fetch.grown = Box::pin(async move { cursor.grown(next).await });
            fetch.waits = true;
        }
        if !fetch.paced && outbox.is_held_back() {
            fetch.pace = (self.sleep)(PACE);
            fetch.paced = true;
        }
    }

    /// What this node took: what another node measured is that node's to publish.
    fn own(&self, mut batch: Batch) -> Batch {
        batch.entries.retain(|entry| {
            let own = entry.reading.origin.is_none();
            if !own {
                self.source.cursor.done(entry.position..entry.position + 1);
            }
            own
        });
        batch
    }

    /// Whether all has gone that must be gone before the end.
    fn is_done(&self, fetch: &Fetch) -> bool {
        let kept = self.source.cursor.is_durable();
        let outbox = self.line.outbox();
        let read = outbox.live_next() >= self.source.cursor.head();
        read && outbox.is_empty(kept) && fetch.wish.as_ref().is_none_or(|wish| kept && !wish.news)
    }

    fn give_up(&self, entries: &[Entry], cause: Cause) {
        entries.iter().for_each(|entry| self.source.cursor.give_up(entry, cause));
    }

    fn farewell(&self) -> Message {
        let (topic, payload) = self.options.will.clone().unwrap_or_default();
        Message { topic, payload: payload.into(), retain: true, ..Message::default() }
    }

    fn connected(&self, course: &mut Course, limits: Limits) {
        if std::mem::replace(&mut course.connected, true) {
            return;
        }
        course.told = None;
        info!(broker = %self.options.broker, mqtt = %limits.version, "Connected to the broker.");
        self.listener.up();
        if course.deaf {
            warn!(
                topic = self.topics.calls(),
                "The broker cuts the connection when the node subscribes to its calls; going on without them."
            );
            self.listener.deaf();
        }
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
            warn!(broker = %self.options.broker, error = %fault, "Not connected to the broker; trying again.");
        }
        self.listener.down(fault);
    }
}

fn ask(link: &mut Link, filters: &[String]) {
    for filter in filters {
        link.subscribe(filter);
    }
}

/// Whether a message will be refused for ever: for what it is, not for what the broker allows now.
fn is_final(error: &str) -> bool {
    matches!(error, "topic name invalid" | "payload format invalid")
}

fn complain(complaints: &mut BTreeSet<String>, topic: &str, error: &str) {
    if complaints.len() < MAX_COMPLAINTS && complaints.insert(topic.into()) {
        warn!(topic, error, "The broker did not take a message; more of its kind are not told.");
    }
}
