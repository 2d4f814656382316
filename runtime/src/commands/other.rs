//! `sedge NAME …`: a command of a plugin, or the program `sedge-NAME` on the PATH.
//!
//! A command of a plugin is a tool in other words; it is known from the node that runs, and from the manifests of what
//! lies on disk. A plugin's command comes before a program: it is what the operator has set up for this node.
//!
//! A program gets what follows its name, and in its environment `SEDGE` (this program), and as far as known `SEDGE_CONFIG`,
//! `SEDGE_NODE` and `SEDGE_BROKER`, as `-c`, `--node` and `--broker` say.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use sedge_host::outside::tool_name;
use sedge_plugin::Id;
use sedge_plugin::schema::nearest;
use sedge_plugin::topics::Command;
use serde_json::Value as Json;

use super::{local, tool};
use crate::cli::{CallArgs, Cli, Global, ToolName};
use crate::control::Ask;
use crate::exit::Failure;
use crate::load::{Loaded, find, load};
use crate::shelf::{Shelf, section_of};

/// Runs the tool behind a command, or the program of that name.
pub async fn other(global: &Global, words: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = words.split_first() else { return Ok(()) };
    let mut offered = Vec::new();
    let node = local::node(global);
    if let Ok(node) = &node {
        let told = node.ask(&Ask::Commands).await?;
        offered.extend(serde_json::from_value::<Vec<Command>>(told).unwrap_or_default());
    }
    let loaded = find(global.config.as_deref()).and_then(|_| load(global).ok());
    let declared = declared(loaded.as_ref(), global);
    offered.extend(declared.iter().filter_map(|declared| declared.command.clone()));
    if let Some(command) = offered.iter().find(|command| command.name == *name) {
        let called = called(global, command, rest)?;
        node?;
        return called.run(global).await;
    }
    let unnamed = declared.iter().find(|declared| declared.name == *name);
    if let Some(program) = program(name) {
        return Err(run(global, &program, rest));
    }
    if let Some(declared) = unnamed {
        let (plugin, section) = (&declared.plugin, declared.section);
        return Err(Failure::Failed(format!(
            "`{name}` is a command of the plugin `{plugin}`, and no `[{section}.…]` of the config names that; \
             `sedge plugin enable {plugin}` does"
        )));
    }
    let cli = Cli::command();
    let own = cli.get_subcommands().map(|command| command.get_name().to_owned());
    let known = own.chain(offered.into_iter().map(|command| command.name));
    let known: Vec<String> = known.chain(programs()).collect();
    let hint = nearest(name, known.iter().map(String::as_str));
    let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(Failure::Usage(format!("there is no command `{name}`{hint}")))
}

/// A call, as the command line has put it.
struct Called(CallArgs, bool);

impl Called {
    async fn run(self, global: &Global) -> Result<(), Failure> {
        let Self(args, json) = self;
        tool::call(&Global { local: true, json: global.json || json, ..global.clone() }, &args).await
    }
}

/// `KEY=VALUE …`, or `--args JSON`; `--json` is understood here too.
fn called(global: &Global, command: &Command, rest: &[String]) -> Result<Called, Failure> {
    let mut args = CallArgs {
        tool: ToolName { name: command.tool.to_string() },
        pairs: Vec::new(),
        args: None,
        sign_as: None,
        key: None,
    };
    let (mut json, mut rest) = (global.json, rest.iter());
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--json" => json = true,
            "--args" => {
                let value =
                    rest.next().ok_or_else(|| Failure::Usage("--args: a JSON object follows".into()))?;
                args.args = Some(value.clone());
            }
            "-h" | "--help" => {
                let text = format!(
                    "{}: {}\nIts arguments are those of the tool `{}`: KEY=VALUE …, or --args JSON. \
                     `sedge tool info --local {}` tells them.",
                    command.name, command.about, command.tool, command.tool
                );
                return Err(Failure::Usage(text));
            }
            word => args.pairs.push(word.to_owned()),
        }
    }
    if args.args.is_some() && !args.pairs.is_empty() {
        return Err(Failure::Usage("either KEY=VALUE, or --args".into()));
    }
    Ok(Called(args, json))
}

/// A command that a manifest declares.
struct Declared {
    name: String,
    about: String,
    plugin: String,
    section: sedge_config::Section,
    /// As the instance of the config offers it; none where no section names the plugin.
    command: Option<Command>,
}

fn declared(loaded: Option<&Loaded>, global: &Global) -> Vec<Declared> {
    let shelf = match loaded {
        Some(loaded) => loaded.shelf.clone(),
        None => std::sync::Arc::new(Shelf::look(global.config.as_deref(), &[])),
    };
    let mut all = Vec::new();
    for (_, declaration) in shelf.usable().filter(|(_, declaration)| !declaration.commands.is_empty()) {
        let (plugin, section) = (&declaration.info.name, section_of(declaration));
        let effective = loaded.map(|loaded| &*loaded.effective).unwrap_or(&Json::Null);
        let instance = instance(effective, section.word(), plugin);
        all.extend(declaration.commands.iter().map(|command| {
            let tool = instance.as_ref().and_then(|id| tool_name(plugin, id, &command.tool).ok());
            let own = tool.map(|tool| Command { tool, ..command.clone() });
            let (name, about) = (command.name.clone(), command.about.clone());
            Declared { name, about, plugin: plugin.clone(), section, command: own }
        }));
    }
    all
}

/// The instance that a command means: the one that is called as the plugin is, else the first.
fn instance(effective: &Json, section: &str, plugin: &str) -> Option<Id> {
    let instances = effective[section].as_object()?;
    let is_one = |(id, section): &(&String, &Json)| {
        section["kind"].as_str().unwrap_or(id) == plugin && section["enabled"] != false
    };
    let mut all: Vec<&String> = instances.iter().filter(is_one).map(|(id, _)| id).collect();
    all.sort_by_key(|id| (*id != plugin, id.as_str()));
    Id::new(all.first()?).ok()
}

/// The commands of plugins on disk, each with what it does, for `sedge --help`.
pub fn of_plugins(global: &Global) -> Vec<(String, String)> {
    let loaded = find(global.config.as_deref()).and_then(|_| load(global).ok());
    declared(loaded.as_ref(), global).into_iter().map(|declared| (declared.name, declared.about)).collect()
}

/// The program `sedge-NAME` on the PATH.
fn program(name: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    folders().map(|folder| folder.join(format!("sedge-{name}"))).find(|program| is_program(program))
}

/// The names of all such programs.
fn programs() -> Vec<String> {
    let entries = folders().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.strip_prefix("sedge-").filter(|_| is_program(&entry.path())).map(str::to_owned)
    });
    named.collect()
}

/// Of the PATH; not those that depend on where one stands.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    folders.into_iter()
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|at| at.is_file() && at.permissions().mode() & 0o111 != 0)
}

/// Becomes that program; returns only where that fails.
fn run(global: &Global, program: &Path, rest: &[String]) -> Failure {
    let mut command = std::process::Command::new(program);
    command.args(rest);
    if let Ok(own) = std::env::current_exe() {
        command.env("SEDGE", own);
    }
    if let Some(config) = find(global.config.as_deref()) {
        command.env("SEDGE_CONFIG", std::fs::canonicalize(&config).unwrap_or(config));
    }
    let given = [("SEDGE_NODE", &global.node), ("SEDGE_BROKER", &global.broker)];
    command.envs(given.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))));
    let error = command.exec();
    Failure::Failed(format!("cannot run {}: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_means_an_instance_that_runs() {
        let id = |text| Id::new(text).unwrap();
        let config =
            json!({ "plugin": { "b": { "kind": "weather" }, "a": { "kind": "weather", "enabled": false } } });
        assert_eq!(instance(&config, "plugin", "weather"), Some(id("b")));
        assert_eq!(instance(&config, "plugin", "b"), None);
    }
}
