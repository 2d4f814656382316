//! A stream of bytes to a broker: TCP, TLS over it, websockets over either.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::{Fault, LinkOptions, tls, websocket};
use crate::settings::Broker;

/// How long reaching the host, and how long all that follows up to the broker's answer, may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Reaches the broker's host.
pub(super) async fn reach(broker: &Broker) -> Result<TcpStream, Fault> {
    let stream = in_time(tcp(&broker.host, broker.port)).await?;
    let stream = stream.map_err(|error| Fault::Unreachable(error.to_string()))?;
    // Without it a connection is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Puts on top of TCP what the broker's URL asks for.
pub(super) async fn dress(tcp: TcpStream, options: &LinkOptions) -> Result<Box<dyn Stream>, Fault> {
    let broker = &options.broker;
    let stream: Box<dyn Stream> = match broker.scheme.is_encrypted() {
        true => Box::new(tls::connect(tcp, &broker.host, &options.tls).await?),
        false => Box::new(tcp),
    };
    match broker.scheme.is_websocket() {
        true => Ok(Box::new(websocket::connect(stream, broker).await?)),
        false => Ok(stream),
    }
}

/// One address after the other, each with its share of the time: one that swallows everything must not hide the next.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let end = Instant::now() + CONNECT_TIMEOUT;
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host's name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = end.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
}

/// The output of a step of connecting, or that it took too long.
pub(super) async fn in_time<T>(step: impl Future<Output = T>) -> Result<T, Fault> {
    let late = |_| Fault::Unreachable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()));
    timeout(CONNECT_TIMEOUT, step).await.map_err(late)
}
