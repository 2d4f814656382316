//! `/sys/class/pwm`: PWM in hardware, through the kernel.
//!
//! A channel is exported, given its period and its duty, and switched on. It is left on at its safe duty, and exported: a
//! channel that is given back is switched off by some chips, and left as it was by others.
//!
//! rppal is not used: its author retired it, and the kernel's sysfs PWM does on every board what it would do on one.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::missing::Nodes;
use crate::pwm::{Channels, Modulate, PwmChip, PwmError, PwmOptions};

const NODES: Nodes = Nodes {
    prefix: "/sys/class/pwm/pwmchip",
    enable: "On a Raspberry Pi add `dtoverlay=pwm-2chan` to /boot/firmware/config.txt and reboot.",
    group: "gpio",
};

/// The channels of a chip, such as `/sys/class/pwm/pwmchip0`. It is looked for when a channel is opened, not now.
pub fn pwm_chip(folder: &Path) -> PwmChip {
    PwmChip::new(Chip { folder: folder.into() })
}

struct Chip {
    folder: PathBuf,
}

impl Channels for Chip {
    fn open(&self, channel: u32, options: PwmOptions) -> Result<Box<dyn Modulate>, PwmError> {
        let count = number(&self.folder, "npwm")
            .map_err(|error| PwmError::Gone(NODES.explain(&self.folder, &error)))?;
        if u64::from(channel) >= count {
            let text = format!("there is no channel {channel}: the chip has {count}, counted from 0");
            return Err(PwmError::Settings(text));
        }
        let folder = self.folder.join(format!("pwm{channel}"));
        if !folder.exists() {
            self.export(channel)?;
        }
        let period_ns = (1e9 / options.frequency).round() as u64;
        let channel = Channel { folder, period_ns };
        channel.begin(options)?;
        Ok(Box::new(channel))
    }
}

impl Chip {
    fn export(&self, channel: u32) -> Result<(), PwmError> {
        write(&self.folder, "export", u64::from(channel)).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => PwmError::Failed(format!(
                "channel {channel} is in use by the kernel, for a fan or a lamp; choose another one, or take it out of the \
                 device tree"
            )),
            _ => PwmError::Gone(NODES.explain(&self.folder.join("export"), &error)),
        })
    }
}

struct Channel {
    folder: PathBuf,
    period_ns: u64,
}

impl Channel {
    fn begin(&self, options: PwmOptions) -> Result<(), PwmError> {
        let stood = number(&self.folder, "period").map_err(|error| self.explain(&error))?;
        if stood != self.period_ns {
            // A period is never shorter than its pulse.
            if stood != 0 {
                self.write("duty_cycle", 0)?;
            }
            let frequency = options.frequency;
            write(&self.folder, "period", self.period_ns).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => PwmError::Settings(format!(
                    "{}: {frequency} Hz is beyond what it does; choose another frequency",
                    self.folder.display()
                )),
                _ => self.explain(&error),
            })?;
        }
        self.set(options.initial)?;
        self.write("enable", 1)
    }

    fn write(&self, file: &str, value: u64) -> Result<(), PwmError> {
        write(&self.folder, file, value).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &io::Error) -> PwmError {
        let folder = self.folder.display();
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                PwmError::NotYet(NODES.explain(&self.folder.join("period"), error))
            }
            io::ErrorKind::NotFound => PwmError::NotYet(format!("{folder} is not there")),
            _ => PwmError::Failed(format!("{folder}: {error}")),
        }
    }
}

impl Modulate for Channel {
    fn set(&self, duty: f64) -> Result<(), PwmError> {
        self.write("duty_cycle", (self.period_ns as f64 * duty).round() as u64)
    }

    fn leave(&mut self, duty: f64) -> Result<(), PwmError> {
        self.set(duty)
    }
}

fn number(folder: &Path, file: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(folder.join(file))?;
    text.trim().parse().map_err(|_| io::Error::other(format!("`{}` is no number", text.trim())))
}

/// A file that is not there is not made.
fn write(folder: &Path, file: &str, value: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(folder.join(file))?;
    file.write_all(value.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FAN: PwmOptions = PwmOptions { frequency: 25_000.0, initial: 0.25, safe: 1.0 };

    /// A folder as the kernel shows one, with channel 1 exported.
    struct Shown(PathBuf);

    impl Shown {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("sedge-pwm-{}-{name}", std::process::id()));
            fs::create_dir_all(folder.join("pwm1")).unwrap();
            let shown = Self(folder);
            for (file, text) in [
                ("npwm", "2\n"),
                ("export", ""),
                ("pwm1/period", "0\n"),
                ("pwm1/duty_cycle", "0\n"),
                ("pwm1/enable", "0\n"),
            ] {
                fs::write(shown.0.join(file), text).unwrap();
            }
            shown
        }

        fn says(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap().trim().into()
        }

        fn channel(&self) -> [String; 3] {
            ["pwm1/period", "pwm1/duty_cycle", "pwm1/enable"].map(|file| self.says(file))
        }
    }

    impl Drop for Shown {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_channel_has_its_period_and_its_duty_and_is_left_on_at_its_safe_one() {
        let shown = Shown::new("duty");
        let pwm = pwm_chip(&shown.0).channel(1, FAN).unwrap();
        assert_eq!(shown.channel(), ["40000", "10000", "1"]);
        pwm.set(0.5).unwrap();
        assert_eq!((shown.channel(), pwm.duty()), (["40000", "20000", "1"].map(String::from), 0.5));
        assert!(matches!(pwm.set(1.5), Err(PwmError::Settings(_))));
        drop(pwm);
        assert_eq!(shown.channel(), ["40000", "40000", "1"]);
    }

    #[test]
    fn a_channel_that_is_not_exported_is_and_may_not_be_ours_at_once() {
        let shown = Shown::new("export");
        let error = pwm_chip(&shown.0).channel(0, FAN).err();
        assert_eq!(shown.says("export"), "0");
        assert!(matches!(error, Some(PwmError::NotYet(_))), "{error:?}");
    }

    #[test]
    fn a_channel_or_a_chip_that_is_not_there_says_which_there_are() {
        let shown = Shown::new("none");
        let error = pwm_chip(&shown.0).channel(2, FAN).err();
        assert!(matches!(&error, Some(PwmError::Settings(text)) if text.contains("has 2")), "{error:?}");
        let error = pwm_chip(Path::new("/sys/class/pwm/pwmchip99")).channel(0, FAN).err();
        assert!(matches!(&error, Some(PwmError::Gone(text)) if text.contains("dtoverlay")), "{error:?}");
    }
}
