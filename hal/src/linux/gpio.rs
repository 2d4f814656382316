//! `/dev/gpiochip*`, through the kernel's second GPIO interface (Linux 5.10 and later).
//!
//! `gpioinfo` shows our lines as used by `sedge`.

use std::io;
use std::path::{Path, PathBuf};

use gpiocdev::line::Value;
use gpiocdev::{Chip as Device, Error, Request};

use super::missing::Nodes;
use crate::lines::{Chip, LineError, Lines, Output};

const NODES: Nodes = Nodes {
    prefix: "/dev/gpiochip",
    enable: "Name one of those in the config; `gpiodetect` tells what each of them is.",
    group: "gpio",
};

/// The lines of a chip such as `/dev/gpiochip0`. The chip is looked for when a line is claimed, not now.
pub fn lines(path: &Path) -> Lines {
    Lines::new(Node { path: path.into() })
}

struct Node {
    path: PathBuf,
}

impl Node {
    fn gone(&self, error: Error) -> LineError {
        LineError::Gone(match error {
            Error::Os(errno) => NODES.explain(&self.path, &io::Error::from_raw_os_error(errno.0)),
            error => format!("{}: {error}", self.path.display()),
        })
    }

    /// Whether the line is there and free. Asked first, because the claim itself only says that it failed.
    fn check(&self, line: u32) -> Result<(), LineError> {
        let chip = Device::from_path(&self.path).map_err(|error| self.gone(error))?;
        let lines = chip.info().map_err(|error| self.gone(error))?.num_lines;
        if line >= lines {
            return Err(LineError::NoSuchLine { line, last: lines.saturating_sub(1) });
        }
        let info = chip.line_info(line).map_err(|error| failed(line, error))?;
        if info.used {
            let by =
                if info.consumer.is_empty() { "the kernel".into() } else { format!("`{}`", info.consumer) };
            return Err(LineError::Taken { line, by });
        }
        Ok(())
    }
}

impl Chip for Node {
    fn output(&self, line: u32, initial: bool, active_low: bool) -> Result<Box<dyn Output>, LineError> {
        self.check(line)?;
        let mut builder = Request::builder();
        builder.on_chip(&self.path).with_consumer("sedge").with_line(line).as_output(Value::from(initial));
        if active_low {
            builder.as_active_low();
        }
        let request = builder.request().map_err(|error| failed(line, error))?;
        Ok(Box::new(Claim { request, line }))
    }
}

struct Claim {
    request: Request,
    line: u32,
}

impl Output for Claim {
    fn set(&self, on: bool) -> Result<(), LineError> {
        self.request.set_value(self.line, Value::from(on)).map(drop).map_err(|error| failed(self.line, error))
    }
    fn get(&self) -> Result<bool, LineError> {
        let value = self.request.value(self.line).map_err(|error| failed(self.line, error))?;
        Ok(value == Value::Active)
    }
}

fn failed(line: u32, error: Error) -> LineError {
    LineError::Failed { line, why: sedge_plugin::chain(&error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_chip_is_an_error_when_a_line_is_claimed() {
        let error = lines(Path::new("/dev/gpiochip99")).output(17, false, false).err().unwrap();
        assert!(
            matches!(&error, LineError::Gone(text) if text.contains("/dev/gpiochip99 does not exist")),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_is_no_chip_is_an_error() {
        let error = lines(Path::new("/dev/null")).output(17, false, false).err().unwrap();
        assert!(matches!(error, LineError::Gone(_)), "{error}");
    }
}
