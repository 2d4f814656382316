//! How a command ends: what it tells a person, and its exit code.

use sedge_mqtt::remote::RemoteError;
use serde_json::json;

use crate::cli::Global;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It was asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It tried and failed.
    #[error("{0}")]
    Failed(String),
    /// As [`Failed`](Self::Failed): what TLS has to say against the broker, or the broker's against us.
    #[error("{0}")]
    Untrusted(String),
    /// There is no broker; trying again later may help.
    #[error("{0}")]
    Unreachable(String),
    /// The config is wrong.
    #[error("{0}")]
    Config(String),
    /// As [`Config`](Self::Config), and all has been said already.
    #[error("the config has mistakes")]
    ConfigShown,
    /// Whoever read the output has gone, as behind `| head`: no failure.
    #[error("nobody reads the output")]
    NobodyReads,
    /// As [`Failed`](Self::Failed), and all has been said already.
    #[error("failed")]
    FailedShown,
    /// Some of several are not well, and all has been said already.
    #[error("some failed")]
    PartlyShown,
}

impl Failure {
    /// The exit code, after sysexits.h where it has one.
    pub fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Failed(_) | Self::Untrusted(_) | Self::FailedShown => 1,
            Self::Usage(_) => 2,
            Self::PartlyShown => 3,
            Self::Unreachable(_) => 75,
            Self::Config(_) | Self::ConfigShown => 78,
        }
    }

    /// Tells a person, on standard error; or a program, with `--json`.
    pub fn print(&self, global: &Global) {
        match self {
            Self::ConfigShown | Self::FailedShown | Self::PartlyShown | Self::NobodyReads => {}
            error if global.json => crate::show::complain(format_args!(
                "{}",
                json!({ "error": error.to_string(), "code": error.code() })
            )),
            error => crate::show::complain(format_args!("error: {error}")),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        let text = error.to_string();
        match error {
            RemoteError::Unreachable(_) => {
                Self::Unreachable(format!("{text}; name another one with --broker mqtt://HOST:PORT"))
            }
            RemoteError::Tls(_) => Self::Untrusted(text),
            RemoteError::Settings(_) => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}
