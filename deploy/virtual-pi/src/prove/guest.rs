//! Tells the guest what to break: the other end of [`control`](crate::control).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the guest may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the guest.
pub struct Guest {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Guest {
    /// Connects.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn connect(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self { address: address.into(), stream: BufReader::new(stream) })
    }

    /// One more connection, for what takes long.
    ///
    /// # Errors
    /// When nobody is there any more.
    pub fn another(&self) -> Result<Self, String> {
        Self::connect(&self.address)
    }

    /// Says a line, and gives back the value of the answer.
    ///
    /// # Errors
    /// What the guest says, or that it says nothing.
    pub fn say(&mut self, line: &str) -> Result<String, String> {
        self.begin(line)?;
        self.ended(PATIENCE)
    }

    /// Says a line without waiting for the answer.
    ///
    /// # Errors
    /// When the guest is not there any more.
    pub fn begin(&mut self, line: &str) -> Result<(), String> {
        let sent = self.stream.get_mut().write_all(format!("{line}\n").as_bytes());
        sent.map_err(|error| format!("guest: {error}"))
    }

    /// The answer to what was begun.
    ///
    /// # Errors
    /// What the guest says, or that it says nothing for so long.
    pub fn ended(&mut self, patience: Duration) -> Result<String, String> {
        let mut answer = String::new();
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(patience)).map_err(|error| error.to_string())?;
        self.stream.read_line(&mut answer).map_err(|error| format!("guest: {error}"))?;
        match answer.trim_end().split_once(' ') {
            None if answer.trim_end() == "ok" => Ok(String::new()),
            Some(("ok", value)) => Ok(value.into()),
            _ => Err(format!("guest: {}", answer.trim_end())),
        }
    }

    /// What the guest's shell prints.
    ///
    /// # Errors
    /// When the guest does not answer.
    pub fn run(&mut self, words: &str) -> Result<String, String> {
        let printed = self.say(&format!("run {words}"))?;
        serde_json::from_str(&printed).map_err(|error| format!("guest: {error}"))
    }
}
