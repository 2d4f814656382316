//! A wire between a client and a broker that can be cut, pointed elsewhere, or made deaf.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::clients::within;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Whoever connects is sent away.
    Nobody,
    /// Whoever connects is heard by nobody.
    Void,
    Broker(SocketAddr),
}

/// See the module.
pub struct Proxy {
    pub address: SocketAddr,
    target: Arc<Mutex<Target>>,
    poison: Arc<Mutex<Option<Vec<u8>>>>,
    met: watch::Receiver<u32>,
    cuts: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Leads nowhere yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(Target::Nobody));
        let (cuts, cut) = watch::channel(0);
        let poison = Arc::<Mutex<Option<Vec<u8>>>>::default();
        let (meets, met) = watch::channel(0);
        let task = tokio::spawn(serve(listener, target.clone(), poison.clone(), meets, cut));
        Self { address, target, poison, met, cuts, task }
    }

    pub async fn to(address: SocketAddr) -> Self {
        let proxy = Self::start().await;
        proxy.lead_to(address);
        proxy
    }

    /// New connections lead there.
    pub fn lead_to(&self, address: SocketAddr) {
        *self.target.lock().unwrap() = Target::Broker(address);
    }

    /// From the next connection on, each one ends when a client sends this.
    pub fn cut_at(&self, poison: &str) {
        *self.poison.lock().unwrap() = Some(poison.into());
    }

    /// New connections lead nowhere.
    pub fn lead_nowhere(&self) {
        *self.target.lock().unwrap() = Target::Nobody;
    }

    /// New connections are taken and never answered.
    pub fn lead_to_the_void(&self) {
        *self.target.lock().unwrap() = Target::Void;
    }

    /// Until somebody has connected.
    pub async fn until_met(&self) {
        within(self.met.clone().wait_for(|met| *met > 0)).await.unwrap();
    }

    /// Ends the connections that there are, without a word.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Hands on what the client sends, until it is poison.
async fn until_poison(
    client: &mut TcpStream,
    broker: &mut TcpStream,
    poison: Vec<u8>,
) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_broker, mut to_broker) = broker.split();
    let mut seen: Vec<u8> = Vec::new();
    let mut bytes = [0; 4096];
    let up = async {
        loop {
            let count = from_client.read(&mut bytes).await?;
            seen.extend_from_slice(&bytes[..count]);
            if count == 0 || seen.windows(poison.len()).any(|window| window == poison) {
                return Ok(());
            }
            to_broker.write_all(&bytes[..count]).await?;
            let old = seen.len().saturating_sub(poison.len());
            seen.drain(..old);
        }
    };
    tokio::select! {
        outcome = up => outcome,
        outcome = tokio::io::copy(&mut from_broker, &mut to_client) => outcome.map(drop),
    }
}

async fn serve(
    listener: TcpListener,
    target: Arc<Mutex<Target>>,
    poison: Arc<Mutex<Option<Vec<u8>>>>,
    meets: watch::Sender<u32>,
    cut: watch::Receiver<u32>,
) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { return };
        meets.send_modify(|met| *met += 1);
        let target = *target.lock().unwrap();
        let poison = poison.lock().unwrap().clone();
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            let talk = async {
                match target {
                    Target::Nobody => {}
                    Target::Void => std::future::pending().await,
                    Target::Broker(address) => {
                        let Ok(mut broker) = TcpStream::connect(address).await else { return };
                        // However it ends, the test sees it.
                        let _ = match poison {
                            Some(poison) => until_poison(&mut client, &mut broker, poison).await,
                            None => copy_bidirectional(&mut client, &mut broker).await.map(drop),
                        };
                    }
                }
            };
            tokio::select! {
                () = talk => {}
                _ = cut.changed() => {}
            }
        });
    }
}
