//! A processor and a validator: what they do stands in the reading.

use sedge_plugin::prelude::*;

/// Settings of both.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Added to every level.
    add: f64,
    /// A level above is vetoed.
    most: Option<f64>,
    /// A level of exactly this is marked as stuck.
    stuck: Option<f64>,
    /// A level of exactly this it cannot say anything about.
    fails: Option<f64>,
    /// A level of exactly this breaks it.
    panics: Option<f64>,
}

impl Settings {
    fn step(&self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let Some(&Value::Number(level)) = draft.frame.get("level") else { return Ok(Step::Pass) };
        if self.fails == Some(level) {
            return Err(PluginError::failed("it knows nothing of this level"));
        }
        if self.panics == Some(level) {
            panic!("it panicked at this level as it was told");
        }
        if self.most.is_some_and(|most| level > most) {
            return Ok(Step::Veto(format!("{level} is too much")));
        }
        let mut next = draft.clone();
        for sample in next.frame.samples.iter_mut().filter(|sample| sample.field == "level") {
            sample.set(level + self.add);
            if self.stuck == Some(level) {
                sample.quality = Quality::Stuck;
            }
        }
        Ok(if next == *draft { Step::Pass } else { Step::Replace(next) })
    }
}

/// A processor: changes readings, and holds back what it vetoes.
pub struct Changes(Settings);

impl Processor for Changes {
    const KIND: &'static str = "probe-step";
    const TITLE: &'static str = "Changes levels as a test wants";
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        Ok(Self(settings))
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        self.0.step(draft)
    }
}

/// A validator: marks readings, and rejects what it vetoes.
pub struct Judges(Settings);

impl Processor for Judges {
    const KIND: &'static str = "probe-judge";
    const TITLE: &'static str = "Judges levels as a test wants";
    const STAGE: Stage = Stage::Validate;
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        Ok(Self(settings))
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        self.0.step(draft)
    }
}
