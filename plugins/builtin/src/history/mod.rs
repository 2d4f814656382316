//! Past readings for whoever asks: the tool `readings_query`, over the bus, the command line and MQTT.
//!
//! ```console
//! $ sedge tool call readings_query sensor=kitchen since=1h agg=mean:5m
//! ```
//!
//! It reads what the node's journal still has, and keeps nothing of its own. It is there by default; `[plugin.history]` with
//! `enabled = false` switches it off.
//!
//! An answer is bounded: the newest rows that were asked for and fit, with `truncated` where there were more; what takes too
//! long is refused, so that nobody holds up the node by asking.

pub mod aggregate;
pub mod query;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::wire::ReadingFrame;
use serde_json::{Value as Json, json};

use self::aggregate::{Aggregation, Buckets};
use self::query::{Query, moment};

/// What the tool is called.
const TOOL: &str = "readings_query";

/// Rows of an answer, unless told otherwise.
const ROWS: usize = 100;

/// Rows of an answer at most.
const MOST_ROWS: usize = 1000;

/// Bytes of the rows of an answer: as much as fits a message of which nobody is surprised.
const MOST_BYTES: usize = 64 << 10;

/// How long it looks.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QueryArgs {
    /// Only this sensor.
    #[serde(default)]
    sensor: Option<String>,
    /// Only this field.
    #[serde(default)]
    field: Option<String>,
    /// From when on: a time such as "2026-11-20T17:00:00Z", or so long ago, such as "1h".
    #[serde(default)]
    since: Option<String>,
    /// Until when, as `since`.
    #[serde(default)]
    until: Option<String>,
    /// Sums up: mean, min, max, first, last, count or sum, with the time that a row is about, such as "mean:1m".
    #[serde(default)]
    agg: Option<String>,
    /// Rows at most, the newest; 100 unless told otherwise.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// The plugin.
pub struct History {
    ctx: Context,
}

impl Plugin for History {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("history", env!("CARGO_PKG_VERSION"), "Answers questions about past readings.")
            .author(crate::AUTHOR)
            .category(Category::Tool)
            .tags(&["history", "journal"]);

    fn declares(_: &Id, (): &()) -> Claims {
        Claims { sensors: Vec::new(), tools: offered() }
    }

    async fn setup((): &(), ctx: Context) -> Result<Self, PluginError> {
        Ok(Self { ctx })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, (): &(), _: &Context) {
        hooks.tools();
    }
}

fn offered() -> Vec<Tool> {
    let Ok(name) = Name::new(TOOL) else { return Vec::new() };
    let text = "Past readings of this node, in the order in which they were accepted, or summed up per time.";
    let tool = Tool::new(name, text).input::<QueryArgs>();
    vec![Tool {
        title: "Query readings".into(),
        annotations: Annotations { read_only: true, idempotent: true, ..Annotations::default() },
        guideline: Some("Ask for `agg` where the time is long: an answer has at most 1000 rows.".into()),
        timeout_ms: 30_000,
        ..tool
    }]
}

impl Tools for History {
    fn tools(&self) -> Vec<Tool> {
        offered()
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let bad = |error: String| ToolError::new(ToolErrorCode::BadArgs, error);
        let args = QueryArgs::deserialize(&call.args).map_err(|error| bad(error.to_string()))?;
        let now = self.ctx.clock().wall_ms();
        let time = |text: &Option<String>| text.as_deref().map(|text| moment(text, now)).transpose();
        let sensor = args.sensor.as_deref().map(Id::new).transpose();
        let query = Query {
            sensors: sensor.map_err(|error| bad(format!("sensor {error}")))?.into_iter().collect(),
            fields: args.field.into_iter().collect(),
            since_ms: time(&args.since).map_err(bad)?,
            until_ms: time(&args.until).map_err(bad)?,
        };
        let agg: Option<Aggregation> = args.agg.as_deref().map(str::parse).transpose().map_err(bad)?;
        let limit = args.limit.map_or(ROWS, |limit| usize::try_from(limit).unwrap_or(MOST_ROWS));
        self.answer(&query, agg, limit.clamp(1, MOST_ROWS)).await
    }
}

impl History {
    async fn answer(&self, query: &Query, agg: Option<Aggregation>, limit: usize) -> Result<Json, ToolError> {
        let Some(history) = self.ctx.history() else {
            return Err(ToolError::new(ToolErrorCode::Unavailable, "this node keeps no readings"));
        };
        let clock = self.ctx.clock();
        let began = clock.up();
        let mut newest = Newest::new(limit);
        let mut buckets = agg.map(Buckets::new);
        let mut seen: BTreeMap<Id, ()> = BTreeMap::new();
        let untimed = query
            .each(&history, |entry| {
                if clock.up().saturating_sub(began) > PATIENCE {
                    return Err(ToolError::failed("that takes too long: ask for a shorter time"));
                }
                let reading = &entry.reading;
                seen.entry(reading.sensor.clone()).or_default();
                match &mut buckets {
                    Some(buckets) => buckets.add(reading).iter().for_each(|row| newest.push(row.json())),
                    None => newest.push(frame(reading)),
                }
                Ok(())
            })
            .await?;
        buckets.map(Buckets::finish).into_iter().flatten().for_each(|row| newest.push(row.json()));
        let directory = self.ctx.directory();
        let units: serde_json::Map<String, Json> = seen
            .keys()
            .filter_map(|id| {
                let sensor = directory.sensor(id)?;
                let unit = |(name, field): (&Name, &sedge_plugin::directory::FieldDescriptor)| {
                    (name.to_string(), json!(field.unit.symbol()))
                };
                Some((id.to_string(), Json::Object(sensor.fields.iter().map(unit).collect())))
            })
            .collect();
        Ok(json!({
            "rows": newest.rows.into_iter().map(|(row, _)| row).collect::<Json>(),
            "truncated": newest.truncated,
            "untimed": untimed,
            "units": units,
        }))
    }
}

fn frame(reading: &Reading) -> Json {
    let mut object = json!({ "sensor": reading.sensor });
    if let (Some(object), Ok(Json::Object(frame))) =
        (object.as_object_mut(), serde_json::to_value(ReadingFrame::from(reading)))
    {
        object.extend(frame);
    }
    object
}

/// The newest rows, as many as are wanted and fit.
struct Newest {
    limit: usize,
    bytes: usize,
    rows: VecDeque<(Json, usize)>,
    truncated: bool,
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, rows: VecDeque::new(), truncated: false }
    }

    fn push(&mut self, row: Json) {
        let bytes = row.to_string().len();
        self.rows.push_back((row, bytes));
        self.bytes += bytes;
        while self.rows.len() > self.limit || self.bytes > MOST_BYTES {
            let Some((_, bytes)) = self.rows.pop_front() else { return };
            self.bytes -= bytes;
            self.truncated = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::schema::Schema;
    use sedge_plugin::testing::{TestNode, block_on};

    use super::*;

    const WALL: i64 = 1_795_195_680_000;

    fn node() -> (TestNode, History) {
        let node = TestNode::new();
        for n in 0..10_u32 {
            let mut frame = Frame::default();
            frame.push("level", n);
            let sensor = Id::new(if n % 2 == 0 { "tank" } else { "well" }).unwrap();
            let taken = Taken { up_ms: 0, wall_ms: Some(WALL + i64::from(n) * 10_000) };
            node.journal().put(Reading {
                sensor,
                boot: Boot(1),
                seq: u64::from(n),
                taken,
                frame,
                origin: None,
            });
        }
        node.clock().set_wall(Some(WALL + 100_000));
        let history = block_on(History::setup(&(), node.context("history"))).unwrap();
        (node, history)
    }

    fn ask(history: &mut History, args: Json) -> Result<Json, ToolError> {
        block_on(history.call(ToolCall::new(Name::new(TOOL).unwrap(), args)))
    }

    #[test]
    fn its_arguments_are_described_within_the_subset() {
        let tool = &offered()[0];
        let schema = Schema::compile(&tool.input_schema).unwrap();
        assert!(schema.check(&json!({ "since": "1h", "agg": "mean:1m", "limit": 1000 })).is_empty());
        assert!(!schema.check(&json!({ "limit": 1001 })).is_empty());
        assert!(tool.annotations.read_only);
    }

    #[test]
    fn it_answers_with_the_newest_that_were_asked_for() {
        let (_node, mut history) = node();
        let answer = ask(&mut history, json!({ "sensor": "tank", "limit": 2 })).unwrap();
        let levels: Vec<&Json> =
            answer["rows"].as_array().unwrap().iter().map(|row| &row["fields"]["level"]).collect();
        assert_eq!((levels, &answer["truncated"]), (vec![&json!(6), &json!(8)], &json!(true)));
    }

    #[test]
    fn a_time_bounds_it_and_an_aggregation_sums_it_up() {
        let (_node, mut history) = node();
        // 50 s ago and later are the levels 5 to 9.
        let answer =
            ask(&mut history, json!({ "since": "50s", "agg": "mean:1h", "sensor": "well" })).unwrap();
        let rows = answer["rows"].as_array().unwrap();
        assert_eq!((rows.len(), &rows[0]["value"], &rows[0]["count"]), (1, &json!(7), &json!(3)));
    }

    #[test]
    fn an_answer_is_of_bounded_bytes() {
        let mut newest = Newest::new(MOST_ROWS);
        for n in 0..2000 {
            newest.push(json!({ "text": "x".repeat(500), "n": n }));
        }
        assert!(newest.truncated && newest.bytes <= MOST_BYTES);
        assert_eq!(newest.rows.back().unwrap().0["n"], 1999);
    }

    #[test]
    fn a_question_that_makes_no_sense_is_refused_with_the_remedy() {
        let (_node, mut history) = node();
        for (args, told) in [
            (json!({ "sensor": "No Id" }), "sensor"),
            (json!({ "agg": "middle:1m" }), "mean"),
            (json!({ "agg": "mean" }), "mean:1m"),
            (json!({ "since": "yesterday" }), "1h"),
        ] {
            let error = ask(&mut history, args.clone()).unwrap_err();
            assert_eq!(error.code, ToolErrorCode::BadArgs);
            assert!(error.message.contains(told), "{args}: {error}");
        }
    }
}
