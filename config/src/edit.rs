//! Changes a text as a person would: one word, and nothing else.
//!
//! For commands such as `sedge plugin disable`: comments, order and spaces belong to whoever wrote the file. It must
//! not remove anything, and not write a file: it gives the new text.

use sedge_plugin::{Id, IdError};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use crate::catalogue::Section;
use crate::diagnostic::position;

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("line {line}, column {column}: this is not TOML")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// There is no such section. Only one of a plugin is added.
    #[error("there is no section `[{section}.{id}]`")]
    NoSection {
        /// Which section.
        section: Section,
        /// Of which instance.
        id: String,
    },
    /// Something else stands where a table is expected.
    #[error("`{0}` is not a table")]
    NotATable(String),
    /// What always runs.
    #[error("a `[{0}.…]` has no `enabled`")]
    NoSwitch(Section),
    /// The name cannot be one of a section.
    #[error("the name {0}")]
    Name(#[source] IdError),
}

/// Sets `enabled` in a section. A plugin that has no section gets one.
///
/// ```
/// use sedge_config::{Section, edit::set_enabled};
/// let text = "[sensor.kitchen] # above the sink\nkind = 'bme280'\n";
/// let text = set_enabled(text, Section::Sensor, "kitchen", false)?;
/// assert_eq!(text, "[sensor.kitchen] # above the sink\nkind = 'bme280'\nenabled = false\n");
/// # Ok::<(), sedge_config::edit::EditError>(())
/// ```
///
/// # Errors
/// Where the text is no TOML, or has no such section.
pub fn set_enabled(text: &str, section: Section, id: &str, enabled: bool) -> Result<String, EditError> {
    if section == Section::Bus {
        return Err(EditError::NoSwitch(section));
    }
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        EditError::Syntax { line, column }
    })?;
    let word = section.word();
    let missing = || EditError::NoSection { section, id: id.into() };
    if section == Section::Plugin {
        let plugins = document.as_table_mut().entry(word).or_insert_with(|| implicit().into());
        let plugins = table(plugins, word)?;
        if !plugins.contains_key(id) {
            Id::new(id).map_err(EditError::Name)?;
            let within = plugins.iter().next().is_some_and(|(_, other)| other.is_value());
            let is_inline = document.get(word).is_some_and(Item::is_inline_table) || within;
            let mut at_the_end = Table::new();
            at_the_end.set_position(Some(isize::MAX));
            let added = if is_inline { value(InlineTable::new()) } else { at_the_end.into() };
            table(&mut document[word], word)?.insert(id, added);
        }
    }
    let instances = table(document.get_mut(word).ok_or_else(missing)?, word)?;
    let instance = instances.get_mut(id).ok_or_else(missing)?;
    let name = format!("{word}.{id}");
    let instance = table(instance, &name)?;
    match instance.get_mut("enabled") {
        Some(Item::Value(old)) if old.as_bool() == Some(enabled) => return Ok(text.into()),
        Some(Item::Value(old)) => {
            let mut new = Value::from(enabled);
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        Some(_) => return Err(EditError::NotATable(name)),
        None => drop(instance.insert("enabled", value(enabled))),
    }
    Ok(document.to_string())
}

fn implicit() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

fn table<'i>(item: &'i mut Item, name: &str) -> Result<&'i mut dyn TableLike, EditError> {
    item.as_table_like_mut().ok_or_else(|| EditError::NotATable(name.into()))
}
