//! The proxy does what it is told, and nothing else: between a client and a broker that are a few bytes each.

use tokio::io::AsyncReadExt;

use super::*;
use crate::packet::SUBSCRIBE;

/// Waiting is for what must come.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it should have come by now")
}

struct Ends {
    proxy: Proxy,
    tap: Arc<Tap>,
    broker: TcpListener,
}

async fn ends() -> Ends {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tap = Arc::new(Tap::new("sedge/v1/n"));
    let listen = ([127, 0, 0, 1], 0).into();
    let proxy = Proxy::start(listen, broker.local_addr().unwrap(), tap.clone()).await.unwrap();
    Ends { proxy, tap, broker }
}

impl Ends {
    /// The node's end and the broker's.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let node = TcpStream::connect(self.proxy.address).await.unwrap();
        (node, within(self.broker.accept()).await.unwrap().0)
    }
}

fn message(id: u16) -> Packet {
    Packet::message(id, "t", b"payload", false)
}

async fn send(to: &mut TcpStream, packet: &Packet) {
    to.write_all(&packet.bytes()).await.unwrap();
}

async fn next(from: &mut TcpStream) -> Packet {
    within(Packet::read(from)).await.unwrap().unwrap()
}

#[tokio::test]
async fn untold_it_passes_everything_in_both_directions() {
    let ends = ends().await;
    let (mut node, mut broker) = ends.connect().await;
    for packet in [Packet::connect("n", true), Packet::subscribe(1, &["a/+"]), message(2)] {
        send(&mut node, &packet).await;
        assert_eq!(next(&mut broker).await, packet);
    }
    for packet in [Packet { head: CONNACK << 4, body: vec![1, 0] }, Packet::puback(2)] {
        send(&mut broker, &packet).await;
        assert_eq!(next(&mut node).await, packet);
    }
    assert_eq!(ends.tap.filters(), ["a/+"]);
    drop(broker);
    assert_eq!(within(node.read_u8()).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn as_many_answers_are_swallowed_as_ordered_and_the_tap_sees_them() {
    let ends = ends().await;
    let (mut node, mut broker) = ends.connect().await;
    ends.proxy.order(|orders| orders.swallow = 2);
    for id in 1..=3 {
        send(&mut broker, &Packet::puback(id)).await;
    }
    assert_eq!(next(&mut node).await, Packet::puback(3));
    assert_eq!(ends.proxy.orders().swallow, 0);
}

#[tokio::test]
async fn a_message_is_doubled_a_session_is_forgotten_and_garbage_comes() {
    let ends = ends().await;
    let (mut node, mut broker) = ends.connect().await;
    ends.proxy.order(|orders| *orders = Orders { double: 1, forget_session: true, ..Orders::default() });
    for id in 1..=2 {
        send(&mut node, &message(id)).await;
    }
    for id in [1, 1, 2] {
        assert_eq!(next(&mut broker).await, message(id));
    }
    send(&mut broker, &Packet { head: CONNACK << 4, body: vec![1, 0] }).await;
    assert_eq!(next(&mut node).await.body, [0, 0]);
    ends.proxy.order(|orders| orders.garbage = Some(b"garbage".to_vec()));
    send(&mut broker, &Packet::puback(1)).await;
    let mut bytes = [0; 11];
    within(node.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"garbage\x40\x02\0\x01");
}

#[tokio::test]
async fn a_connection_is_cut_after_exactly_so_many_bytes() {
    let length = message(1).bytes().len();
    for most in [0, 1, length - 1, length, length + 3] {
        let ends = ends().await;
        let (mut node, mut broker) = ends.connect().await;
        ends.proxy.order(|orders| orders.cut_after = Some(most));
        send(&mut node, &message(1)).await;
        send(&mut node, &message(2)).await;
        let mut bytes = Vec::new();
        // It may end with a reset.
        let _ = within(broker.read_to_end(&mut bytes)).await;
        assert_eq!(bytes.len(), most);
    }
}

#[tokio::test]
async fn sliced_bytes_are_the_same_bytes() {
    let ends = ends().await;
    let (mut node, mut broker) = ends.connect().await;
    ends.proxy.order(|orders| orders.slices = true);
    let subscribe = Packet::subscribe(9, &["a/b/c", "d"]);
    send(&mut node, &subscribe).await;
    let got = next(&mut broker).await;
    assert_eq!((got.kind(), got), (SUBSCRIBE, subscribe));
}

#[tokio::test]
async fn a_stalled_wire_delivers_later_and_a_reset_one_never() {
    let ends = ends().await;
    let (mut node, mut broker) = ends.connect().await;
    ends.proxy.order(|orders| orders.stall = true);
    send(&mut node, &message(1)).await;
    tokio::select! {
        biased;
        got = Packet::read(&mut broker) => panic!("{got:?}"),
        () = std::future::ready(()) => {}
    }
    ends.proxy.order(|orders| orders.stall = false);
    assert_eq!(next(&mut broker).await, message(1));
    ends.proxy.reset();
    assert_eq!(within(node.read_u8()).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_refusing_gate_resets_and_one_into_the_void_says_nothing() {
    let ends = ends().await;
    ends.proxy.order(|orders| orders.gate = Gate::Refuse);
    let mut node = TcpStream::connect(ends.proxy.address).await.unwrap();
    assert_eq!(within(node.read_u8()).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    ends.proxy.order(|orders| orders.gate = Gate::Void);
    let mut node = TcpStream::connect(ends.proxy.address).await.unwrap();
    within(ends.proxy.met().wait_for(|met| *met == 2)).await.unwrap();
    ends.proxy.order(|orders| orders.gate = Gate::Open);
    let (mut other, mut broker) = ends.connect().await;
    send(&mut other, &message(1)).await;
    assert_eq!(next(&mut broker).await, message(1), "others are led to the broker meanwhile");
    ends.proxy.reset();
    assert!(within(node.read_u8()).await.is_err());
}
