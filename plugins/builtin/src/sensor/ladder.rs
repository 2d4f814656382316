//! What is done to a sensor that cannot be read, gentlest first.
//!
//! ```text
//! retry ─▶ open the bus anew ─▶ set the sensor up anew ─▶ recover the bus ─▶ switch the supply off and on ─▶ leave it alone
//! ```
//!
//! After each rung the sensor is read again; the first that works ends the climb. The last is the supervisor's: a pause that
//! grows, one attempt, and so on. What a rung does to the neighbours on the bus grows too, so the bus itself is not touched
//! while others on it are well.

use std::fmt;

use sedge_plugin::{BusError, SensorError};

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The same again, after a moment.
    Retry,
    /// The device node of the bus is opened anew.
    Reopen,
    /// The sensor's driver is made anew: identity, reset, configuration.
    Reinit,
    /// The bus is recovered, by what Linux allows.
    Recover,
    /// The sensor's supply is switched off and on.
    Power,
}

impl Rung {
    /// All of them, gentlest first.
    pub const ALL: [Self; 5] = [Self::Retry, Self::Reopen, Self::Reinit, Self::Recover, Self::Power];

    /// The metric that counts how often it was taken.
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry => "retries",
            Self::Reopen => "bus_reopened",
            Self::Reinit => "set_up_anew",
            Self::Recover => "bus_recovered",
            Self::Power => "supply_cycled",
        }
    }

    /// The metric that counts how often it brought the sensor back.
    pub fn healed(self) -> &'static str {
        match self {
            Self::Retry => "healed_by_retry",
            Self::Reopen => "healed_by_reopening",
            Self::Reinit => "healed_by_set_up",
            Self::Recover => "healed_by_recovery",
            Self::Power => "healed_by_supply",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retry => "trying again",
            Self::Reopen => "opening the bus anew",
            Self::Reinit => "setting the sensor up anew",
            Self::Recover => "recovering the bus",
            Self::Power => "switching its supply off and on",
        })
    }
}

/// The rungs that may help against an error; without `all`, those that cost the neighbours nothing.
pub(super) fn rungs(error: &SensorError, all: bool) -> &'static [Rung] {
    use Rung::{Power, Recover, Reinit, Reopen, Retry};
    match error {
        // Nothing that is done here changes who owns the address, or what the config says.
        SensorError::Settings(_) | SensorError::Bus(BusError::Busy | BusError::NotGranted(_)) => &[],
        SensorError::Bus(BusError::Gone(_)) => &[Reopen],
        // The thread is a new one, or the driver was dropped: there is nothing to try again.
        SensorError::Closed | SensorError::Panicked(_) | SensorError::Bus(BusError::Hung) => {
            if all {
                &[Reinit, Recover, Power]
            } else {
                &[Reinit]
            }
        }
        _ if all => &[Retry, Retry, Reopen, Reinit, Recover, Power],
        _ => &[Retry, Reinit],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gentlest_comes_first_and_the_harsh_ones_only_where_they_may() {
        for error in [
            SensorError::Bus(BusError::NoAnswer),
            SensorError::Bus(BusError::Hung),
            SensorError::Checksum,
            SensorError::Closed,
        ] {
            let all = rungs(&error, true);
            assert!(all.is_sorted(), "{error}");
            assert_eq!(all.last(), Some(&Rung::Power));
            assert!(rungs(&error, false).iter().all(|&rung| rung <= Rung::Reinit), "{error}");
        }
        assert!(rungs(&SensorError::Bus(BusError::Busy), true).is_empty());
    }
}
