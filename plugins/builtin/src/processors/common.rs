//! What processors share: which fields they are for, what they remember of a sensor, how a descriptor follows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::prelude::*;

/// Sensors that a processor remembers, at most.
pub const MAX_SENSORS: usize = 1024;
/// Fields of a sensor that a processor remembers, at most.
pub const MAX_FIELDS: usize = 64;
/// The most decimals that a descriptor is given.
pub const MAX_PRECISION: u8 = 9;

/// One field, several, or, where a setting may be left out, all.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Fields {
    /// All of them.
    #[default]
    #[serde(skip)]
    All,
    /// This one.
    One(Name),
    /// These.
    Many(#[schemars(length(min = 1))] Vec<Name>),
}

impl Fields {
    /// Whether a field is among them.
    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(name) => name.as_str() == field,
            Self::Many(names) => names.iter().any(|name| name.as_str() == field),
        }
    }
}

/// What is remembered of each sensor. The one that was asked for least recently is forgotten for a new one.
#[derive(Debug)]
pub struct Memory<S> {
    kept: BTreeMap<Id, (u64, S)>,
    asked: u64,
}

impl<S> Default for Memory<S> {
    fn default() -> Self {
        Self { kept: BTreeMap::new(), asked: 0 }
    }
}

impl<S: Default> Memory<S> {
    /// What is remembered of a sensor.
    pub fn of(&mut self, sensor: &Id) -> &mut S {
        if self.kept.len() >= MAX_SENSORS && !self.kept.contains_key(sensor) {
            let oldest = self.kept.iter().min_by_key(|(_, (asked, _))| *asked).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| self.kept.remove(&oldest));
        }
        self.asked += 1;
        let (asked, state) = self.kept.entry(sensor.clone()).or_default();
        *asked = self.asked;
        state
    }

    /// Nothing is remembered of a sensor any more.
    pub fn forget(&mut self, sensor: &Id) {
        self.kept.remove(sensor);
    }
}

/// What is remembered of each field of a sensor.
#[derive(Debug)]
pub struct PerField<S>(Vec<(Box<str>, S)>);

impl<S> Default for PerField<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Default> PerField<S> {
    /// What is remembered of a field.
    pub fn of(&mut self, field: &str) -> &mut S {
        let at = self.0.iter().position(|(name, _)| **name == *field).unwrap_or_else(|| {
            if self.0.len() >= MAX_FIELDS {
                self.0.remove(0);
            }
            self.0.push((field.into(), S::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

/// Shows `change` every sample of the fields; it says whether it changed it.
pub fn change(draft: &Draft, fields: &Fields, mut change: impl FnMut(&mut Sample) -> bool) -> Step<Draft> {
    let mut frame = draft.frame.clone();
    let mut changed = false;
    for sample in frame.samples.iter_mut().filter(|sample| fields.has(&sample.field)) {
        changed |= change(sample);
    }
    if changed { Step::Replace(Draft { frame, ..draft.clone() }) } else { Step::Pass }
}

/// Marks a sample that nothing spoke against so far.
pub fn mark(sample: &mut Sample, quality: Quality) -> bool {
    let unmarked = matches!(sample.quality, Quality::Ok | Quality::Estimated);
    if unmarked {
        sample.quality = quality;
    }
    unmarked
}

/// The one of two marks that speaks more against a value; the first where they weigh the same.
pub fn worse(a: Quality, b: Quality) -> Quality {
    let weight = |quality| match quality {
        Quality::Ok => 0,
        Quality::Estimated => 1,
        Quality::Stale => 2,
        Quality::Stuck | Quality::OutOfRange => 3,
        Quality::Rejected => 4,
    };
    if weight(b) > weight(a) { b } else { a }
}

/// A number with so many decimals; one that is too large to have any stays as it is.
pub fn round(n: f64, precision: u8) -> f64 {
    let scale = 10_f64.powi(precision.into());
    let rounded = (n * scale).round() / scale;
    if rounded.is_finite() { rounded } else { n }
}

/// Whether a field is described as a number.
pub fn is_number(field: &FieldDescriptor) -> bool {
    matches!(field.kind, FieldKind::Measurement | FieldKind::TotalIncreasing)
}

/// The decimals that mean as much after a multiplication as `precision` did before. A loss of half a digit is no reason
/// for one more.
pub fn precision(precision: u8, factor: f64) -> u8 {
    let digits = f64::from(precision) - factor.abs().log10() - 2_f64.log10();
    // As casts go, NaN becomes 0 and what is too large the largest.
    (digits.ceil() as u8).min(MAX_PRECISION)
}

/// Settings that do not fit together.
pub fn wrong(text: impl Into<Cow<'static, str>>) -> PluginError {
    PluginError::Settings(text.into())
}

#[cfg(test)]
pub(crate) mod bench {
    //! What the processors' tests share.

    use sedge_plugin::testing::TestNode;
    use serde_json::Value as Json;

    use super::*;

    /// Makes a processor of settings that must be right in form.
    pub fn made<P: Processor>(settings: Json) -> Result<P, PluginError> {
        P::new(serde_json::from_value(settings).unwrap(), &TestNode::new().context("p"))
    }

    pub fn make<P: Processor>(settings: Json) -> P {
        made(settings).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Why settings are refused.
    pub fn refused<P: Processor>(settings: Json) -> String {
        match made::<P>(settings) {
            Err(PluginError::Settings(text)) => text.into(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("the settings were taken"),
        }
    }

    pub fn frame(samples: &[(&'static str, f64)]) -> Frame {
        let mut frame = Frame::default();
        samples.iter().for_each(|(field, value)| frame.push(*field, *value));
        frame
    }

    pub fn draft(sensor: &str, up_ms: u64, frame: Frame) -> Draft {
        Draft { sensor: Id::new(sensor).unwrap(), taken: Taken { up_ms, wall_ms: None }, frame, origin: None }
    }

    /// A reading of sensor `x` with one field `v`.
    pub fn v(up_ms: u64, value: f64) -> Draft {
        draft("x", up_ms, frame(&[("v", value)]))
    }

    /// What becomes of a reading that is not held back.
    pub fn run(processor: &mut impl Processor, draft: Draft) -> Frame {
        match processor.process(&draft).unwrap() {
            Step::Pass => draft.frame,
            Step::Replace(next) => next.frame,
            Step::Veto(reason) => panic!("{reason}"),
        }
    }

    /// The numbers that become of some.
    pub fn values(processor: &mut impl Processor, drafts: impl IntoIterator<Item = Draft>) -> Vec<f64> {
        drafts.into_iter().map(|draft| run(processor, draft).samples[0].number().unwrap()).collect()
    }

    pub fn qualities(
        processor: &mut impl Processor,
        drafts: impl IntoIterator<Item = Draft>,
    ) -> Vec<Quality> {
        drafts.into_iter().map(|draft| run(processor, draft).samples[0].quality).collect()
    }

    /// Which readings are not held back.
    pub fn passed(processor: &mut impl Processor, drafts: impl IntoIterator<Item = Draft>) -> Vec<bool> {
        let passes = |draft| !matches!(processor.process(&draft).unwrap(), Step::Veto(_));
        drafts.into_iter().map(passes).collect()
    }

    /// What becomes of sensor `x`.
    pub fn described(processor: &mut impl Processor, fields: &[Field]) -> SensorDescriptor {
        let mut sensor = SensorDescriptor::new(Id::new("x").unwrap(), "x", "1", "here", fields);
        processor.describe(&mut sensor);
        sensor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sensor_that_was_asked_for_least_recently_is_forgotten() {
        let mut memory = Memory::<u32>::default();
        let id = |n: usize| Id::new(&format!("s{n}")).unwrap();
        (0..MAX_SENSORS).for_each(|n| *memory.of(&id(n)) = 7);
        assert_eq!(*memory.of(&id(0)), 7);
        memory.of(&id(MAX_SENSORS));
        assert_eq!(memory.kept.len(), MAX_SENSORS);
        assert_eq!(*memory.of(&id(0)), 7, "asked for just now");
        assert_eq!(*memory.of(&id(1)), 0);
    }

    #[test]
    fn the_fields_of_a_sensor_are_bounded() {
        let mut fields = PerField::<u32>::default();
        (0..1000).for_each(|n| *fields.of(&format!("f{n}")) = n);
        assert_eq!(fields.0.len(), MAX_FIELDS);
        assert_eq!(*fields.of("f999"), 999);
    }

    #[test]
    fn fields_are_one_or_several() {
        let fields = |json: serde_json::Value| serde_json::from_value::<Fields>(json).unwrap();
        assert!(fields("a".into()).has("a") && !fields("a".into()).has("b"));
        assert!(fields(vec!["a", "b"].into()).has("b") && !fields(vec!["a", "b"].into()).has("c"));
        assert!(Fields::default().has("c"));
    }

    #[test]
    fn decimals_follow_a_factor() {
        for (before, factor, after) in [
            (2, 1.8, 2),
            (2, 1.02, 2),
            (2, 0.98, 2),
            (2, 0.001, 5),
            (1, 100.0, 0),
            (0, 1.0 / 25.4, 2),
            (2, 0.0, 9),
        ] {
            assert_eq!(precision(before, factor), after, "{before} {factor}");
        }
    }

    #[test]
    fn of_two_marks_the_worse_one_counts() {
        use Quality::{Estimated, Ok, OutOfRange, Rejected, Stale, Stuck};
        for (a, b, expected) in [
            (Ok, Estimated, Estimated),
            (Stale, Estimated, Stale),
            (Stale, OutOfRange, OutOfRange),
            (Stuck, OutOfRange, Stuck),
            (Stuck, Rejected, Rejected),
            (Rejected, Ok, Rejected),
        ] {
            assert_eq!(worse(a, b), expected, "{a:?} {b:?}");
        }
    }
}
