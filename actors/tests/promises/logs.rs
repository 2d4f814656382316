//! What is logged, and how often.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use sedge_actors::{PluginSpec, Surroundings};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::ConfigLoaded;
use serde_json::json;
use tracing::field::{Field as LogField, Visit};
use tracing::span::{Attributes, Record};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::puppet::{Puppet, S, node, pass, subscriber, unstarted};
use super::support::{Does, Numbers, id};

/// Keeps what is logged on this thread, one line each: level, message, fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

struct Line(String);
impl Visit for Line {
    fn record_debug(&mut self, field: &LogField, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sedge_actors")
    }
    fn new_span(&self, _: &Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

impl Log {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let guard = tracing::subscriber::set_default(log.clone());
        (log, guard)
    }

    /// The levels of the lines with all of these words since this was asked last.
    fn levels(&self, words: &[&str]) -> Vec<Level> {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .filter(|line| words.iter().all(|word| line.1.contains(word)))
            .map(|line| line.0)
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_fails_is_logged_once_with_plugin_and_topic_and_again_when_it_works() {
    let (log, _guard) = Log::listen();
    let puppet = Puppet::new()
        .on_hear(|_, n| async move { if n < 2 { Err(PluginError::failed("it broke")) } else { Ok(()) } });
    let node = node(vec![puppet.spec("ear"), Puppet::new().spec("other")]).await;
    for n in 0..4 {
        node.bus().publish::<Numbers>(n).await;
        pass(S).await;
    }
    assert_eq!(log.levels(&["A plugin reports", "ear", "numbers", "it broke"]), [Level::WARN]);
    assert_eq!(log.levels(&["Works again", "ear", "numbers", "failures=2"]), [Level::INFO]);
    node.stop().await;
}

subscriber!(Steps, (), |hooks, _args| {
    hooks.inline::<ConfigLoaded>(Options::default(), |loaded| match loaded.config["bad"].as_str() {
        Some("veto") => Ok(Step::Veto("bad things in it".into())),
        Some(_) => Err(PluginError::failed("it broke")),
        None => Ok(Step::Pass),
    });
});

#[tokio::test(start_paused = true)]
async fn a_config_that_is_refused_at_the_start_is_logged_with_who_and_why() {
    for (bad, words) in
        [("veto", ["`steps` refuses it", "bad things in it"]), ("error", ["config_loaded", "it broke"])]
    {
        let (log, _guard) = Log::listen();
        let around = Surroundings { config: Arc::new(json!({ "bad": bad })), ..Surroundings::default() };
        let node = unstarted(around).0.start(vec![PluginSpec::new::<Steps>(id("steps"), ())]).await;
        let level = if bad == "veto" { Level::ERROR } else { Level::WARN };
        assert_eq!(log.levels(&words), [level]);
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_fails_is_an_error_and_one_that_is_skipped_a_warning_only_where_it_was_named() {
    let (log, _guard) = Log::listen();
    let lacks = Puppet::new().on_setup(|_| Does::Lacks.act());
    let node = node(vec![
        Puppet::new().on_setup(|_| Does::Fails.act()).spec("broken"),
        lacks.spec("named"),
        lacks.spec("unnamed").by_default(),
    ])
    .await;
    assert_eq!(log.levels(&["broken", "it broke", "Could not be started"]), [Level::ERROR]);
    assert_eq!(log.levels(&["plugin=named", "no such device"]), [Level::WARN]);
    assert_eq!(log.levels(&["plugin=unnamed", "no such device"]), [Level::DEBUG]);
    // It is tried again every minute, and still is no news.
    pass(600 * S).await;
    let news = log.levels(&["plugin=named", "no such device"]);
    assert_eq!(news.iter().filter(|level| **level == Level::WARN).count(), 1, "{news:?}");
    node.stop().await;
}
