//! `sedge NAME …`: a command that a plugin of the node on this machine offers.

use clap::CommandFactory;
use sedge_plugin::schema::nearest;
use sedge_plugin::topics::Command;

use super::{local, tool};
use crate::cli::{CallArgs, Cli, Global, ToolName};
use crate::control::Ask;
use crate::exit::Failure;

/// Runs the tool behind a command.
pub async fn other(global: &Global, words: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = words.split_first() else { return Ok(()) };
    let offered: Vec<Command> = match local::node(global) {
        Ok(node) => serde_json::from_value(node.ask(&Ask::Commands).await?).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let Some(command) = offered.iter().find(|command| command.name == *name) else {
        let cli = Cli::command();
        let own = cli.get_subcommands().map(|command| command.get_name().to_owned());
        let known: Vec<String> = own.chain(offered.into_iter().map(|command| command.name)).collect();
        let hint = nearest(name, known.iter().map(String::as_str));
        let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(Failure::Usage(format!("there is no command `{name}`{hint}")));
    };
    let args = CallArgs {
        tool: ToolName { name: command.tool.to_string() },
        pairs: rest.to_vec(),
        args: None,
        sign_as: None,
        key: None,
    };
    tool::call(&Global { local: true, ..global.clone() }, &args).await
}
