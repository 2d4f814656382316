//! The rules of a manifest: its schema, and what a schema cannot say.
//!
//! Each rule looks at the part of the file that it is about and at nothing else, so that a mistake here hides none
//! there. It must not fail on a value of a wrong type: the schema tells of that.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use sedge_plugin::grant::Requests;
use sedge_plugin::schema::nearest;
use sedge_plugin::schema::{MistakeKind, Schema};
use sedge_plugin::topics::Command;
use sedge_plugin::{Annotations, Category, Every, Id, Name, PluginInfo, Unit};
use sedge_protocol::topics;
use serde::Deserialize;
use serde_json::Value;

use super::document::Document;
use super::schemas::{self, Fault, SchemaText};
use super::{
    Declaration, DeclaredHook, DeclaredSensor, DeclaredTool, Entry, MANIFEST_SCHEMA, MANIFEST_VERSION,
    PythonNeeds, Reading, Stamp, text,
};
use crate::mistake::Mistake;

static KEYS: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let schema = serde_json::from_str(MANIFEST_SCHEMA).ok()?;
    Schema::compile(&schema).ok()
});

/// What the file has in the place of schemas is read apart.
#[derive(Deserialize)]
struct Keys {
    plugin: PluginInfo,
    #[serde(default)]
    entry: Option<EntryKeys>,
    #[serde(default)]
    tool: Vec<ToolKeys>,
    #[serde(default)]
    requests: Requests,
    #[serde(default)]
    hook: Vec<DeclaredHook>,
    #[serde(default)]
    sensor: Option<DeclaredSensor>,
    #[serde(default)]
    python: Option<PythonNeeds>,
    #[serde(default)]
    command: Vec<Command>,
}

#[derive(Deserialize)]
struct EntryKeys {
    command: Option<Vec<String>>,
    wasm: Option<String>,
    #[serde(default)]
    stdio: bool,
}

#[derive(Deserialize)]
struct ToolKeys {
    name: Name,
    description: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    annotations: Annotations,
    #[serde(default)]
    timeout: Option<Every>,
}

/// Reads the text of a manifest of the plugin in `folder`, which is called `name`.
pub(super) fn read(folder: &Path, name: &str, file: &Path, text: &str) -> Result<Reading, Vec<Mistake>> {
    let document = Document::parse(text).map_err(|errors| {
        let errors = errors.into_iter();
        errors.map(|(span, message)| Mistake::in_text(file, text, &span, message)).collect::<Vec<_>>()
    })?;
    let mut check = Check { folder, file, text, document, mistakes: Vec::new(), files: Vec::new() };
    let reading = check.version().then(|| check.all(name)).flatten();
    let mut mistakes = check.mistakes;
    // The manifest first, then the files that it names.
    let order = |mistake: &Mistake| (mistake.file != file, mistake.file.clone(), mistake.at);
    mistakes.sort_by_cached_key(order);
    match reading {
        Some(declaration) if mistakes.is_empty() => Ok(Reading { declaration, files: check.files }),
        _ => Err(mistakes),
    }
}

struct Check<'a> {
    folder: &'a Path,
    file: &'a Path,
    text: &'a str,
    document: Document<'a>,
    mistakes: Vec<Mistake>,
    files: Vec<(String, Stamp)>,
}

impl Check<'_> {
    /// Whether the file can be understood at all. A newer one is full of "mistakes", so it is not looked at further.
    fn version(&mut self) -> bool {
        let Some(version) = self.document.value.get("manifest") else { return true };
        let is_newer = version.as_i64() > Some(MANIFEST_VERSION);
        if is_newer {
            let message = format!(
                "manifest {version} is newer than this node, which reads {MANIFEST_VERSION}; upgrade sedge"
            );
            self.at_value("/manifest", message);
        }
        !is_newer
    }

    fn all(&mut self, name: &str) -> Option<Declaration> {
        self.keys();
        self.texts();
        self.names(name);
        self.choices();
        let settings = self.schema("/settings/schema");
        let inputs: Vec<_> =
            (0..self.length("/tool")).map(|at| self.schema(&format!("/tool/{at}/input"))).collect();
        let outputs: Vec<_> =
            (0..self.length("/tool")).map(|at| self.schema(&format!("/tool/{at}/output"))).collect();
        if !self.mistakes.is_empty() {
            return None;
        }
        match Keys::deserialize(&self.document.value) {
            Ok(Keys { plugin, entry, tool, mut requests, hook, sensor, python, command }) => {
                let schemas = inputs.into_iter().zip(outputs);
                let tools = tool.into_iter().zip(schemas).map(|(keys, (input, output))| {
                    let ToolKeys { name, description, title, annotations, timeout } = keys;
                    DeclaredTool { name, description, input, output, title, annotations, timeout }
                });
                let stdio = entry.as_ref().is_some_and(|entry| entry.stdio);
                let entry =
                    entry.and_then(|keys| keys.command.map(Entry::Command).or(keys.wasm.map(Entry::Wasm)));
                // The one that its section is about is its own.
                let own = own_topic(plugin.category);
                let others = hook.iter().filter(|hook| Some(&*hook.topic) != own);
                requests.topics.extend(others.map(|hook| hook.topic.clone()));
                Some(Declaration {
                    info: plugin,
                    entry,
                    stdio,
                    tools: tools.collect(),
                    settings,
                    requests,
                    hooks: hook,
                    sensor,
                    python,
                    commands: command,
                })
            }
            Err(error) => {
                self.at(&(0..0), error);
                None
            }
        }
    }

    fn keys(&mut self) {
        for (span, message) in std::mem::take(&mut self.document.problems) {
            self.at(&span, message);
        }
        let mistakes = KEYS.as_ref().map(|schema| schema.check(&self.document.value)).unwrap_or_default();
        for mistake in mistakes {
            let place = self.document.place(&mistake.pointer);
            // A number that JSON cannot hold is told of already.
            if self.document.value.pointer(&mistake.pointer).is_some_and(Value::is_null) {
                continue;
            }
            let span =
                if matches!(mistake.kind, MistakeKind::UnknownKey { .. }) { place.key } else { place.value };
            self.at(&span, mistake);
        }
    }

    /// What a list or a log repeats must not steer a terminal.
    fn texts(&mut self) {
        let mut pointers = Vec::new();
        // A tool's input may be a schema, whose texts are shown to nobody by a list.
        let tools = (0..self.length("/tool"))
            .flat_map(|at| ["name", "description"].map(|key| format!("/tool/{at}/{key}")));
        for part in ["/plugin".to_owned(), "/entry".to_owned()].into_iter().chain(tools) {
            if let Some(value) = self.document.value.pointer(&part) {
                steering(value, part, &mut pointers);
            }
        }
        for (pointer, found) in pointers {
            self.at_value(
                &pointer,
                format!("expected one line of text, found the control character {found:?}"),
            );
        }
    }

    fn names(&mut self, folder: &str) {
        if let Some(name) = self.string("/plugin/name") {
            match Id::new(&name) {
                Err(error) => self.at_value("/plugin/name", format!("the name {error}")),
                Ok(_) if name != folder => {
                    let message = format!("expected the name of the folder, `{folder}`, found `{name}`");
                    self.at_value("/plugin/name", message);
                }
                Ok(_) => {}
            }
        }
        for at in 0..self.length("/plugin/needs") {
            let pointer = format!("/plugin/needs/{at}");
            if let Some(Err(error)) = self.string(&pointer).map(|id| Id::new(&id)) {
                self.at_value(&pointer, format!("the plugin's id {error}"));
            }
        }
        let mut taken = BTreeSet::new();
        for at in 0..self.length("/tool") {
            let pointer = format!("/tool/{at}/name");
            match self.string(&pointer).map(|name| Name::new(&name)) {
                Some(Err(error)) => self.at_value(&pointer, format!("the tool's name {error}")),
                Some(Ok(name)) if !taken.insert(name.clone()) => {
                    self.at_value(&pointer, format!("there is a tool `{name}` already"));
                }
                _ => {}
            }
        }
    }

    fn choices(&mut self) {
        for at in 0..self.length("/plugin/requires") {
            self.exactly_one(&format!("/plugin/requires/{at}"), &["device", "program", "library", "module"]);
        }
        self.exactly_one("/entry", &["command", "wasm"]);
        for at in 0..self.length("/entry/command") {
            let pointer = format!("/entry/command/{at}");
            let Some(word) = self.string(&pointer) else { continue };
            if word.starts_with('{') && word.ends_with('}') && word != "{python}" {
                self.at_value(
                    &pointer,
                    format!("expected `{{python}}`, or a word without braces, found `{word}`"),
                );
            }
        }
        let fields = self.document.value.pointer("/sensor/fields").and_then(Value::as_object);
        let units: Vec<(String, String)> = fields
            .into_iter()
            .flatten()
            .filter_map(|(name, field)| {
                let unit = field.get("unit")?.as_str()?;
                let pointer = sedge_plugin::schema::child_pointer("/sensor/fields", name);
                Unit::from_symbol(unit).is_none().then(|| (format!("{pointer}/unit"), unit.to_owned()))
            })
            .collect();
        for (pointer, unit) in units {
            let known: Vec<&str> =
                Unit::all().map(Unit::symbol).filter(|symbol| !symbol.is_empty()).collect();
            let near = nearest(&unit, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let known = known.join(", ");
            self.at_value(
                &pointer,
                format!("`{unit}` is not a known unit{near} (there are {known}, and an empty text for none)"),
            );
        }
        for at in 0..self.length("/hook") {
            let pointer = format!("/hook/{at}/topic");
            let Some(topic) = self.string(&pointer).filter(|topic| topics::by_name(topic).is_none()) else {
                continue;
            };
            let known: Vec<&str> = topics::ALL.iter().map(|shape| shape.name).collect();
            let hint = nearest(&topic, known.iter().copied());
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            self.at_value(
                &pointer,
                format!(
                    "there is no topic `{topic}` that can be used from outside{hint} (there are {})",
                    known.join(", ")
                ),
            );
        }
        if self.string("/entry/command/0").is_some_and(|program| program.trim().is_empty()) {
            self.at_value("/entry/command/0", "expected the name of a program, found nothing");
        }
        let has = |key: &str| self.document.value.pointer(key).is_some();
        if has("/entry/stdio") && !has("/entry/command") {
            self.at_value("/entry/stdio", "expected a `command` beside it, found none");
        }
        if let Some(wasm) = self.string("/entry/wasm") {
            match text::inside(self.folder, &wasm) {
                Ok((_, stamp)) => self.files.push((wasm, stamp)),
                Err(message) => self.at_value("/entry/wasm", message),
            }
        }
    }

    fn exactly_one(&mut self, pointer: &str, keys: &[&str]) {
        let Some(Value::Object(table)) = self.document.value.pointer(pointer) else { return };
        let found: Vec<_> =
            keys.iter().filter(|key| table.contains_key(**key)).map(|key| format!("`{key}`")).collect();
        if found.len() == 1 || (found.is_empty() && !table.is_empty()) {
            return; // A table with other keys only has been told of.
        }
        let listed =
            |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(" and ") };
        let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        let message = format!("expected exactly one of {}, found {}", keys.join(", "), listed(&found));
        self.at_value(pointer, message);
    }

    /// The schema at a pointer: a table, or the path of a file.
    fn schema(&mut self, pointer: &str) -> Option<SchemaText> {
        let value = self.document.value.pointer(pointer)?;
        match value {
            Value::Object(_) => match schemas::checked(value) {
                Ok(schema) => return Some(schema),
                Err(faults) => {
                    for Fault { pointer: within, message } in faults {
                        self.at_value(&format!("{pointer}{within}"), message);
                    }
                }
            },
            Value::String(relative) => match text::inside(self.folder, relative) {
                Ok((path, stamp)) => {
                    self.files.push((relative.clone(), stamp));
                    match schemas::read(&path) {
                        Ok(schema) => return Some(schema),
                        Err(mistakes) => mistakes.into_iter().for_each(|mistake| self.add(mistake)),
                    }
                }
                Err(message) => self.at_value(pointer, message),
            },
            _ => {}
        }
        None
    }

    fn string(&self, pointer: &str) -> Option<String> {
        self.document.value.pointer(pointer)?.as_str().map(str::to_owned)
    }

    fn length(&self, pointer: &str) -> usize {
        self.document.value.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }

    fn at_value(&mut self, pointer: &str, message: impl Display) {
        let place = self.document.place(pointer).value;
        self.at(&place, message);
    }

    fn at(&mut self, span: &Range<usize>, message: impl Display) {
        self.add(Mistake::in_text(self.file, self.text, span, message));
    }

    /// Two tools may share a file.
    fn add(&mut self, mistake: Mistake) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }
}

/// The topic that a section of this category is about.
fn own_topic(category: Category) -> Option<&'static str> {
    match category {
        Category::Processor => Some("process"),
        Category::Validator => Some("validate"),
        Category::Destination => Some("deliver"),
        _ => None,
    }
}

/// Pointers to the texts with a control character.
fn steering(value: &Value, pointer: String, found: &mut Vec<(String, char)>) {
    match value {
        Value::String(text) => found.extend(text.chars().find(|c| c.is_control()).map(|c| (pointer, c))),
        Value::Array(array) => {
            for (at, value) in array.iter().enumerate() {
                steering(value, format!("{pointer}/{at}"), found);
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                steering(value, sedge_plugin::schema::child_pointer(&pointer, key), found);
            }
        }
        _ => {}
    }
}
