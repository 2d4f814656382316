//! `sedge completions SHELL`: what a shell needs to complete the command line, made of its own definition.
//!
//! What is hidden is not offered. Commands of plugins are not either: they change without this program.

use clap::CommandFactory;
use clap_complete::Shell;

use super::man::visible;
use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Failure;
use crate::show;

/// Prints the script.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    show::print(script(args.shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), "sedge", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Bash with the script read, and then `rest`; none where there is no bash.
    fn bash(rest: &str) -> Option<String> {
        let script = format!("{}\n{rest}", script(Shell::Bash));
        let output = Command::new("bash").args(["--norc", "-euc", &script]).output().ok()?;
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// What bash offers for words of which the last one is being written.
    fn offered(words: &[&str]) -> Option<Vec<String>> {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let at = words.len() - 1;
        let (last, before) = (words[at], words[at - 1]);
        let rest = format!(
            "COMP_WORDS=({}); COMP_CWORD={at}; _sedge sedge '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" ")
        );
        Some(bash(&rest)?.lines().map(str::to_owned).collect())
    }

    #[test]
    fn bash_completes_commands_and_options() {
        let Some(registered) = bash("complete -p sedge") else { return };
        assert!(registered.contains("-F _sedge"), "{registered}");
        assert_eq!(offered(&["sedge", "pl"]).unwrap(), ["plugin"]);
        assert_eq!(offered(&["sedge", "plugin", "ins"]).unwrap(), ["install"]);
        assert_eq!(offered(&["sedge", "run", "--si"]).unwrap(), ["--sim"]);
        assert_eq!(offered(&["sedge", "completions", "z"]).unwrap(), ["zsh"]);
    }

    #[test]
    fn what_is_hidden_is_not_offered() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = script(shell);
            assert!(script.contains("decommission"), "{shell}");
            for hidden in ["__component", "--root", "-l root", "external"] {
                assert!(!script.contains(hidden), "{shell}: {hidden}");
            }
        }
    }
}
