//! The HTTP client that all plugins share: one pool of connections, one limit, one set of trusted roots.
//!
//! The client blocks, so each request runs on a thread for such work, [`AT_ONCE`] at a time; the others wait, which is part
//! of their timeout. A request runs to its end, or to its timeout, also where nobody waits for it any more.
//!
//! A redirect is followed only for a `GET` or `HEAD` without header fields of the caller's: after a redirect a `POST` becomes
//! a `GET`, which says nothing was wrong and sends nothing, and a token in a header would go to whoever the answer names.
//! Any other redirect is an answer, and every one where the caller wants none followed.
//!
//! What an error says never has the URL in it: it may carry a password.

use std::error::Error;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::BoxFuture;
use sedge_plugin::http::{HttpClient, HttpError, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use ureq::Agent;

/// Requests that run at a time.
pub const AT_ONCE: usize = 16;

/// Bytes of an answer that are read.
const BODY: u64 = 1024 * 1024;

/// Header fields of an answer that are told.
const HEADERS: usize = 100;

/// Redirects that are followed.
const REDIRECTS: u32 = 3;

/// Idle connections that are kept, and for how long.
const IDLE: (usize, Duration) = (4, Duration::from_secs(15));

/// The client. Clones share it.
#[derive(Clone)]
pub struct SharedHttp {
    agent: Agent,
    permits: Arc<Semaphore>,
}

impl SharedHttp {
    /// A client that goes through the proxy which the environment names, if it does.
    pub fn new() -> Self {
        Self::with(Agent::config_builder())
    }

    fn with(config: ureq::config::ConfigBuilder<ureq::typestate::AgentScope>) -> Self {
        let config = config
            .http_status_as_error(false)
            .max_redirects_will_error(false)
            .max_idle_connections(IDLE.0)
            .max_idle_age(IDLE.1)
            .user_agent(concat!("sedge/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Default for SharedHttp {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for SharedHttp {
    fn send(&self, mut request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        let Self { agent, permits } = self.clone();
        Box::pin(async move {
            // A task of its own: whoever sends may look after it only now and then.
            let task = tokio::spawn(async move {
                let timeout = request.timeout;
                let begun = Instant::now();
                let Ok(permit) = tokio::time::timeout(timeout, permits.acquire_owned()).await else {
                    return Ok(Err(HttpError(format!("no free connection within {timeout:?}"))));
                };
                request.timeout = timeout.saturating_sub(begun.elapsed());
                let exchange = move || {
                    let _permit = permit;
                    exchange(&agent, request, timeout)
                };
                tokio::task::spawn_blocking(exchange).await
            });
            match task.await {
                Ok(Ok(answer)) => answer,
                // The runtime is shutting down, or the library has panicked.
                Ok(Err(error)) | Err(error) => {
                    Err(HttpError(format!("the request was not finished: {error}")))
                }
            }
        })
    }
}

/// Sends it and reads the answer. `whole` is the timeout that was asked for, of which the request has what is left.
fn exchange(agent: &Agent, request: Request, whole: Duration) -> Result<Response, HttpError> {
    let Request { method, url, headers, body, timeout, follow } = request;
    let plain = matches!(method, "GET" | "HEAD");
    let redirects = if follow && plain && headers.is_empty() { REDIRECTS } else { 0 };
    let mut builder = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let told = |error: ureq::Error| HttpError(told(&error, whole));
    let sent = if plain && body.is_empty() {
        let request = builder.body(()).map_err(|error| told(error.into()))?;
        agent.run(
            agent.configure_request(request).timeout_global(Some(timeout)).max_redirects(redirects).build(),
        )
    } else {
        let request = builder.body(body).map_err(|error| told(error.into()))?;
        agent.run(
            agent.configure_request(request).timeout_global(Some(timeout)).max_redirects(redirects).build(),
        )
    };
    let mut answer = sent.map_err(told)?;
    let retry_after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let text = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = answer.headers().iter().take(HEADERS).filter_map(text).collect();
    let mut body = Vec::new();
    let read = answer.body_mut().as_reader().take(BODY).read_to_end(&mut body);
    read.map_err(|error| told(error.into()))?;
    Ok(Response { status: answer.status().as_u16(), headers, body, retry_after })
}

/// What happened, in words without the URL.
fn told(error: &ureq::Error, timeout: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {timeout:?}"),
        ureq::Error::HostNotFound => "there is no host of that name".into(),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "the connection was refused".into(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                "the connection was closed".into()
            }
            _ => sedge_plugin::chain(error as &dyn Error),
        },
        ureq::Error::TlsRequired | ureq::Error::Tls(_) => {
            "https: this build has no TLS, or the other side none".into()
        }
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            "the URL or a header field is not legal".into()
        }
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => "the proxy did not do it".into(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Never through a proxy.
    fn client() -> SharedHttp {
        SharedHttp::with(Agent::config_builder().proxy(None))
    }

    /// Reads a request: its head, and so many bytes of body as that says.
    fn receive(stream: &mut TcpStream) -> String {
        let (mut text, mut byte) = (String::new(), [0]);
        while !text.ends_with("\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            text.push(byte[0].into());
        }
        let length = text.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        text + &String::from_utf8(body).unwrap()
    }

    /// A server that answers each connection with `answer` and tells what it got.
    fn server(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, got) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = receive(&mut stream);
                // The client may have heard enough.
                let _ = stream.write_all(&answer(&request));
                if tell.send(request).is_err() {
                    return;
                }
            }
        });
        (address, got)
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn what_is_sent_arrives_and_any_status_is_an_answer() {
        for status in [200, 204, 404, 503] {
            let (address, got) = server(move |_| {
                let length = if status == 204 { "" } else { "Content-Length: 2\r\n" };
                format!("HTTP/1.1 {status} X\r\n{length}Connection: close\r\n\r\nhi").into_bytes()
            });
            let request =
                Request::post(format!("http://{address}/a?b=c"), b"body".to_vec()).header("X-Key", "s3cret");
            let answer = client().send(request).await.unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(answer.body, if status == 204 { &b""[..] } else { b"hi" });
            let request = got.recv().unwrap();
            assert!(
                request.starts_with("POST /a?b=c HTTP/1.1\r\n") && request.ends_with("\r\n\r\nbody"),
                "{request}"
            );
            assert!(request.to_ascii_lowercase().contains("x-key: s3cret\r\n"), "{request}");
        }
    }

    #[tokio::test]
    async fn how_long_the_server_asks_to_wait_is_told_where_it_is_a_number() {
        for (header, expected) in [
            ("Retry-After: 120\r\n", Some(Duration::from_secs(120))),
            ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", None),
            ("", None),
        ] {
            let (address, _got) = server(move |_| {
                format!("HTTP/1.1 429 X\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n")
                    .into_bytes()
            });
            let answer = client().send(Request::get(format!("http://{address}/"))).await.unwrap();
            assert_eq!(answer.retry_after, expected);
        }
    }

    #[tokio::test]
    async fn of_a_long_answer_the_first_mebibyte_is_read() {
        let (address, _got) = server(|_| ok(&vec![b'x'; 3 * 1024 * 1024]));
        let answer = client().send(Request::get(format!("http://{address}/"))).await.unwrap();
        assert_eq!(answer.body.len(), 1024 * 1024);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_unless_following_it_gives_nothing_away() {
        let (address, got) = server(|request| {
            let (status, more) =
                if request.contains("/end") { ("200 OK", "") } else { ("302 Found", "Location: /end\r\n") };
            format!("HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
        });
        let url = format!("http://{address}/begin");
        let status = |request| async { client().send(request).await.unwrap().status };
        assert_eq!(status(Request::get(&url)).await, 200);
        assert_eq!(got.try_iter().count(), 2);
        assert_eq!(status(Request::get(&url).header("X-Key", "s3cret")).await, 302);
        assert_eq!(status(Request::post(&url, b"x".to_vec())).await, 302);
    }

    #[tokio::test]
    async fn redirects_end() {
        let (address, _got) = server(|_| {
            b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
        });
        assert_eq!(client().send(Request::get(format!("http://{address}/"))).await.unwrap().status, 302);
    }

    #[tokio::test]
    async fn who_does_not_answer_in_time_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let request = Request { timeout: Duration::from_millis(50), ..Request::get(url) };
        assert_eq!(client().send(request).await, Err(HttpError("no answer within 50ms".into())));
    }

    #[tokio::test]
    async fn an_error_does_not_show_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        for url in [
            format!("http://user:hunter2@{address}/"),
            "http://user:hunter2@[/".into(),
            "hunter2".into(),
            "gopher://user:hunter2@x/".into(),
            "http://user:hunter2@no-such-host.invalid/".into(),
        ] {
            let error = client().send(Request::get(&url)).await.unwrap_err();
            assert!(!error.0.contains("hunter2") && !error.0.is_empty(), "{error}");
        }
        let request = Request::get(format!("http://{address}/"));
        assert_eq!(client().send(request.clone()).await, Err(HttpError("the connection was refused".into())));
        let error = client().send(request.header("X", "hunter2\n")).await.unwrap_err();
        assert!(!error.0.contains("hunter2"), "{error}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn so_many_requests_run_at_once_and_the_others_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = client();
        let begin = |_| tokio::spawn(client.send(Request::get(&url)));
        let mut tasks: Vec<_> = (0..AT_ONCE + 1).map(begin).collect();
        let server = thread::spawn(move || {
            let accept = || {
                let mut stream = listener.accept().unwrap().0;
                receive(&mut stream);
                stream
            };
            let mut open: Vec<TcpStream> = (0..AT_ONCE).map(|_| accept()).collect();
            listener.set_nonblocking(true).unwrap();
            let early = listener.accept().is_ok();
            listener.set_nonblocking(false).unwrap();
            open.remove(0).write_all(&ok(b"")).unwrap();
            open.push(accept());
            for mut stream in open {
                stream.write_all(&ok(b"")).unwrap();
            }
            early
        });
        for task in tasks.drain(..) {
            assert_eq!(task.await.unwrap().unwrap().status, 200);
        }
        assert!(!server.join().unwrap(), "one too many came before another was answered");
    }

    #[tokio::test]
    async fn waiting_for_a_free_connection_is_part_of_the_timeout() {
        let client = client();
        let all = client.permits.clone().acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        let request = Request { timeout: Duration::from_millis(50), ..Request::get("http://127.0.0.1:9/") };
        let answer = client.send(request).await;
        assert_eq!(answer, Err(HttpError("no free connection within 50ms".into())));
        drop(all);
    }

    #[tokio::test]
    async fn a_request_runs_to_its_end_when_nobody_looks() {
        let (address, got) = server(|_| ok(b""));
        let mut sending = client().send(Request::get(format!("http://{address}/")));
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(sending.as_mut().poll(cx).is_pending()));
        assert!(once.await);
        let arrived = tokio::task::spawn_blocking(move || got.recv()).await.unwrap();
        assert!(arrived.unwrap().starts_with("GET / "));
        drop(sending);
    }
}
