//! Writes readings to standard output, one line each.
//!
//! ```toml
//! [destination.screen]
//! kind = "stdout"
//! format = "text"      # or "json"
//! ```
//!
//! Who reads may be slow, or gone: neither holds up the node, and its end waits two seconds for them at most. A pipe that
//! is closed is told as what is amiss; what cannot be written is counted, and told through the event `readings_lost` when
//! it begins and when it is over.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use sedge_hal::Worker;
use sedge_plugin::prelude::*;

use super::Args;
use super::parts::pump::{BEAT, Encode, Now, Pump, Sink, Written};
use super::parts::{FAREWELL, lines};

/// Readings that wait while nobody reads.
const BUFFER: usize = 1000;

/// Settings of a `kind = "stdout"` destination.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What a line looks like.
    pub format: Format,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The reading as JSON, as it is on MQTT, with `node` and `sensor`.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Writes to standard output.
pub struct StdoutDestination(Pump<Output>);

/// What is written to.
pub struct Output(Box<dyn Write>);

impl Plugin for StdoutDestination {
    type Args = Args<Settings, Worker<Output>>;
    const MANIFEST: Manifest =
        Manifest::new("stdout", env!("CARGO_PKG_VERSION"), "Writes readings to standard output.")
            .category(Category::Destination);

    async fn setup(args: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        let start = || Worker::spawn("stdout", || Output(Box::new(io::stdout())));
        let worker = args.kept(start).map_err(|error| PluginError::failed(format!("no thread: {error}")))?;
        let node = ctx.directory().node.id.clone();
        let encode: Encode = match args.settings.format {
            Format::Json => Box::new(move |_, reading| lines::json(&node, reading)),
            Format::Text => Box::new(lines::text),
        };
        Ok(Self(Pump::new(ctx, worker, encode, BUFFER, (None, None))?))
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &Self::Args, _: &Context) {
        hooks.observe::<topics::Deliver>(args.options());
    }

    fn every(&self) -> Option<Duration> {
        Some(BEAT)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.0.tick().await;
        Ok(())
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.0.finish(Some(FAREWELL)).await
    }
}

impl Observer<topics::Deliver> for StdoutDestination {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        self.0.push(reading).await;
        Ok(())
    }
}

impl Sink for Output {
    fn write(&mut self, readings: &[String], _: Now) -> Written {
        let mut written = Written::default();
        for line in readings {
            if let Err(error) = self.0.write_all(line.as_bytes()) {
                return Written { error: Some(why(&error)), ..written };
            }
            written.count += 1;
        }
        let error = self.0.flush().err().map(|error| why(&error));
        Written { error, ..written }
    }

    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::BrokenPipe => "nobody reads standard output any more".into(),
        _ => format!("standard output: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use sedge_plugin::testing::{TestNode, block_on};
    use serde_json::json;

    use sedge_plugin::topics::Severity;

    use super::super::parts::testing::nth;
    use super::super::parts::told;
    use super::*;

    /// A pipe whose reader leaves after some bytes.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<(Vec<u8>, Option<usize>)>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut pipe = self.0.lock().unwrap();
            if pipe.1.is_some_and(|most| pipe.0.len() >= most) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            pipe.0.extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writing_to(pipe: &Pipe, settings: serde_json::Value) -> (TestNode, StdoutDestination) {
        let (node, pipe) = (TestNode::new(), pipe.clone());
        let args = Args::new(serde_json::from_value(settings).unwrap(), None);
        args.kept(|| Worker::spawn("test", move || Output(Box::new(pipe)))).unwrap();
        let stdout = block_on(StdoutDestination::setup(&args, node.context("screen"))).unwrap();
        (node, stdout)
    }

    #[test]
    fn each_reading_is_a_line_in_the_form_that_was_asked_for() {
        for (format, expected) in [
            (
                "json",
                "{\"node\":\"test-node\",\"sensor\":\"air\",\"ts\":\"2026-11-20T17:28:24.123Z\",\"seq\":1,\"boot\":\"9f3c21ab\",\"fields\":{\"level\":1}}\n",
            ),
            ("text", "2026-11-20T17:28:24.123Z air level=1\n"),
        ] {
            let pipe = Pipe::default();
            let (_node, mut stdout) = writing_to(&pipe, json!({ "format": format }));
            block_on(stdout.observe(nth(1))).unwrap();
            stdout.0.wait();
            block_on(stdout.teardown()).unwrap();
            assert_eq!(String::from_utf8_lossy(&pipe.0.lock().unwrap().0), expected);
        }
    }

    #[test]
    fn a_closed_pipe_is_told_and_counted_and_fails_nothing() {
        let pipe = Pipe::default();
        pipe.0.lock().unwrap().1 = Some(1);
        let (node, mut stdout) = writing_to(&pipe, json!({}));
        for n in 1..=3 {
            assert_eq!(block_on(stdout.observe(nth(n))), Ok(()));
            stdout.0.wait();
        }
        assert_eq!(node.degraded("screen").as_deref(), Some("nobody reads standard output any more"));
        for n in 4..2000 {
            assert_eq!(block_on(stdout.observe(nth(n))), Ok(()));
        }
        assert_eq!(block_on(stdout.tick()), Ok(()));
        assert!(block_on(stdout.teardown()).is_err());
        assert_eq!(told(&node), [(Severity::Warning, 1), (Severity::Warning, 1998)]);
        let count = |name| node.context("screen").counter(Name::new(name).unwrap(), "").unwrap().get();
        assert_eq!((count("written"), count("dropped")), (1, 1998));
        assert!(count("failed") >= 1);
    }

    #[test]
    fn a_teardown_does_not_wait_for_a_reader_that_does_not_read_and_says_how_many_lines_are_lost() {
        /// A pipe that is full until its other end is gone.
        struct Full(mpsc::Receiver<()>);
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (node, (reader, full)) = (TestNode::new(), mpsc::channel());
        let args = Args::new(Settings::default(), None);
        args.kept(|| Worker::spawn("test", move || Output(Box::new(Full(full))))).unwrap();
        let mut stdout = block_on(StdoutDestination::setup(&args, node.context("screen"))).unwrap();
        for n in 1..=3 {
            block_on(stdout.observe(nth(n))).unwrap();
        }
        let error = block_on(stdout.teardown()).unwrap_err().to_string();
        assert!(error.contains("3 readings are lost: nobody took them in time"), "{error}");
        assert_eq!(node.context("screen").clock().up(), FAREWELL);
        assert_eq!(told(&node), [(Severity::Warning, 3)]);
        drop(reader);
    }
}
