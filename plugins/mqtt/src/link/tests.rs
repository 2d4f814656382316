//! A link at work with a broker that is a script: bytes in, bytes out, on paused time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::session::Session;
use super::*;
use crate::packet::{self, ConnAck, Frames, Publish};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An open link, and the broker's end of it.
fn open(version: Version) -> (Link, DuplexStream) {
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let frames = Frames::new(MAX_PACKET_BYTES);
    let session = Session::new(version, 0);
    let ack = ConnAck::default();
    let open = Open::new(Box::new(near), frames, session, version, &ack, KEEP_ALIVE, "sedge-pi".into());
    let encoding = (Encoding::Json, "sedge/v1".into());
    (Link { phase: Phase::Open(Box::new(open)), encoding, ready: VecDeque::new() }, far)
}

fn publish(topic: &str, size: usize, id: Option<u16>) -> Vec<u8> {
    let payload = vec![b'x'; size];
    let mut bytes = Vec::new();
    packet::publish(&mut bytes, Version::V3, &Publish { topic, id, payload: &payload, ..Publish::default() });
    bytes
}

/// What has come by now.
async fn heard(far: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = vec![0; 64 * 1024];
    let count = timeout(Duration::from_millis(1), far.read(&mut bytes)).await.unwrap_or(Ok(0)).unwrap();
    bytes.truncate(count);
    bytes
}

/// Lets the link do what there is to do, where nothing is to be told.
async fn rest(link: &mut Link) {
    assert!(timeout(Duration::from_millis(1), link.next()).await.is_err(), "nothing to tell");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_is_read_past_acknowledged_and_costs_nothing_else() {
    let (mut link, mut far) = open(Version::V3);
    far.write_all(&publish("a/monster", 400 * 1024, Some(9))).await.unwrap();
    far.write_all(&publish("a/call", 5, Some(10))).await.unwrap();
    let LinkEvent::Message(message) = link.next().await else { panic!("a message") };
    assert_eq!((message.topic.as_str(), message.payload.len()), ("a/call", 5));
    rest(&mut link).await;
    assert_eq!(heard(&mut far).await, [0x40, 2, 0, 9, 0x40, 2, 0, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_after_it_was_handed_over_and_not_before() {
    let (mut link, mut far) = open(Version::V3);
    far.write_all(&publish("a/call", 5, Some(10))).await.unwrap();
    assert!(matches!(link.next().await, LinkEvent::Message(_)));
    assert!(heard(&mut far).await.is_empty());
    rest(&mut link).await;
    assert_eq!(heard(&mut far).await, [0x40, 2, 0, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_says_nothing_is_given_up_within_twice_the_keep_alive() {
    for early in [Duration::ZERO, KEEP_ALIVE / 3, KEEP_ALIVE - Duration::from_millis(1)] {
        let (mut link, mut far) = open(Version::V5);
        assert!(timeout(early, link.next()).await.is_err());
        far.write_all(&[0xd0, 0]).await.unwrap();
        assert!(timeout(Duration::from_nanos(1), link.next()).await.is_err());
        // From here on nothing comes, whatever is asked; publishes go on.
        let begun = Instant::now();
        let mut token = 0;
        let fault = loop {
            token += 1;
            link.publish(token, Message { topic: "a".into(), ..Message::default() });
            match timeout(Duration::from_secs(1), link.next()).await {
                Ok(LinkEvent::Down(fault)) => break fault,
                Ok(_) | Err(_) => assert!(token < 100, "bounded"),
            }
        };
        assert!(fault.to_string().contains("no sign of life"), "{fault}");
        let found = begun.elapsed();
        assert!(found >= KEEP_ALIVE && found <= 2 * KEEP_ALIVE, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_is_asked_once_per_keep_alive_and_never_given_up() {
    let (mut link, mut far) = open(Version::V5);
    let broker = tokio::spawn(async move {
        let mut asked = 0;
        while far.read_u16().await.unwrap() == 0xc000 {
            far.write_all(&[0xd0, 0]).await.unwrap();
            asked += 1;
            if asked == 10 {
                break;
            }
        }
        (asked, far)
    });
    let begun = Instant::now();
    assert!(timeout(11 * KEEP_ALIVE, link.next()).await.is_err());
    assert_eq!(broker.await.unwrap().0, 10);
    assert!(begun.elapsed() >= 10 * KEEP_ALIVE);
}

#[tokio::test(start_paused = true)]
async fn the_broker_says_why_it_parts() {
    for (bytes, expected) in [
        (&[0xe0, 1, 0x8e][..], Fault::TakenOver("sedge-pi".into())),
        (&[0xe0, 2, 0x8e, 0], Fault::TakenOver("sedge-pi".into())),
        (&[0xe0, 1, 0x8b], Fault::Lost("the broker said: server shutting down".into())),
    ] {
        let (mut link, mut far) = open(Version::V5);
        far.write_all(bytes).await.unwrap();
        let LinkEvent::Down(fault) = link.next().await else { panic!("the end") };
        assert_eq!(fault, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_mqtt_ends_the_connection_and_says_so() {
    for bytes in [
        &[0x30, 0xff, 0xff, 0xff, 0xff][..],
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBad Request",
        &[0x50, 0],
    ] {
        let (mut link, mut far) = open(Version::V5);
        far.write_all(bytes).await.unwrap();
        let LinkEvent::Down(fault) = link.next().await else { panic!("the end") };
        assert!(fault.to_string().contains("not MQTT"), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_handed_over_together_is_written_together() {
    let (mut link, mut far) = open(Version::V5);
    let message = |qos| Message { topic: "a".into(), payload: b"12345".into(), qos, ..Message::default() };
    for token in 0..20 {
        assert!(link.publish(token, message(Qos::AtMostOnce)));
    }
    assert!(link.publish(20, message(Qos::AtLeastOnce)));
    for token in 0..20 {
        assert!(matches!(link.next().await, LinkEvent::Answered(it, Ack::Taken) if it == token), "written");
    }
    assert_eq!(heard(&mut far).await.len(), 20 * 11 + 13, "in one piece");
    far.write_all(&[0x40, 2, 0, 1]).await.unwrap();
    assert!(matches!(link.next().await, LinkEvent::Answered(20, Ack::Taken)));
}

#[tokio::test(start_paused = true)]
async fn waiting_may_be_given_up_at_any_byte() {
    let (mut link, mut far) = open(Version::V3);
    let bytes = [publish("a", 300, Some(1)), publish("b", 3, None)].concat();
    let mut topics = Vec::new();
    for byte in bytes {
        far.write_all(&[byte]).await.unwrap();
        if let Ok(LinkEvent::Message(message)) = timeout(Duration::from_millis(1), link.next()).await {
            topics.push((message.topic, message.payload.len()));
        }
    }
    assert_eq!(topics, [("a".to_owned(), 300), ("b".to_owned(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn parting_waits_until_the_broker_has_heard_it() {
    let (mut link, mut far) = open(Version::V5);
    assert!(link.publish(1, Message { topic: "a".into(), ..Message::default() }) && link.part());
    rest(&mut link).await;
    assert!(heard(&mut far).await.ends_with(&[0xe0, 0]));
    drop(far);
    assert!(matches!(link.next().await, LinkEvent::Parted));
    // And where the broker does not close: not for ever.
    let (mut link, _far) = open(Version::V5);
    link.part();
    assert!(matches!(link.next().await, LinkEvent::Parted));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_nothing_more_is_not_drowned() {
    let (mut link, _far) = open(Version::V5);
    let message = Message { topic: "a".into(), payload: vec![0; 200 * 1024], ..Message::default() };
    let taken = (0..100).take_while(|token| link.publish(*token, message.clone())).count();
    assert!((2..=4).contains(&taken) && !link.has_room(), "{taken}");
}

/// A broker that answers each CONNECT with the next of these, and tells the versions that it was asked for.
async fn scripted(answers: Vec<Vec<u8>>) -> (Broker, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut levels = Vec::new();
        let mut kept: Vec<TcpStream> = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            levels.push(head[8]);
            stream.write_all(&answer).await.unwrap();
            kept.push(stream);
        }
        levels
    });
    (Broker::at("127.0.0.1", port), task)
}

fn options(broker: Broker) -> LinkOptions {
    LinkOptions { broker, ..crate::Settings::default().link("sedge-pi".into()) }
}

#[tokio::test]
async fn a_broker_that_knows_only_3_1_1_is_spoken_to_in_that() {
    for refusal in [vec![0x20, 2, 0, 1], vec![0x20, 3, 0, 0x84, 0]] {
        let (broker, asked) = scripted(vec![refusal, vec![0x20, 2, 0, 0]]).await;
        let mut link = Link::open(&options(broker));
        let LinkEvent::Up(limits) = link.next().await else { panic!("up") };
        assert_eq!(limits.version, Version::V3);
        assert_eq!(asked.await.unwrap(), [5, 4]);
    }
}

#[tokio::test]
async fn a_broker_that_knows_neither_version_is_said_to() {
    let (broker, asked) = scripted(vec![vec![0x20, 2, 0, 1], vec![0x20, 2, 0, 1]]).await;
    let LinkEvent::Down(fault) = Link::open(&options(broker)).next().await else { panic!("down") };
    assert!(fault.to_string().contains("does not speak MQTT"), "{fault}");
    assert_eq!(asked.await.unwrap(), [5, 4], "and not again");
}

#[tokio::test]
async fn a_refused_login_is_told_from_other_refusals_in_both_versions() {
    for (version, answer, expected) in [
        (Version::V5, vec![0x20, 3, 0, 0x86, 0], Fault::Login("bad user name or password")),
        (Version::V3, vec![0x20, 2, 0, 5], Fault::Login("not authorized")),
        (Version::V3, vec![0x20, 2, 0, 3], Fault::Unreachable("the broker says: server unavailable".into())),
    ] {
        let (broker, _asked) = scripted(vec![answer]).await;
        let LinkEvent::Down(fault) = Link::open(&LinkOptions { version, ..options(broker) }).next().await
        else {
            panic!("down")
        };
        assert_eq!(fault, expected);
    }
}

#[tokio::test]
async fn what_answers_in_another_protocol_is_named_and_what_to_set() {
    let (broker, _asked) = scripted(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).await;
    let LinkEvent::Down(fault) = Link::open(&options(broker)).next().await else { panic!("down") };
    assert!(fault.to_string().contains("no MQTT 5 broker answers there"), "{fault}");
    assert!(fault.to_string().contains("protocol = \"3.1.1\""), "{fault}");
}

#[tokio::test]
async fn what_the_broker_allows_is_kept_to() {
    // Receive maximum 3, maximum packet size 1000, server keep-alive 7 s.
    let ack = vec![0x20, 14, 0, 0, 11, 0x21, 0, 3, 0x27, 0, 0, 3, 0xe8, 0x13, 0, 7];
    let (broker, asked) = scripted(vec![ack]).await;
    let mut link = Link::open(&options(broker));
    let LinkEvent::Up(limits) = link.next().await else { panic!("up") };
    assert_eq!((limits.window, limits.max_packet_bytes), (3, 1000));
    assert_eq!(asked.await.unwrap(), [5]);
}

#[tokio::test(start_paused = true)]
async fn cbor_is_read_and_written_under_its_base_also_when_much_comes_at_once() {
    let (mut link, mut far) = open(Version::V5);
    link.encoding = (Encoding::Cbor, "sedge-cbor/v1".into());
    let call = Encoding::Cbor.written(br#"{"args":{"on":true}}"#.to_vec());
    let mut bytes = Vec::new();
    for (topic, payload) in [
        ("sedge-cbor/v1/pi/tool/a/call", &call[..]),
        ("sedge-cbor/v1/pi/tool/b/call", &call[..]),
        ("homeassistant/status", b"online"),
    ] {
        packet::publish(&mut bytes, Version::V5, &Publish { topic, payload, ..Publish::default() });
    }
    far.write_all(&bytes).await.unwrap();
    let first = link.next().await;
    let heard: Vec<LinkEvent> = std::iter::once(first).chain(std::iter::from_fn(|| link.ready())).collect();
    let payloads: Vec<Vec<u8>> = heard
        .into_iter()
        .map(|event| match event {
            LinkEvent::Message(message) => message.payload,
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(payloads, [&br#"{"args":{"on":true}}"#[..], br#"{"args":{"on":true}}"#, b"online"]);

    for (topic, written) in
        [("sedge-cbor/v1/pi/info", &b"application/cbor"[..]), ("other/info", b"application/json")]
    {
        let message = Message {
            topic: topic.into(),
            payload: b"{}".to_vec(),
            content_type: JSON,
            ..Message::default()
        };
        assert!(link.publish(1, message));
        rest(&mut link).await;
        let sent = super::tests::heard(&mut far).await;
        assert!(sent.windows(written.len()).any(|part| part == written), "{topic}");
    }
}
