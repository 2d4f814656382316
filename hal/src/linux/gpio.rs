//! `/dev/gpiochip*`, through the kernel's second GPIO interface (Linux 5.10 and later).
//!
//! `gpioinfo` shows our lines as used by `sedge`. Each line whose edges are asked for has a thread that sleeps in the kernel
//! until there is one, or until the line is let go.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, Value};
use gpiocdev::{Chip as Device, Error, Request};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::missing::Nodes;
use crate::edges::{Debounce, Detect, Edge, Inbox, KERNEL_QUEUE};
use crate::lines::{Chip, Input, InputLine, InputOptions, LineError, Lines, Output, Pull};

const NODES: Nodes = Nodes {
    prefix: "/dev/gpiochip",
    enable: "Name one of those in the config; `gpiodetect` tells what each of them is.",
    group: "gpio",
};

/// The size of an event of the kernel, in words of eight bytes.
const EVENT: usize = 6;

/// Edges that are fetched from the kernel at once.
const AT_ONCE: usize = 32;

/// What a thread that waits for edges needs at most.
const STACK: usize = 128 * 1024;

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
        let request = builder.request().map_err(|error| refused(line, "an output", false, error))?;
        Ok(Box::new(Claim { request, line }))
    }

    fn input(&self, line: u32, options: InputOptions) -> Result<InputLine, LineError> {
        self.check(line)?;
        let debounce = options.debounce.filter(|period| !period.is_zero());
        // What the chip cannot do and the kernel cannot do for it, its thread does.
        let (request, debounce) = match debounce.map(|_| self.claim_input(line, options)) {
            Some(Ok(request)) => (request, None),
            _ => {
                let edges = match (debounce, options.edges) {
                    (Some(_), Detect::Rising | Detect::Falling) => Detect::Both,
                    (_, edges) => edges,
                };
                let plain = InputOptions { debounce: None, edges, ..options };
                let told = edges != Detect::Nothing;
                let request = self.claim_input(line, plain);
                (request.map_err(|error| refused(line, "an input", told, error))?, debounce)
            }
        };
        let claim = Arc::new(Claim { request, line });
        let level = claim.get()?;
        let inbox = Inbox::new(line, options.edges, level);
        if options.edges == Detect::Nothing {
            return Ok(InputLine::new(Watched { claim, settled: None, watch: None }, inbox));
        }
        let settled = debounce.map(|_| inbox.clone());
        let debounce = debounce.map(|period| (period, Debounce::new(period, level)));
        let watch = Watch::new(claim.clone(), line, inbox.clone(), debounce)
            .map_err(|error| LineError::Failed { line, why: format!("no thread for its edges: {error}") })?;
        Ok(InputLine::new(Watched { claim, settled, watch: Some(watch) }, inbox))
    }
}

impl Node {
    fn claim_input(&self, line: u32, options: InputOptions) -> Result<Request, Error> {
        let mut builder = Request::builder();
        builder.on_chip(&self.path).with_consumer("sedge").with_line(line).as_input();
        if options.active_low {
            builder.as_active_low();
        }
        match options.pull {
            Pull::AsIs => &mut builder,
            Pull::None => builder.with_bias(Bias::Disabled),
            Pull::Up => builder.with_bias(Bias::PullUp),
            Pull::Down => builder.with_bias(Bias::PullDown),
        };
        let edges = match options.edges {
            Detect::Nothing => None,
            Detect::Rising => Some(EdgeDetection::RisingEdge),
            Detect::Falling => Some(EdgeDetection::FallingEdge),
            Detect::Both => Some(EdgeDetection::BothEdges),
        };
        if edges.is_some() {
            builder.with_edge_detection(edges).with_kernel_event_buffer_size(KERNEL_QUEUE);
        }
        if let Some(period) = options.debounce {
            builder.with_debounce_period(period);
        }
        builder.request()
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

/// An input, and what waits for its edges.
struct Watched {
    claim: Arc<Claim>,
    /// Where the level is found that is debounced by us.
    settled: Option<Arc<Inbox>>,
    watch: Option<Watch>,
}

impl Input for Watched {
    fn get(&self) -> Result<bool, LineError> {
        let raw = self.claim.get()?;
        Ok(self.settled.as_ref().map_or(raw, |inbox| inbox.level()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Its thread holds the line too.
        self.watch = None;
    }
}

/// Where edges come from. Its file is readable when there is one.
trait Source: AsFd + Send + 'static {
    /// Those that there are, and at least one.
    fn read(&self, edges: &mut Vec<Edge>) -> Result<(), LineError>;
}

impl AsFd for Claim {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.request.as_fd()
    }
}

impl Source for Arc<Claim> {
    fn read(&self, edges: &mut Vec<Edge>) -> Result<(), LineError> {
        let Claim { request, line } = &**self;
        let mut buffer = [0; EVENT * AT_ONCE];
        let read = request.read_edge_events_into_slice(&mut buffer).map_err(|error| failed(*line, error))?;
        for event in buffer[..read].chunks_exact(request.edge_event_u64_size()) {
            let event = request.edge_event_from_slice(event).map_err(|error| failed(*line, error))?;
            let rising = event.kind == EdgeKind::Rising;
            edges.push(Edge { at_ns: event.timestamp_ns, rising, seq: event.line_seqno });
        }
        Ok(())
    }
}

/// A thread that waits for edges. Dropped, it has ended.
struct Watch {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn new(
        source: impl Source,
        line: u32,
        inbox: Arc<Inbox>,
        debounce: Option<(Duration, Debounce)>,
    ) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let run = move || match watch(&source, line, &inbox, debounce, &stopped) {
            Ok(()) => inbox.let_go(),
            Err(error) => inbox.close(error),
        };
        let thread = thread::Builder::new().name(format!("gpio-{line}")).stack_size(STACK).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A pipe without a writer wakes who reads it.
        self.stop = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Passes edges on until the line is let go.
fn watch(
    source: &impl Source,
    line: u32,
    inbox: &Inbox,
    mut debounce: Option<(Duration, Debounce)>,
    stopped: &PipeReader,
) -> Result<(), LineError> {
    let mut edges = Vec::with_capacity(AT_ONCE);
    loop {
        let still = match &debounce {
            Some((period, debounce)) if debounce.is_pending() => *period,
            _ => Duration::MAX,
        };
        let woken = wait(source, stopped, still).map_err(|error| failed(line, error))?;
        match (woken, &mut debounce) {
            (Woken::Stop, _) => return Ok(()),
            (Woken::Still, None) => {}
            (Woken::Still, Some((_, debounce))) => {
                debounce.settle().into_iter().for_each(|edge| inbox.tell(edge.at_ns, edge.rising));
            }
            (Woken::Edges, debounce) => {
                source.read(&mut edges)?;
                for edge in edges.drain(..) {
                    let Some((_, debounce)) = debounce else {
                        inbox.push(edge);
                        continue;
                    };
                    debounce.edge(edge).into_iter().for_each(|edge| inbox.tell(edge.at_ns, edge.rising));
                }
            }
        }
    }
}

enum Woken {
    Edges,
    Still,
    Stop,
}

fn wait(source: &impl AsFd, stopped: &PipeReader, still: Duration) -> Result<Woken, Errno> {
    // Milliseconds: one more rather than one less.
    let limit = match i32::try_from(still.as_millis()) {
        Ok(ms) => PollTimeout::try_from(ms.saturating_add(1)).unwrap_or(PollTimeout::MAX),
        Err(_) => PollTimeout::NONE,
    };
    let mut fds =
        [PollFd::new(stopped.as_fd(), PollFlags::POLLIN), PollFd::new(source.as_fd(), PollFlags::POLLIN)];
    loop {
        return match poll(&mut fds, limit) {
            Err(Errno::EINTR) => continue,
            Err(errno) => Err(errno),
            Ok(0) => Ok(Woken::Still),
            Ok(_) if fds[0].any() == Some(false) => Ok(Woken::Edges),
            Ok(_) => Ok(Woken::Stop),
        };
    }
}

/// The kernel's own number for what it cannot do; it should not leave it, and it does.
const ENOTSUPP_NUMBER: i32 = 524;

/// The number of an error, which gpiocdev shows in its text alone.
fn number(error: &Error) -> Option<i32> {
    let text = sedge_plugin::chain(error);
    text.rsplit_once("(os error ")?.1.trim_end_matches(')').parse().ok()
}

/// Why a line was not given to us as `what`, with its edges `told`.
fn refused(line: u32, what: &str, told: bool, error: Error) -> LineError {
    let unable = |why: String| LineError::Unable { line, why };
    match number(&error).map(|number| (number, Errno::from_raw(number))) {
        Some((_, Errno::EBUSY)) => LineError::Taken { line, by: "somebody else".into() },
        Some((_, Errno::EPERM)) => {
            unable("is kept back by the board's device tree; choose another line".into())
        }
        Some((number, errno)) if told && (number == ENOTSUPP_NUMBER || cannot(errno)) => unable(
            "cannot tell of changes: its chip has no interrupt for it. Choose a line of another chip, such as one of the \
             board itself, or connect the chip's interrupt and name it in the device tree"
                .into(),
        ),
        Some((number, errno)) if number == ENOTSUPP_NUMBER || cannot(errno) || errno == Errno::EIO => {
            unable(format!("cannot be {what}; choose another line"))
        }
        _ => failed(line, error),
    }
}

fn cannot(errno: Errno) -> bool {
    matches!(errno, Errno::ENXIO | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENODEV)
}

fn failed(line: u32, error: impl std::error::Error) -> LineError {
    let why = sedge_plugin::chain(&error);
    if why.contains(&format!("(os error {})", Errno::ENODEV as i32)) {
        return LineError::Gone(format!("line {line}: its chip has gone"));
    }
    LineError::Failed { line, why }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicU32, Ordering};

    use sedge_plugin::testing::block_on;

    use super::*;
    use crate::edges::EdgeStream;

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
        let error = lines(Path::new("/dev/null")).input(17, InputOptions::default()).err().unwrap();
        assert!(matches!(error, LineError::Gone(_)), "{error}");
    }

    fn os(number: i32) -> Error {
        Error::from(io::Error::from_raw_os_error(number))
    }

    #[test]
    fn a_line_that_cannot_do_what_is_asked_says_what_to_do() {
        for (number, told, expected) in [
            (6, true, "no interrupt"),
            (524, true, "no interrupt"),
            (5, true, "line 3 cannot be an input; choose another line"),
            (524, false, "cannot be an input"),
            (1, false, "device tree; choose another line"),
            (16, false, "in use by somebody else"),
            (28, false, "os error 28"),
        ] {
            let text = refused(3, "an input", told, os(number)).to_string();
            assert!(text.contains(expected), "{number}: {text}");
        }
    }

    #[test]
    fn who_waits_for_edges_is_woken_by_an_edge_by_stillness_and_by_the_end() {
        let ((edges, edge), (stopped, stop)) = (io::pipe().unwrap(), io::pipe().unwrap());
        assert!(matches!(wait(&edges, &stopped, Duration::ZERO), Ok(Woken::Still)));
        (&edge).write_all(b"e").unwrap();
        assert!(matches!(wait(&edges, &stopped, Duration::MAX), Ok(Woken::Edges)));
        drop(stop);
        assert!(matches!(wait(&edges, &stopped, Duration::MAX), Ok(Woken::Stop)), "before what is left");
    }

    /// Edges from a pipe: a byte for each, 1 for a rising one. Numbered, and a second apart.
    struct Piped(PipeReader, AtomicU32);

    impl AsFd for Piped {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Source for Piped {
        fn read(&self, edges: &mut Vec<Edge>) -> Result<(), LineError> {
            let mut bytes = [0; 8];
            let read = (&self.0).read(&mut bytes).unwrap();
            if read == 0 {
                return Err(LineError::Gone("unplugged".into()));
            }
            edges.extend(bytes[..read].iter().map(|byte| {
                let seq = self.1.fetch_add(1, Ordering::Relaxed) + 1;
                Edge { at_ns: u64::from(seq) * 1_000_000_000, rising: *byte == 1, seq }
            }));
            Ok(())
        }
    }

    fn watched(debounce: Option<Duration>) -> (Watch, PipeWriter, EdgeStream) {
        let (reader, writer) = io::pipe().unwrap();
        let inbox = Inbox::new(4, Detect::Both, false);
        let debounce = debounce.map(|period| (period, Debounce::new(period, false)));
        let watch = Watch::new(Piped(reader, AtomicU32::new(0)), 4, inbox.clone(), debounce).unwrap();
        (watch, writer, EdgeStream::new(inbox))
    }

    #[test]
    fn a_thread_passes_edges_on_and_has_ended_when_the_line_is_let_go() {
        let (watch, mut line, mut edges) = watched(None);
        line.write_all(&[1]).unwrap();
        assert_eq!(block_on(edges.next()).unwrap().rising, 1);
        drop(watch);
        assert_eq!(edges.end(), Some(LineError::LetGo { line: 4 }));
        assert!(line.write_all(&[0]).is_err(), "nobody holds the line any more");
    }

    #[test]
    fn a_chip_that_goes_away_is_told_to_whoever_waits() {
        let (_watch, line, mut edges) = watched(None);
        drop(line);
        assert_eq!(block_on(edges.next()), Err(LineError::Gone("unplugged".into())));
    }

    #[test]
    fn where_the_kernel_does_not_debounce_the_thread_does() {
        let (_watch, mut line, mut edges) = watched(Some(Duration::from_millis(1)));
        line.write_all(&[1]).unwrap();
        let batch = block_on(edges.next()).unwrap();
        assert_eq!((batch.rising, batch.level), (1, true), "once it is still");
        let (_watch, mut line, mut edges) = watched(Some(Duration::from_secs(3600)));
        line.write_all(&[1, 0, 1]).unwrap();
        drop(line);
        assert!(block_on(edges.next()).is_err(), "it never was");
    }
}
