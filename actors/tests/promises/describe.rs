//! What processors say of a sensor's fields is what others see, as long as the processors are there.

use std::sync::Arc;

use sedge_actors::{PluginSpec, RunningNode};
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Describe, Process, SensorChange, SensorChanged};

use super::puppet::{Puppet, S, node, pass};
use super::reload::change;
use super::support::{Numbers, id};

/// Turns degrees Celsius into Fahrenheit, and says so. Breaks when it hears a number.
struct Fahrenheit;
impl Plugin for Fahrenheit {
    type Args = ();
    const MANIFEST: Manifest =
        Manifest::new("fahrenheit", "1.0.0", "Converts.").category(Category::Processor);
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
        let only = || Options::default().only([id("kitchen")]);
        hooks.inline::<Process>(only(), |draft| {
            let mut next = draft.clone();
            for sample in &mut next.frame.samples {
                if let Some(celsius) = sample.number() {
                    sample.set(celsius * 1.8 + 32.0);
                }
            }
            Ok(Step::Replace(next))
        });
        hooks.inline::<Describe>(only(), |sensor| {
            let mut next = sensor.clone();
            next.place = "somewhere else".into();
            next.fields.values_mut().for_each(|field| field.unit = Unit::Fahrenheit);
            Ok(Step::Replace(next))
        });
        hooks.observe::<Numbers>(Options::default());
    }
}
impl Observer<Numbers> for Fahrenheit {
    async fn observe(&mut self, _: Arc<u64>) -> Result<(), PluginError> {
        panic!("boiled over")
    }
}

const FIELDS: &[Field] = &[Field::new("temperature", Unit::Celsius)];

fn thermometer() -> Puppet {
    Puppet::new()
        .on_setup(|ctx| async move {
            ctx.announce(SensorDescriptor::new(ctx.id().clone(), "thermometer", "1", "here", FIELDS));
            Ok(())
        })
        .on_tick(3600 * S, |ctx| async move {
            let mut frame = Frame::default();
            frame.push("temperature", 100.0);
            ctx.submit(ctx.id(), frame).await
        })
}

fn unit(node: &RunningNode, sensor: &str) -> Unit {
    node.directory().sensors[sensor].fields["temperature"].unit
}

#[tokio::test(start_paused = true)]
async fn a_step_that_converts_changes_what_others_see_of_its_sensor_and_of_no_other() {
    let converter = PluginSpec::new::<Fahrenheit>(id("converter"), ());
    let node = node(vec![converter, thermometer().spec("kitchen"), thermometer().spec("attic")]).await;
    pass(S).await;
    assert_eq!((unit(&node, "kitchen"), unit(&node, "attic")), (Unit::Fahrenheit, Unit::Celsius));
    let number = |sensor| node.latest(&id(sensor)).unwrap().frame.samples[0].number().unwrap();
    assert_eq!((number("kitchen"), number("attic")), (212.0, 100.0));
    assert_eq!(node.directory().sensors["kitchen"].place, "here", "it describes fields, not another sensor");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_processor_said_is_taken_back_when_it_goes_and_said_again_when_it_comes() {
    let sensor = || thermometer().spec("kitchen");
    let converter = || PluginSpec::new::<Fahrenheit>(id("converter"), ());
    let mut node = node(vec![sensor()]).await;
    let mut changes = node.bus().subscribe::<SensorChanged>(&id("ear"), Options::default());
    let mut units = || -> Vec<Unit> {
        let unit = |change: Arc<SensorChange>| match &*change {
            SensorChange::Announced(sensor) => sensor.fields["temperature"].unit,
            SensorChange::Gone(sensor) => panic!("{sensor} is gone"),
        };
        std::iter::from_fn(|| changes.take()).map(unit).collect()
    };
    assert_eq!(unit(&node, "kitchen"), Unit::Celsius);
    node.apply(change(vec![sensor(), converter()])).await.unwrap();
    assert_eq!((unit(&node, "kitchen"), units()), (Unit::Fahrenheit, vec![Unit::Fahrenheit]));
    // It breaks, and while it is away nobody converts.
    node.bus().publish::<Numbers>(1).await;
    pass(S / 10).await;
    assert_eq!((unit(&node, "kitchen"), units()), (Unit::Celsius, vec![Unit::Celsius]));
    pass(5 * S).await;
    assert_eq!((unit(&node, "kitchen"), units()), (Unit::Fahrenheit, vec![Unit::Fahrenheit]));
    node.apply(change(vec![sensor()])).await.unwrap();
    assert_eq!((unit(&node, "kitchen"), units()), (Unit::Celsius, vec![Unit::Celsius]));
    node.stop().await;
}
