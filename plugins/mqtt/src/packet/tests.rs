//! The bytes, held against another codec (rumqttc's), and what is no MQTT at all.

use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::v4 as old;
use rumqttc::v5::mqttbytes::v5 as new;

use super::*;

const LIMIT: usize = 64 * 1024;

/// What the other codec makes of what a client of version 5 sends.
fn read_new(bytes: &[u8]) -> new::Packet {
    new::Packet::read(&mut BytesMut::from(bytes), Some(u32::MAX)).expect("MQTT 5")
}

fn read_old(bytes: &[u8]) -> rumqttc::Packet {
    old::Packet::read(&mut BytesMut::from(bytes), usize::MAX).expect("MQTT 3.1.1")
}

/// What ours makes of what a broker sends.
fn ours(version: Version, bytes: &[u8]) -> Packet {
    let mut frames = Frames::new(LIMIT);
    frames.buffer().extend_from_slice(bytes);
    let Ok(Some(Frame::Whole { first, body })) = frames.next() else { panic!("one packet") };
    Packet::read(version, first, body).expect("a packet")
}

fn topic() -> impl Strategy<Value = String> {
    "[a-z/é]{1,40}"
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(any::<u8>(), 16_300..16_500)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn another_codec_reads_what_we_publish(
        topic in topic(),
        payload in payload(),
        id in prop::option::of(1..=u16::MAX),
        retain: bool,
        json: bool,
        response in prop::option::of(topic()),
        correlation in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        expiry in prop::option::of(1..u32::MAX),
        alias in prop::option::of(1..=u16::MAX),
    ) {
        let ours = Publish {
            topic: &topic,
            alias,
            id,
            retain,
            payload: &payload,
            content_type: json.then_some("application/json"),
            response_topic: response.as_deref(),
            correlation: correlation.as_deref(),
            expiry: expiry.map(|s| Duration::from_secs(s.into())),
        };
        let mut bytes = Vec::new();
        publish(&mut bytes, Version::V5, &ours);
        let new::Packet::Publish(read) = read_new(&bytes) else { panic!("a publish") };
        prop_assert_eq!((&read.topic[..], &read.payload[..]), (topic.as_bytes(), &payload[..]));
        prop_assert_eq!((read.pkid, read.retain), (id.unwrap_or(0), retain));
        let properties = read.properties.unwrap_or_default();
        prop_assert_eq!(properties.payload_format_indicator, json.then_some(1));
        prop_assert_eq!(properties.content_type.as_deref(), json.then_some("application/json"));
        prop_assert_eq!(properties.response_topic, response.clone());
        prop_assert_eq!(properties.correlation_data.map(|data| data.to_vec()), correlation.clone());
        prop_assert_eq!(properties.message_expiry_interval, expiry);
        prop_assert_eq!(properties.topic_alias, alias);

        let mut bytes = Vec::new();
        publish(&mut bytes, Version::V3, &ours);
        let rumqttc::Packet::Publish(read) = read_old(&bytes) else { panic!("a publish") };
        prop_assert_eq!((read.topic.as_str(), &read.payload[..]), (topic.as_str(), &payload[..]));
        prop_assert_eq!((read.pkid, read.retain), (id.unwrap_or(0), retain));
    }

    #[test]
    fn we_read_what_another_codec_publishes(
        topic in topic(),
        payload in payload(),
        id in prop::option::of(1..=u16::MAX),
        retain: bool,
        response in prop::option::of(topic()),
        correlation in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
        expiry in prop::option::of(any::<u32>()),
        users in prop::collection::vec(("[a-z]{0,5}|from", "[a-zé]{0,9}"), 0..4),
    ) {
        let mut theirs = new::Publish::new(
            topic.as_str(),
            if id.is_some() { rumqttc::v5::mqttbytes::QoS::AtLeastOnce } else { rumqttc::v5::mqttbytes::QoS::AtMostOnce },
            payload.clone(),
            Some(new::PublishProperties {
                response_topic: response.clone(),
                correlation_data: correlation.clone().map(Into::into),
                message_expiry_interval: expiry,
                user_properties: users.clone(),
                content_type: Some("text/plain".into()),
                payload_format_indicator: Some(1),
                ..new::PublishProperties::default()
            }),
        );
        (theirs.pkid, theirs.retain) = (id.unwrap_or(0), retain);
        let mut bytes = BytesMut::new();
        theirs.write(&mut bytes).expect("written");
        let from = users.into_iter().find(|(key, _)| key == "from").map(|(_, value)| value);
        let expected = Received {
            topic, id, retain, payload, correlation, from,
            response_topic: response,
            expiry: expiry.map(|s| Duration::from_secs(s.into())),
        };
        prop_assert_eq!(ours(Version::V5, &bytes), Packet::Publish(expected));
    }

    #[test]
    fn anything_at_all_is_read_or_refused_and_never_takes_more_than_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        cut in 1..50_usize,
    ) {
        for version in [Version::V3, Version::V5] {
            let mut frames = Frames::new(256);
            'stream: for slice in bytes.chunks(cut) {
                frames.buffer().extend_from_slice(slice);
                loop {
                    match frames.next() {
                        Ok(None) => break,
                        Ok(Some(Frame::TooLarge { bytes, .. })) => prop_assert!(bytes > 256),
                        Ok(Some(Frame::Whole { first, body })) => {
                            prop_assert!(body.len() <= 256);
                            if Packet::read(version, first, body).is_err() { break 'stream; }
                        }
                        Err(_) => break 'stream,
                    }
                }
            }
        }
    }

    #[test]
    fn however_the_stream_is_cut_the_same_packets_come(
        sizes in prop::collection::vec(0..600_usize, 1..12),
        cuts in prop::collection::vec(1..400_usize, 1..40),
    ) {
        let mut stream = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let payload = vec![number as u8; *size];
            let id = u16::try_from(number + 1).ok();
            publish(&mut stream, Version::V3, &Publish { topic: "a/b", id, payload: &payload, ..Publish::default() });
        }
        let mut frames = Frames::new(300);
        let mut seen = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.into_iter().chain(std::iter::repeat(97)) {
            if rest.is_empty() {
                break;
            }
            let (slice, after) = rest.split_at(cut.min(rest.len()));
            rest = after;
            frames.buffer().extend_from_slice(slice);
            while let Some(frame) = frames.next().expect("well-formed") {
                seen.push(match frame {
                    Frame::Whole { first, body } => match Packet::read(Version::V3, first, body) {
                        Ok(Packet::Publish(message)) => (message.id, message.topic, Some(message.payload.len())),
                        other => panic!("{other:?}"),
                    },
                    Frame::TooLarge { topic, id, .. } => (id, topic, None),
                });
            }
        }
        let expected: Vec<_> = sizes.iter().enumerate().map(|(number, size)| {
            let whole = 1 + if size + 7 < 128 { 1 } else { 2 } + 7 + size;
            (u16::try_from(number + 1).ok(), "a/b".to_owned(), (whole <= 300).then_some(*size))
        }).collect();
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn another_codec_reads_how_we_connect() {
    let ours = Connect {
        client_id: "sedge-pi",
        login: Some(("ada", b"secret")),
        keep_alive: Duration::from_secs(15),
        clean: false,
        session: Duration::from_secs(30),
        receive_maximum: 32,
        maximum_packet: 1000,
        will: Some(("a/status", b"offline")),
    };
    let mut bytes = Vec::new();
    connect(&mut bytes, Version::V5, &ours);
    let new::Packet::Connect(connect5, will, login) = read_new(&bytes) else { panic!("a connect") };
    assert_eq!(
        (connect5.client_id.as_str(), connect5.keep_alive, connect5.clean_start),
        ("sedge-pi", 15, false)
    );
    let properties = connect5.properties.expect("properties");
    assert_eq!(properties.session_expiry_interval, Some(30));
    assert_eq!((properties.receive_maximum, properties.max_packet_size), (Some(32), Some(1000)));
    let will = will.expect("a will");
    assert_eq!((&will.topic[..], &will.message[..], will.retain), (&b"a/status"[..], &b"offline"[..], true));
    assert_eq!(login.map(|login| (login.username, login.password)), Some(("ada".into(), "secret".into())));

    let mut bytes = Vec::new();
    connect(&mut bytes, Version::V3, &Connect { clean: true, ..ours });
    let rumqttc::Packet::Connect(connect3) = read_old(&bytes) else { panic!("a connect") };
    assert_eq!(
        (connect3.client_id.as_str(), connect3.keep_alive, connect3.clean_session),
        ("sedge-pi", 15, true)
    );
    assert_eq!(connect3.last_will.map(|will| (will.topic, will.retain)), Some(("a/status".into(), true)));
    assert_eq!(connect3.login.map(|login| login.password), Some("secret".into()));
}

#[test]
fn another_codec_reads_what_we_ask_for() {
    let mut bytes = Vec::new();
    subscribe(&mut bytes, Version::V5, 7, "a/+/b", true);
    let new::Packet::Subscribe(subscribe5) = read_new(&bytes) else { panic!("a subscribe") };
    let filter = &subscribe5.filters[0];
    assert_eq!((subscribe5.pkid, filter.path.as_str(), filter.preserve_retain), (7, "a/+/b", true));
    bytes.clear();
    subscribe(&mut bytes, Version::V3, 8, "a/#", true);
    let rumqttc::Packet::Subscribe(subscribe3) = read_old(&bytes) else { panic!("a subscribe") };
    assert_eq!((subscribe3.pkid, subscribe3.filters[0].path.as_str()), (8, "a/#"));
    assert_eq!(
        (filter.qos, subscribe3.filters[0].qos),
        (rumqttc::v5::mqttbytes::QoS::AtLeastOnce, rumqttc::QoS::AtMostOnce)
    );
    bytes.clear();
    unsubscribe(&mut bytes, Version::V5, 9, "a");
    assert!(matches!(read_new(&bytes), new::Packet::Unsubscribe(it) if it.pkid == 9 && it.filters == ["a"]));
    bytes.clear();
    unsubscribe(&mut bytes, Version::V3, 9, "a");
    assert!(
        matches!(read_old(&bytes), rumqttc::Packet::Unsubscribe(it) if it.pkid == 9 && it.topics == ["a"])
    );
    bytes.clear();
    puback(&mut bytes, 10);
    assert!(matches!(read_new(&bytes), new::Packet::PubAck(ack) if ack.pkid == 10));
    bytes.clear();
    ping(&mut bytes);
    disconnect(&mut bytes);
    assert_eq!(bytes, [0xc0, 0, 0xe0, 0]);
}

#[test]
fn what_the_broker_allows_is_read() {
    let bytes = [0x20, 17, 1, 0, 14, 0x21, 0, 20, 0x27, 0, 1, 0, 0, 0x22, 0, 10, 0x13, 0, 60];
    let expected = ConnAck {
        session: true,
        receive_maximum: Some(20),
        maximum_packet: Some(65536),
        alias_maximum: 10,
        keep_alive: Some(60),
        ..ConnAck::default()
    };
    assert_eq!(ours(Version::V5, &bytes), Packet::ConnAck(expected));
    let old = ConnAck { code: 5, ..ConnAck::default() };
    assert_eq!(ours(Version::V3, &[0x20, 2, 0, 5]), Packet::ConnAck(old));
}

#[test]
fn a_reason_is_read_with_and_without_properties() {
    for (bytes, code, reason) in [
        (&[0xe0, 0][..], 0, None),
        (&[0xe0, 1, 0x8e], 0x8e, None),
        (&[0xe0, 2, 0x8e, 0], 0x8e, None),
        (&[0xe0, 7, 0x8b, 5, 0x1f, 0, 2, b'h', b'i'], 0x8b, Some("hi".to_owned())),
    ] {
        assert_eq!(ours(Version::V5, bytes), Packet::Disconnect { code, reason });
    }
    let parted = Packet::Disconnect { code: 0x8e, reason: None };
    assert_eq!(ours(Version::V3, &[0xe0, 1, 0x8e]), parted, "though 3.1.1 knows none from a broker");
    assert_eq!(ours(Version::V5, &[0x40, 3, 0, 1, 0x87]), Packet::PubAck { id: 1, code: 0x87 });
    assert_eq!(
        ours(Version::V5, &[0x90, 5, 0, 1, 0, 1, 0x87]),
        Packet::SubAck { id: 1, codes: vec![1, 0x87] }
    );
}

#[test]
fn what_is_wrong_with_a_packet_is_named() {
    for (first, body, expected) in [
        (0x40, &[0][..], Malformed::Short),
        (0xd0, &[0], Malformed::Long),
        (0x50, &[0, 1], Malformed::Kind(0x50)),
        (0x34, &[0, 1, b'a', 0, 1, 0], Malformed::Kind(0x34)),
        (0x30, &[0, 1, b'a', 2, 0x77, 0], Malformed::Property(0x77)),
        (0x30, &[0, 0, 0], Malformed::Topic),
        (0x30, &[0, 9, b'a'], Malformed::Short),
    ] {
        assert_eq!(Packet::read(Version::V5, first, body), Err(expected), "{first:#x}");
    }
    let mut frames = Frames::new(100);
    frames.buffer().extend_from_slice(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(frames.next(), Err(Malformed::Length));
}

#[test]
fn what_no_broker_sends_is_not_waited_for() {
    // An unknown kind, one that only clients send, a message of QoS 3, and an acknowledgement of two megabytes.
    for (bytes, kind) in [
        (&[0x07][..], 0x07),
        (&[0x0b, 0xff, 0xff, 0x7f], 0x0b),
        (&[0x82, 0x10, 0, 1], 0x82),
        (&[0x36, 0x10], 0x36),
        (&[0x40, 0xff, 0xff, 0x7f], 0x40),
    ] {
        let mut frames = Frames::new(1000);
        frames.buffer().extend_from_slice(bytes);
        assert_eq!(frames.next(), Err(Malformed::Kind(kind)), "{bytes:02x?}");
    }
    let mut frames = Frames::new(1000);
    frames.buffer().extend_from_slice(&[0x32, 0x10, 0]);
    assert_eq!(frames.next(), Ok(None), "the rest of a message is waited for");
}
