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
//! One request at a time, so the order is kept. Where nobody answers, and with any answer but the following, the batch is
//! sent again after a pause that doubles, up to 30 seconds; meanwhile readings wait, so many at most. When little room is
//! left it is tried every two seconds. A server that asks for a longer pause (`Retry-After`) gets it, up to five minutes. A
//! batch whose answer got lost is sent twice.
//!
//! - 2xx: it was taken.
//! - 400 and 422: it is given up, for it would be refused again.
//! - 413: half of it is sent; a single reading that is too large is given up.
//!
//! What is given up is counted, and told when it begins and when it is over: the event `readings_lost`.
//!
//! InfluxDB gives one time to all lines of a request that have none, and of a sensor's keeps the last. So with `influx`
//! readings wait while the node does not know the time: they get theirs once it does. When little room is left, and at the
//! end, they go without, one of a sensor in a request.

mod backoff;
mod influx;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::http::{HttpError, Request, Response};
use sedge_plugin::prelude::*;

use self::backoff::Backoff;
use super::Args;
use super::parts::backlog::Backlog;
use super::parts::lines::Named;
use super::parts::losses::Losses;
use super::parts::pump::BEAT;
use super::parts::{Counters, FAREWELL, within};
use crate::flight::Flight;

/// The pause between two attempts while little room is left.
const PRESSED: Duration = Duration::from_secs(2);

/// The longest pause that a server may ask for.
const ASKED: Duration = Duration::from_secs(300);

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
    #[schemars(extend("writeOnly" = true))]
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
    /// How long a request may take, the waiting for a free connection of the node's included: 1s to 60s.
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
    /// Readings in the next request, at most: fewer than a batch after one that was too large.
    size: usize,
    backoff: Backoff,
    not_before: Duration,
    /// Until when the server asked to be left alone.
    asked_until: Duration,
    /// When the last request went.
    tried: Duration,
    trouble: Option<String>,
    losses: Losses,
    counters: Counters,
}

/// What an answer means.
enum Verdict {
    /// It was taken.
    Taken,
    /// Send it again, later; after that time at the earliest.
    Again(String, Duration),
    /// It will never be taken.
    Refused(String),
    /// A smaller one may be taken.
    TooLarge(String),
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
            backlog: Backlog::new(settings.buffer).fed_by(ctx.cursor(), args.sensors.clone()),
            due: None,
            flight: Flight::NONE,
            away: 0,
            size: settings.batch,
            backoff: Backoff::new(seed),
            not_before: Duration::ZERO,
            asked_until: Duration::ZERO,
            tried: Duration::ZERO,
            losses: Losses::new(&ctx),
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
        let lost = self.backlog.lost();
        self.counters.dropped.add(lost);
        self.losses.add(lost, self.trouble.as_deref()).await;
        self.go().await;
        Ok(())
    }

    /// Sends what is left, as far as there is time for it and somebody who takes it.
    async fn teardown(&mut self) -> Result<(), PluginError> {
        let end = self.now() + FAREWELL;
        while self.trouble.is_none() {
            let left = end.saturating_sub(self.now());
            if left.is_zero() || !(self.flight.is_on() || self.begin(left)) {
                break;
            }
            match within(&self.ctx, left, self.flight.end()).await {
                Some(Some(answer)) => self.settle(answer).await,
                Some(None) | None => break,
            }
        }
        // What is in the journal is sent after the next start.
        let left = if self.backlog.is_kept() { 0 } else { self.backlog.len() };
        let count = u64::try_from(left).unwrap_or(u64::MAX);
        let why = self.trouble.as_deref().unwrap_or("there was no time");
        self.counters.dropped.add(count);
        self.losses.end(count, why).await;
        match left {
            0 => Ok(()),
            _ => Err(PluginError::failed(format!("{left} readings were not sent: {why}"))),
        }
    }
}

impl Observer<topics::Deliver> for HttpDestination {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        let lost = self.backlog.push(reading);
        self.counters.dropped.add(lost);
        self.losses.add(lost, self.trouble.as_deref()).await;
        self.due = self.due.or(Some(self.now() + self.settings.every.0));
        self.go().await;
        Ok(())
    }
}

impl HttpDestination {
    fn now(&self) -> Duration {
        self.ctx.clock().up()
    }

    async fn refill(&mut self) {
        let before = self.backlog.waiting();
        self.backlog.refill().await;
        if self.backlog.waiting() > before {
            self.due = self.due.or(Some(self.now() + self.settings.every.0));
        }
    }

    async fn go(&mut self) {
        loop {
            if let Some(answer) = self.flight.look().await {
                self.settle(answer).await;
            }
            self.refill().await;
            if self.flight.is_on() || !self.is_time() || !self.begin(self.settings.timeout.0) {
                return;
            }
        }
    }

    /// Whether a request is to go now.
    fn is_time(&self) -> bool {
        let now = self.now();
        if self.backlog.is_pressed() {
            return now >= self.not_before.min(self.tried + PRESSED).max(self.asked_until);
        }
        let timeless = self.settings.format == Format::Influx && self.ctx.clock().wall_ms().is_none();
        let due = self.backlog.waiting() >= self.size || self.due.is_some_and(|due| due <= now);
        due && now >= self.not_before && !timeless
    }

    /// Sends the next batch; says whether there was one.
    fn begin(&mut self, timeout: Duration) -> bool {
        let now = self.ctx.clock().taken();
        let size = match self.settings.format {
            Format::Json => self.size,
            Format::Influx => {
                self.backlog.distinct(self.size, |reading| influx::wall_ms(reading.taken, now).is_none())
            }
        };
        let batch = self.backlog.take(size);
        self.tried = self.now();
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
                let lines = batch.iter().map(|r| influx::line(measurement, &self.node, r, now));
                (lines.collect::<String>().into_bytes(), "text/plain; charset=utf-8")
            }
        };
        if body.is_empty() {
            // No reading of the batch has a value: there is nothing to send.
            self.flight.begin(async { Ok(Response { status: 204, ..Response::default() }) });
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

    async fn settle(&mut self, answer: Result<Response, HttpError>) {
        let trouble = match verdict(answer) {
            Verdict::Taken => {
                self.counters.sent.add(u64::try_from(self.away).unwrap_or(u64::MAX));
                self.backlog.arrived(self.away);
                self.backoff.reset();
                self.not_before = self.now();
                // Grows little by little: what was too large once may be so again.
                self.size = (self.size + 1).min(self.settings.batch);
                if self.backlog.is_relaxed() {
                    self.losses.over().await;
                }
                None
            }
            Verdict::TooLarge(_) if self.away > 1 => {
                self.counters.failed.inc();
                self.backlog.arrived(0);
                self.size = self.away / 2;
                self.not_before = self.now();
                self.due = Some(self.not_before);
                // Nothing is amiss until a single reading is too large.
                self.trouble.clone()
            }
            Verdict::Refused(why) | Verdict::TooLarge(why) => {
                let count = self.backlog.refused();
                self.counters.failed.inc();
                self.counters.dropped.add(count);
                self.losses.add(count, Some(&why)).await;
                self.backoff.reset();
                Some(why)
            }
            Verdict::Again(why, asked) => {
                self.counters.failed.inc();
                self.backlog.arrived(0);
                self.asked_until = self.now() + asked.min(ASKED);
                self.not_before = self.asked_until.max(self.now() + self.backoff.next());
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
    let Response { status, body, retry_after, .. } = match answer {
        Ok(answer) => answer,
        Err(error) => return Verdict::Again(error.to_string(), Duration::ZERO),
    };
    match status {
        200..=299 => Verdict::Taken,
        400 | 422 => Verdict::Refused(format!("refused with {status}{}", words(&body))),
        413 => Verdict::TooLarge(format!("refused with {status}{}", words(&body))),
        // Also a redirect, for following it would turn a POST into a GET, and a token that is no longer good: a person
        // can see to both.
        _ => Verdict::Again(format!("answered {status}{}", words(&body)), retry_after.unwrap_or_default()),
    }
}

/// What a server said, in one line.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * WORDS)]).into_owned();
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line: String = line.collect::<Vec<_>>().join(" ").chars().take(WORDS).collect();
    if line.is_empty() { line } else { format!(": {line}") }
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
        if self.timeout > Every::secs(60) {
            return Err(format!("timeout = \"{}\": at most 60s", self.timeout));
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
