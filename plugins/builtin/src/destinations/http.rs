//! Sends readings over HTTP, in batches: to a webhook, to InfluxDB, to anything that takes a POST.
//!
//! ```toml
//! [destination.influx]
//! kind = "http"
//! url = "https://influx.lan:8086/api/v2/write?org=home&bucket=sedge"
//! headers = { Authorization = "Token …" }
//! format = "influx"       # or "json": an array of readings as they are on MQTT, with `node` and `sensor`
//! batch = 100
//! every = "10s"
//! ```
//!
//! One request at a time, so the order is kept. Where nobody answers, or with 408, 429 or 5xx, the batch is sent again
//! after a pause that doubles; meanwhile readings wait, so many at most. A batch that is refused for what it is (any other
//! 4xx) is given up and told: it would be refused again. A batch whose answer got lost is sent twice.

mod backoff;
mod influx;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sedge_plugin::http::{HttpError, Request, Response};
use sedge_plugin::prelude::*;

use self::backoff::Backoff;
use super::Args;
use super::parts::Counters;
use super::parts::backlog::Backlog;

use super::parts::lines::Named;
use super::parts::pump::BEAT;
use crate::flight::Flight;

/// A little less than a teardown may take.
const FAREWELL: Duration = Duration::from_millis(4500);

/// Characters of a server's words that are told.
const WORDS: usize = 200;

/// Settings of a `kind = "http"` destination.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where to: `http://…` or `https://…`. A password belongs into `headers`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// Header fields, such as `Authorization`. None of their values is ever shown.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What is sent.
    #[serde(default)]
    pub format: Format,
    /// The measurement of the format `influx`.
    #[serde(default = "measurement")]
    #[schemars(length(min = 1))]
    pub measurement: String,
    /// Readings in one request, at most.
    #[serde(default = "batch")]
    #[schemars(range(min = 1, max = 10_000))]
    pub batch: usize,
    /// How long a reading waits for others to go with; at least 1s.
    #[serde(default = "every")]
    pub every: Every,
    /// How long a request may take; at least 1s.
    #[serde(default = "every")]
    pub timeout: Every,
    /// Readings that wait while nobody takes them; the oldest are given up.
    #[serde(default = "buffer")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub buffer: usize,
}

fn measurement() -> String {
    "sedge".into()
}
fn batch() -> usize {
    100
}
fn every() -> Every {
    Every::secs(10)
}
fn buffer() -> usize {
    10_000
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
}

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An array of readings as they are on MQTT, with `node` and `sensor`.
    #[default]
    Json,
    /// InfluxDB's line protocol, with the tags `node` and `sensor`.
    Influx,
}

/// Sends readings over HTTP.
pub struct HttpDestination {
    ctx: Context,
    settings: Settings,
    node: Id,
    backlog: Backlog,
    /// When those that wait are to go at the latest.
    due: Option<Duration>,
    flight: Flight<Result<Response, HttpError>>,
    away: usize,
    backoff: Backoff,
    not_before: Duration,
    trouble: Option<String>,
    counters: Counters,
}

/// What an answer means.
enum Verdict {
    /// It was taken.
    Taken,
    /// Send it again, later.
    Again(String),
    /// It will never be taken.
    Refused(String),
}

impl Plugin for HttpDestination {
    type Args = Args<Settings>;
    const MANIFEST: Manifest =
        Manifest::new("http", env!("CARGO_PKG_VERSION"), "Sends readings over HTTP, in batches.")
            .category(Category::Destination)
            .tags(&["webhook", "influxdb"]);

    async fn setup(args: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        let settings = args.settings.clone();
        settings.check().map_err(|why| PluginError::Settings(why.into()))?;
        let info = ctx.directory();
        let seed =
            sedge_plugin::fnv1a(format!("{}/{}/{}", info.node.id, info.node.boot, ctx.id()).as_bytes());
        Ok(Self {
            counters: Counters::new(&ctx, "sent", "Readings that were sent.")?,
            node: info.node.id.clone(),
            backlog: Backlog::new(settings.buffer),
            due: None,
            flight: Flight::NONE,
            away: 0,
            backoff: Backoff::new(seed),
            not_before: Duration::ZERO,
            trouble: None,
            settings,
            ctx,
        })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &Self::Args, _: &Context) {
        hooks.observe::<topics::Deliver>(args.options());
    }

    fn every(&self) -> Option<Duration> {
        Some(BEAT)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.go().await;
        Ok(())
    }

    /// Sends what is left, as far as there is time for it.
    async fn teardown(&mut self) -> Result<(), PluginError> {
        let end = self.now() + FAREWELL;
        while self.flight.is_on() || self.begin(end.saturating_sub(self.now())) {
            let left = end.saturating_sub(self.now());
            match within(&self.ctx, left, self.flight.end()).await {
                Some(Some(answer)) => self.settle(answer),
                Some(None) | None => break,
            }
            if self.trouble.is_some() {
                break;
            }
        }
        let left = self.backlog.len();
        self.counters.dropped.add(u64::try_from(left).unwrap_or(u64::MAX));
        match (left, &self.trouble) {
            (0, _) => Ok(()),
            (_, Some(why)) => Err(PluginError::failed(format!("{left} readings were not sent: {why}"))),
            (_, None) => Err(PluginError::failed(format!("{left} readings were not sent in time"))),
        }
    }
}

impl Observer<topics::Deliver> for HttpDestination {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        self.counters.dropped.add(self.backlog.push(reading));
        self.due = self.due.or(Some(self.now() + self.settings.every.0));
        self.go().await;
        Ok(())
    }
}

impl HttpDestination {
    fn now(&self) -> Duration {
        self.ctx.clock().up()
    }

    async fn go(&mut self) {
        loop {
            if let Some(answer) = self.flight.look().await {
                self.settle(answer);
            }
            let due = self.backlog.waiting() >= self.settings.batch
                || self.due.is_some_and(|due| due <= self.now());
            let may = !self.flight.is_on() && self.not_before <= self.now();
            if !(may && due && self.begin(self.settings.timeout.0)) {
                return;
            }
        }
    }

    /// Sends the next batch; says whether there was one.
    fn begin(&mut self, timeout: Duration) -> bool {
        let batch = self.backlog.take(self.settings.batch);
        self.due = None;
        self.away = batch.len();
        if batch.is_empty() {
            return false;
        }
        let Settings { url, method, headers, format, measurement, .. } = &self.settings;
        let (body, kind) = match format {
            Format::Json => {
                let frames: Vec<_> = batch.iter().map(|reading| Named::new(&self.node, reading)).collect();
                (serde_json::to_vec(&frames).unwrap_or_default(), "application/json")
            }
            Format::Influx => {
                let clock = self.ctx.clock();
                let lines = batch.iter().map(|r| influx::line(measurement, &self.node, r, clock.taken()));
                (lines.collect::<String>().into_bytes(), "text/plain; charset=utf-8")
            }
        };
        if body.is_empty() {
            // No reading of the batch has a value: there is nothing to send.
            self.flight.begin(async { Ok(Response { status: 204, body: Vec::new() }) });
            return true;
        }
        let method = match method {
            Method::Post => "POST",
            Method::Put => "PUT",
        };
        let mut request =
            Request { timeout: timeout.min(self.settings.timeout.0), ..Request::new(method, url, body) };
        if !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("Content-Type", kind);
        }
        for (name, value) in headers {
            request = request.header(name, value.expose());
        }
        let ctx = self.ctx.clone();
        self.flight.begin(async move { ctx.http(request).await });
        true
    }

    fn settle(&mut self, answer: Result<Response, HttpError>) {
        let count = u64::try_from(self.away).unwrap_or(u64::MAX);
        let trouble = match verdict(answer) {
            Verdict::Taken => {
                self.counters.sent.add(count);
                self.backlog.arrived(self.away);
                self.backoff.reset();
                None
            }
            Verdict::Refused(why) => {
                self.counters.failed.inc();
                self.counters.dropped.add(count);
                self.backlog.arrived(self.away);
                self.backoff.reset();
                Some(why)
            }
            Verdict::Again(why) => {
                self.counters.failed.inc();
                self.backlog.arrived(0);
                self.not_before = self.now() + self.backoff.next();
                self.due = Some(self.not_before);
                Some(why)
            }
        };
        if self.backlog.waiting() > 0 {
            self.due = self.due.or(Some(self.now() + self.settings.every.0));
        }
        if self.trouble != trouble {
            self.trouble.clone_from(&trouble);
            self.ctx.degraded(trouble);
        }
    }
}

fn verdict(answer: Result<Response, HttpError>) -> Verdict {
    match answer {
        Err(error) => Verdict::Again(error.to_string()),
        Ok(Response { status: 200..=299, .. }) => Verdict::Taken,
        Ok(Response { status: status @ 400..=499, body }) if !matches!(status, 408 | 429) => {
            Verdict::Refused(format!("refused with {status}{}", words(&body)))
        }
        // Also a redirect: following it would turn a POST into a GET.
        Ok(Response { status, body }) => Verdict::Again(format!("answered {status}{}", words(&body))),
    }
}

/// What a server said, in one line.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * WORDS)]).into_owned();
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line: String = line.collect::<Vec<_>>().join(" ").chars().take(WORDS).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// What comes of `work`, if it comes in time.
async fn within<T>(ctx: &Context, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(ctx.sleep(time)));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

impl Settings {
    fn check(&self) -> Result<(), String> {
        let rest = self.url.strip_prefix("http://").or(self.url.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).filter(|host| !host.is_empty());
        let Some(host) = host.filter(|_| !self.url.contains(|c: char| !c.is_ascii_graphic())) else {
            return Err("url: write http://HOST/… or https://HOST/…".into());
        };
        if host.contains('@') {
            return Err("url: a password in the address would be shown; put it into `headers`".into());
        }
        for (name, every) in [("every", self.every), ("timeout", self.timeout)] {
            if every < Every::secs(1) {
                return Err(format!("{name} = \"{every}\": at least 1s"));
            }
        }
        for (name, value) in &self.headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(format!("headers: `{name}` is not the name of a header field"));
            }
            if !value.expose().bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
                return Err(format!(
                    "headers: the value of `{name}` has a character that no header may have"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
