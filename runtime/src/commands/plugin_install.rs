//! `sedge plugin install | upgrade | remove`.
//!
//! What is installed is started once, as the node will start it, but with nothing granted. Ctrl-C ends it all, and nothing has
//! changed. It must not change the config: what is to be written there it prints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sedge_host::Declaration;
use sedge_host::install::{
    Fetch, InstallError, Installed, Installer, Lock, Source, Step, Trust, Upgrade, Upgraded, Verifier, probe,
};
use sedge_host::manifest::read;
use sedge_plugin::grant::Grants;
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;

use super::plugin_outside::{grant_line, wished};
use crate::cli::{Global, InstallArgs, PlaceArgs, RemoveArgs, UpgradeArgs};
use crate::exit::Failure;
use crate::http::download;
use crate::load::{Loaded, find, load};
use crate::shelf::section_of;
use crate::show::{complain, say};
use crate::{outside, place, shelf};

/// The machine's own plugins.
const SYSTEM: &str = "/usr/local/lib/sedge/plugins";

/// What is known before anything is installed.
struct Site {
    loaded: Option<Loaded>,
    trust: Trust,
    cancelled: Arc<AtomicBool>,
    quiet: bool,
    starts: bool,
    runtime: Handle,
}

impl Fetch for Site {
    fn get(&self, url: &str, most: u64, into: &mut dyn Write) -> Result<(), String> {
        download(url, most, into, &|| !self.cancelled.load(Ordering::Relaxed))
    }
}

impl Verifier for Site {
    fn loads(&self, folder: &Path, declaration: &Declaration) -> Result<String, String> {
        if !self.starts || declaration.entry.is_none() {
            return Ok("not started".into());
        }
        let carrier = outside::trial(folder, declaration)?;
        self.runtime.block_on(probe(&*carrier, folder, declaration))
    }
}

impl Site {
    fn new(global: &Global, starts: bool) -> Result<Self, Failure> {
        let loaded = match find(global.config.as_deref()) {
            Some(_) => Some(load(global)?),
            None => None,
        };
        let trust = match &loaded {
            // What asks for signatures must not be passed over because something else is wrong.
            Some(loaded) => match &loaded.config {
                Some(config) => outside::trust(config),
                None => {
                    loaded.show(global);
                    return Err(Failure::ConfigShown);
                }
            },
            None => Trust::default(),
        };
        let quiet = global.quiet || global.json;
        let cancelled = Arc::new(AtomicBool::new(false));
        Ok(Self { loaded, trust, cancelled, quiet, starts, runtime: Handle::current() })
    }

    fn with<R>(&self, root: &Path, work: impl FnOnce(&Installer<'_>) -> R) -> R {
        let watch = |step| {
            let text = match step {
                Step::Locked => "waiting for another installation",
                Step::Fetch => "getting it",
                Step::Requirements => "installing what it needs into an environment of its own",
                Step::Start if self.starts => "starting it once",
                _ => "",
            };
            if !text.is_empty() && !self.quiet {
                complain(format_args!("… {text}"));
            }
            !self.cancelled.load(Ordering::Relaxed)
        };
        work(&Installer {
            root: root.into(),
            trust: self.trust.clone(),
            fetch: self,
            verifier: self,
            watch: &watch,
            environment: Default::default(),
            now_ms: now_ms(),
        })
    }

    /// The config, as far as there is one.
    fn config(&self) -> Json {
        self.loaded.as_ref().map_or(Json::Null, |loaded| (*loaded.effective).clone())
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs work that blocks; Ctrl-C tells it to end.
async fn interruptible<R: Send + 'static>(
    site: Arc<Site>,
    work: impl FnOnce(&Site) -> Result<R, Failure> + Send + 'static,
) -> Result<R, Failure> {
    let cancelled = site.cancelled.clone();
    let mut task = tokio::task::spawn_blocking(move || work(&site));
    let done = tokio::select! {
        done = &mut task => done,
        _ = tokio::signal::ctrl_c() => {
            cancelled.store(true, Ordering::Relaxed);
            task.await
        }
    };
    done.map_err(|error| Failure::Failed(format!("it was not finished: {error}")))?
}

fn failed(error: InstallError) -> Failure {
    match error {
        InstallError::Source(_) => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    }
}

/// Installs a plugin.
pub async fn install(global: &Global, args: &InstallArgs) -> Result<(), Failure> {
    let site = Arc::new(Site::new(global, !args.no_start)?);
    let here =
        std::env::current_dir().map_err(|error| Failure::Failed(format!("no folder to be in: {error}")))?;
    let source = Source::parse(&args.source, &here).map_err(failed)?;
    let (root, link, dry) = (root(&args.place)?, args.link, args.dry_run);
    let done = interruptible(site.clone(), move |site| {
        site.with(&root, |installer| match (&source, link) {
            (Source::Directory(folder), true) => installer.link(folder),
            (_, true) => Err(InstallError::Source("--link: expected a directory".into())),
            (source, false) => installer.install(source, dry),
        })
        .map_err(failed)
    });
    let installed = done.await?;
    if global.json {
        return say(json!({ "dry_run": dry, "installed": installed }));
    }
    show(&installed, if dry { "would be installed" } else { "is installed" })?;
    unseen(global, &site, &installed.folder);
    if !dry {
        wiring(&site, &installed.folder)?;
    }
    Ok(())
}

fn show(installed: &Installed, word: &str) -> Result<(), Failure> {
    let before = installed.before.as_ref().map(|before| format!(", after {before}")).unwrap_or_default();
    say(format_args!(
        "{} {} {word} in {}{before}",
        installed.name,
        installed.version,
        installed.folder.display()
    ))?;
    let commit = installed.commit.as_ref().map(|commit| format!(" at {commit}")).unwrap_or_default();
    say(format_args!("  from      {}{commit}", installed.source))?;
    if let Some(hash) = &installed.sha256 {
        say(format_args!("  sha256    {hash}"))?;
    }
    say(format_args!("  signed    {}", installed.key.as_deref().unwrap_or("no")))?;
    say(format_args!("  start     {}", installed.loads))?;
    let asks = installed.requests.missing(&Grants::default());
    say(format_args!("  asks for  {}", if asks.is_empty() { "nothing".into() } else { asks.join(", ") }))?;
    if !installed.requests.why.is_empty() {
        say(format_args!("  because   it {}", installed.requests.why))?;
    }
    for note in &installed.notes {
        say(format_args!("  note      {note}"))?;
    }
    Ok(())
}

/// What is to be written into the config.
fn wiring(site: &Site, folder: &Path) -> Result<(), Failure> {
    let Ok(declaration) = read(folder) else { return Ok(()) };
    let section = section_of(&declaration).word();
    let name = &declaration.info.name;
    let config = site.config();
    let named = config[section]
        .as_object()
        .into_iter()
        .flatten()
        .any(|(id, keys)| keys["kind"].as_str().map_or(id == name, |kind| kind == name));
    if named {
        return say("The config names it already; `sedge reload` has a running node see it.");
    }
    say("\nIn the config:\n")?;
    match section {
        "plugin" => say(format_args!("[plugin.{name}]"))?,
        section => say(format_args!("[{section}.{name}-1]\nkind = \"{name}\""))?,
    }
    if let Some(sensor) = declaration.sensor.as_ref().filter(|_| section == "sensor") {
        if sensor.bus.is_some() {
            let address = sensor.addresses.first().copied().unwrap_or_default();
            say(format_args!("bus = \"i2c-1\"\naddress = 0x{address:02x}"))?;
        }
        say("every = \"10s\"")?;
    }
    for line in required(&declaration) {
        say(line)?;
    }
    if !declaration.requests.missing(&Grants::default()).is_empty() {
        say(grant_line(&wished(&declaration.requests, &Grants::default(), &config)))?;
    }
    Ok(())
}

/// A line for each setting that must be there, to be filled in.
fn required(declaration: &Declaration) -> Vec<String> {
    let schema = declaration.settings.as_ref().map(|schema| schema.value()).unwrap_or_default();
    let keys = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let line = |key: &str| {
        let property = &schema["properties"][key];
        let value = match property["type"].as_str() {
            Some("string") => "\"…\"",
            Some("boolean") => "false",
            Some("array") => "[]",
            Some("object") => "{}",
            _ => "0",
        };
        let text = property["description"].as_str().unwrap_or("to be filled in");
        format!("{key} = {value}  # {}", text.lines().next().unwrap_or_default())
    };
    keys.map(line).collect()
}

/// Says it where a node with this config would not look there, or would find another one first.
fn unseen(global: &Global, site: &Site, folder: &Path) {
    let config = find(global.config.as_deref());
    let extra = site.loaded.as_ref().and_then(|loaded| loaded.config.as_ref());
    let extra: Vec<PathBuf> = extra.map(|config| config.plugin_paths.clone()).unwrap_or_default();
    let root = folder.parent().unwrap_or(folder);
    if !roots(config.as_deref(), &extra)
        .iter()
        .any(|place| place.canonicalize().is_ok_and(|place| place == root))
    {
        complain(format_args!(
            "note: a node with this config does not look there; add to it: [plugins] paths = [\"{}\"]",
            root.display()
        ));
    }
}

/// Brings plugins to what their sources have now.
pub async fn upgrade(global: &Global, args: &UpgradeArgs) -> Result<(), Failure> {
    let site = Arc::new(Site::new(global, !args.no_start)?);
    let roots = candidates(global, &site, &args.place)?;
    let mut found = Vec::new();
    for root in &roots {
        let lock = Lock::read(root).map_err(failed)?;
        let names = lock.plugins.into_iter().filter(|(name, locked)| {
            if args.names.is_empty() { locked.sha256.is_some() } else { args.names.contains(name) }
        });
        found.extend(names.map(|(name, _)| (root.clone(), name)));
    }
    if let Some(missing) = args.names.iter().find(|name| !found.iter().any(|(_, found)| found == *name)) {
        return Err(nowhere(missing, &roots));
    }
    let how = Upgrade { grant: args.grant, force: args.force, dry: args.dry_run };
    let (mut told, mut well, mut held) = (Vec::new(), true, false);
    for (root, name) in found {
        let asked = name.clone();
        let work =
            move |site: &Site| site.with(&root, |installer| installer.upgrade(&asked, how)).map_err(failed);
        match interruptible(site.clone(), work).await {
            Ok(upgraded) if global.json => {
                held |= matches!(upgraded, Upgraded::Held { .. });
                told.push(json!(upgraded));
            }
            Ok(upgraded) => {
                held |= matches!(upgraded, Upgraded::Held { .. });
                show_upgraded(&upgraded, how.dry)?;
            }
            Err(error) if global.json => {
                well = false;
                told.push(json!({ "outcome": "failed", "name": name, "error": error.to_string() }));
            }
            Err(error) => {
                well = false;
                complain(format_args!("error: {name}: {error}"));
            }
        }
    }
    if global.json {
        say(Json::from(told))?;
    }
    match (well, held) {
        (false, _) => Err(Failure::FailedShown),
        // What was asked for is not done.
        (true, true) => Err(Failure::PartlyShown),
        (true, false) => Ok(()),
    }
}

fn show_upgraded(upgraded: &Upgraded, dry: bool) -> Result<(), Failure> {
    match upgraded {
        Upgraded::Done(installed) => show(installed, if dry { "would be installed" } else { "is installed" }),
        Upgraded::Same { name, version } => say(format_args!("{name} {version} is what its source has")),
        Upgraded::Held { name, before, version, asks } => {
            say(format_args!(
                "{name} {version} asks for more than {before}, which stays: {}",
                asks.join(", ")
            ))?;
            say(format_args!("  to accept that: sedge plugin upgrade {name} --grant"))
        }
    }
}

/// Removes a plugin.
pub async fn remove(global: &Global, args: &RemoveArgs) -> Result<(), Failure> {
    let site = Arc::new(Site::new(global, false)?);
    let roots = candidates(global, &site, &args.place)?;
    let is_there = |root: &&PathBuf| Lock::read(root).is_ok_and(|lock| lock.plugins.contains_key(&args.name));
    let root = roots.iter().find(is_there).cloned().ok_or_else(|| nowhere(&args.name, &roots))?;
    let name = args.name.clone();
    let shown = root.join(&name);
    let work = move |site: &Site| site.with(&root, |installer| installer.remove(&name)).map_err(failed);
    let locked = interruptible(site.clone(), work).await?;
    let config = site.config();
    let sections = ["plugin", "sensor", "processor", "destination"];
    let named = sections.iter().flat_map(|section| {
        let ids = config[*section].as_object().into_iter().flatten();
        let is_it =
            |id: &str, keys: &Json| keys["kind"].as_str().map_or(id == args.name, |kind| kind == args.name);
        ids.filter(move |(id, keys)| is_it(id, keys)).map(move |(id, _)| format!("[{section}.{id}]"))
    });
    let named: Vec<String> = named.collect();
    if global.json {
        return say(
            json!({ "removed": args.name, "version": locked.version, "folder": shown, "named": named }),
        );
    }
    say(format_args!("{} {} is removed from {}", args.name, locked.version, shown.display()))?;
    if !named.is_empty() {
        complain(format_args!("warning: the config still names it: {}", named.join(", ")));
    }
    Ok(())
}

fn nowhere(name: &str, roots: &[PathBuf]) -> Failure {
    let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
    let by_hand = "a plugin that was put there by hand is yours to change";
    Failure::Failed(format!(
        "`{name}` was not installed by `sedge plugin` into {}; {by_hand}",
        roots.join(", ")
    ))
}

/// Where it goes: the user's own plugins; the machine's, for root.
fn root(args: &PlaceArgs) -> Result<PathBuf, Failure> {
    if let Some(to) = &args.to {
        return Ok(to.clone());
    }
    // A node that runs as a service does not look into what belongs to root.
    if args.system || (!args.user && nix::unistd::geteuid().is_root()) {
        return Ok(SYSTEM.into());
    }
    let user = place::user_data().map(|folder| folder.join("plugins"));
    user.ok_or_else(|| Failure::Failed("there is no home to install into; name a folder with --to".into()))
}

/// Where it may lie.
fn candidates(global: &Global, site: &Site, args: &PlaceArgs) -> Result<Vec<PathBuf>, Failure> {
    if args.to.is_some() || args.system || args.user {
        return Ok(vec![root(args)?]);
    }
    let config = find(global.config.as_deref());
    let extra = site.loaded.as_ref().and_then(|loaded| loaded.config.as_ref());
    let extra: Vec<PathBuf> = extra.map(|config| config.plugin_paths.clone()).unwrap_or_default();
    Ok(roots(config.as_deref(), &extra))
}

fn roots(config: Option<&Path>, extra: &[PathBuf]) -> Vec<PathBuf> {
    shelf::places(config, extra).iter().filter_map(|place| place.folder().map(Path::to_path_buf)).collect()
}
