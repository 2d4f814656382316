use std::sync::atomic::{AtomicU16, Ordering};

use sedge_plugin::testing::{TestNode, block_on};
use sedge_plugin::topics::Severity;
use serde_json::{Value as Json, json};

use super::super::parts::testing::{WALL_MS, nth};
use super::super::parts::told;
use super::*;

const URL: &str = "https://db.lan/write";

struct Bench {
    node: TestNode,
    /// What the server answers; 0 is nobody there.
    status: Arc<AtomicU16>,
    http: HttpDestination,
}

impl Bench {
    fn new(more: Json) -> Self {
        let node = TestNode::new();
        node.clock().set_wall(Some(WALL_MS));
        let status = Arc::new(AtomicU16::new(204));
        let answer = status.clone();
        node.web(move |_| match answer.load(Ordering::Relaxed) {
            0 => Err(HttpError("no connection".into())),
            status => {
                Ok(Response { status, body: b"the database\n is  full".to_vec(), ..Response::default() })
            }
        });
        let http = block_on(HttpDestination::setup(&args(more), node.context("db"))).unwrap();
        Self { node, status, http }
    }

    fn observe(&mut self, seqs: impl IntoIterator<Item = u32>) {
        for seq in seqs {
            block_on(self.http.observe(nth(seq))).unwrap();
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.node.clock().advance(Duration::from_secs(seconds));
        block_on(self.http.tick()).unwrap();
    }

    fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// The numbers of the readings of each request since the last time.
    fn sent(&self) -> Vec<Vec<u64>> {
        let seqs = |request: Request| {
            let frames: Vec<Json> = serde_json::from_slice(&request.body).unwrap();
            frames.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect()
        };
        self.node.requests().into_iter().map(seqs).collect()
    }

    fn count(&self, name: &str) -> u64 {
        self.node.context("db").counter(Name::new(name).unwrap(), "").unwrap().get()
    }
}

fn args(more: Json) -> Args<Settings> {
    let mut settings = json!({ "url": URL });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Args::new(serde_json::from_value(settings).unwrap(), None)
}

#[test]
fn a_batch_goes_when_it_is_full_or_its_first_reading_has_waited_long_enough() {
    let mut bench = Bench::new(json!({ "batch": 3, "every": "10s" }));
    bench.observe(1..=7);
    assert_eq!(bench.sent(), [[1, 2, 3], [4, 5, 6]]);
    bench.pass(9);
    assert!(bench.sent().is_empty());
    bench.pass(1);
    assert_eq!(bench.sent(), [[7]]);
    bench.pass(100);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.count("sent"), 7);
}

#[test]
fn a_request_has_the_frames_of_the_wire_and_the_headers_and_shows_no_secret() {
    let headers = json!({ "Authorization": "Token hunter2" });
    let mut bench = Bench::new(json!({ "batch": 1, "method": "PUT", "headers": headers, "timeout": "3s" }));
    assert!(!format!("{:?}", bench.http.settings).contains("hunter2"));
    bench.observe([1]);
    let request = bench.node.requests().remove(0);
    assert_eq!((request.method, request.url.as_str(), request.timeout), ("PUT", URL, Duration::from_secs(3)));
    let has = |name: &str, value: &str| request.headers.contains(&(name.into(), value.into()));
    assert!(has("Authorization", "Token hunter2") && has("Content-Type", "application/json"));
    let body: Json = serde_json::from_slice(&request.body).unwrap();
    let frame = json!({ "node": "test-node", "sensor": "air", "ts": "2026-11-20T17:28:24.123Z", "seq": 1,
        "boot": "9f3c21ab", "fields": { "level": 1 } });
    assert_eq!(body, json!([frame]));
}

#[test]
fn a_content_type_that_is_set_is_not_set_twice() {
    let mut bench = Bench::new(json!({ "batch": 1, "headers": { "content-type": "text/x" } }));
    bench.observe([1]);
    assert_eq!(bench.node.requests()[0].headers, [("content-type".to_owned(), "text/x".to_owned())]);
}

#[test]
fn influx_gets_a_line_per_reading_and_no_request_where_there_is_none() {
    let mut bench = Bench::new(json!({ "batch": 2, "format": "influx", "measurement": "home" }));
    bench.observe([1, 2]);
    let body = String::from_utf8(bench.node.requests().remove(0).body).unwrap();
    let time = WALL_MS * 1_000_000;
    let line = |n| format!("home,node=test-node,sensor=air level={n} {time}\n");
    assert_eq!(body, line(1) + &line(2));

    let mut nothing = (*nth(3)).clone();
    nothing.frame.clear();
    for _ in 0..2 {
        block_on(bench.http.observe(Arc::new(nothing.clone()))).unwrap();
    }
    assert!(bench.node.requests().is_empty());
    assert_eq!(bench.http.backlog.len(), 0);
}

#[test]
fn while_nobody_takes_it_a_batch_is_sent_again_after_longer_and_longer_pauses_in_order() {
    for status in [0, 500, 503, 401, 403, 404, 408, 409, 429, 302] {
        let mut bench = Bench::new(json!({ "batch": 2 }));
        bench.answers(status);
        bench.observe(1..=4);
        assert_eq!(bench.sent(), [[1, 2]], "{status}");
        let mut pauses = Vec::new();
        for _ in 0..4 {
            let mut pause = 0;
            while bench.sent().is_empty() {
                bench.pass(1);
                pause += 1;
                assert!(pause < 200, "it was given up");
            }
            pauses.push(pause);
        }
        assert!(pauses.is_sorted() && pauses[3] >= 8 && pauses[0] <= 2, "{status}: {pauses:?}");
        assert!(bench.node.degraded("db").is_some());
        assert_eq!((bench.count("failed"), bench.count("dropped")), (5, 0));

        bench.answers(200);
        bench.observe([5]);
        bench.pass(120);
        assert_eq!(bench.sent(), [vec![1, 2], vec![3, 4]], "{status}");
        bench.pass(10);
        assert_eq!(bench.sent(), [[5]]);
        assert_eq!((bench.node.degraded("db"), bench.count("sent")), (None, 5));
    }
}

#[test]
fn a_batch_that_is_refused_is_given_up_and_told_with_the_servers_words() {
    for status in [400, 422] {
        let mut bench = Bench::new(json!({ "batch": 2 }));
        bench.answers(status);
        bench.observe(1..=4);
        assert_eq!(bench.sent(), [[1, 2], [3, 4]]);
        let why = format!("refused with {status}: the database is full");
        assert_eq!(bench.node.degraded("db"), Some(why.clone()));
        assert_eq!((bench.count("dropped"), bench.count("failed"), bench.count("sent")), (4, 2, 0));
        assert_eq!(told(&bench.node), [(Severity::Warning, 2)]);
        let event = bench.node.published::<topics::EventRaised>().remove(0);
        assert!(event.text.contains("`db`") && event.text.contains(&why), "{}", event.text);
        assert_eq!(event.data, json!({ "destination": "db", "count": 2 }));
        bench.answers(204);
        bench.observe(5..=6);
        assert_eq!(bench.node.degraded("db"), None);
        assert_eq!(told(&bench.node)[1..], [(Severity::Info, 4)]);
    }
}

#[test]
fn a_batch_that_is_too_large_is_halved_and_only_a_single_reading_is_given_up() {
    let mut bench = Bench::new(json!({ "batch": 4 }));
    bench.node.web(|request| {
        let frames: Vec<Json> = serde_json::from_slice(&request.body).unwrap();
        let large = frames.len() > 2 || frames.iter().any(|frame| frame["seq"] == 3);
        Ok(Response { status: if large { 413 } else { 204 }, ..Response::default() })
    });
    bench.observe(1..=4);
    bench.pass(10);
    let sent = bench.sent();
    assert_eq!(sent[..3], [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4]], "{sent:?}");
    assert!(sent.contains(&vec![3]) && sent.contains(&vec![4]), "{sent:?}");
    assert_eq!((bench.count("sent"), bench.count("dropped"), bench.http.backlog.len()), (3, 1, 0));
    assert_eq!(told(&bench.node), [(Severity::Warning, 1), (Severity::Info, 1)]);
    assert_eq!(bench.node.degraded("db"), None);
}

#[test]
fn a_server_gets_the_pause_it_asks_for_up_to_five_minutes_also_when_little_room_is_left() {
    for (asks, gets) in [(100, 100), (86_400, 300)] {
        let mut bench = Bench::new(json!({ "batch": 1, "buffer": 2 }));
        bench.node.web(move |_| {
            Ok(Response { status: 429, retry_after: Some(Duration::from_secs(asks)), ..Response::default() })
        });
        bench.observe(1..=3);
        assert_eq!(bench.sent(), [[1]]);
        bench.pass(gets - 1);
        assert!(bench.sent().is_empty());
        bench.pass(1);
        assert_eq!(bench.sent().len(), 1);
    }
}

#[test]
fn when_little_room_is_left_it_is_tried_at_once_but_not_more_often_than_every_two_seconds() {
    let mut bench = Bench::new(json!({ "batch": 2, "buffer": 10 }));
    bench.answers(0);
    bench.observe(1..=2);
    (0..100).for_each(|_| bench.pass(1));
    bench.node.requests();
    while bench.sent().is_empty() {
        bench.pass(1);
    }
    bench.pass(2);
    assert!(bench.sent().is_empty(), "it pauses");
    bench.observe(3..=8);
    assert_eq!(bench.sent().len(), 1, "eight of ten");
    bench.pass(1);
    assert!(bench.sent().is_empty());
    bench.pass(1);
    assert_eq!(bench.sent().len(), 1);
    bench.answers(204);
    bench.pass(2);
    assert_eq!(bench.sent(), [[1, 2], [3, 4], [5, 6], [7, 8]]);
}

#[test]
fn influx_readings_wait_for_the_time_and_none_overwrites_another_where_it_does_not_come() {
    let early = |sensor: &str, seq: u32| {
        let mut reading = (*nth(seq)).clone();
        reading.sensor = Id::new(sensor).unwrap();
        reading.taken = Taken { up_ms: 0, wall_ms: None };
        Arc::new(reading)
    };
    let bodies = |bench: &Bench| -> Vec<String> {
        bench.node.requests().into_iter().map(|request| String::from_utf8(request.body).unwrap()).collect()
    };
    let mut bench = Bench::new(json!({ "format": "influx", "buffer": 5, "every": "1s" }));
    bench.node.clock().set_wall(None);
    for (sensor, seq) in [("air", 1), ("air", 2), ("sea", 3)] {
        block_on(bench.http.observe(early(sensor, seq))).unwrap();
    }
    bench.pass(60);
    assert!(bodies(&bench).is_empty());
    bench.node.clock().set_wall(Some(WALL_MS + 60_000));
    bench.pass(0);
    let sent = bodies(&bench);
    let time = format!(" {}\n", WALL_MS * 1_000_000);
    assert!(sent.len() == 1 && sent[0].matches(&time).count() == 3, "{sent:?}");

    bench.node.clock().set_wall(None);
    for (sensor, seq) in [("air", 1), ("sea", 2), ("air", 3), ("air", 4)] {
        block_on(bench.http.observe(early(sensor, seq))).unwrap();
    }
    for _ in 0..3 {
        bench.pass(2);
    }
    block_on(bench.http.teardown()).unwrap();
    let sent = bodies(&bench);
    let count = |sensor| sent.iter().map(|body| body.matches(sensor).count()).collect::<Vec<_>>();
    assert_eq!((count("sensor=air "), count("sensor=sea ")), (vec![1, 1, 1], vec![1, 0, 0]), "{sent:?}");
    assert_eq!((bench.count("sent"), bench.count("dropped")), (7, 0));
}

#[test]
fn a_servers_words_are_cut_and_are_one_line() {
    let long = words("ä\u{1b}[31m\r\n".repeat(1000).as_bytes());
    assert!(long.chars().count() <= WORDS + 2 && !long.contains(char::is_control), "{long}");
    assert_eq!(words(b" \n"), "");
}

#[test]
fn the_oldest_is_given_up_when_the_buffer_is_full_and_counted() {
    let mut bench = Bench::new(json!({ "batch": 2, "buffer": 4 }));
    bench.answers(0);
    bench.observe(1..=10);
    assert_eq!((bench.count("dropped"), told(&bench.node)), (6, vec![(Severity::Warning, 1)]));
    bench.answers(200);
    bench.node.requests();
    bench.pass(10);
    assert_eq!(bench.sent(), [[7, 8], [9, 10]]);
    assert_eq!(told(&bench.node)[1..], [(Severity::Info, 6)]);
}

#[test]
fn no_batch_is_sent_while_another_is_on_its_way_and_no_handler_waits_for_it() {
    let mut bench = Bench::new(json!({ "batch": 2 }));
    bench.http.flight.begin(std::future::pending());
    bench.observe(1..=6);
    bench.pass(100);
    assert!(bench.sent().is_empty());
    bench.http.flight = Flight::NONE;
    bench.pass(1);
    assert_eq!(bench.sent(), [[1, 2], [3, 4], [5, 6]]);
}

#[test]
fn a_teardown_sends_what_is_left_within_two_seconds() {
    let mut bench = Bench::new(json!({ "batch": 2 }));
    bench.observe([1]);
    bench.http.backlog.push(nth(2));
    bench.http.backlog.push(nth(3));
    assert_eq!(block_on(bench.http.teardown()), Ok(()));
    let timeouts = bench.node.requests().into_iter().map(|request| request.timeout);
    assert!(timeouts.clone().count() == 2 && timeouts.max().unwrap() <= Duration::from_secs(2));
    assert!(told(&bench.node).is_empty());

    let mut bench = Bench::new(json!({}));
    bench.http.flight.begin(std::future::pending());
    bench.observe([1, 2]);
    let error = block_on(bench.http.teardown()).unwrap_err();
    assert!(error.to_string().contains("2 readings were not sent: there was no time"), "{error}");
    assert_eq!(bench.node.context("db").clock().up(), Duration::from_secs(2));
    assert_eq!((bench.count("dropped"), told(&bench.node)), (2, vec![(Severity::Warning, 2)]));
}

#[test]
fn a_teardown_asks_nobody_who_took_nothing_the_last_time_and_says_how_many_are_lost() {
    let mut bench = Bench::new(json!({ "batch": 1, "buffer": 9 }));
    bench.answers(0);
    bench.observe([1, 2]);
    assert_eq!(bench.sent().len(), 1);
    let error = block_on(bench.http.teardown()).unwrap_err();
    assert!(error.to_string().contains("2 readings were not sent: no connection"), "{error}");
    assert!(bench.sent().is_empty());
    assert_eq!(told(&bench.node), [(Severity::Warning, 2)]);
}

#[test]
fn settings_that_cannot_be_are_refused_and_no_secret_is_repeated() {
    for (more, named) in [
        (json!({ "url": "ftp://x" }), "url"),
        (json!({ "url": "https://" }), "url"),
        (json!({ "url": "https://user:hunter2@db.lan/" }), "password"),
        (json!({ "url": "https://a b/" }), "url"),
        (json!({ "every": "10ms" }), "every"),
        (json!({ "timeout": "10ms" }), "timeout"),
        (json!({ "timeout": "61s" }), "timeout"),
        (json!({ "headers": { "a b": "x" } }), "a b"),
        (json!({ "headers": { "X": "hunter2\r\nY: z" } }), "`X`"),
        (json!({ "headers": { "X": "hünter2" } }), "`X`"),
        (json!({ "url": "http://db.lan/ä" }), "url"),
    ] {
        let error = block_on(HttpDestination::setup(&args(more), TestNode::new().context("db"))).err();
        let Some(PluginError::Settings(text)) = error else { panic!("{named}: {error:?}") };
        assert!(text.contains(named) && !text.contains("hunter2"), "{text}");
    }
    assert_eq!(args(json!({ "url": "http://[::1]:8086/write?db=a@b" })).settings.check(), Ok(()));
}
