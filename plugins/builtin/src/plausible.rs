//! Rounds what was measured to the digits that mean something, and marks what no such device can measure.
//!
//! Both come from a sensor's own descriptor, so this knows no kind. On `process` 21.530000686 becomes 21.53;
//! on `validate` 312 °C from a chip that ends at 85 is marked `out_of_range`. The value is kept: a person
//! decides what it is worth. The ends of a range are rounded as values are, so that one at the very end is inside.
//!
//! It converts nothing, and it stops no reading.

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::prelude::*;

use crate::processors::common::round;

/// After the processors of others, so that what they compute is rounded too.
const AFTER_OTHERS: i32 = 1000;

/// Rounds and checks. It has no settings, and no state: its steps run in whoever submits.
pub struct Plausible;

impl Plugin for Plausible {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new(
        "plausible",
        env!("CARGO_PKG_VERSION"),
        "Rounds values to the precision of their field and marks those outside its range.",
    )
    .author(crate::AUTHOR)
    .category(Category::Processor);

    async fn setup((): &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, (): &(), ctx: &Context) {
        let node = ctx.clone();
        hooks.inline::<topics::Process>(Options::priority(AFTER_OTHERS), move |draft| {
            Ok(rounded(&node.directory(), draft))
        });
        let node = ctx.clone();
        hooks.inline::<topics::Validate>(Options::default(), move |draft| {
            Ok(checked(&node.directory(), draft))
        });
    }
}

fn rounded(directory: &Directory, draft: &Draft) -> Step<Draft> {
    change(directory, draft, |sample, field| {
        let Ok(Value::Number(n)) = &mut sample.value else { return false };
        let rounded = round(*n, field.precision);
        std::mem::replace(n, rounded) != rounded
    })
}

fn checked(directory: &Directory, draft: &Draft) -> Step<Draft> {
    change(directory, draft, |sample, field| {
        let Ok(Value::Number(n)) = sample.value else { return false };
        let round = |n| round(n, field.precision);
        let n = round(n);
        let outside =
            field.min.is_some_and(|min| n < round(min)) || field.max.is_some_and(|max| n > round(max));
        let marked = outside && sample.quality == Quality::Ok;
        if marked {
            sample.quality = Quality::OutOfRange;
        }
        marked
    })
}

/// Shows `change` every sample whose field is described; it says whether it changed it.
fn change(
    directory: &Directory,
    draft: &Draft,
    change: impl Fn(&mut Sample, &FieldDescriptor) -> bool,
) -> Step<Draft> {
    let Some(sensor) = directory.sensors.get(&draft.sensor) else { return Step::Pass };
    let mut frame = draft.frame.clone();
    let mut changed = false;
    for sample in &mut frame.samples {
        if let Some(field) = sensor.fields.get(sample.field.as_ref()) {
            changed |= change(sample, field);
        }
    }
    if changed { Step::Replace(Draft { frame, ..draft.clone() }) } else { Step::Pass }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;

    use super::*;

    const FIELDS: &[Field] = &[
        Field::new("temperature", Unit::Celsius).range(-40.0, 85.0),
        Field::new("light", Unit::Lux).precision(0),
    ];

    type OneStep = fn(&Directory, &Draft) -> Step<Draft>;

    /// Sends a frame of a sensor through a step, beside a described sensor `x`.
    fn step(step: OneStep, sensor: &str, frame: Frame) -> Step<Draft> {
        let node = TestNode::new();
        let ctx = node.context("plausible");
        ctx.announce(SensorDescriptor::new(Id::new("x").unwrap(), "x", "1", "here", FIELDS));
        let draft = Draft {
            sensor: Id::new(sensor).unwrap(),
            taken: Taken { up_ms: 0, wall_ms: None },
            frame,
            origin: None,
        };
        step(&ctx.directory(), &draft)
    }

    fn frame(samples: &[(&'static str, f64)]) -> Frame {
        let mut frame = Frame::default();
        for (field, value) in samples {
            frame.push(*field, *value);
        }
        frame
    }

    fn replaced(step: Step<Draft>) -> Frame {
        match step {
            Step::Replace(draft) => draft.frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_noise_of_a_short_float_is_rounded_away() {
        let noisy =
            frame(&[("temperature", f64::from(21.53_f32)), ("light", 411.667), ("unknown", 0.123_456)]);
        let clean = replaced(step(rounded, "x", noisy));
        assert_eq!(clean, frame(&[("temperature", 21.53), ("light", 412.0), ("unknown", 0.123_456)]));
        assert_eq!(round(1e300, 9), 1e300);
        assert_eq!(round(-0.005, 2), -0.01);
    }

    #[test]
    fn what_the_device_cannot_measure_is_marked_and_kept() {
        let marked = replaced(step(checked, "x", frame(&[("temperature", 85.01), ("light", -5.0)])));
        assert_eq!(marked.samples[0].quality, Quality::OutOfRange);
        assert_eq!(marked.get("temperature"), Some(&Value::Number(85.01)));
        assert_eq!(marked.samples[1].quality, Quality::Ok, "light has no range");
    }

    #[test]
    fn what_is_well_or_unknown_passes_untouched() {
        let well = frame(&[("temperature", 85.0)]);
        assert_eq!(step(rounded, "x", well.clone()), Step::Pass);
        assert_eq!(step(checked, "x", well), Step::Pass);
        assert_eq!(step(rounded, "y", frame(&[("temperature", 0.123_456)])), Step::Pass);
        let mut missing = Frame::default();
        missing.missing("temperature", "crc");
        missing.push("light", "bright");
        assert_eq!(step(rounded, "x", missing.clone()), Step::Pass);
        assert_eq!(step(checked, "x", missing), Step::Pass);
    }

    /// A value at the very end of a range is inside in every unit that the range may be told in; the next one is not.
    #[test]
    fn the_end_of_a_range_that_was_converted_is_inside() {
        let celsius = |n: f64| n * 9.0 / 5.0 + 32.0;
        for (unit, precision, end) in [
            (Unit::Fahrenheit, 2, 184.999_999_999_999_94),
            (Unit::Fahrenheit, 1, celsius(84.97)),
            (Unit::PoundPerSquareInch, 3, 1100.0 * 100.0 / 6_894.757_293_168),
            (Unit::MillimetreOfMercury, 2, 1100.0 * 100.0 / 133.322_387_415),
        ] {
            let node = TestNode::new();
            let ctx = node.context("plausible");
            let mut sensor = SensorDescriptor::new(Id::new("x").unwrap(), "x", "1", "here", FIELDS);
            let field = sensor.fields.get_mut("temperature").unwrap();
            (field.unit, field.precision, field.min, field.max) = (unit, precision, Some(-end), Some(end));
            ctx.announce(sensor);
            let step = |value: f64| {
                let frame = frame(&[("temperature", value)]);
                let draft = Draft {
                    sensor: Id::new("x").unwrap(),
                    taken: Taken { up_ms: 0, wall_ms: None },
                    frame,
                    origin: None,
                };
                checked(&ctx.directory(), &draft)
            };
            let (last, one) = (round(end, precision), 10_f64.powi(-i32::from(precision)));
            assert_eq!((step(last), step(-last)), (Step::Pass, Step::Pass), "{unit:?}");
            assert_ne!(step(last + one), Step::Pass, "{unit:?}");
        }
    }
}
