//! Collects the diagnostics of one file while its sections are read.
//!
//! A section says what is wrong and where in the value; the report knows the place in the text, who is concerned, and
//! how bad that is. It must not decide what is right.

use std::ops::Range;

use sedge_plugin::schema::{Mistake, MistakeKind, Schema, child_pointer, looks_secret};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Related, Severity, one_line, position, within};
use crate::document::Document;
use crate::instance::Instance;

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

pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    pub(crate) document: &'a Document,
    /// With the pointer of the instance that is at fault.
    entries: Vec<(Option<String>, Diagnostic)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str, document: &'a Document) -> Self {
        Self { file, text, document, entries: Vec::new() }
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
        let related = self.related(other, label);
        let diagnostic = self.error(Scope::Instance(instance), span, message);
        diagnostic.related = Some(related);
        diagnostic
    }

    /// Adds an error of the file that has to do with a second place.
    pub(crate) fn two_places(
        &mut self,
        span: Range<usize>,
        message: &str,
        other: Range<usize>,
        label: &str,
    ) -> &mut Diagnostic {
        let related = self.related(other, label);
        let diagnostic = self.error(Scope::Node, span, message);
        diagnostic.related = Some(related);
        diagnostic
    }

    fn related(&self, span: Range<usize>, label: &str) -> Related {
        let (line, column) = position(self.text, span.start);
        Related { line, column, span, label: one_line(label) }
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
        let span = within(self.text, &span);
        let (line, column) = position(self.text, span.start);
        let diagnostic = Diagnostic {
            severity,
            fatal,
            component,
            file: self.file.into(),
            line,
            column,
            span,
            message: one_line(message),
            help: None,
            note: None,
            related: None,
            hidden: Vec::new(),
        };
        &mut self.entries.push_mut((owner, diagnostic)).1
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
        let span = if matches!(mistake.kind, MistakeKind::UnknownKey { .. }) {
            place.key
        } else {
            place.value.clone()
        };
        let diagnostic = self.error(scope, span, &mistake.kind.to_string());
        diagnostic.help = mistake.kind.hint().as_deref().map(one_line);
        diagnostic.note = mistake.description.as_deref().map(one_line);
        diagnostic.hidden.extend(hide.then_some(place.value));
    }

    /// Adds what JSON could not hold of the value at `pointer`.
    pub(crate) fn problems_within(&mut self, scope: Scope<'_>, pointer: &str) {
        let document = self.document;
        let is_within =
            |at: &str| at.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        for problem in document.problems.iter().filter(|problem| is_within(&problem.pointer)) {
            self.error(scope, document.place(&problem.pointer).value, &problem.message);
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
        self.entries.iter().any(|(_, diagnostic)| diagnostic.fatal)
    }

    /// The line of the first error of an instance.
    pub(crate) fn first_line_of(&self, pointer: &str) -> Option<usize> {
        self.errors_of(pointer).map(|diagnostic| diagnostic.line).min()
    }

    /// Why an instance is at fault: its first error, and how many more there are.
    pub(crate) fn fault_of(&self, pointer: &str) -> Option<String> {
        let first = self.errors_of(pointer).min_by_key(|diagnostic| diagnostic.span.start)?;
        Some(match self.errors_of(pointer).count() - 1 {
            0 => first.one_line(),
            more => format!("{} (and {more} more)", first.one_line()),
        })
    }

    fn errors_of(&self, pointer: &str) -> impl Iterator<Item = &Diagnostic> {
        self.entries
            .iter()
            .filter(move |(owner, _)| owner.as_deref() == Some(pointer))
            .map(|(_, diagnostic)| diagnostic)
    }

    /// `file:line:column: message` for something that follows from a mistake elsewhere.
    pub(crate) fn located(&self, span: &Range<usize>, message: &str) -> String {
        let (line, column) = position(self.text, span.start);
        format!("{}:{line}:{column}: {}", self.file, one_line(message))
    }

    /// All diagnostics, in the order of the file.
    pub(crate) fn finish(self) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<_> = self.entries.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        diagnostics
    }
}
