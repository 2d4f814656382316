//! The questions: one line each, so that a serial console will do.
//!
//! Enter takes what stands in brackets. The end of the input, and Ctrl-C, end the command, and nothing is written. A
//! password is not shown; the terminal shows again what is typed whichever way the question ends.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use sedge_plugin::{Every, Id, Secret};

use super::board::Board;
use super::{BROKER, Given, HOME, Wishes, broker_of, cadence, node_id};
use crate::cli::{Global, InitArgs, Template};
use crate::exit::Failure;
use crate::show::complain;

/// Bytes of an answer.
const LONGEST: u64 = 4096;

/// The terminal as it was before a password was asked for.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The input has ended.
#[derive(Debug, PartialEq)]
pub(super) struct Stopped;

/// Whether there is a person to be asked.
pub(super) fn is_wanted(global: &Global, args: &InitArgs) -> bool {
    let person = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    person && !args.yes && !global.json && !global.quiet
}

/// Asks for what flags do not say.
pub(super) async fn ask(
    wishes: Wishes,
    board: Board,
    given: &Given,
    id: &Id,
    reason: &str,
    guesses: bool,
) -> Result<(Wishes, Board), Failure> {
    let (id, reason) = (id.clone(), reason.to_owned());
    let (asks_id, asks_broker) = (given.id.is_none(), given.broker.is_none());
    let work = tokio::task::spawn_blocking(move || {
        let mut asker =
            Asker { input: std::io::stdin().lock(), output: std::io::stderr(), secret: without_echo };
        asker.all(wishes, board, (asks_id, asks_broker), (&id, &reason), guesses)
    });
    let stopped = || Failure::Failed("stopped; nothing was written".into());
    let done = tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => {
            echo_again();
            complain("");
            return Err(stopped());
        }
    };
    done.map_err(|error| Failure::Failed(format!("the questions broke: {error}")))?.map_err(|Stopped| {
        complain("");
        stopped()
    })
}

struct Asker<R, W, S> {
    input: R,
    output: W,
    /// Reads a line that is not shown.
    secret: S,
}

impl<R: BufRead, W: Write, S: Fn(&mut R) -> Result<String, Stopped>> Asker<R, W, S> {
    fn all(
        &mut self,
        mut wishes: Wishes,
        mut board: Board,
        (asks_id, asks_broker): (bool, bool),
        (id, reason): (&Id, &str),
        guesses: bool,
    ) -> Result<(Wishes, Board), Stopped> {
        self.tell("Enter takes what stands in brackets; Ctrl-C ends this, and nothing is written.\n");
        if asks_id && wishes.id.is_none() {
            self.tell(&format!("The node's id stands in all topics. `{id}` is {reason}."));
            wishes.id = Some(self.until("Node id", id.as_str(), node_id)?);
        }
        if asks_broker && wishes.broker.is_none() {
            let usual = if wishes.template == Template::Ha { HOME } else { BROKER };
            let (broker, password) = self.until("Broker, a URL or a host", usual, broker_of)?;
            (wishes.broker, wishes.password) = (Some(broker), password);
        }
        if let Some(broker) = wishes.broker.as_mut().filter(|broker| asks_broker && broker.url != "embedded")
        {
            if broker.user.is_none() {
                let user = self.line("User at the broker (leave empty if it asks for none)", "")?;
                broker.user = Some(user).filter(|user| !user.is_empty());
            }
            if broker.user.is_some() && wishes.password.is_none() {
                self.tell_on("Password (not shown): ");
                let password = (self.secret)(&mut self.input)?;
                self.tell("");
                wishes.password =
                    Some(Secret::new(password)).filter(|password| !password.expose().is_empty());
            }
        }
        let every = self.until("How often sensors are read", &wishes.every.to_string(), |text| {
            let every = sedge_plugin::duration::parse(text).map_err(|error| error.to_string())?;
            cadence(Every(every))
        })?;
        wishes.every = every;
        self.sensors(&mut board, guesses)?;
        Ok((wishes, board))
    }

    fn sensors(&mut self, board: &mut Board, guesses: bool) -> Result<(), Stopped> {
        for note in &board.notes {
            self.tell(&format!("note: {note}"));
        }
        board.notes.clear();
        if board.items.is_empty() {
            return Ok(());
        }
        self.tell("Found:");
        for (number, item) in board.items.iter().enumerate() {
            self.tell(&format!("  {}  {}", number + 1, item.title));
        }
        let sure = board.items.iter().enumerate().filter(|(_, item)| item.is_usual(guesses));
        let sure: Vec<String> = sure.map(|(number, _)| (number + 1).to_string()).collect();
        let usual = match sure.len() {
            0 => "none".into(),
            n if n == board.items.len() => "all".into(),
            _ => sure.join(" "),
        };
        let count = board.items.len();
        let chosen = self
            .until("Which go into the config: numbers, all, or none", &usual, |text| picked(text, count))?;
        for (number, item) in board.items.iter_mut().enumerate() {
            item.chosen = chosen.contains(&number);
        }
        Ok(())
    }

    /// Asks again until there is an answer that will do.
    fn until<T>(
        &mut self,
        question: &str,
        usual: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Stopped> {
        loop {
            match parse(&self.line(question, usual)?) {
                Ok(answer) => return Ok(answer),
                Err(why) => self.tell(&format!("{why}.")),
            }
        }
    }

    fn line(&mut self, question: &str, usual: &str) -> Result<String, Stopped> {
        let shown = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        self.tell_on(&format!("{question}{shown}: "));
        let answer = read(&mut self.input)?;
        Ok(if answer.is_empty() { usual.to_owned() } else { answer })
    }

    fn tell(&mut self, text: &str) {
        // Where nobody sees the question, the answer will end as well.
        let _ = writeln!(self.output, "{text}");
    }

    fn tell_on(&mut self, text: &str) {
        let _ = write!(self.output, "{text}").and_then(|()| self.output.flush());
    }
}

/// Which of so many, counted from 0: `1 3`, `1-3,5`, `all`, `none`.
fn picked(text: &str, count: usize) -> Result<Vec<usize>, String> {
    match text.to_lowercase().as_str() {
        "all" | "a" => return Ok((0..count).collect()),
        "none" | "no" | "0" => return Ok(Vec::new()),
        _ => {}
    }
    let number = |word: &str| match word.trim().parse::<usize>() {
        Ok(number) if (1..=count).contains(&number) => Ok(number - 1),
        _ => Err(format!("`{word}` is no number from 1 to {count}")),
    };
    let words = text.split([' ', ',', ';']).filter(|word| !word.is_empty());
    let ranges = words.map(|word| match word.split_once('-') {
        Some((first, last)) => Ok(number(first)?..=number(last)?),
        None => number(word).map(|number| number..=number),
    });
    Ok(ranges.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect())
}

fn read(input: &mut impl BufRead) -> Result<String, Stopped> {
    let mut bytes = Vec::new();
    let count = input.take(LONGEST).read_until(b'\n', &mut bytes).map_err(|_| Stopped)?;
    if count == 0 { Err(Stopped) } else { Ok(String::from_utf8_lossy(&bytes).trim().to_owned()) }
}

/// Reads a line while the terminal does not show what is typed.
fn without_echo(input: &mut impl BufRead) -> Result<String, Stopped> {
    let stdin = std::io::stdin();
    if let Ok(before) = tcgetattr(&stdin) {
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden);
    }
    let answer = read(input);
    echo_again();
    answer
}

fn echo_again() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::init::Broker;

    fn wishes() -> Wishes {
        Wishes {
            id: None,
            broker: None,
            password: None,
            password_file: None,
            every: Every::secs(10),
            template: Template::Edge,
        }
    }

    fn asked(answers: &str, wishes: Wishes) -> (Result<Wishes, Stopped>, String) {
        let mut output = Vec::new();
        let input = std::io::Cursor::new(answers.to_owned());
        let mut asker = Asker { input, output: &mut output, secret: read };
        let id = Id::new("pi-1").unwrap();
        let done = asker.all(wishes, Board::default(), (true, true), (&id, "a number"), false);
        (done.map(|(wishes, _)| wishes), String::from_utf8(output).unwrap())
    }

    #[test]
    fn enter_takes_what_stands_in_brackets() {
        let (wishes, said) = asked("\n\n\n\n", wishes());
        let wishes = wishes.unwrap();
        assert_eq!(wishes.id.unwrap().as_str(), "pi-1");
        assert_eq!(wishes.broker, Some(Broker { url: "mqtt://127.0.0.1:1883".into(), user: None }));
        assert_eq!((wishes.password.is_none(), wishes.every), (true, Every::secs(10)));
        assert!(said.contains("Node id [pi-1]: "), "{said}");
    }

    #[test]
    fn a_wrong_answer_is_told_and_asked_again() {
        let answers = "Pi_1\nall\nkitchen\nftp://x\nbroker.lan\nme\nhunter2\n1ms\nsoon\n30s\n";
        let (wishes, said) = asked(answers, wishes());
        let wishes = wishes.unwrap();
        assert_eq!(wishes.id.unwrap().as_str(), "kitchen");
        let broker = Broker { url: "mqtt://broker.lan:1883".into(), user: Some("me".into()) };
        assert_eq!((wishes.broker, wishes.every), (Some(broker), Every::secs(30)));
        assert_eq!(wishes.password.unwrap().expose(), "hunter2");
        for part in
            ["such as `pi-1`", "`all` means every node", "begins with `mqtt://`", "1ms is out of range"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        for answers in ["", "kitchen\n", "\n\n\n", "\n\nme\n"] {
            assert_eq!(asked(answers, wishes()).0.unwrap_err(), Stopped, "{answers:?}");
        }
    }

    #[test]
    fn what_a_flag_says_is_not_asked() {
        let broker = Some(Broker { url: "mqtts://b:8883".into(), user: Some("me".into()) });
        let told =
            Wishes { id: Some(Id::new("k").unwrap()), broker, password: Some(Secret::new("x")), ..wishes() };
        let (wishes, said) = asked("\n", told);
        assert_eq!(wishes.unwrap().id.unwrap().as_str(), "k");
        assert!(!said.contains("Broker") && !said.contains("Password"), "{said}");
    }

    #[test]
    fn sensors_are_picked_by_numbers_ranges_and_words() {
        for (text, picks) in [
            ("all", vec![0, 1, 2, 3]),
            ("none", vec![]),
            ("2", vec![1]),
            ("1, 3-4", vec![0, 2, 3]),
            ("4 1", vec![3, 0]),
        ] {
            assert_eq!(picked(text, 4), Ok(picks), "{text}");
        }
        for text in ["5", "0-2", "x", "1-", "-1"] {
            assert!(picked(text, 4).unwrap_err().contains("no number from 1 to 4"), "{text}");
        }
    }
}
