//! Makes plugins of sections that are about one that lies on disk: its manifest, its grants, what runs it.
//!
//! The manifest is read anew for it, and not taken from a list that may come from a cache. What it says is a part of the
//! fingerprint, so that a reload after an upgrade restarts what was upgraded and nothing else.
//!
//! It must not decide what a grant allows, nor start anything: the engine starts what is made here.

mod carriers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sedge_actors::PluginSpec;
use sedge_config::{Config, Outside as Words, Require, Sandbox, Section, Settings};
use sedge_host::install::{self, Trust};
use sedge_host::outside::{Carrier, Outside, OutsideArgs, Role};
use sedge_host::{Declaration, Entry};
use sedge_plugin::{Activation, Id};
use sedge_protocol::{IN_FLIGHT, Limits, MAX_MESSAGE};

use crate::assemble::Barred;
use crate::buses::Buses;
use crate::devices::SharedDevices;
use crate::place;
use crate::shelf::{Along, usable};

pub(crate) use carriers::component_options;

/// Memory of a process and of a component, unless the config says otherwise, in bytes.
const MEMORY: [u64; 2] = [256 << 20, 16 << 20];

/// Memory of the program around a component in a process of its own, in bytes.
const AROUND: u64 = 128 << 20;

/// Until a plugin must be ready, unless the config says otherwise.
const START: Duration = Duration::from_secs(if cfg!(target_pointer_width = "32") { 30 } else { 10 });

/// The same for a component, which may have to be compiled first.
const FIRST: Duration = Duration::from_secs(60);

/// How long the engine waits beyond that: so the plugin's own deadline tells what was waited for.
const GRACE: Duration = Duration::from_secs(5);

/// How long a teardown may take.
const TEARDOWN: Duration = Duration::from_secs(10);

/// How long a plugin that is started on demand runs on after its last call.
const IDLE: Duration = Duration::from_secs(300);

/// A section that is about a plugin on disk.
pub(crate) struct Instance {
    pub(crate) id: Id,
    pub(crate) section: Section,
    pub(crate) kind: String,
    pub(crate) enabled: bool,
    pub(crate) fault: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) words: Words,
    pub(crate) role: Role,
    /// What the config says of it, as a number.
    pub(crate) mark: u64,
}

/// How far each instance is kept from the rest of the machine, in a few words.
pub type SharedIsolation = Arc<ArcSwap<BTreeMap<Id, String>>>;

/// Which plugins are trusted.
pub(crate) fn trust(config: &Config) -> Trust {
    let require = match config.plugin_require {
        Require::None => install::Require::None,
        Require::Locked => install::Require::Locked,
        Require::Signed => install::Require::Signed,
    };
    Trust { require, keys: config.plugin_keys.clone() }
}

/// What all of them are made with.
pub(crate) struct Workshop<'a> {
    pub(crate) along: &'a Along,
    pub(crate) devices: &'a SharedDevices,
    pub(crate) buses: &'a Buses,
    pub(crate) trust: &'a Trust,
    /// What is said of the isolation of each.
    pub(crate) isolation: &'a mut BTreeMap<Id, String>,
}

impl Workshop<'_> {
    /// The plugin of a section.
    pub(crate) fn spec(&mut self, instance: Instance) -> PluginSpec {
        let (id, kind, mut mark) = (instance.id.clone(), instance.kind.clone(), instance.mark);
        let found = self.found(instance.section, &kind);
        let grants = &instance.words.grant;
        let buses = grants.i2c.values().map(|grant| &grant.bus);
        for bus in buses.chain(grants.gpio.values().map(|grant| &grant.bus)) {
            mark = self.buses.fingerprint(mark, bus);
        }
        if let Ok((folder, declaration)) = &found {
            let told = serde_json::to_string(declaration).unwrap_or_default();
            let told = format!("{mark:x} {} {:?} {told}", folder.display(), self.trust);
            mark = sedge_plugin::fnv1a(told.as_bytes());
        }
        let made = Barred::check(instance.fault.clone(), instance.enabled)
            .and_then(|()| Ok(self.made(instance, found?)?));
        made.unwrap_or_else(|barred| barred.spec(id, &kind)).kind(&kind).fingerprint(mark)
    }

    /// As its manifest is now.
    fn found(&self, section: Section, kind: &str) -> Result<(PathBuf, Declaration), String> {
        let shelf = &self.along.shelf;
        let (folder, _) = match (shelf.kind(section, kind), shelf.named(kind)) {
            (Some(found), _) => found,
            (None, Some(found)) => {
                usable(found)?;
                return Err(format!("`{kind}` is no plugin for `[{section}.…]`"));
            }
            (None, None) => return Err(format!("there is no plugin `{kind}`")),
        };
        match sedge_host::read(folder) {
            // What runs there is in another folder than the node: what is relative here is nothing there.
            Ok(declaration) => {
                Ok((std::path::absolute(folder).unwrap_or_else(|_| folder.into()), declaration))
            }
            Err(mistakes) => Err(mistakes.first().map(ToString::to_string).unwrap_or_default()),
        }
    }

    fn made(
        &mut self,
        instance: Instance,
        (folder, declaration): (PathBuf, Declaration),
    ) -> Result<PluginSpec, String> {
        let Instance { id, kind, settings, words, role, .. } = instance;
        let limits = limits(&words, &declaration);
        let carrier = self.carrier(&folder, &declaration, &words, limits)?;
        self.isolation.insert(id.clone(), carrier.isolation());
        let info = declaration.info.clone();
        let needs: Vec<Id> = info.needs.iter().filter_map(|need| Id::new(need).ok()).collect();
        let args = OutsideArgs {
            declaration: Arc::new(declaration),
            folder,
            carrier,
            settings: settings.into_value(),
            grants: words.grant,
            limits,
            role,
            hardware: self.devices.clone(),
        };
        let start = Duration::from_millis(limits.start_ms);
        let spec = PluginSpec::new::<Outside>(id, args)
            .kind(&kind)
            .version(&info.version)
            .category(info.category)
            .needs(needs)
            .requires(info.requires)
            .deadlines(start + GRACE, TEARDOWN);
        Ok(if info.activation == Activation::OnDemand { spec.on_demand(IDLE) } else { spec })
    }

    /// Where is kept what plugins need of the node: native code that was compiled here, the SDK for Python.
    fn kept(&self) -> PathBuf {
        self.along.data.clone().unwrap_or_else(own_data)
    }

    fn cache(&self) -> PathBuf {
        self.kept().join("compiled")
    }

    fn carrier(
        &self,
        folder: &Path,
        declaration: &Declaration,
        words: &Words,
        limits: Limits,
    ) -> Result<Arc<dyn Carrier>, String> {
        let inner: Arc<dyn Carrier> = match &declaration.entry {
            Some(Entry::Command(command)) => {
                let memory = (limits.memory > 0).then_some(limits.memory);
                let process = carriers::process(command.clone(), declaration.stdio, words, memory);
                carriers::WithSdk::around(process, command, folder, self.kept())
            }
            Some(Entry::Wasm(_)) if words.sandbox == Some(Sandbox::Process) => {
                let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
                let cache = self.cache();
                let paths = [own.as_path(), Path::new(COMPONENT), folder, &cache];
                let mut command: Vec<String> = paths.map(|path| path.display().to_string()).into();
                command.extend(self.trust.keys.iter().cloned());
                // The component's own memory, and what runs it.
                carriers::process(command, false, words, Some(limits.memory.saturating_add(AROUND)))
            }
            Some(Entry::Wasm(file)) => {
                carriers::component(component_options(folder, file, &self.cache(), self.trust))
            }
            None => return Err("its manifest has no `[entry]`: there is nothing to run".into()),
        };
        Ok(Arc::new(carriers::Verified::new(inner, folder, self.trust)))
    }
}

fn own_data() -> PathBuf {
    place::user_data().unwrap_or_else(|| "/var/lib/sedge".into())
}

/// What runs a plugin once, before it has a place: with nothing granted and the usual limits.
pub(crate) fn trial(folder: &Path, declaration: &Declaration) -> Result<Arc<dyn Carrier>, String> {
    let words = Words::default();
    match &declaration.entry {
        Some(Entry::Command(command)) => {
            let process = carriers::process(command.clone(), declaration.stdio, &words, None);
            Ok(carriers::WithSdk::around(process, command, folder, own_data()))
        }
        Some(Entry::Wasm(file)) => {
            let cache = place::user_data().unwrap_or_else(std::env::temp_dir).join("compiled");
            // What is tried may not have been signed; then it is compiled here, or not tried.
            Ok(carriers::component(component_options(folder, file, &cache, &Trust::default())))
        }
        None => Err("its manifest has no `[entry]`: there is nothing to run".into()),
    }
}

/// The word by which this program is told to run a component in a process of its own.
pub(crate) const COMPONENT: &str = "__component";

/// What it must stay within.
pub(crate) fn limits(words: &Words, declaration: &Declaration) -> Limits {
    let [process, component] = MEMORY;
    let is_component = matches!(declaration.entry, Some(Entry::Wasm(_)));
    let usual = if is_component { FIRST } else { START };
    let start = words.limits.start.map_or(usual, |start| start.0);
    Limits {
        message: words
            .limits
            .message
            .map_or(MAX_MESSAGE, |size| usize::try_from(size.0).unwrap_or(MAX_MESSAGE)),
        in_flight: IN_FLIGHT,
        memory: words.limits.memory.map_or(if is_component { component } else { process }, |size| size.0),
        start_ms: u64::try_from(start.as_millis()).unwrap_or(u64::MAX),
    }
}
