//! The audit log: who called what, and what came of it.
//!
//! ```toml
//! [plugin.audit]          # built in, runs with defaults where no section names it
//! max_size = "1MiB"       # of audit.log; the one before it is kept as audit.1.log
//! ```
//!
//! A line of JSON for every call of a tool that is not read-only, from wherever it came, and for every call that was refused:
//!
//! ```json
//! {"ts":"2026-11-20T17:28:24.123Z","from":"attic","verified":true,"tool":"pump_set","id":"7f3a","args":"2f9c…","ok":true,"ms":12}
//! ```
//!
//! `args` is the SHA-512/256 of the arguments as compact JSON with sorted keys: arguments may be secret, so they are not
//! kept. Lines are on the disk before the caller has its answer, where the disk is well; where it is not, so many wait,
//! calls go on, and it is told. Lines are only ever added, by this plugin alone; `sedge tool audit` shows them.

mod log;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sedge_hal::Worker;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::CallRecord;
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha512_256};

use self::log::Log;

/// The file, and the one before it.
pub const FILES: [&str; 2] = ["audit.log", "audit.1.log"];

/// Lines that wait for a disk that cannot be written. More are given up, the oldest first, and counted.
const WAITING: usize = 512;

/// Characters of anything that a caller chose.
const LONGEST: usize = 200;

/// How often a disk that could not be written is tried again.
const BEAT: Duration = Duration::from_secs(10);

/// Settings of `[plugin.audit]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A new file is begun when this one would be bigger; one former file is kept. At least 10KiB.
    pub max_size: Size,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_size: Size(1 << 20) }
    }
}

/// What the plugin is given: outlives its restarts, so a disk that hangs holds one thread, not one per restart.
pub struct AuditArgs {
    settings: Settings,
    worker: Worker<Option<Log>>,
}

impl AuditArgs {
    /// With a thread of its own.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(settings: Settings) -> std::io::Result<Self> {
        Ok(Self { settings, worker: Worker::spawn("audit", || None)? })
    }
}

/// Keeps the audit log.
pub struct Audit {
    ctx: Context,
    worker: Worker<Option<Log>>,
    waiting: VecDeque<String>,
    lost: u64,
    well: bool,
}

impl Plugin for Audit {
    type Args = AuditArgs;
    const MANIFEST: Manifest = Manifest::new(
        "audit",
        env!("CARGO_PKG_VERSION"),
        "Keeps who called which tool, and what came of it.",
    )
    .author(crate::AUTHOR)
    .category(Category::Service)
    .tags(&["log", "security", "tool"]);

    async fn setup(args: &AuditArgs, ctx: Context) -> Result<Self, PluginError> {
        let most = args.settings.max_size;
        if most < Size(10 * 1024) {
            return Err(PluginError::Settings(format!("max_size = \"{most}\": at least 10KiB").into()));
        }
        let (folder, worker) = (ctx.data_dir()?, args.worker.clone());
        let log = Log::new(&folder, most.0);
        let ready = worker.ask(move |slot| *slot = Some(log)).await;
        ready.map_err(|error| PluginError::failed(format!("the thread of the log: {error}")))?;
        Ok(Self { ctx, worker, waiting: VecDeque::new(), lost: 0, well: true })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &AuditArgs, _: &Context) {
        // A call that is not kept would be the one that somebody wants to hide.
        let options = Options { capacity: 1024, overflow: Overflow::Wait, ..Options::default() };
        hooks.observe::<topics::CallRecorded>(options);
    }

    fn every(&self) -> Option<Duration> {
        Some(BEAT)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.write().await;
        Ok(())
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.write().await;
        match self.waiting.len() {
            0 => Ok(()),
            lines => Err(PluginError::failed(format!("{lines} lines could not be written"))),
        }
    }
}

impl Observer<topics::CallRecorded> for Audit {
    async fn observe(&mut self, record: Arc<CallRecord>) -> Result<(), PluginError> {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
            self.lost += 1;
        }
        self.waiting.push_back(line(&record, self.ctx.clock().wall_ms()));
        self.write().await;
        Ok(())
    }
}

impl Audit {
    /// Writes what waits; what cannot be written waits on.
    async fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut text = match self.lost {
            0 => String::new(),
            lost => format!("{{\"ts\":{},\"lost\":{lost}}}\n", stamp(self.ctx.clock().wall_ms())),
        };
        self.waiting.iter().for_each(|line| text.push_str(line));
        let written = self.worker.ask(move |log| log.as_mut().map_or(Ok(()), |log| log.append(&text))).await;
        let written = written.unwrap_or_else(|error| Err(error.to_string()));
        match written {
            Ok(()) => {
                self.waiting.clear();
                self.lost = 0;
                if !std::mem::replace(&mut self.well, true) {
                    self.ctx.degraded(None);
                }
            }
            Err(error) => {
                self.well = false;
                self.ctx.degraded(Some(format!("the audit log cannot be written: {error}")));
            }
        }
    }
}

fn stamp(wall_ms: Option<i64>) -> Json {
    wall_ms.map(rfc3339).into()
}

/// A record as a line.
fn line(record: &CallRecord, wall_ms: Option<i64>) -> String {
    let CallRecord { tool, id, from, verified, args, outcome } = record;
    let hash = args.as_ref().map(|args| {
        let digest = Sha512_256::digest(args.to_string());
        digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    // By hand, because the members are to stand in the order in which a person asks.
    let mut members: Vec<(&str, Json)> = vec![
        ("ts", stamp(wall_ms)),
        ("from", cut(from).into()),
        ("verified", (*verified).into()),
        ("tool", cut(tool).into()),
        ("id", cut(id).into()),
        ("args", hash.into()),
        ("ok", outcome.is_ok().into()),
    ];
    match outcome {
        Ok(took) => members.push(("ms", u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into())),
        Err(error) => {
            let code = serde_json::to_value(error.code).unwrap_or_default();
            members.extend([("code", code), ("why", cut(&error.message).into())]);
        }
    }
    let members: Vec<String> = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}\n", members.join(","))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.into(),
    }
}

/// The lines of a log, the oldest first; what is no line of it is left out.
///
/// # Errors
/// When there is a file that cannot be read.
pub fn read(folder: &std::path::Path) -> std::io::Result<Vec<Map<String, Json>>> {
    let mut lines = Vec::new();
    for file in FILES.iter().rev() {
        match std::fs::read_to_string(folder.join(file)) {
            Ok(text) => lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;
