//! `sedge man`: the manual, made of the command line's own definition.
//!
//! One page per command in section 1, `sedge.toml` in section 5 from the schemas of the config. What a definition cannot say,
//! such as files and variables, stands here by hand, in `sedge.1` alone.
//!
//! It must not name what is hidden, nor the commands of plugins: those are not the program's own.

mod config_page;

use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::version::VERSION;
use crate::cli::{Cli, ManArgs};
use crate::exit::Failure;
use crate::show;

/// What stands in the header of a page.
const MANUAL: &str = "Sedge";

const EXIT: [(&str, &str); 6] = [
    ("0", "What was asked for was done."),
    ("1", "It was tried, and failed."),
    ("2", "The command line makes no sense."),
    ("3", "Some of several failed."),
    ("75", "The broker cannot be reached; another try may help."),
    (
        "78",
        "The config is wrong, and stays so until somebody corrects it. A service ends with it only then, so systemd need not try again.",
    ),
];

const FILES: [(&str, &str); 8] = [
    ("./sedge.toml, /etc/sedge/sedge.toml", "The config, see sedge.toml(5): the first that is there."),
    ("conf.d/*.toml, plugins/NAME.toml", "Beside the config, laid over it by name."),
    ("/etc/sedge/credentials/", "Secrets, a file each, root's alone: `credential:NAME` in the config."),
    ("/etc/default/sedge", "Variables of the service."),
    ("/var/lib/sedge/NODE/", "What a node keeps, its journal of readings among it."),
    ("/run/sedge/NODE.sock", "Where the node on this machine is asked."),
    ("/usr/lib/sedge/plugins/", "Plugins of packages."),
    ("/usr/local/lib/sedge/plugins/", "Plugins of this machine, from `sedge plugin install`."),
];

const ENVIRONMENT: [(&str, &str); 8] = [
    (
        "SEDGE__SECTION__KEY",
        "Sets a key of the config, such as SEDGE__MQTT__URL; goes before files, and after --set.",
    ),
    ("SEDGE_LOG", "What is logged: a level, or one by module, as in info,sedge_mqtt=debug."),
    ("SEDGE_LOAD_PLUGINS", "The only plugins that are to run, with commas between."),
    ("NO_COLOR", "No colours, whatever it says."),
    ("STATE_DIRECTORY, RUNTIME_DIRECTORY", "Of systemd: where a node keeps things, and where its socket is."),
    ("CREDENTIALS_DIRECTORY", "Of systemd: where credentials are, as NAME or as sedge_NAME."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "Of systemd: where `sedge run` says that it is ready, how it fares and that it lives.",
    ),
    ("XDG_DATA_HOME, XDG_RUNTIME_DIR", "The same for a node that a user runs."),
];

/// Prints `sedge.1`, or writes all pages into a folder.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(folder) = &args.dir else {
        let (_, page) = pages().swap_remove(0);
        return show::print(page);
    };
    let told = |path: &Path, error: std::io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    std::fs::create_dir_all(folder).map_err(|error| told(folder, error))?;
    for (name, page) in pages() {
        let file = folder.join(name);
        std::fs::write(&file, page).map_err(|error| told(&file, error))?;
    }
    Ok(())
}

/// All pages with the names of their files, `sedge.1` first.
fn pages() -> Vec<(String, String)> {
    let mut root = visible(&Cli::command());
    root.build();
    let mut pages = Vec::new();
    collect(&root, None, &mut pages);
    pages.push(("sedge.toml.5".into(), config_page::page()));
    pages
}

fn collect(command: &Command, parent: Option<&str>, pages: &mut Vec<(String, String)>) {
    let own = name(command);
    pages.push((format!("{own}.1"), page(command, parent)));
    command.get_subcommands().for_each(|sub| collect(sub, Some(&own), pages));
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// A page. Only that of the program itself has the options that go with every command.
fn page(command: &Command, parent: Option<&str>) -> String {
    let everywhere = |arg: Arg| {
        let hide = arg.is_hide_set() || arg.is_global_set() || arg.get_id() == "help";
        arg.hide(hide)
    };
    let command = match parent {
        Some(_) => command.clone().mut_args(everywhere),
        None => command.clone(),
    };
    let has_options = command.get_arguments().any(|arg| !arg.is_hide_set());
    let (has_commands, after) =
        (command.has_subcommands(), command.get_after_help().map(ToString::to_string));
    let own = name(&command);
    let man = Man::new(command);
    let mut text = Vec::new();
    // A vector takes all that is written.
    let _ = man.render_name_section(&mut text);
    let _ = man.render_synopsis_section(&mut text);
    let _ = man.render_description_section(&mut text);
    if has_options {
        let _ = man.render_options_section(&mut text);
    }
    if has_commands {
        let _ = man.render_subcommands_section(&mut text);
    }
    let mut roff = Roff::new();
    match (parent, after) {
        (None, _) => by_hand(&mut roff),
        (Some(_), Some(after)) => {
            roff.control("SH", ["NOTES"]).text([roman(after)]);
        }
        (Some(_), None) => {}
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(match parent {
        None => "sedge.toml(5), systemctl(1), journalctl(1)".into(),
        Some(parent) => format!("{parent}(1); sedge(1) has the options that every command takes"),
    })]);
    let _ = roff.to_writer(&mut text);
    titled(&own, 1, &String::from_utf8_lossy(&text))
}

fn by_hand(roff: &mut Roff) {
    for (title, rows) in [("EXIT STATUS", &EXIT[..]), ("FILES", &FILES), ("ENVIRONMENT", &ENVIRONMENT)] {
        roff.control("SH", [title]);
        for (name, text) in rows {
            roff.control("TP", []).text([bold(*name)]).text([roman(*text)]);
        }
    }
}

/// A page of its parts. Every part begins with the same lines about the apostrophe, which a page needs once; and the title is made
/// here because it has no date, for which the library leaves a hole.
fn titled(name: &str, section: u8, parts: &str) -> String {
    let is_about_apostrophe = |line: &&str| line.starts_with(".ie ") || line.starts_with(".el ");
    let mut page: String =
        parts.lines().take_while(is_about_apostrophe).map(|line| format!("{line}\n")).collect();
    page.push_str(&format!(".TH {name} {section} \"\" \"sedge {VERSION}\" {MANUAL}\n"));
    page.extend(parts.lines().filter(|line| !is_about_apostrophe(line)).map(|line| format!("{line}\n")));
    page
}

/// A command without what is hidden, and without the commands of others.
pub(crate) fn visible(command: &Command) -> Command {
    let mut visible = Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().filter(|sub| !sub.is_hide_set()).map(visible))
        .disable_help_subcommand(true);
    if let Some(version) = command.get_version() {
        visible = visible.version(version.to_owned());
    }
    if let Some(after) = command.get_after_help() {
        visible = visible.after_help(after.clone());
    }
    visible.subcommand_required(command.is_subcommand_required_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn man_has_nothing_to_say_against_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man(&ManArgs { dir: Some(folder.path().into()) }).unwrap();
        for (name, _) in pages() {
            let mut man = std::process::Command::new("man");
            man.args(["--warnings", "--encoding=utf8", "--troff-device=utf8", "--ditroff", "--local-file"]);
            let Ok(output) = man.arg(folder.path().join(&name)).env("LC_ALL", "C.UTF-8").output() else {
                return;
            };
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
        }
    }

    #[test]
    fn every_command_has_a_page_and_what_is_hidden_has_none() {
        fn names(command: &Command, parent: &str, all: &mut Vec<String>) {
            let own = if parent.is_empty() {
                "sedge".to_owned()
            } else {
                format!("{parent}-{}", command.get_name())
            };
            command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(|sub| names(sub, &own, all));
            all.push(format!("{own}.1"));
        }
        let mut wanted = vec!["sedge.toml.5".to_owned()];
        names(&Cli::command(), "", &mut wanted);
        wanted.sort();
        let mut made: Vec<String> = pages().into_iter().map(|(name, _)| name).collect();
        made.sort();
        assert_eq!(made, wanted);
        for (name, page) in pages() {
            for hidden in ["__component", "--root", "external"] {
                assert!(!page.contains(hidden), "{name} has {hidden}");
            }
        }
    }
}
