//! The plugins that lie on disk, as the kinds that a config can name.
//!
//! Where they lie depends on the config (its folder, `[plugins] paths`), and what a config may say depends on them: so
//! the paths are read first, then the shelf, then the config.
//!
//! ```no_run
//! use sedge::shelf::Shelf;
//! let shelf = Shelf::look(Some("sedge.toml".as_ref()), &[]);
//! let outcome = sedge_config::parse("sedge.toml", "[plugin.weather]", &shelf.catalogue());
//! ```
//!
//! A name has one meaning: that of the highest place where it lies, also before what is compiled in, and also where what
//! lies there cannot be used. It must not run anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::{Catalogue, Kind, Section, Traits};
use sedge_host::{Cache, Declaration, DeclaredSensor, Entry, Found, Listing, Mistake, Origin, Place};
use sedge_plugin::{Category, NoSettings};
use serde_json::Value as Json;

use crate::{buses, catalogue, place, roster};

/// Names that a plugin cannot have: a section of the config is about something else by it.
const RESERVED: [&str; 4] = ["mqtt", "node", "remote", "sedge"];

/// What lies on disk, and what is compiled in and shadowed by it.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    found: Vec<Found>,
    mistakes: Vec<Mistake>,
}

impl Shelf {
    /// Looks at all places: beside the config, the user's, the machine's, those that the config names, in relation to its
    /// folder.
    pub fn look(config: Option<&Path>, extra: &[PathBuf]) -> Self {
        let mut places = places(config, extra);
        let discover = |places: &[Place]| match place::user_data() {
            Some(user) => Cache::new(user.join("plugins.cache")).discover(places),
            None => sedge_host::discover(places),
        };
        let mut listing = discover(&places);
        if !listing.found.is_empty() {
            // What is compiled in is not told to look at, unless there is something that may stand before it.
            places.push(Place::built_in(roster::built_in()));
            listing = discover(&places);
        }
        let Listing { mut found, mistakes } = listing;
        found.retain(|found| found.origin != Origin::BuiltIn || found.shadowed_by.is_some());
        Self { found, mistakes }
    }

    /// All that lies on disk, and what is compiled in and shadowed by it.
    pub(crate) fn found(&self) -> &[Found] {
        &self.found
    }

    /// What is wrong with the places themselves.
    pub(crate) fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// What a name means, where that lies on disk.
    pub(crate) fn named(&self, name: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.name == name && found.shadowed_by.is_none())
    }

    /// The plugin of that kind, for a section.
    pub(crate) fn kind(&self, section: Section, name: &str) -> Option<(&Path, &Declaration)> {
        let found = self.named(name)?;
        let declaration = usable(found).ok()?;
        (section_of(declaration) == section).then_some((found.path.as_deref()?, declaration))
    }

    /// All that can be used, with its folder.
    pub(crate) fn usable(&self) -> impl Iterator<Item = (&Path, &Declaration)> {
        let winners = self.found.iter().filter(|found| found.shadowed_by.is_none());
        winners.filter_map(|found| Some((found.path.as_deref()?, usable(found).ok()?)))
    }

    /// All kinds of this program, with those that lie on disk.
    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = catalogue::catalogue();
        let winners = self.found.iter().filter(|found| found.shadowed_by.is_none());
        for found in winners {
            let is_of_bus = |kind: &Kind| kind.section == Section::Bus;
            catalogue.kinds.retain(|kind| is_of_bus(kind) || kind.name != found.name);
            match usable(found) {
                Ok(declaration) => catalogue.kinds.push(kind(declaration)),
                Err(why) => catalogue.broken.push((found.name.clone(), why)),
            }
        }
        catalogue
    }
}

/// Where plugins lie on disk.
pub(crate) fn places(config: Option<&Path>, extra: &[PathBuf]) -> Vec<Place> {
    let folder = config.and_then(Path::parent).unwrap_or(Path::new("."));
    let mut places = vec![Place::project(folder.join("plugins"))];
    places.extend(place::user_data().map(|user| Place::user(user.join("plugins"))));
    places.push(Place::system("/usr/local/lib/sedge/plugins"));
    places.push(Place::system("/usr/lib/sedge/plugins"));
    places.extend(extra.iter().map(|path| Place::extra(folder.join(path))));
    places
}

/// What can be run, or why not.
pub(crate) fn usable(found: &Found) -> Result<&Declaration, String> {
    match &found.outcome {
        Err(mistakes) => {
            let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
            Err(match mistakes.len() {
                0 | 1 => first,
                n => format!("{first} (and {} more)", n - 1),
            })
        }
        Ok(_) if RESERVED.contains(&found.name.as_str()) => {
            Err(format!("the name `{}` is the node's own; give the plugin another one", found.name))
        }
        Ok(declaration) if declaration.entry.is_none() => {
            Err("its manifest has no `[entry]`: there is nothing to run".into())
        }
        Ok(declaration) => Ok(declaration),
    }
}

/// The section whose `kind` it is.
pub(crate) fn section_of(declaration: &Declaration) -> Section {
    match declaration.info.category {
        Category::Sensor => Section::Sensor,
        Category::Processor | Category::Validator => Section::Processor,
        Category::Destination => Section::Destination,
        _ => Section::Plugin,
    }
}

fn kind(declaration: &Declaration) -> Kind {
    let none = || schemars::schema_for!(NoSettings).to_value();
    let sensor = declaration.sensor.as_ref();
    Kind {
        section: section_of(declaration),
        name: declaration.info.name.clone(),
        schema: declaration.settings.as_ref().map_or_else(none, |schema| schema.value()),
        addresses: sensor.map(|sensor| sensor.addresses.clone()).unwrap_or_default(),
        buses: sensor.map(serving).unwrap_or_default(),
        outside: Some(Traits {
            requests: declaration.requests.clone(),
            wasm: matches!(declaration.entry, Some(Entry::Wasm(_))),
        }),
    }
}

/// The kinds of buses that can serve it. What was recorded with a driver in the node cannot be played to one outside.
fn serving(sensor: &DeclaredSensor) -> Vec<String> {
    let own = sensor.bus.as_deref().map(buses::serving).unwrap_or_default();
    own.into_iter().filter(|bus| bus != "replay").collect()
}

/// What belongs to a config beside what it says.
#[derive(Debug, Clone)]
pub struct Along {
    /// The config for plugins to see.
    pub effective: Arc<Json>,
    /// Where it lies: what its relative paths are below.
    pub folder: PathBuf,
    /// The plugins on disk that it can name.
    pub shelf: Arc<Shelf>,
    /// The folder for the node's data, once that is known.
    pub data: Option<PathBuf>,
}
