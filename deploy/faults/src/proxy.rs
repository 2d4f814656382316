//! The fault proxy: a wire between the node and the broker that does what wires and brokers do at their worst.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use std::sync::Arc;
//! use sedge_faults::{proxy::{Gate, Proxy}, tap::Tap};
//! let broker = ([127, 0, 0, 1], 1883).into();
//! let proxy = Proxy::start(([127, 0, 0, 1], 0).into(), broker, Arc::new(Tap::new("sedge/v1/n"))).await?;
//! proxy.order(|orders| orders.swallow = 3);   // the next three PUBACKs do not arrive
//! proxy.order(|orders| orders.gate = Gate::Refuse);
//! proxy.reset();                              // and the connection that there is ends with a reset
//! # Ok(()) }
//! ```
//!
//! Packets are passed whole unless told otherwise, and looked into by the [`Tap`]. It must not lose anything that it was not
//! told to lose.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::packet::{CONNACK, PUBACK, PUBLISH, Packet};
use crate::tap::{Direction, Line, Tap};

/// What becomes of those who connect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gate {
    /// They are led to the broker.
    #[default]
    Open,
    /// They are sent away with a reset.
    Refuse,
    /// They are taken, and heard by nobody.
    Void,
}

/// What the proxy is to do. All of it off unless ordered.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    /// What becomes of new connections.
    pub gate: Gate,
    /// Nothing is passed on, in either direction, and nothing is closed.
    pub stall: bool,
    /// Every byte goes in a packet of its own.
    pub slices: bool,
    /// How many PUBACKs are not to arrive.
    pub swallow: u32,
    /// How many PUBLISHes are to be sent twice.
    pub double: u32,
    /// The broker's CONNACK says that it knows no session.
    pub forget_session: bool,
    /// After so many more bytes to the broker the connection is cut.
    pub cut_after: Option<usize>,
    /// The node is sent these bytes once, before the next packet.
    pub garbage: Option<Vec<u8>>,
    /// After each packet to the broker, so much time.
    pub pace: Option<Duration>,
}

/// See the module.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    orders: watch::Sender<Orders>,
    resets: watch::Sender<u32>,
    met: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset();
    }
}

impl Proxy {
    /// Listens, and leads to the broker.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start(listen: SocketAddr, broker: SocketAddr, tap: Arc<Tap>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (orders, resets) = (watch::Sender::<Orders>::default(), watch::Sender::new(0));
        let wire = Wire { broker, tap, orders: orders.clone(), resets: resets.clone() };
        let (meets, met) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                let gate = wire.orders.borrow().gate;
                tokio::spawn(wire.clone().serve(node, gate));
                meets.send_modify(|met| *met += 1);
            }
        });
        Ok(Self { address, orders, resets, met, task })
    }

    /// Changes what is to be done, from now on.
    pub fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    /// What is still to be done.
    pub fn orders(&self) -> Orders {
        self.orders.borrow().clone()
    }

    /// How many have connected, wherever they were led.
    pub fn met(&self) -> watch::Receiver<u64> {
        self.met.clone()
    }

    /// Ends the connections that there are with a reset.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }
}

#[derive(Clone)]
struct Wire {
    broker: SocketAddr,
    tap: Arc<Tap>,
    orders: watch::Sender<Orders>,
    resets: watch::Sender<u32>,
}

impl Wire {
    async fn serve(self, mut node: TcpStream, gate: Gate) {
        let mut resets = self.resets.subscribe();
        let ended = tokio::select! {
            // However it ends, both sides see it.
            ended = self.talk(&mut node, gate) => ended,
            _ = resets.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        };
        if ended.is_err() {
            let _ = node.set_zero_linger();
        }
    }

    async fn talk(&self, node: &mut TcpStream, gate: Gate) -> io::Result<()> {
        match gate {
            Gate::Open => {}
            Gate::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
            Gate::Void => return std::future::pending().await,
        }
        let mut broker = TcpStream::connect(self.broker).await?;
        node.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let line = Mutex::new(Line::default());
        let see = |direction, packet: &Packet| {
            self.tap.see(&mut line.lock().unwrap_or_else(PoisonError::into_inner), direction, packet);
        };
        let (from_node, to_node) = node.split();
        let (from_broker, to_broker) = broker.split();
        tokio::select! {
            ended = self.pump(from_node, to_broker, |packet| see(Direction::Up, packet), Direction::Up) => ended,
            ended = self.pump(from_broker, to_node, |packet| see(Direction::Down, packet), Direction::Down) => ended,
        }
    }

    /// Passes packets on until one side ends.
    async fn pump(
        &self,
        from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        see: impl Fn(&Packet),
        direction: Direction,
    ) -> io::Result<()> {
        let mut orders = self.orders.subscribe();
        let mut from = BufReader::new(from);
        while let Some(packet) = Packet::read(&mut from).await? {
            // What the broker has acknowledged is so, whether it arrives or not; and before it could answer.
            see(&packet);
            if orders.wait_for(|orders| !orders.stall).await.is_err() {
                return Ok(());
            }
            for bytes in self.changed(direction, packet.clone()) {
                self.write(&mut to, direction, &bytes).await?;
            }
        }
        Ok(())
    }

    /// What is sent in the place of a packet.
    fn changed(&self, direction: Direction, mut packet: Packet) -> Vec<Vec<u8>> {
        let (mut copies, mut garbage) = (1, None);
        self.orders.send_if_modified(|orders| {
            if direction == Direction::Down {
                garbage = orders.garbage.take();
            }
            match (direction, packet.kind()) {
                (Direction::Down, PUBACK) if orders.swallow > 0 => {
                    orders.swallow -= 1;
                    copies = 0;
                }
                (Direction::Up, PUBLISH) if orders.double > 0 => {
                    orders.double -= 1;
                    copies = 2;
                }
                (Direction::Down, CONNACK) if orders.forget_session => {
                    if let Some(flags) = packet.body.first_mut() {
                        *flags = 0;
                    }
                }
                _ => {}
            }
            false
        });
        garbage.into_iter().chain(std::iter::repeat_n(packet.bytes(), copies)).collect()
    }

    async fn write(&self, to: &mut WriteHalf<'_>, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let orders = self.orders.borrow().clone();
        if direction == Direction::Up
            && let Some(left) = orders.cut_after
        {
            self.orders.send_if_modified(|orders| {
                orders.cut_after = left.checked_sub(bytes.len());
                false
            });
            if left < bytes.len() {
                to.write_all(&bytes[..left]).await?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        if orders.slices {
            for byte in bytes {
                to.write_all(std::slice::from_ref(byte)).await?;
                tokio::task::yield_now().await;
            }
        } else {
            to.write_all(bytes).await?;
        }
        if let Some(pace) = orders.pace.filter(|_| direction == Direction::Up) {
            tokio::time::sleep(pace).await;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "proxy/tests.rs"]
mod tests;
