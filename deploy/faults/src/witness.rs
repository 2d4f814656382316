//! The subscriber: a client of its own, on a path of its own that is never broken, with a session that the broker keeps.
//!
//! It is MQTT 3.1.1 with QoS 1, and a message is acknowledged after it was taken note of, so that nothing is lost between the
//! broker and here. Where the broker itself goes, it comes back and subscribes again; [`Witness::connected`] says when, so
//! that nobody publishes meanwhile.
//!
//! It must not judge, and it must not be in the way: what it reads it only counts.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::Trouble;
use crate::frames::said;
use crate::packet::{CONNACK, PUBACK, PUBLISH, Packet, SUBACK};
use crate::tally::Tally;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// Messages of ours that may wait to be sent.
const WAITING: usize = 64;

/// Where our own marks go.
const MARKS: &str = "faults/mark";

/// What the outside may wait for.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Whether it is connected and subscribed.
    pub connected: bool,
    /// Messages that came.
    pub messages: u64,
    /// The latest of our own marks that came back.
    pub mark: u64,
    /// Messages of ours that the broker took.
    pub taken: u64,
}

/// See the module.
pub struct Witness {
    shared: Arc<Shared>,
    orders: mpsc::Sender<(String, Vec<u8>, bool)>,
    sent: u64,
    task: JoinHandle<()>,
}

struct Shared {
    stem: String,
    tally: Mutex<Tally>,
    state: watch::Sender<State>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Witness {
    /// Subscribes to the readings and losses of the node whose topics begin so.
    pub fn start(broker: SocketAddr, stem: &str) -> Self {
        let shared =
            Arc::new(Shared { stem: stem.into(), tally: Mutex::default(), state: watch::Sender::default() });
        let (orders, incoming) = mpsc::channel(WAITING);
        let task = tokio::spawn(shared.clone().run(broker, incoming));
        Self { shared, orders, sent: 0, task }
    }

    /// What came so far.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// What can be waited for.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Waits until it is connected and subscribed.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn connected(&self, patience: Duration) -> Result<(), Trouble> {
        self.wait("the subscriber's connection", patience, |_, state| state.connected).await
    }

    /// Waits for something in what came.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn wait(
        &self,
        what: &str,
        patience: Duration,
        mut found: impl FnMut(&Tally, &State) -> bool,
    ) -> Result<(), Trouble> {
        let mut state = self.state();
        let wanted = state.wait_for(|state| found(&self.shared.tally(), state));
        let outcome = tokio::time::timeout(patience, wanted).await;
        outcome.map(drop).map_err(|_| Trouble::Late { what: what.into(), seconds: patience.as_secs() })
    }

    /// Publishes something, and waits until the broker has it.
    ///
    /// # Errors
    /// When the broker does not take it in time.
    pub async fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
        patience: Duration,
    ) -> Result<(), Trouble> {
        self.sent += 1;
        let sent = self.sent;
        // Only an ended task closes the channel, and waiting finds that out.
        let _ = self.orders.send((topic.into(), payload.into(), retain)).await;
        self.wait("the broker's answer to a message", patience, |_, state| state.taken >= sent).await
    }

    /// Waits until everything has come that the broker has for it now: a mark of its own comes behind it.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn catch_up(&mut self, patience: Duration) -> Result<(), Trouble> {
        let mark = self.sent + 1;
        self.publish(&format!("{MARKS}/{mark}"), b"", false, patience).await?;
        self.wait("the subscriber's own mark", patience, |_, state| state.mark >= mark).await
    }
}

impl Shared {
    async fn run(self: Arc<Self>, broker: SocketAddr, mut orders: mpsc::Receiver<(String, Vec<u8>, bool)>) {
        let mut unsent = None;
        loop {
            // However it ends: it connects again.
            let _ = self.session(broker, &mut orders, &mut unsent).await;
            self.state.send_modify(|state| state.connected = false);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn session(
        &self,
        broker: SocketAddr,
        orders: &mut mpsc::Receiver<(String, Vec<u8>, bool)>,
        unsent: &mut Option<(String, Vec<u8>, bool)>,
    ) -> std::io::Result<()> {
        let stream = TcpStream::connect(broker).await?;
        stream.set_nodelay(true)?;
        let (from, mut to) = stream.into_split();
        let mut from = tokio::io::BufReader::new(from);
        to.write_all(&Packet::connect("faults-witness", false).bytes()).await?;
        let (packets, mut incoming) = mpsc::channel(1024);
        let reading = async move {
            while let Ok(Some(packet)) = Packet::read(&mut from).await {
                if packets.send(packet).await.is_err() {
                    return;
                }
            }
        };
        let speaking = async {
            let mut id = 1_u16;
            loop {
                let free = unsent.is_none() && self.state.borrow().connected;
                tokio::select! {
                    packet = incoming.recv() => {
                        let Some(packet) = packet else { return Ok(()) };
                        match packet.kind() {
                            // Subscribing again does no harm, and a wiped broker does not know.
                            CONNACK => to.write_all(&self.subscription().bytes()).await?,
                            SUBACK => {
                                self.state.send_modify(|state| state.connected = true);
                                if let Some((topic, payload, retain)) = &*unsent {
                                    to.write_all(&Packet::message(id, topic, payload, *retain).bytes()).await?;
                                }
                            }
                            PUBACK => {
                                *unsent = None;
                                id = id.wrapping_add(1).max(1);
                                self.state.send_modify(|state| state.taken += 1);
                            }
                            PUBLISH => {
                                if let Some(answer) = self.message(&packet) {
                                    to.write_all(&answer.bytes()).await?;
                                }
                            }
                            _ => {}
                        }
                    }
                    Some(order) = orders.recv(), if free => {
                        let (topic, payload, retain) = &order;
                        let message = Packet::message(id, topic, payload, *retain);
                        *unsent = Some(order.clone());
                        to.write_all(&message.bytes()).await?;
                    }
                }
            }
        };
        tokio::select! {
            // The end of the stream shows in the other one, once all that came was taken note of.
            ended = async { tokio::join!(reading, speaking).1 } => ended,
        }
    }

    fn subscription(&self) -> Packet {
        let stem = &self.stem;
        let places = ["reading/+", "backlog/+", "event/readings_lost"];
        let filters: Vec<String> = places.iter().map(|place| format!("{stem}/{place}")).collect();
        let marks = format!("{MARKS}/+");
        let mut filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        filters.push(&marks);
        Packet::subscribe(1, &filters)
    }

    /// Takes note of a message; gives the answer to it.
    fn message(&self, packet: &Packet) -> Option<Packet> {
        let publish = packet.publish(false)?;
        match publish.topic.strip_prefix(MARKS) {
            Some(mark) => {
                let mark = mark.trim_start_matches('/').parse().unwrap_or(0);
                self.state.send_modify(|state| state.mark = state.mark.max(mark));
            }
            None => {
                let said = said(&self.stem, publish.topic, publish.payload);
                self.tally().message(said);
                self.state.send_modify(|state| state.messages += 1);
            }
        }
        publish.id.map(Packet::puback)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
