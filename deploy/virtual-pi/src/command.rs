//! What can be told to `cp2112` over TCP: a line each.
//!
//! | line | what it does |
//! |---|---|
//! | `detach 0x76`, `attach 0x76` | takes a chip off the wires; puts it back, with everything forgotten |
//! | `nack 0x76 3` | it does not acknowledge the next 3 transfers; 0 ends it |
//! | `corrupt 0x76 3` | the next 3 reads have every bit turned around; 0 ends it |
//! | `gpio 3 high`, `gpio 3 low` | drives a line from outside |
//! | `pulse 3 10` | drives it high and low again, ten times |
//! | `levels` | answers with the eight levels as a number |
//! | `vanish`, `return` | pulls the whole bridge out; plugs it in again |
//! | `run WORDS` | has the guest's shell run them and answers with what that printed, as a JSON string |
//! | `end` | ends the program, and with it the guest |
//!
//! ```
//! use sedge_virtual_pi::command::Command;
//! assert_eq!("pulse 3 10".parse(), Ok(Command::Pulse { line: 3, pulses: 10 }));
//! assert!("pulse three".parse::<Command>().is_err());
//! ```

use std::str::FromStr;

/// A line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says what each of them does")]
pub enum Command {
    Detach(u8),
    Attach(u8),
    Nack { address: u8, transfers: u32 },
    Corrupt { address: u8, reads: u32 },
    Gpio { line: u8, high: bool },
    Pulse { line: u8, pulses: usize },
    Levels,
    Vanish,
    Return,
    Run(String),
    End,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match words[..] {
            ["detach", address] => Self::Detach(number(address)?),
            ["attach", address] => Self::Attach(number(address)?),
            ["nack", address, transfers] => {
                Self::Nack { address: number(address)?, transfers: number(transfers)? }
            }
            ["corrupt", address, reads] => Self::Corrupt { address: number(address)?, reads: number(reads)? },
            ["gpio", line, "high"] => Self::Gpio { line: number(line)?, high: true },
            ["gpio", line, "low"] => Self::Gpio { line: number(line)?, high: false },
            ["pulse", line, pulses] => Self::Pulse { line: number(line)?, pulses: number(pulses)? },
            ["levels"] => Self::Levels,
            ["vanish"] => Self::Vanish,
            ["return"] => Self::Return,
            ["run", _, ..] => Self::Run(text.trim_start()["run".len()..].trim().into()),
            ["end"] => Self::End,
            _ => return Err(format!("`{text}` is no command")),
        })
    }
}

/// A number such as `10` or `0x76`.
///
/// # Errors
/// When it is none, or too large.
pub fn number<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.ok().and_then(|n| n.try_into().ok()).ok_or(format!("`{text}` is not a number that fits here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        for (line, command) in [
            ("detach 0x76", Command::Detach(0x76)),
            (" attach 118 ", Command::Attach(0x76)),
            ("corrupt 0x49 2", Command::Corrupt { address: 0x49, reads: 2 }),
            ("gpio 3 high", Command::Gpio { line: 3, high: true }),
            ("run echo 'a  b' | cat", Command::Run("echo 'a  b' | cat".into())),
        ] {
            assert_eq!(line.parse(), Ok(command));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_word_in_question() {
        for (line, word) in
            [("detach 0x176", "0x176"), ("gpio 3 up", "gpio 3 up"), ("", "``"), ("run", "run")]
        {
            let error = line.parse::<Command>().unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
