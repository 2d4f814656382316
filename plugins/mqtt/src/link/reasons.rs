//! What a broker's reason codes mean, in words for an operator.

use super::{Ack, Fault};
use crate::packet::{ConnAck, Version};

/// The code of a broker that does not know the version (MQTT 5).
const NOT_THIS_VERSION: u8 = 0x84;
/// The same from one that knows only an older one.
const NOT_THIS_VERSION_V3: u8 = 0x01;

/// Whether it was the version that a broker refused.
pub(super) fn is_about_version(code: u8) -> bool {
    matches!(code, NOT_THIS_VERSION | NOT_THIS_VERSION_V3)
}

/// Why a CONNECT was refused.
pub(super) fn refusal(version: Version, ack: &ConnAck) -> Fault {
    let code = match (version, ack.code) {
        (Version::V5, code) if code >= 0x80 => code,
        // An older broker answers in its own codes, whatever it was asked.
        (_, 1) => NOT_THIS_VERSION,
        (_, 2) => 0x85,
        (_, 3) => 0x88,
        (_, 4) => 0x86,
        (_, 5) => 0x87,
        (_, code) => code,
    };
    let said = ack.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match code {
        0x86 => Fault::Login("bad user name or password"),
        0x87 => Fault::Login("not authorized"),
        0x8a => Fault::Login("banned"),
        0x8c => Fault::Login("bad authentication method"),
        NOT_THIS_VERSION => Fault::Protocol(format!("the broker does not speak MQTT {version}{said}")),
        0x88 | 0x89 | 0x97 | 0x9f => Fault::Unreachable(format!("the broker says: {}{said}", words(code))),
        code => Fault::Protocol(format!("the broker refused the connection: {}{said}", words(code))),
    }
}

/// Why the broker parted.
pub(super) fn parting(client_id: &str, code: u8, reason: Option<String>) -> Fault {
    match code {
        0x8e => Fault::TakenOver(client_id.into()),
        0x87 => Fault::Login("not authorized"),
        code => {
            let said = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            Fault::Lost(format!("the broker said: {}{said}", words(code)))
        }
    }
}

/// What became of a publish.
pub(super) fn answer(code: u8) -> Ack {
    match code {
        0x10 => Ack::NobodyListens,
        code if code < 0x80 => Ack::Taken,
        code => Ack::Refused(words(code)),
    }
}

/// MQTT 5, section 2.4.
fn words(code: u8) -> &'static str {
    match code {
        0x00 => "normal disconnection",
        0x80 => "no reason given",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "refused by this implementation",
        0x84 => "unsupported protocol version",
        0x85 => "client id not valid",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8b => "server shutting down",
        0x8d => "keep-alive timeout",
        0x8e => "session taken over",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet id in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "QoS not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9f => "connection rate exceeded",
        _ => "an unknown reason",
    }
}
