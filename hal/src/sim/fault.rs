//! Faults that a script puts on a simulated bus.
//!
//! A fault has a cure: what has to be done before it is gone. So each rung of the ladder that a sensor climbs can be shown to
//! heal what it is there for.

use std::time::Duration;

use sedge_plugin::BusError;

/// What is wrong with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not answer: a wire is off.
    Nack,
    /// It stops answering in the middle.
    Refuse,
    /// It holds the clock until the kernel gives up.
    Timeout,
    /// It holds the data line low: no device of the bus gets through.
    StuckLow,
    /// Its bytes arrive changed.
    Corrupt,
    /// Another chip answers in its place.
    Stranger,
    /// It takes so much longer over everything.
    Slow(Duration),
    /// A transfer with it does not come back, not even from the kernel.
    Hang,
}

impl Fault {
    /// All of them, for those who try each.
    pub const ALL: [Self; 8] = [
        Self::Nack,
        Self::Refuse,
        Self::Timeout,
        Self::StuckLow,
        Self::Corrupt,
        Self::Stranger,
        Self::Slow(Duration::from_secs(3)),
        Self::Hang,
    ];

    /// Its name in a script.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::Refuse => "refuse",
            Self::Timeout => "timeout",
            Self::StuckLow => "stuck-low",
            Self::Corrupt => "corrupt",
            Self::Stranger => "stranger",
            Self::Slow(_) => "slow",
            Self::Hang => "hang",
        }
    }

    /// What the bus says of a transfer.
    pub(super) fn error(self) -> Option<BusError> {
        match self {
            Self::Nack => Some(BusError::NoAnswer),
            Self::Refuse => Some(BusError::Refused),
            Self::Timeout | Self::StuckLow => Some(BusError::Timeout),
            Self::Corrupt | Self::Stranger | Self::Slow(_) | Self::Hang => None,
        }
    }
}

/// What ends a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cure {
    /// So many transfers that met it.
    Transfers(u32),
    /// The bus is opened anew.
    Reopen,
    /// The device is opened anew.
    Reinit,
    /// The bus is recovered.
    Recover,
    /// The supply is switched off and on.
    Power,
    /// [`heal`](super::SimBus::heal), and nothing that a node does.
    Hand,
}

/// A fault that is on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Active {
    pub(super) fault: Fault,
    pub(super) cure: Cure,
}

impl Active {
    /// A transfer met it. Whether it is still on for this one.
    pub(super) fn met(&mut self) -> bool {
        match &mut self.cure {
            Cure::Transfers(0) => false,
            Cure::Transfers(left) => {
                *left -= 1;
                true
            }
            _ => true,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.cure == Cure::Transfers(0)
    }
}
