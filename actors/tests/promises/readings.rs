use std::sync::Arc;
use std::time::Duration;

use sedge_actors::{Counts, Node, PluginSpec, RunningNode, Subscription, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{
    Admit, Deliver, Extract, PluginStateChanged, Process, RawPayload, SensorChange, SensorChanged, Validate,
};

use super::support::id;

/// Measures the numbers that it is given, one per tick, for a sensor of its own id.
struct Thermometer {
    ctx: Context,
    values: std::vec::IntoIter<f64>,
}

const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius)];

impl Plugin for Thermometer {
    type Args = Vec<f64>;
    const MANIFEST: Manifest =
        Manifest::new("thermometer", "1.0.0", "Measures what it is given.").category(Category::Sensor);
    async fn setup(values: &Vec<f64>, ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "thermometer", "1.0.0", "nowhere", FIELDS));
        Ok(Self { ctx, values: values.clone().into_iter() })
    }
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        let Some(value) = self.values.next() else { return Ok(()) };
        if value.is_nan() {
            panic!("not a number");
        }
        let mut frame = Frame::default();
        frame.push("temperature", value);
        self.ctx.submit(self.ctx.id(), frame).await
    }
}

/// Doubles, holds back what is over 100, refuses what is under zero.
struct Rules;
impl Plugin for Rules {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("rules", "1.0.0", "Processes and validates.").category(Category::Processor);
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.inline::<Process>(Options::default(), |draft| {
            let Some(Value::Number(n)) = draft.frame.get("temperature") else { return Ok(Step::Pass) };
            if *n > 100.0 {
                return Ok(Step::Veto("too hot to tell".into()));
            }
            let mut next = draft.clone();
            next.frame.samples[0].value = Ok((n * 2.0).into());
            Ok(Step::Replace(next))
        });
        // Sees what the validators made of it.
        hooks.inline::<Admit>(Options::default(), |draft| match draft.frame.get("temperature") {
            Some(Value::Number(n)) if *n < -50.0 => {
                assert_eq!(draft.frame.samples[0].quality, Quality::Rejected);
                Ok(Step::Veto("nobody wants to know".into()))
            }
            _ => Ok(Step::Pass),
        });
        hooks.inline::<Validate>(Options::default(), |draft| match draft.frame.get("temperature") {
            Some(Value::Number(n)) if *n < 0.0 => Ok(Step::Veto("below zero".into())),
            _ => Ok(Step::Pass),
        });
    }
}

async fn measure(values: Vec<f64>) -> (RunningNode, Subscription<Deliver>) {
    let node = Node::new(node_info("readings"), Arc::new(TokioClock::default()));
    let ear = node.bus().subscribe::<Deliver>(&id("ear"), Options::default());
    let plugins = vec![
        PluginSpec::new::<Rules>(id("rules"), ()),
        PluginSpec::new::<Thermometer>(id("kitchen"), values),
    ];
    (node.start(plugins).await, ear)
}

#[tokio::test(start_paused = true)]
async fn a_reading_is_processed_validated_numbered_and_delivered() {
    let (node, mut ear) = measure(vec![20.0]).await;
    let reading = ear.next().await;
    assert_eq!((reading.sensor.as_str(), reading.seq), ("kitchen", 1));
    assert_eq!(reading.frame.get("temperature"), Some(&Value::Number(40.0)));
    assert_eq!(
        reading.taken.wall_ms.unwrap() as u64 - reading.taken.up_ms,
        sedge_plugin::clock::EARLIEST_WALL_MS as u64
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn numbers_have_no_holes_though_readings_are_held_back_and_the_plugin_restarts() {
    let (node, mut ear) = measure(vec![1.0, 200.0, 2.0, f64::NAN]).await;
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.push(ear.next().await.seq);
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6]);
    assert!(node.counts().suppressed >= 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_may_be_held_back_once_it_was_judged_and_leaves_no_hole() {
    let (node, mut ear) = measure(vec![1.0, -99.0, 2.0]).await;
    assert_eq!([ear.next().await.seq, ear.next().await.seq], [1, 2]);
    assert_eq!(node.counts(), Counts { delivered: 2, suppressed: 1, rejected: 1 });
    let metrics = node.metrics();
    let rejected = metrics.iter().find(|metric| metric.name.as_str() == "readings_rejected").unwrap();
    assert_eq!(rejected.metric, sedge_plugin::metrics::Metric::Counter(1));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_reading_is_not_lost_but_marked_and_counted() {
    let (node, mut ear) = measure(vec![-5.0, 5.0]).await;
    assert_eq!(ear.next().await.frame.samples[0].quality, Quality::Rejected);
    assert_eq!(ear.next().await.frame.samples[0].quality, Quality::Ok);
    assert_eq!(node.counts(), Counts { delivered: 2, suppressed: 0, rejected: 1 });
    node.stop().await;
}

/// Hears numbers as text from a line that is not there.
struct Line(Context);
impl Plugin for Line {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("line", "1.0.0", "Hears numbers as text.");
    async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "line", "1.0.0", "tty0", FIELDS));
        Ok(Self(ctx))
    }
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        self.0.submit_raw(self.0.id(), "decimal", b"21.5".to_vec()).await
    }
}

/// Knows numbers as text.
struct Decimal;
impl Plugin for Decimal {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("decimal", "1.0.0", "Knows numbers as text.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        hooks.first::<Extract>(Options::default());
    }
}
impl Answer<Extract> for Decimal {
    async fn answer(&mut self, raw: Arc<RawPayload>) -> Result<Option<Frame>, PluginError> {
        let number = std::str::from_utf8(&raw.bytes).ok().filter(|_| raw.format == "decimal");
        Ok(number.and_then(|text| text.parse::<f64>().ok()).map(|number| {
            let mut frame = Frame::default();
            frame.push("temperature", number);
            frame
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_become_a_reading_by_whoever_knows_their_format() {
    let node = Node::new(node_info("readings"), Arc::new(TokioClock::default()));
    let mut ear = node.bus().subscribe::<Deliver>(&id("ear"), Options::default());
    let node = node
        .start(vec![PluginSpec::new::<Decimal>(id("decimal"), ()), PluginSpec::new::<Line>(id("line"), ())])
        .await;
    assert_eq!(ear.next().await.frame.get("temperature"), Some(&Value::Number(21.5)));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_nobody_knows_are_a_failure_with_the_name_of_the_format() {
    let node = Node::new(node_info("readings"), Arc::new(TokioClock::default()));
    let mut states = node.bus().subscribe::<PluginStateChanged>(&id("ear"), Options::default());
    let node = node.start(vec![PluginSpec::new::<Line>(id("line"), ())]).await;
    let status = loop {
        let status = states.next().await;
        if status.state == State::Degraded {
            break status;
        }
    };
    assert!(status.reason.as_deref().unwrap().contains("`decimal`"), "{status:?}");
    node.stop().await;
}

/// Submits for a sensor that is not its own.
struct Impostor(Context);
impl Plugin for Impostor {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("impostor", "1.0.0", "Pretends.").needs(&["kitchen"]);
    async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
        let kitchen = SensorDescriptor::new(id("kitchen"), "impostor", "6.6.6", "elsewhere", FIELDS);
        ctx.announce(kitchen);
        Ok(Self(ctx))
    }
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
    async fn tick(&mut self) -> Result<(), PluginError> {
        self.0.submit(&id("kitchen"), Frame::default()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_cannot_speak_for_the_sensor_of_another() {
    let node = Node::new(node_info("readings"), Arc::new(TokioClock::default()));
    let mut ear = node.bus().subscribe::<Deliver>(&id("ear"), Options::default());
    let mut changes = node.bus().subscribe::<SensorChanged>(&id("changes"), Options::default());
    let node = node
        .start(vec![
            PluginSpec::new::<Thermometer>(id("kitchen"), vec![1.0]),
            PluginSpec::new::<Impostor>(id("impostor"), ()),
        ])
        .await;
    assert_eq!(ear.next().await.seq, 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(ear.take(), None);
    assert_eq!(node.directory().sensors["kitchen"].kind, "thermometer");
    assert!(
        matches!(&*changes.next().await, SensorChange::Announced(sensor) if sensor.kind == "thermometer")
    );
    assert_eq!(changes.take(), None);
    let reason = node.directory().plugins["impostor"].reason.clone().unwrap();
    assert!(reason.contains("was not announced by `impostor`"), "{reason}");
    node.stop().await;
}
