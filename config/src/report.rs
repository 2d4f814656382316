//! Collects the diagnostics of all texts while the sections are read.
//!
//! A section says what is wrong and where in the value; the report knows the place in the text, who is concerned, and
//! how bad that is. It must not decide what is right.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sedge_plugin::fnv1a;
use sedge_plugin::schema::{Mistake, MistakeKind, Schema, child_pointer, looks_secret};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Quoted, Related, Severity, one_line, position};
use crate::document::{Document, is_within};
use crate::instance::Instance;
use crate::secret::Masked;
use crate::source::{From, Sources};

/// Who is concerned by a mistake.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// The node: it cannot start.
    Node,
    /// Something that is no part of the node: all of it runs.
    Stray,
    /// One instance: the rest of the node runs.
    Instance(&'a Instance),
}

/// What became of a check.
pub(crate) struct Checked {
    /// Pointers within the value to what has a mistake.
    wrong: Vec<String>,
    /// Pointers within the value to its secrets.
    pub(crate) secrets: Vec<String>,
}

impl Checked {
    pub(crate) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The value without the keys that have a mistake, so that what is right can still be used.
    pub(crate) fn rest_of(&self, value: &Value) -> Value {
        let is_wrong = |key: &str| {
            let pointer = child_pointer("", key);
            self.wrong
                .iter()
                .any(|wrong| wrong.strip_prefix(&pointer).is_some_and(|rest| !rest.starts_with(|c| c != '/')))
        };
        let Value::Object(object) = value else { return Value::Object(Map::new()) };
        let rest = object.iter().filter(|(key, _)| !is_wrong(key));
        Value::Object(rest.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// Why an instance cannot run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault {
    /// Its first error, and how many more there are.
    pub(crate) text: Option<String>,
    /// Tells its errors apart from others, wherever they stand; 0 without one.
    pub(crate) mark: u64,
}

/// A diagnostic on its way.
struct Entry {
    /// The pointer of the instance that is at fault.
    owner: Option<String>,
    /// Its offset among all texts.
    start: usize,
    /// And that of the other place.
    related: usize,
    /// A mistake whatever else is written.
    certain: bool,
    diagnostic: Diagnostic,
}

pub(crate) struct Report<'a> {
    sources: &'a Sources,
    pub(crate) document: &'a Document,
    entries: Vec<Entry>,
    /// Pointers to what is not to be shown.
    secrets: Vec<String>,
}

impl<'a> Report<'a> {
    /// `secrets` are pointers to what is known not to be shown.
    pub(crate) fn new(sources: &'a Sources, document: &'a Document, secrets: Vec<String>) -> Self {
        Self { sources, document, entries: Vec::new(), secrets }
    }

    /// Adds an error at a place.
    pub(crate) fn error(&mut self, scope: Scope<'_>, span: Range<usize>, message: &str) -> &mut Diagnostic {
        let (fatal, owner, component) = match scope {
            Scope::Node => (true, None, None),
            Scope::Stray => (false, None, None),
            Scope::Instance(instance) => {
                (false, Some(instance.pointer.clone()), Some(instance.id.to_string()))
            }
        };
        self.add(owner, Severity::Error, fatal, component, span, message)
    }

    /// Adds a warning at a place.
    pub(crate) fn warning(&mut self, span: Range<usize>, message: &str) -> &mut Diagnostic {
        self.add(None, Severity::Warning, false, None, span, message)
    }

    /// Adds an error of an instance that has to do with a second place.
    pub(crate) fn conflict(
        &mut self,
        instance: &Instance,
        span: Range<usize>,
        message: &str,
        other: Range<usize>,
        label: &str,
    ) -> &mut Diagnostic {
        self.error(Scope::Instance(instance), span, message);
        self.relate(other, label)
    }

    /// Adds an error of the file that has to do with a second place.
    pub(crate) fn two_places(
        &mut self,
        span: Range<usize>,
        message: &str,
        other: Range<usize>,
        label: &str,
    ) -> &mut Diagnostic {
        self.error(Scope::Node, span, message);
        self.relate(other, label)
    }

    /// Gives the last diagnostic a second place.
    fn relate(&mut self, other: Range<usize>, label: &str) -> &mut Diagnostic {
        let source = self.sources.at(other.start);
        let span = source.local(&other);
        let (line, column) = position(&source.text, span.start);
        let quoted = Arc::new(Quoted { is_file: source.is_file(), masked: Masked::default() });
        let related = Related { file: source.title(), line, column, span, label: one_line(label), quoted };
        let entry = self.last();
        entry.related = other.start;
        entry.diagnostic.related = Some(related);
        &mut entry.diagnostic
    }

    /// Says of the last diagnostic that it is true whatever else is written.
    pub(crate) fn is_certain(&mut self) -> &mut Diagnostic {
        let entry = self.last();
        entry.certain = true;
        &mut entry.diagnostic
    }

    fn last(&mut self) -> &mut Entry {
        self.entries.last_mut().expect("one was added just now")
    }

    fn add(
        &mut self,
        owner: Option<String>,
        severity: Severity,
        fatal: bool,
        component: Option<String>,
        span: Range<usize>,
        message: &str,
    ) -> &mut Diagnostic {
        let source = self.sources.at(span.start);
        let local = source.local(&span);
        let (line, column) = position(&source.text, local.start);
        let diagnostic = Diagnostic {
            severity,
            fatal,
            component,
            file: one_line(&source.name),
            line,
            column,
            span: local,
            message: one_line(&(source.prefix() + message)),
            help: None,
            note: None,
            related: None,
            quoted: Arc::new(Quoted { is_file: source.is_file(), masked: Masked::default() }),
        };
        let entry = Entry { owner, start: span.start, related: usize::MAX, certain: false, diagnostic };
        &mut self.entries.push_mut(entry).diagnostic
    }

    /// Adds a mistake that a schema found in the value at `pointer`.
    pub(crate) fn mistake(&mut self, scope: Scope<'_>, pointer: &str, mistake: &Mistake) {
        let at = format!("{pointer}{}", mistake.pointer);
        if self.document.problems.iter().any(|problem| problem.pointer == at) {
            return;
        }
        let place = self.document.place(&at);
        let is_meant_as_secret = |key: &MistakeKind| match key {
            MistakeKind::UnknownKey { nearest, .. } => nearest.as_deref().is_some_and(looks_secret),
            _ => false,
        };
        let hide = mistake.secret || is_meant_as_secret(&mistake.kind);
        let span =
            if matches!(mistake.kind, MistakeKind::UnknownKey { .. }) { place.key } else { place.value };
        let certain = !matches!(mistake.kind, MistakeKind::MissingKey { .. });
        self.secrets.extend(hide.then_some(at));
        let diagnostic = self.error(scope, span, &mistake.kind.to_string());
        diagnostic.help = mistake.kind.hint().as_deref().map(one_line);
        diagnostic.note = mistake.description.as_deref().map(one_line);
        self.last().certain = certain;
    }

    /// Adds what JSON could not hold of the value at `pointer`.
    pub(crate) fn problems_within(&mut self, scope: Scope<'_>, pointer: &str) {
        let document = self.document;
        for problem in document.problems.iter().filter(|problem| is_within(&problem.pointer, pointer)) {
            self.error(scope, document.place(&problem.pointer).value, &problem.message);
            self.is_certain();
        }
    }

    /// Checks the value at `pointer` and adds all mistakes. `more_keys` may stand beside those that the schema knows.
    pub(crate) fn check(
        &mut self,
        scope: Scope<'_>,
        pointer: &str,
        schema: &Value,
        value: &Value,
        more_keys: &[&str],
    ) -> Checked {
        let schema = match Schema::compile(schema) {
            Ok(schema) => schema,
            Err(error) => {
                let place = self.document.place(pointer);
                self.error(
                    scope,
                    place.key,
                    &format!("the settings of this kind cannot be checked: {error}"),
                );
                return Checked { wrong: vec![String::new()], secrets: Vec::new() };
            }
        };
        let mut checked = Checked { wrong: Vec::new(), secrets: schema.secrets(value) };
        self.secrets.extend(checked.secrets.iter().map(|secret| format!("{pointer}{secret}")));
        for mut mistake in schema.check(value) {
            let at_top = mistake.pointer.matches('/').count() == 1;
            if let MistakeKind::UnknownKey { key, allowed, .. } = &mistake.kind
                && at_top
            {
                let all = more_keys.iter().copied().chain(allowed.iter().map(String::as_str));
                mistake.kind = MistakeKind::unknown_key(key, all);
            }
            self.mistake(scope, pointer, &mistake);
            checked.wrong.push(mistake.pointer);
        }
        checked
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.entries.iter().any(|entry| entry.diagnostic.fatal)
    }

    /// What stands at a place.
    pub(crate) fn written(&self, span: &Range<usize>) -> &'a str {
        let source = self.sources.at(span.start);
        &source.text[source.local(span)]
    }

    /// Pointers to what is not to be shown, as far as something was checked.
    pub(crate) fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Why an instance is at fault.
    pub(crate) fn fault_of(&self, pointer: &str) -> Fault {
        let errors = || self.entries.iter().filter(|entry| entry.owner.as_deref() == Some(pointer));
        let Some(first) = errors().min_by_key(|entry| entry.start) else { return Fault::default() };
        let first = first.diagnostic.one_line();
        let text = match errors().count() - 1 {
            0 => first,
            more => format!("{first} (and {more} more)"),
        };
        let mut all: Vec<String> = errors().map(|entry| entry.diagnostic.without_place()).collect();
        all.sort();
        Fault { text: Some(text), mark: fnv1a(all.join("\n").as_bytes()) }
    }

    /// The fault that follows at `span` from the first error of another instance.
    pub(crate) fn fault_by(&self, span: &Range<usize>, what: &str, other: &str) -> Option<Fault> {
        let errors = self.entries.iter().filter(|entry| entry.owner.as_deref() == Some(other));
        let first = errors.min_by_key(|entry| entry.start)?;
        let (here, there) = (self.sources.at(span.start), self.sources.at(first.start));
        let place = match here.base == there.base && there.is_file() {
            true => format!("line {}", first.diagnostic.line),
            false => there.located(&(first.start..first.start)),
        };
        let text = format!("{}: {}", here.located(span), one_line(&format!("{what} ({place})")));
        let mark = fnv1a(what.as_bytes()) ^ self.fault_of(other).mark;
        Some(Fault { text: Some(text), mark })
    }

    /// All diagnostics, in the order of the texts. Where a text could not be read, much else is no mistake: then it
    /// is those that are certain.
    pub(crate) fn finish(mut self, all: bool) -> Vec<Diagnostic> {
        self.entries.retain(|entry| all || entry.certain);
        self.entries.sort_by_key(|entry| entry.start);
        let mut quoted = BTreeMap::new();
        for at in 0..self.entries.len() {
            let places = [self.entries[at].start, self.entries[at].related];
            let [primary, related] = places.map(|place| {
                let source = self.sources.index(place);
                (place != usize::MAX)
                    .then(|| quoted.entry(source).or_insert_with(|| Arc::new(self.quote(source))).clone())
            });
            let diagnostic = &mut self.entries[at].diagnostic;
            diagnostic.quoted = primary.unwrap_or_default();
            if let Some(other) = &mut diagnostic.related {
                other.quoted = related.unwrap_or_default();
            }
        }
        self.entries.into_iter().map(|entry| entry.diagnostic).collect()
    }

    /// A text without its secrets. The value of a variable or a flag is shown only where a mistake is about it.
    fn quote(&self, index: usize) -> Quoted {
        let source = self.sources.get(index);
        let end = source.base + source.text.len();
        let is_secret = |pointer: &str| self.secrets.iter().any(|secret| is_within(pointer, secret));
        let secrets = self.document.places().filter(|(pointer, _)| is_secret(pointer));
        let secrets = secrets.map(|(_, place)| &place.value);
        let here = secrets.filter(|span| source.base <= span.start && span.end <= end);
        let mut hidden: Vec<_> = here.map(|span| source.local(span)).collect();
        if let From::Variable(given) | From::Flag(given) = &source.from {
            let mut places = self.entries.iter().flat_map(|entry| [entry.start, entry.related]);
            let first = source.base + given.value.start;
            if given.secret || !places.any(|place| (first..=end).contains(&place)) {
                hidden.push(given.value.clone());
            }
        }
        Quoted { is_file: source.is_file(), masked: Masked::file(&source.text, &hidden) }
    }
}
