use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id as SpanId, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

/// Lines as they are logged, whoever writes them down.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> SpanId {
        SpanId::from_u64(1)
    }
    fn record(&self, _: &SpanId, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &SpanId, _: &SpanId) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &SpanId) {}
    fn exit(&self, _: &SpanId) {}
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_lines_is_cut_short_and_how_many_are_missing_is_said() {
    let log = Log::default();
    let _here = tracing::subscriber::set_default(log.clone());
    let mut lines = Lines::new(Id::new("flooder").unwrap());
    let mut flood = || (0..10_000).for_each(|_| lines.write("info", "spam\u{1b}[2J"));
    let written = || {
        log.0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains("plugin=flooder"))
            .cloned()
            .collect::<Vec<_>>()
    };
    flood();
    assert_eq!(written().len(), 200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    flood();
    assert_eq!(written().len(), 221);
    assert!(written()[200].contains("left_out=9800"), "{:?}", written()[200]);
    assert!(!written().concat().contains('\u{1b}'), "nothing that steers a terminal");
}
