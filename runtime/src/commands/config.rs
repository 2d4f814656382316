//! `sedge config show | get | schema`: what the node is told, from all layers.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::cli::{Global, ShowArgs};
use crate::exit::Failure;
use crate::load::{Loaded, load};
use crate::shelf::Shelf;
use crate::show::{self, say};

/// Prints the config: as JSON, or as one line per key with where it is from.
pub fn show(global: &Global, args: &ShowArgs) -> Result<(), Failure> {
    let loaded = whole(global)?;
    if args.sources && global.json {
        say(serde_json::to_value(&loaded.origins).unwrap_or_default())?;
        return ended(&loaded);
    }
    if global.json {
        say(&loaded.effective)?;
        return ended(&loaded);
    }
    let rows = loaded.origins.iter().map(|origin| match args.sources {
        true => {
            vec![origin.path.clone(), "=".into(), origin.value.to_string(), format!("# {}", origin.source)]
        }
        false => vec![origin.path.clone(), "=".into(), origin.value.to_string()],
    });
    show::table(&rows.collect::<Vec<_>>())?;
    ended(&loaded)
}

/// A config with mistakes was shown, and is no good all the same.
fn ended(loaded: &Loaded) -> Result<(), Failure> {
    if loaded.has_errors() { Err(Failure::ConfigShown) } else { Ok(()) }
}

/// Prints the value of one key.
pub fn get(global: &Global, key: &str) -> Result<(), Failure> {
    let loaded = whole(global)?;
    let parts = key.split('.').filter(|part| !part.is_empty());
    let mut value = &*loaded.effective;
    for part in parts {
        let Some(next) = value.get(part) else {
            let known = value.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            let hint = sedge_plugin::schema::nearest(part, known);
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(Failure::Failed(format!("the config has no `{key}`: there is no `{part}`{hint}")));
        };
        value = next;
    }
    match value {
        Json::String(text) if !global.json => say(text)?,
        value => say(value)?,
    }
    ended(&loaded)
}

/// Prints the JSON Schema of the whole config.
pub fn schema(global: &Global) -> Result<(), Failure> {
    let schema = sedge_config::schema(&shelf(global).catalogue());
    say(serde_json::to_string_pretty(&schema).unwrap_or_default())
}

/// The plugins on disk, also where there is no config or one that cannot be read.
pub(crate) fn shelf(global: &Global) -> Arc<Shelf> {
    match load(global) {
        Ok(loaded) => loaded.shelf,
        Err(_) => Arc::new(Shelf::look(global.config.as_deref(), &[])),
    }
}

/// The config, where it can be shown whole.
fn whole(global: &Global) -> Result<Loaded, Failure> {
    let loaded = load(global)?;
    loaded.show(global);
    if loaded.effective.is_null() { Err(Failure::ConfigShown) } else { Ok(loaded) }
}
