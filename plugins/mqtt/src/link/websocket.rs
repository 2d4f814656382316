//! A websocket as a stream of bytes, which is what MQTT makes of one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream as _;
use futures_sink::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::upgrade::Error as Upgrade;
use tokio_websockets::{ClientBuilder, Error, Limits, Message, Payload, WebSocketStream};

use super::Fault;
use super::transport::Stream;
use crate::settings::Broker;

/// The largest message of the websocket's; a broker may put many packets into one.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What was written at a time becomes one message.
pub(super) struct Websocket {
    inner: WebSocketStream<Box<dyn Stream>>,
    /// What came and was not read yet.
    rest: Payload,
    /// How much of it was read.
    read: usize,
}

pub(super) async fn connect(stream: Box<dyn Stream>, broker: &Broker) -> Result<Websocket, Fault> {
    let host = match broker.host.contains(':') {
        true => format!("[{}]", broker.host),
        false => broker.host.clone(),
    };
    let url = format!("ws://{host}:{}{}", broker.port, broker.path);
    let wrong = |error: &dyn std::fmt::Display| Fault::Protocol(format!("no websocket at {url}: {error}"));
    let builder = ClientBuilder::new()
        .uri(&url)
        .map_err(|error| wrong(&error))?
        .add_header(
            "sec-websocket-protocol".parse().map_err(|_| wrong(&"header"))?,
            "mqtt".parse().map_err(|_| wrong(&"header"))?,
        )
        .map_err(|error| wrong(&error))?
        .limits(Limits::default().max_payload_len(Some(MAX_BYTES)));
    let (inner, _) = builder.connect_on(stream).await.map_err(|error| match error {
        Error::Io(error) => {
            super::tls::fault(&error).unwrap_or_else(|| Fault::Unreachable(error.to_string()))
        }
        Error::Upgrade(Upgrade::DidNotSwitchProtocols(status)) => {
            wrong(&format!("the server answered {status}; is the path right?"))
        }
        error => wrong(&error),
    })?;
    Ok(Websocket { inner, rest: Payload::from(&[][..]), read: 0 })
}

impl AsyncRead for Websocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let this = &mut *self;
            let rest = this.rest.get(this.read..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(into.remaining());
                into.put_slice(&rest[..count]);
                this.read += count;
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
                Some(Ok(message)) if message.is_binary() => {
                    this.rest = message.into_payload();
                    this.read = 0;
                }
                // Pings are answered by the library; a broker has nothing to say in text.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(told(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl AsyncWrite for Websocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.inner).poll_ready(cx)).map_err(told)?;
        Pin::new(&mut self.inner).start_send(Message::binary(bytes.to_vec())).map_err(told)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx).map_err(told)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx).map_err(told)
    }
}

fn told(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
