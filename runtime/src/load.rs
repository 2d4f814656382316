//! Finds, reads and checks the config.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_config::{Config, Diagnostic, Layer, Origin, Outcome, Severity};
use serde_json::Value as Json;

use crate::cli::Global;
use crate::exit::Failure;
use crate::extend;
use crate::log::coloured;
use crate::shelf::{Along, Shelf};

/// Mistakes that are shown to a person at once.
const MOST_SHOWN: usize = 20;
/// Files of one folder that are laid over the config.
const MOST_FILES: usize = 1000;
/// Bytes of one file of a config.
const MOST_BYTES: u64 = 1024 * 1024;
/// Where a config is looked for when none is named.
const PLACES: [&str; 2] = ["sedge.toml", "/etc/sedge/sedge.toml"];

/// A config and what it says.
#[derive(Debug)]
pub struct Loaded {
    /// The main file; none where there is none but other layers.
    pub file: Option<PathBuf>,
    /// What it says; none where a mistake is fatal.
    pub config: Option<Config>,
    /// Its mistakes.
    pub diagnostics: Vec<Diagnostic>,
    /// All of it as a file would have it, defaults included, secrets masked.
    pub effective: Arc<Json>,
    /// Each setting with where it is from.
    pub origins: Vec<Origin>,
    /// The plugins on disk that it can name.
    pub shelf: Arc<Shelf>,
    /// What no schema can say: settings that a processor does not take.
    pub refused: Vec<String>,
}

impl Loaded {
    /// Where the config lies: what its relative paths are below.
    pub fn folder(&self) -> PathBuf {
        let folder = self.file.as_deref().and_then(Path::parent);
        folder.map(PathBuf::from).unwrap_or_default()
    }

    /// What belongs to it beside what it says.
    pub fn along(&self) -> Along {
        Along {
            effective: self.effective.clone(),
            folder: self.folder(),
            shelf: self.shelf.clone(),
            data: None,
        }
    }

    /// Checks a text.
    pub fn new(file: &str, text: String) -> Self {
        Self::of(None, &[Layer::File { name: file.into(), text }])
    }

    fn of(file: Option<PathBuf>, layers: &[Layer]) -> Self {
        // A text that lies nowhere can name what is compiled in.
        let look = |file: &PathBuf| Shelf::look(Some(file), &sedge_config::plugin_paths(layers));
        let shelf = file.as_ref().map(look).unwrap_or_default();
        let Outcome { mut config, diagnostics, effective, origins } =
            sedge_config::parse_layers(layers, &shelf.catalogue());
        if let (Some(config), Some(folder)) = (&mut config, file.as_deref().and_then(Path::parent)) {
            lie_below(folder, &mut config.mqtt);
        }
        let refused = config.as_ref().map(|config| refused(config, &shelf)).unwrap_or_default();
        let (effective, shelf) = (Arc::new(effective), Arc::new(shelf));
        Self { file, config, diagnostics, effective, origins, shelf, refused }
    }

    /// Whether there is an error, fatal or not.
    pub fn has_errors(&self) -> bool {
        self.counts().0 > 0
    }

    /// How many mistakes and how many warnings there are.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        (errors + self.refused.len(), self.diagnostics.len() - errors)
    }

    /// The first mistake in one line, and how many more there are.
    pub fn mistake(&self) -> Option<String> {
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        let mistakes: Vec<String> =
            errors.map(Diagnostic::one_line).chain(self.refused.iter().cloned()).collect();
        let (first, more) = mistakes.split_first()?;
        Some(if more.is_empty() { first.clone() } else { format!("{first} (and {} more)", more.len()) })
    }

    /// Shows all mistakes on standard error, each with its line of the file.
    pub fn show(&self, global: &Global) {
        let colour = coloured(global, std::io::stderr().is_terminal());
        for diagnostic in self.diagnostics.iter().take(MOST_SHOWN) {
            crate::show::complain(format_args!("{}\n", diagnostic.render(colour).trim_end()));
        }
        if self.diagnostics.len() > MOST_SHOWN {
            crate::show::complain(format_args!(
                "and {} more; `sedge check --json` tells them all",
                self.diagnostics.len() - MOST_SHOWN
            ));
        }
        for refused in &self.refused {
            crate::show::complain(format_args!("error: {refused}\n"));
        }
    }
}

/// Makes every processor once, on a node that does nothing: some mistakes only its own code knows.
fn refused(config: &Config, shelf: &Shelf) -> Vec<String> {
    let nowhere = sedge_plugin::testing::TestNode::new();
    let well = config.processors.iter().filter(|processor| processor.enabled && processor.fault.is_none());
    let refused = |processor: &sedge_config::Processor| {
        if shelf.named(&processor.kind).is_some() {
            return None;
        }
        let kind = extend::processor(&processor.kind)?;
        let made = (kind.make)(&processor.settings, &nowhere.context(processor.id.as_str()));
        made.err().map(|error| format!("[processor.{}]: {error}", processor.id))
    };
    well.filter_map(refused).collect()
}

/// The config that is named, or the first that is found.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(file) => Some(file.into()),
        None => PLACES.iter().map(PathBuf::from).find(|file| file.exists()),
    }
}

/// The files that `[mqtt]` names lie beside the config, so that a folder with all of it can be carried away.
fn lie_below(folder: &Path, mqtt: &mut sedge_config::Mqtt) {
    let sedge_config::Mqtt { username_file, password_file, ca_file, cert_file, key_file, .. } = mqtt;
    for file in [username_file, password_file, ca_file, cert_file, key_file].into_iter().flatten() {
        if !file.to_string_lossy().starts_with("credential:") {
            *file = folder.join(&*file);
        }
    }
}

/// Reads the config that is named, or the first that is found, with all that is laid over it: `conf.d/*.toml` and
/// `plugins/NAME.toml` beside it, the environment, the command line.
pub fn load(global: &Global) -> Result<Loaded, Failure> {
    let file = find(global.config.as_deref()).ok_or_else(|| {
        Failure::Config(format!(
            "there is no config: neither {} nor {}; name one with -c FILE, or look at `sedge demo`",
            PLACES[0], PLACES[1]
        ))
    })?;
    load_as_if(global, &file, &Changes::new())
}

/// As [`load`], of the config at that file, as if files were changed already.
pub fn load_as_if(global: &Global, file: &Path, changes: &Changes) -> Result<Loaded, Failure> {
    let layers = layers(file, &global.set, changes)?;
    Ok(Loaded::of(Some(file.into()), &layers))
}

/// What a config would be whose main file had this text, with all that is laid over it but the command line.
pub fn load_as(file: &Path, text: String) -> Result<Loaded, Failure> {
    load_as_if(&Global::default(), file, &Changes::from([(file.to_owned(), Some(text))]))
}

/// Texts that files are to get, the main one's or some of `conf.d`; none for one that is to go.
pub type Changes = BTreeMap<PathBuf, Option<String>>;

fn layers(file: &Path, flags: &[(String, String)], changes: &Changes) -> Result<Vec<Layer>, Failure> {
    let text_of = |file: &Path| match changes.get(file) {
        Some(Some(text)) => Ok(text.clone()),
        _ => text(file),
    };
    let mut layers = vec![Layer::File { name: file.display().to_string(), text: text_of(file)? }];
    let folder = file.parent().unwrap_or(Path::new("."));
    let laid_over = folder.join("conf.d");
    let changed = changes.iter().filter(|(file, text)| file.parent() == Some(&laid_over) && text.is_some());
    let mut files: BTreeSet<PathBuf> = toml_files(&laid_over)?.into_iter().collect();
    files.extend(changed.map(|(file, _)| file.clone()));
    for file in files.into_iter().filter(|file| changes.get(file).is_none_or(Option::is_some)) {
        layers.push(Layer::File { name: file.display().to_string(), text: text_of(&file)? });
    }
    for file in toml_files(&folder.join("plugins"))? {
        let plugin = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        layers.push(Layer::Plugin { plugin, name: file.display().to_string(), text: text(&file)? });
    }
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("SEDGE__"))?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    let mut variables: Vec<_> = variables.collect();
    variables.sort_unstable();
    layers.push(Layer::Environment(variables));
    layers.push(Layer::Flags(flags.to_vec()));
    Ok(layers)
}

/// The files of a folder that end in `.toml`, by name. Hidden ones and those of editors are passed over.
fn toml_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let files = entries.filter_map(Result::ok).map(|entry| entry.path());
    let hidden = |file: &Path| file.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|e| e == "toml") && file.is_file() && !hidden(file))
        .take(MOST_FILES + 1)
        .collect();
    if files.len() > MOST_FILES {
        return Err(Failure::Config(format!("{} has more than {MOST_FILES} files", folder.display())));
    }
    files.sort_unstable();
    Ok(files)
}

fn text(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    match std::fs::metadata(file) {
        Ok(at) if at.is_file() && at.len() > MOST_BYTES => {
            return Err(Failure::Config(format!("{shown} has more than {MOST_BYTES} bytes: no config has")));
        }
        // A pipe may be read once, by `run -c <(…)`; of a device there is no end.
        Ok(at) if !at.is_file() && !at.file_type().is_fifo() => {
            return Err(Failure::Config(format!("{shown} is not a file")));
        }
        _ => {}
    }
    match std::fs::read(file) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..good].iter().filter(|&&byte| byte == b'\n').count() + 1;
            Failure::Config(format!("{shown}:{line}: not a text: TOML is UTF-8, and this line is not"))
        }),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// The package gives its config to the group `sedge`.
fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let group = || {
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let gid = std::fs::metadata(path).ok()?.gid();
        let mut fields = groups
            .lines()
            .map(|line| line.split(':'))
            .find(|line| line.clone().nth(2).and_then(|number| number.parse().ok()) == Some(gid))?;
        Some(fields.next()? == "sedge")
    };
    let remedy = match error.kind() {
        std::io::ErrorKind::PermissionDenied if group() == Some(true) => {
            "; use sudo, or join the group `sedge`: `sudo usermod -aG sedge $USER` and log in again"
        }
        std::io::ErrorKind::PermissionDenied => "; use sudo",
        _ => "",
    };
    Failure::Config(format!("cannot read {}: {error}{remedy}", path.display()))
}

/// The only plugins that are to run: what `SEDGE_LOAD_PLUGINS=a,b` names; none where it is not set.
pub fn only_plugins() -> Option<Vec<String>> {
    let named = std::env::var_os("SEDGE_LOAD_PLUGINS")?;
    let named = named.to_string_lossy().into_owned();
    Some(named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}
