//! `sedge demo`: a node to look at, with a broker inside.
//!
//! On a terminal it shows the latest readings in place, elsewhere it prints a line per reading.

use crate::cli::{DemoArgs, Global};
use crate::exit::Failure;

/// What the demo runs, as an operator would write it.
pub const CONFIG: &str = include_str!("../../../config/examples/demo.toml");

/// There is no demo without a broker.
#[cfg(not(feature = "embedded-broker"))]
pub async fn demo(_: &Global, _: &DemoArgs) -> Result<(), Failure> {
    Err(Failure::Failed(
        "this build has no embedded broker, which the demo needs; use `sedge run -c FILE`".into(),
    ))
}

#[cfg(feature = "embedded-broker")]
pub use with_broker::demo;

#[cfg(feature = "embedded-broker")]
mod with_broker {
    use std::collections::BTreeMap;
    use std::io::{IsTerminal, Write};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::Duration;

    use sedge_actors::RunningNode;
    use sedge_mqtt::wire::ReadingFrame;
    use sedge_plugin::prelude::*;
    use sedge_plugin::topics::Deliver;

    use super::*;
    use crate::broker::{BrokerError, EmbeddedBroker};
    use crate::commands::node;
    use crate::commands::run::Stop;
    use crate::load::Loaded;
    use crate::show;

    /// How often the screen is drawn.
    const REFRESH: Duration = Duration::from_millis(500);

    /// Runs the demo until it is told to stop.
    pub async fn demo(global: &Global, args: &DemoArgs) -> Result<(), Failure> {
        let loaded = Loaded::new("demo.toml", CONFIG.into());
        let Some(config) = loaded.config.clone() else {
            loaded.show(global);
            return Err(Failure::ConfigShown);
        };
        let mqtt = config.mqtt.clone();
        let broker = broker(args.port).await?;
        let bridge = node::bridge_to(&mqtt, broker.local_addr())?;
        let prepared = node::prepare(config, loaded.along(), node::Keep::InMemory);
        let me = Id::sanitized("demo", "demo");
        let mut readings = prepared.node.bus().subscribe::<Deliver>(&me, Options::default());
        let mut stop = Stop::new()?;
        let outbox = prepared.outbox.clone();
        let (running, house) = prepared.start(Some(bridge)).await;
        let (reload, _nobody) = tokio::sync::mpsc::channel(1);
        let _control = crate::control::serve(crate::control::Shown {
            node: running.handle(),
            outbox,
            isolation: house.isolation(),
            reload,
        });
        let head = head(broker.local_addr(), args.port);
        let screen = std::io::stdout().is_terminal() && !global.json;
        match screen {
            true => print("\x1b[2J"),
            false if !global.json => print(&head),
            false => {}
        }
        let mut latest: BTreeMap<Id, Arc<Reading>> = BTreeMap::new();
        let mut refresh = tokio::time::interval(REFRESH);
        loop {
            tokio::select! {
                reading = readings.next() => {
                    if !screen {
                        print(&line(global, &running, &reading));
                    }
                    latest.insert(reading.sensor.clone(), reading);
                }
                _ = refresh.tick(), if screen => draw(&head, &running, &latest),
                () = stop.asked() => break,
            }
        }
        running.stop().await;
        broker.shutdown().await;
        if !global.json {
            print("\nStopped; the node is offline.\n");
        }
        Ok(())
    }

    /// A broker at the port, or at a free one where it is taken.
    async fn broker(port: u16) -> Result<EmbeddedBroker, Failure> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let started = match EmbeddedBroker::start(at(port)).await {
            Err(BrokerError::PortTaken(_)) => EmbeddedBroker::start(at(0)).await,
            started => started,
        };
        started.map_err(|error| Failure::Failed(sedge_plugin::chain(&error)))
    }

    /// What a person may paste into another terminal.
    fn head(broker: SocketAddr, asked: u16) -> String {
        let program = std::env::args_os().next().unwrap_or_else(|| "sedge".into());
        let (program, port) = (program.to_string_lossy(), broker.port());
        let taken = match port == asked || asked == 0 {
            true => String::new(),
            false => format!(" (port {asked} is taken)"),
        };
        format!(
            "Sedge demo. MQTT broker: mqtt://{broker}{taken}. Ctrl-C ends it.\n\
             In another terminal:\n  \
             mosquitto_sub -h 127.0.0.1 -p {port} -t 'sedge/#' -v\n  \
             {program} tool call relay_set on=true --broker mqtt://{broker}\n  \
             {program} readings tail --broker mqtt://{broker}\n\n"
        )
    }

    fn line(global: &Global, node: &RunningNode, reading: &Reading) -> String {
        let directory = node.directory();
        match global.json {
            true => {
                let frame = ReadingFrame::from(reading);
                format!("{}\n", show::json(directory.node.id.as_str(), reading.sensor.as_str(), &frame))
            }
            false => format!("{}\n", show::line(reading, directory.sensor(&reading.sensor))),
        }
    }

    /// Draws the screen anew, as much as fits: what to paste, the latest readings, and who is not well.
    fn draw(head: &str, node: &RunningNode, latest: &BTreeMap<Id, Arc<Reading>>) {
        let directory = node.directory();
        let mut text = head.to_owned();
        for reading in latest.values() {
            text.push_str(&show::line(reading, directory.sensor(&reading.sensor)));
            text.push('\n');
        }
        for status in directory.plugins.values().filter(|status| status.state != State::Running) {
            let reason = status.reason.as_deref().unwrap_or_default();
            text.push_str(&format!("{} {} {}\n", status.id, status.state.word(), reason));
        }
        let (width, height) = terminal_size::terminal_size()
            .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
        let mut room = height.saturating_sub(1);
        let fits = |line: &&str| {
            let rows = line.chars().count().div_ceil(width.max(1)).max(1);
            let fits = rows <= room;
            room = room.saturating_sub(rows);
            fits
        };
        let lines: Vec<&str> = text.lines().take_while(fits).collect();
        // Line by line over what is there: a terminal keeps what is cleared as a whole in its history.
        print(&format!("\x1b[H{}\x1b[K\n\x1b[J", lines.join("\x1b[K\n")));
    }

    /// Prints; where nobody listens any more, as behind `| head`, nothing is to be done about it.
    fn print(text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
