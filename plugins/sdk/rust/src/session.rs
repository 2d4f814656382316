//! A plugin outside from its welcome to its end, whatever carries the messages.
//!
//! It must not run two handlers at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sedge_plugin::tool::Progress;
use sedge_plugin::{PluginError, ToolError};
use sedge_protocol::{Ask, Call, HelloMessage};
use serde_json::Value as Json;

use crate::executor::Executor;
use crate::guest::{Guest, Home, Ready, Runs, TellMetrics, Welcome};
use crate::link::{Level, Link, Parker};

/// Events of one topic in a row that may fail. As in a node: then it is to be started anew.
const MOST_FAILURES: u32 = 3;

pub(crate) struct Session {
    pub(crate) executor: Arc<Executor>,
    link: Arc<dyn Link>,
    hello: HelloMessage,
    runs: Box<dyn Runs>,
    metrics: Arc<OnceLock<TellMetrics>>,
    is_set_up: bool,
    /// Events in a row that failed, by topic.
    failing: BTreeMap<String, u32>,
}

impl Session {
    pub(crate) fn new(guest: Guest, link: Arc<dyn Link>) -> Self {
        let executor = Executor::new(Arc::new(Parker(link.clone())), link.clock());
        let Guest { hello, runs } = guest;
        Self {
            executor,
            link,
            hello,
            runs,
            metrics: Arc::default(),
            is_set_up: false,
            failing: BTreeMap::new(),
        }
    }

    pub(crate) fn hello(&self) -> HelloMessage {
        self.hello.clone()
    }

    /// Sets it up.
    pub(crate) async fn start(&mut self, welcome: Result<Welcome, String>) -> Result<Ready, PluginError> {
        let home = Home {
            link: self.link.clone(),
            executor: self.executor.clone(),
            welcome: Arc::new(welcome.map_err(|why| PluginError::Settings(why.into()))?),
            metrics: self.metrics.clone(),
        };
        let ready = self.runs.start(home).await?;
        self.is_set_up = true;
        Ok(ready)
    }

    /// Answers a call. How far it is, is told while `open`.
    pub(crate) async fn call(
        &mut self,
        id: u64,
        call: Call,
        open: &Arc<AtomicBool>,
    ) -> Result<Json, ToolError> {
        let stops = matches!(call, Call::Stop { .. });
        let link = self.link.clone();
        let progress = Progress::to(move |update| link.progress(id, update.fraction, update.text));
        let answer = self.runs.call(call, id, progress.while_open(open)).await;
        open.store(false, Ordering::Relaxed);
        self.is_set_up &= !stops;
        self.tell_metrics(stops);
        answer
    }

    /// Hears an event. Too many that failed in a row are its end.
    pub(crate) async fn event(&mut self, topic: String, message: Json) -> Result<(), String> {
        let heard = self.runs.event(topic.clone(), message).await;
        self.tell_metrics(false);
        let Err(error) = heard else {
            self.failing.remove(&topic);
            return Ok(());
        };
        self.link.log(Level::Error, &format!("{topic}: {error}"));
        // Whoever does not want to hear of it is no reason to end.
        let _ = self.link.ask(Ask::EventFailed { topic: topic.clone(), error: error.to_string() }).await;
        let failures = self.failing.entry(topic.clone()).or_default();
        *failures += 1;
        match *failures < MOST_FAILURES {
            true => Ok(()),
            false => Err(format!("{MOST_FAILURES} events in a row failed, the last one: {topic}: {error}")),
        }
    }

    /// Tears it down where nobody asked for it: the node is gone, or a handler has panicked.
    #[cfg(unix)]
    pub(crate) async fn abandon(&mut self) {
        if std::mem::take(&mut self.is_set_up) {
            let stop = Call::Stop { grace_ms: 0 };
            if let Err(error) = self.runs.call(stop, 0, Progress::default()).await {
                self.link.log(Level::Error, &error.message);
            }
        }
    }

    pub(crate) fn tell_metrics(&self, last: bool) {
        if let Some(tell) = self.metrics.get() {
            tell(last);
        }
    }
}
