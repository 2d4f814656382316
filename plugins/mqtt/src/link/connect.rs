//! From nothing to an open connection: the host, what lies over TCP, and the broker's answer to our CONNECT.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::info;

use super::open::Open;
use super::session::Session;
use super::transport::{Stream, dress, in_time, reach};
use super::{Fault, LinkOptions, MAX_PACKET_BYTES, reasons, tls};
use crate::packet::{self, ConnAck, Frame, Frames, Packet, Version};

enum Refusal {
    Version(ConnAck),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Connects; where a broker does not know MQTT 5 and says so, a second time with 3.1.1.
pub(super) async fn connect(options: LinkOptions) -> Result<Open, Fault> {
    let refused = match attempt(&options, options.version).await {
        Ok(open) => return Ok(open),
        Err(Refusal::Fault(fault)) => return Err(fault),
        Err(Refusal::Version(ack)) if options.version == Version::V3 => {
            return Err(reasons::refusal(Version::V3, &ack));
        }
        Err(Refusal::Version(ack)) => ack,
    };
    match attempt(&options, Version::V3).await {
        Ok(open) => {
            info!(
                host = %options.broker.host,
                "The broker does not speak MQTT 5; `protocol = \"3.1.1\"` in `[mqtt]` spares the attempt."
            );
            Ok(open)
        }
        Err(Refusal::Fault(fault)) => Err(fault),
        Err(Refusal::Version(_)) => Err(reasons::refusal(Version::V5, &refused)),
    }
}

async fn attempt(options: &LinkOptions, version: Version) -> Result<Open, Refusal> {
    let tcp = reach(&options.broker).await?;
    in_time(async {
        let mut stream = dress(tcp, options).await?;
        greet(&mut stream, options, version).await.map_err(|error| before(&error, options, version))?;
        let (ack, frames) = answer(&mut stream, options, version).await?;
        if ack.code != 0 && reasons::is_about_version(ack.code) {
            return Err(Refusal::Version(ack));
        }
        if ack.code != 0 {
            return Err(Refusal::Fault(reasons::refusal(version, &ack)));
        }
        let keep_alive =
            ack.keep_alive.filter(|seconds| *seconds > 0).map_or(options.keep_alive, |seconds| {
                Duration::from_secs(seconds.into()).min(options.keep_alive)
            });
        let session = Session::new(version, ack.alias_maximum);
        Ok(Open::new(stream, frames, session, version, &ack, keep_alive, options.client_id.clone()))
    })
    .await?
}

async fn greet(stream: &mut Box<dyn Stream>, options: &LinkOptions, version: Version) -> io::Result<()> {
    let mut out = Vec::new();
    let connect = packet::Connect {
        client_id: &options.client_id,
        login: options.login.as_ref().map(|(user, password)| (user.as_str(), password.expose().as_bytes())),
        keep_alive: options.keep_alive,
        clean: options.session.is_none() || version == Version::V3,
        session: options.session.unwrap_or_default(),
        receive_maximum: options.receive_maximum,
        maximum_packet: u32::try_from(MAX_PACKET_BYTES).unwrap_or(u32::MAX),
        will: options.will.as_ref().map(|(topic, payload)| (topic.as_str(), payload.as_bytes())),
    };
    packet::connect(&mut out, version, &connect);
    stream.write_all(&out).await?;
    stream.flush().await
}

/// The first packet, which must be the answer, and what came along with it.
async fn answer(
    stream: &mut Box<dyn Stream>,
    options: &LinkOptions,
    version: Version,
) -> Result<(ConnAck, Frames), Refusal> {
    let mut frames = Frames::new(MAX_PACKET_BYTES);
    loop {
        match frames.next() {
            Ok(Some(Frame::Whole { first, body })) => match Packet::read(version, first, body) {
                Ok(Packet::ConnAck(ack)) => return Ok((ack, frames)),
                _ => return Err(stranger(version, "its answer is none").into()),
            },
            Ok(Some(Frame::TooLarge { .. })) | Err(_) => {
                return Err(stranger(version, "its answer is none").into());
            }
            Ok(None) => {}
        }
        match stream.read_buf(frames.buffer()).await {
            Ok(0) => return Err(closed(options, version).into()),
            Ok(_) => {}
            Err(error) => return Err(before(&error, options, version)),
        }
    }
}

/// What ended it before the broker had answered.
fn before(error: &io::Error, options: &LinkOptions, version: Version) -> Refusal {
    let fault = tls::fault(error).unwrap_or_else(|| match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            closed(options, version)
        }
        _ => Fault::Unreachable(error.to_string()),
    });
    Refusal::Fault(fault)
}

/// What TLS would have said is lost where the broker closes before it has read everything.
fn closed(options: &LinkOptions, version: Version) -> Fault {
    if options.broker.scheme.is_encrypted() {
        let text = "the broker closed the connection without an answer; does it take this node's certificate (`cert_file`, `key_file`)?";
        return Fault::Tls(text.into());
    }
    stranger(version, "it closed the connection without an answer")
}

fn stranger(version: Version, what: &str) -> Fault {
    let hint = match version {
        Version::V5 => {
            "; where it speaks TLS, write `mqtts://`, and where it knows only MQTT 3.1.1, set `protocol = \"3.1.1\"`"
        }
        Version::V3 => "",
    };
    Fault::Protocol(format!("no MQTT {version} broker answers there: {what}{hint}"))
}
