//! A wire between a client and a broker that can be cut, pointed elsewhere, or made deaf.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
        let task = tokio::spawn(serve(listener, target.clone(), cut));
        Self { address, target, cuts, task }
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

    /// New connections lead nowhere.
    pub fn lead_nowhere(&self) {
        *self.target.lock().unwrap() = Target::Nobody;
    }

    /// New connections are taken and never answered.
    pub fn lead_to_the_void(&self) {
        *self.target.lock().unwrap() = Target::Void;
    }

    /// Ends the connections that there are, without a word.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn serve(listener: TcpListener, target: Arc<Mutex<Target>>, cut: watch::Receiver<u32>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { return };
        let target = *target.lock().unwrap();
        let mut cut = cut.clone();
        cut.mark_unchanged();
        tokio::spawn(async move {
            let talk = async {
                match target {
                    Target::Nobody => {}
                    Target::Void => std::future::pending().await,
                    Target::Broker(address) => {
                        let Ok(mut broker) = TcpStream::connect(address).await else { return };
                        let _ = copy_bidirectional(&mut client, &mut broker).await;
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
