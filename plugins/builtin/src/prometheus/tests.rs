use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use sedge_plugin::testing::{TestNode, block_on};

use super::server::{CONNECTIONS, HEAD};
use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn serve(node: &TestNode, listen: &str) -> Result<(SocketAddr, Exporter), PluginError> {
    let settings = Settings { listen: listen.into() };
    let exporter = block_on(Exporter::setup(&settings, node.context("prometheus-http")))?;
    Ok((exporter.server.address(), exporter))
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    // A test that hangs is to fail.
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn node() -> TestNode {
    const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius), Field::new("door", Unit::None)];
    let node = TestNode::new();
    let kitchen = Id::new("kitchen").unwrap();
    let ctx = node.context("pump-1");
    ctx.announce(SensorDescriptor::new(kitchen.clone(), "x", "1", "here", FIELDS));
    let mut frame = Frame::default();
    frame.push("temperature", 21.5);
    frame.push("door", true);
    frame.push("note", "a \"quoted\"\ntext");
    frame.push("we\"ird\\\n", 1.0);
    frame.missing("humidity", "crc");
    let taken = Taken { up_ms: 1, wall_ms: Some(1_795_195_704_123) };
    node.saw(Reading { sensor: kitchen, boot: Boot(1), seq: 1, taken, frame, origin: None });
    ctx.counter(name("litres"), "Litres \\ pumped,\nin all.").unwrap().add(12);
    ctx.gauge(name("level"), "Level.").unwrap().set(f64::NAN);
    let histogram = ctx.metrics().histogram(ctx.id(), name("took"), "Took.", &[0.5, 1.0]).unwrap();
    for seconds in [0.25, 0.75, 5.0] {
        histogram.observe(seconds);
    }
    node
}

#[test]
fn the_page_has_metrics_and_readings_in_the_text_format() {
    let page = text::page(&node().context("x"));
    let expected = r#"# HELP sedge_info The node and its version.
# TYPE sedge_info gauge
sedge_info{node="test-node",version="",target=""} 1
# HELP sedge_pump_1_level Level.
# TYPE sedge_pump_1_level gauge
sedge_pump_1_level{plugin="pump-1"} NaN
# HELP sedge_pump_1_litres_total Litres \\ pumped,\nin all.
# TYPE sedge_pump_1_litres_total counter
sedge_pump_1_litres_total{plugin="pump-1"} 12
# HELP sedge_pump_1_took Took.
# TYPE sedge_pump_1_took histogram
sedge_pump_1_took_bucket{plugin="pump-1",le="0.5"} 1
sedge_pump_1_took_bucket{plugin="pump-1",le="1"} 2
sedge_pump_1_took_bucket{plugin="pump-1",le="+Inf"} 3
sedge_pump_1_took_sum{plugin="pump-1"} 6
sedge_pump_1_took_count{plugin="pump-1"} 3
# HELP sedge_reading The newest value of a field, in its unit.
# TYPE sedge_reading gauge
sedge_reading{sensor="kitchen",field="temperature",unit="Cel"} 21.5
sedge_reading{sensor="kitchen",field="door",unit="1"} 1
sedge_reading{sensor="kitchen",field="we\"ird\\\n",unit=""} 1
# HELP sedge_reading_timestamp_seconds When the newest reading was taken, in seconds since 1970.
# TYPE sedge_reading_timestamp_seconds gauge
sedge_reading_timestamp_seconds{sensor="kitchen"} 1795195704.123
"#;
    assert_eq!(page, expected);
}

#[test]
fn a_value_that_was_rejected_is_left_out_and_each_quality_but_ok_is_told() {
    let node = TestNode::new();
    let sea = Id::new("sea").unwrap();
    let ctx = node.context("x");
    ctx.announce(SensorDescriptor::new(sea.clone(), "x", "1", "here", &[]));
    let mut frame = Frame::default();
    for (field, quality) in [("a", Quality::Ok), ("b", Quality::Stuck), ("c", Quality::Rejected)] {
        frame.push(field, 1.0);
        frame.samples.last_mut().unwrap().quality = quality;
    }
    node.saw(Reading {
        sensor: sea,
        boot: Boot(1),
        seq: 1,
        taken: Taken { up_ms: 1, wall_ms: None },
        frame,
        origin: None,
    });
    let page = text::page(&ctx);
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("sedge_reading")).collect();
    let expected = [
        r#"sedge_reading{sensor="sea",field="a",unit=""} 1"#,
        r#"sedge_reading{sensor="sea",field="b",unit=""} 1"#,
        r#"sedge_reading_quality{sensor="sea",field="b",quality="stuck"} 1"#,
        r#"sedge_reading_quality{sensor="sea",field="c",quality="rejected"} 1"#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn how_each_plugin_fares_is_on_the_page() {
    let status = PluginStatus {
        id: Id::new("pump-1").unwrap(),
        kind: "relay".into(),
        version: "1".into(),
        state: State::BackingOff,
        reason: None,
        since_ms: None,
        restarts: 3,
        dropped: u64::MAX,
        service_of: None,
    };
    let page = text::plugins([&status]);
    for line in [
        r#"sedge_plugin_up{plugin="pump-1",kind="relay"} 0"#,
        r#"sedge_plugin_state{plugin="pump-1",kind="relay",state="backing_off"} 1"#,
        r#"sedge_plugin_restarts_total{plugin="pump-1"} 3"#,
        r#"sedge_plugin_dropped_total{plugin="pump-1"} 18446744073709551615"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[test]
fn a_name_that_would_have_two_types_is_there_once() {
    let node = TestNode::new();
    node.context("a").counter(name("b_c_total"), "First.").unwrap();
    node.context("a-b").gauge(name("c_total"), "Second.").unwrap();
    node.context("info").gauge(name("x"), "Fine.").unwrap();
    let page = text::page(&node.context("x"));
    assert_eq!(page.matches("# TYPE sedge_a_b_c_total").count(), 1);
    assert!(page.contains("sedge_a_b_c_total{plugin=\"a\"} 0") && !page.contains("plugin=\"a-b\""), "{page}");
}

#[test]
fn what_alerts_add_up_has_one_name_and_a_label() {
    let node = TestNode::new();
    let outbox = node.context("outbox");
    outbox.gauge(name("pending_mqtt"), "One's.").unwrap().set(7.0);
    for (cause, lost) in [("full", 3), ("disk", 0)] {
        outbox.counter(name(&format!("lost_{cause}")), "One's.").unwrap().add(lost);
    }
    node.context("mqtt").counter(name("calls_refused_rate"), "One's.").unwrap().inc();
    let page = text::page(&node.context("x"));
    for line in [
        r#"sedge_outbox_pending{plugin="outbox",reader="mqtt"} 7"#,
        r#"sedge_outbox_lost_total{plugin="outbox",cause="full"} 3"#,
        r#"sedge_outbox_lost_total{plugin="outbox",cause="disk"} 0"#,
        r#"sedge_mqtt_calls_refused_total{plugin="mqtt",reason="rate"} 1"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(!page.contains("One's."), "the help is about the whole: {page}");
}

#[test]
fn a_plugin_cannot_add_to_the_names_of_the_page_itself() {
    let node = node();
    node.context("reading").gauge(name("timestamp_seconds"), "Mine.").unwrap().set(1.0);
    let page = text::page(&node.context("x"));
    assert!(
        page.contains("sedge_reading_timestamp_seconds{sensor") && !page.contains("plugin=\"reading\""),
        "{page}"
    );
}

#[test]
fn it_serves_metrics_and_nothing_else() {
    let (address, mut exporter) = serve(&node(), "127.0.0.1:0").unwrap();
    let page = ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{page}");
    assert!(page.contains("\r\n\r\n# HELP") && page.ends_with("1795195704.123\n"), "{page}");
    for (request, status) in [
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        ("GET /metrics\r\n\r\n", "400"),
        // Not to its end, nor to the server's patience: at once.
        ("GET /metrics HTTP/1.1\nHost: x\n", "400"),
        ("\n", "400"),
        ("\u{1}\u{2}\r\n\r\n", "400"),
    ] {
        let answer = ask(address, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:?}: {answer}");
    }
    let head = ask(address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    let length = page.split_once("\r\n\r\n").unwrap().1.len();
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {length}\r\n")), "{head}");
    let answer = ask(address, b"GET /\xff\xfe HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(block_on(exporter.tick()), Ok(()));
    block_on(exporter.teardown()).unwrap();
}

#[test]
fn a_request_that_is_too_long_is_refused() {
    let (address, mut exporter) = serve(&TestNode::new(), "127.0.0.1:0").unwrap();
    let answer = ask(address, &[b'a'; HEAD]);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    block_on(exporter.teardown()).unwrap();
}

#[test]
fn one_connection_too_many_is_told_so_and_a_place_that_is_left_is_free_again() {
    let (address, mut exporter) = serve(&TestNode::new(), "127.0.0.1:0").unwrap();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    let mut answer = String::new();
    connect(address).read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    for _ in 0..20 {
        // Closing with the request unread would take the answer back.
        let answer =
            ask(address, &[&b"GET /metrics HTTP/1.1\r\nX: "[..], &[b'x'; 4000], b"\r\n\r\n"].concat());
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }

    let mut first = idle.remove(0);
    first.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    answer.clear();
    first.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    drop(first);
    exporter.server.until_free();
    assert!(ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    block_on(exporter.teardown()).unwrap();
}

#[test]
fn it_stops_at_once_also_with_open_connections_and_the_same_port_can_be_taken_again() {
    let (address, mut exporter) = serve(&TestNode::new(), "127.0.0.1:0").unwrap();
    let mut idle: Vec<TcpStream> = (0..3).map(|_| connect(address)).collect();
    assert!(ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"), "they were accepted");
    let begun = std::time::Instant::now();
    block_on(exporter.teardown()).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for stream in &mut idle {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "closed");
    }
    assert!(TcpStream::connect(address).is_err());
    for _ in 0..3 {
        let (_, mut again) = serve(&node(), &address.to_string()).unwrap();
        assert!(ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").contains("sedge_reading"));
        block_on(again.teardown()).unwrap();
    }
}

#[test]
fn dropped_without_a_teardown_it_frees_its_port() {
    // An address of its own, so that no other test takes the port that became free.
    let (address, exporter) = serve(&TestNode::new(), "127.0.0.2:0").unwrap();
    assert!(ask(address, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    drop(exporter);
    // The listener goes on its own thread: one that still gets in is let out when it has gone.
    while let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let waited = matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        assert!(!waited, "it still listens");
    }
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_port_that_is_taken_and_an_address_that_is_none_are_said_in_plain_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = serve(&TestNode::new(), &address.to_string()).err();
    let expected =
        format!("port {} is taken by another program; choose another one in `listen`", address.port());
    assert_eq!(error, Some(PluginError::Failed(expected.into())));
    let error = serve(&TestNode::new(), "192.0.2.1:0").err().unwrap();
    assert!(error.to_string().contains("no address of this machine"), "{error}");
    for listen in ["9464", "localhost", ""] {
        let settings = Settings { listen: listen.into() };
        let error = block_on(Prometheus::setup(&settings, TestNode::new().context("prometheus"))).err();
        assert!(
            matches!(&error, Some(PluginError::Settings(text)) if text.contains("127.0.0.1:9464")),
            "{error:?}"
        );
    }
}
