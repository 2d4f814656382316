//! Takes a constant from a field.

use sedge_plugin::prelude::*;

/// Its settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field.
    field: Name,
    /// What is taken from it, in the field's unit.
    offset: f64,
}

/// The processor.
pub struct {{type}}(Settings);

impl Processor for {{type}} {
    const KIND: &'static str = "{{name}}";
    const TITLE: &'static str = "Takes a constant from a field";
    type Config = Settings;

    fn new(settings: Settings, _: &Context) -> Result<Self, PluginError> {
        Ok(Self(settings))
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let field = self.0.field.as_str();
        if !matches!(draft.frame.get(field), Some(Value::Number(_))) {
            return Ok(Step::Pass);
        }
        let mut next = draft.clone();
        for sample in next.frame.samples.iter_mut().filter(|sample| sample.field == field) {
            if let Ok(Value::Number(number)) = &mut sample.value {
                *number -= self.0.offset;
            }
        }
        Ok(Step::Replace(next))
    }
}
{{export}}
#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;

    use super::*;

    #[test]
    fn its_field_is_changed_and_no_other() {
        let settings = Settings { field: Name::new("level").unwrap(), offset: 2.0 };
        let mut processor = {{type}}::new(settings, &TestNode::new().context("test")).unwrap();
        let mut frame = Frame::default();
        frame.push("level", 5.0);
        frame.push("temperature", 20.0);
        let taken = Taken { up_ms: 0, wall_ms: None };
        let draft = Draft::new(Id::new("tank").unwrap(), taken, frame);
        let Ok(Step::Replace(next)) = processor.process(&draft) else { panic!() };
        assert_eq!(next.frame.get("level"), Some(&Value::Number(3.0)));
        assert_eq!(next.frame.get("temperature"), Some(&Value::Number(20.0)));
    }
}
