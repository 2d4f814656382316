use std::any::Any;

use sedge_plugin::testing::{TestNode, block_on};
use sedge_plugin::topic::{Around, Chain, Collect, First, Observe};
use serde_json::json;

use super::*;
use crate::processors;
use crate::processors::common::bench::{draft, frame};

/// Remembers what is registered, and runs it as a node does.
#[derive(Default)]
struct Recorder(Vec<Registered>, Option<ProcessorPlugin>);

struct Registered {
    topic: &'static str,
    options: Options,
    step: ErasedStep,
}

/// From a topic's message to what its step makes of it.
type ErasedStep = Box<dyn Fn(&dyn Any) -> Box<dyn Any>>;

impl<P: Plugin> Hooks<P> for Recorder {
    fn inline<T: Topic<Kind = Chain>>(
        &mut self,
        options: Options,
        step: impl Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + Send + Sync + 'static,
    ) where
        T::Message: Clone,
    {
        let step = Box::new(move |message: &dyn Any| {
            Box::new(step(message.downcast_ref().unwrap()).unwrap()) as Box<dyn Any>
        });
        self.0.push(Registered { topic: T::NAME, options, step });
    }
    fn observe<T: Topic<Kind = Observe>>(&mut self, _: Options)
    where
        P: Observer<T>,
    {
        assert_eq!(T::NAME, topics::SensorChanged::NAME);
    }
    fn chain<T: Topic<Kind = Chain>>(&mut self, _: Options)
    where
        P: Link<T>,
        T::Message: Clone,
    {
        unreachable!();
    }
    fn collect<T: Topic<Kind = Collect>>(&mut self, _: Options)
    where
        P: Answer<T>,
    {
        unreachable!();
    }
    fn first<T: Topic<Kind = First>>(&mut self, _: Options)
    where
        P: Answer<T>,
    {
        unreachable!();
    }
    fn around<T: Topic<Kind = Around>>(
        &mut self,
        _: Options,
        _: impl Fn(T::Message, Next<T>) -> BoxFuture<'static, Result<T::Answer, PluginError>>
        + Send
        + Sync
        + 'static,
    ) where
        T::Message: Clone,
        T::Answer: Clone + Sync,
    {
        unreachable!();
    }
    fn tools(&mut self)
    where
        P: Tools,
    {
        unreachable!();
    }
    fn service<S: Plugin>(&mut self, _: &str, _: S::Args) {
        unreachable!();
    }
}

impl Recorder {
    fn of(kind: &str, settings: Json, applies: Applies) -> Self {
        Self::on(&TestNode::new(), kind, settings, applies)
    }

    fn on(node: &TestNode, kind: &str, settings: Json, applies: Applies) -> Self {
        let mut hooks = Self::default();
        let args = ProcessorArgs::new(processors::kind(kind).unwrap(), settings, applies);
        ProcessorPlugin::hooks(&mut hooks, &args, &node.context("p"));
        hooks.1 = block_on(ProcessorPlugin::setup(&args, node.context("p"))).ok();
        hooks.0.sort_by_key(|registered| registered.options.priority);
        hooks
    }

    /// Topic, priority and sensors of each registration on a reading's path.
    fn rows(&self) -> Vec<(&str, i32, String)> {
        let sensors = |options: &Options| match &options.only {
            None => "all".to_owned(),
            Some(only) => only.iter().map(Id::as_str).collect::<Vec<_>>().join(" "),
        };
        self.0.iter().map(|r| (r.topic, r.options.priority, sensors(&r.options))).collect()
    }

    fn fire<T: Topic<Kind = Chain>>(&self, message: T::Message) -> T::Message
    where
        T::Message: Clone,
    {
        self.passed::<T>(message).unwrap_or_else(|reason| panic!("{reason}"))
    }

    fn gone(&mut self, sensor: &str) {
        let gone = Arc::new(SensorChange::Gone(id(sensor)));
        block_on(self.1.as_mut().unwrap().observe(gone)).unwrap();
    }

    /// What becomes of a message, or why it was stopped.
    fn passed<T: Topic<Kind = Chain>>(&self, mut message: T::Message) -> Result<T::Message, String>
    where
        T::Message: Clone,
    {
        for registered in self.0.iter().filter(|registered| registered.topic == T::NAME) {
            let only = registered.options.only.as_ref();
            if only.is_some_and(|only| !only.contains(T::key(&message).unwrap())) {
                continue;
            }
            match *(registered.step)(&message).downcast::<Step<T::Message>>().unwrap() {
                Step::Pass => {}
                Step::Replace(next) => message = next,
                Step::Veto(reason) => return Err(reason),
            }
        }
        Ok(message)
    }
}

fn id(id: &str) -> Id {
    Id::new(id).unwrap()
}

fn add_one() -> Json {
    json!({ "field": "v", "offset": 1 })
}

fn value(hooks: &Recorder, sensor: &str) -> f64 {
    let draft = hooks.fire::<topics::Process>(draft(sensor, 0, frame(&[("v", 0.0)])));
    draft.frame.samples[0].number().unwrap()
}

#[test]
fn without_sensors_it_is_for_all_at_its_priority() {
    let hooks = Recorder::of("calibrate", add_one(), Applies::all(250));
    assert_eq!(hooks.rows(), [("describe", 250, "all".into()), ("process", 250, "all".into())]);
    assert_eq!(value(&hooks, "anyone"), 1.0);
}

#[test]
fn a_sensors_own_chain_comes_first_and_each_place_is_registered_once() {
    let chains = [(id("a"), 0), (id("b"), 2), (id("c"), 0)].into();
    let hooks =
        Recorder::of("calibrate", add_one(), Applies { chains, ..Applies::to([id("b"), id("d")], 100) });
    let process: Vec<_> = hooks.rows().into_iter().filter(|row| row.0 == "process").collect();
    assert_eq!(
        process,
        [("process", 10, "a c".into()), ("process", 12, "b".into()), ("process", 100, "d".into())]
    );
    for (sensor, expected) in [("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0), ("e", 0.0)] {
        assert_eq!(value(&hooks, sensor), expected, "{sensor}");
    }
}

#[test]
fn one_that_is_for_all_and_in_a_chain_runs_once() {
    let chains = [(id("a"), 1)].into();
    let hooks = Recorder::of("calibrate", add_one(), Applies { chains, ..Applies::all(100) });
    assert_eq!(hooks.rows().len(), 4);
    assert_eq!((value(&hooks, "a"), value(&hooks, "b")), (1.0, 1.0));
    const FIELDS: &[Field] = &[Field::new("v", Unit::Volt).range(0.0, 5.0)];
    let sensor = hooks.fire::<topics::Describe>(SensorDescriptor::new(id("a"), "x", "1", "here", FIELDS));
    assert_eq!(sensor.fields["v"].max, Some(6.0));
}

#[test]
fn one_that_is_for_nobody_but_a_chain_registers_there_alone() {
    let hooks = Recorder::of(
        "calibrate",
        add_one(),
        Applies { chains: [(id("a"), 0)].into(), ..Applies::to([], 100) },
    );
    assert_eq!(hooks.rows(), [("describe", 10, "a".into()), ("process", 10, "a".into())]);
}

#[test]
fn a_validator_is_a_step_of_validation() {
    let hooks = Recorder::of("range", json!({ "field": "v", "max": -1 }), Applies::all(100));
    assert_eq!(hooks.rows().iter().map(|row| row.0).collect::<Vec<_>>(), ["describe", "validate"]);
    let draft = hooks.fire::<topics::Validate>(draft("x", 0, frame(&[("v", 0.0)])));
    assert_eq!(draft.frame.samples[0].quality, Quality::OutOfRange);
}

#[test]
fn descriptor_and_reading_are_changed_by_one_and_the_same() {
    let hooks = Recorder::of("convert", json!({ "to": "°F" }), Applies::all(100));
    assert_eq!(value(&hooks, "x"), 0.0, "its unit is not known yet");
    const FIELDS: &[Field] = &[Field::new("v", Unit::Celsius)];
    let sensor = hooks.fire::<topics::Describe>(SensorDescriptor::new(id("x"), "x", "1", "here", FIELDS));
    assert_eq!(sensor.fields["v"].unit, Unit::Fahrenheit);
    assert!((value(&hooks, "x") - 32.0).abs() < 1e-9);
}

#[test]
fn a_step_that_panicked_does_not_end_the_others() {
    struct Touchy(u32);
    impl Processing for Touchy {
        fn describe(&mut self, _: &mut SensorDescriptor) {}
        fn process(&mut self, _: &Draft) -> Result<Step<Draft>, PluginError> {
            self.0 += 1;
            assert!(self.0 != 1, "the first of all");
            Ok(Step::Pass)
        }
    }
    let shared = Shared::new(Box::new(Touchy(0)), &TestNode::new().context("p"));
    let mut hooks = Recorder::default();
    let kind = processors::kind("calibrate").unwrap();
    register(&mut hooks, kind, Options::default(), Arc::default(), &shared);
    let run = || std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| value(&hooks, "x")));
    assert!(run().is_err());
    assert_eq!(run().unwrap(), 0.0);
}

#[test]
fn wrong_settings_are_told_by_the_setup_and_register_nothing() {
    let refused = |settings, applies| {
        let args = ProcessorArgs::new(processors::kind("convert").unwrap(), settings, applies);
        let mut hooks = Recorder::default();
        let ctx = TestNode::new().context("p");
        ProcessorPlugin::hooks(&mut hooks, &args, &ctx);
        match block_on(ProcessorPlugin::setup(&args, ctx)) {
            Err(PluginError::Settings(text)) => (hooks.0.len(), text),
            other => panic!("{:?}", other.err()),
        }
    };
    let (registered, text) = refused(json!({ "to": "lx" }), Applies::all(100));
    assert!(registered == 0 && text.contains("possible"), "{text}");
    let (registered, text) = refused(json!({ "to": "K", "form": 1 }), Applies::all(100));
    assert!(registered == 0 && text.contains("form"), "{text}");
    for priority in [99, 1000, -1] {
        let (registered, text) = refused(json!({ "to": "K" }), Applies::all(priority));
        assert!(registered == 0 && text.contains("within 100 to 999"), "{text}");
    }
    let chains = [(id("a"), LONGEST_CHAIN)].into();
    let (_, text) = refused(json!({ "to": "K" }), Applies { chains, ..Applies::all(100) });
    assert!(text.contains("at most 90"), "{text}");
}

#[test]
fn what_holds_back_does_so_after_those_that_judge() {
    for (kind, settings) in [("deadband", json!({})), ("limit", json!({ "every": "1m" }))] {
        let hooks = Recorder::of(kind, settings, Applies::all(100));
        assert_eq!(hooks.rows().iter().map(|row| row.0).collect::<Vec<_>>(), ["describe", "admit"]);
    }
}

fn described(hooks: &Recorder, fields: &[Field]) -> SensorDescriptor {
    hooks.fire::<topics::Describe>(SensorDescriptor::new(id("x"), "x", "1", "here", fields))
}

const VOLTS: &[Field] = &[Field::new("v", Unit::Volt)];

#[test]
fn a_sensor_that_comes_anew_is_a_new_one_and_one_that_is_merely_described_again_is_not() {
    let node = TestNode::new();
    let hooks = Recorder::on(&node, "deadband", json!({ "change": 1 }), Applies::all(100));
    let passes = || hooks.passed::<topics::Admit>(draft("x", 0, frame(&[("v", 0.0)]))).is_ok();
    described(&hooks, VOLTS);
    assert_eq!((passes(), passes()), (true, false));
    described(&hooks, VOLTS);
    assert_eq!((passes(), passes()), (true, false), "it was gone: it is not in the directory");
    node.context("x").announce(SensorDescriptor::new(id("x"), "x", "1", "here", VOLTS));
    described(&hooks, VOLTS);
    assert!(!passes(), "another processor came or went");
    described(&hooks, &[Field::new("v", Unit::Celsius)]);
    assert_eq!((passes(), passes()), (true, false), "its values mean something else now");
}

#[test]
fn a_sensor_that_is_gone_is_forgotten() {
    let node = TestNode::new();
    let mut hooks = Recorder::on(&node, "convert", json!({ "field": "v", "to": "K" }), Applies::all(100));
    described(&hooks, VOLTS);
    assert!(node.degraded("p").is_some());
    hooks.gone("y");
    assert!(node.degraded("p").is_some());
    hooks.gone("x");
    assert_eq!(node.degraded("p"), None);
}

#[test]
fn the_mark_of_a_validator_is_inherited() {
    let settings = json!({ "field": "double", "expression": "v * 2" });
    let mut hooks =
        Recorder::of("derive", settings, Applies { chains: [(id("x"), 0)].into(), ..Applies::all(100) });
    hooks.0.extend(Recorder::of("range", json!({ "field": "v", "max": 1 }), Applies::all(900)).0);
    hooks.0.sort_by_key(|registered| (registered.options.place, registered.options.priority));
    for sensor in ["x", "y"] {
        let draft = hooks.fire::<topics::Process>(draft(sensor, 0, frame(&[("v", 2.0)])));
        let draft = hooks.fire::<topics::Validate>(draft);
        let marks: Vec<_> = draft.frame.samples.iter().map(|sample| sample.quality).collect();
        assert_eq!(marks, [Quality::OutOfRange, Quality::OutOfRange], "{sensor}");
    }
}

#[test]
fn a_field_that_is_derived_from_no_field_of_the_reading_is_not_for_all() {
    let refused = |applies| {
        let settings = json!({ "field": "f", "expression": "kitchen.v" });
        let args = ProcessorArgs::new(processors::kind("derive").unwrap(), settings, applies);
        let mut hooks = Recorder::default();
        let ctx = TestNode::new().context("p");
        ProcessorPlugin::hooks(&mut hooks, &args, &ctx);
        let error = block_on(ProcessorPlugin::setup(&args, ctx)).err();
        assert_eq!(error.is_some(), hooks.0.is_empty());
        error.map(|error| error.to_string())
    };
    let text = refused(Applies::all(100)).unwrap();
    assert!(text.contains("names no field of the reading itself: say `sensors`"), "{text}");
    assert_eq!(refused(Applies::to([id("x")], 100)), None);
    assert_eq!(refused(Applies { chains: [(id("x"), 0)].into(), ..Applies::to([], 100) }), None);
}
