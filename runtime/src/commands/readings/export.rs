//! `sedge readings export`: the readings that the journal still has, for other programs.

use sedge_mqtt::wire::ReadingFrame;
use sedge_plugin::journal::Entry;
use sedge_plugins::destinations::{CSV_HEADER, csv_rows};

use super::out::Out;
use super::query::{meant, tell_untimed};
use super::senml::Senml;
use crate::cli::{ExportArgs, Format, Global};
use crate::commands::stored::Stored;
use crate::exit::Failure;
use crate::show;

/// Writes them, one after the other: what is read is not kept.
pub async fn export(global: &Global, args: &ExportArgs) -> Result<(), Failure> {
    let query = meant(&args.sensors, &args.fields, &args.time)?;
    let stored = Stored::find(global).await?;
    let (units, history) = (stored.units().await, stored.history()?);
    let mut out = match &args.output {
        Some(file) => Out::file(file)?,
        None => Out::stdout(),
    };
    let mut senml = Senml::new(&stored.node);
    if args.format == Format::Csv {
        out.text(CSV_HEADER)?;
    }
    let write = |Entry { reading, .. }: Entry| {
        let unit = |field: &str| units.of(&reading.sensor, field);
        match args.format {
            Format::Csv => out.text(&csv_rows(&reading, unit)),
            Format::Ndjson => {
                let frame = ReadingFrame::from(reading.as_ref());
                out.line(&show::json(stored.node.as_str(), reading.sensor.as_str(), &frame).to_string())
            }
            Format::Senml => out.text(&senml.reading(&reading, unit)),
        }
    };
    let untimed = query.each(&history, write).await?;
    if args.format == Format::Senml {
        out.text(senml.end())?;
    }
    out.end()?;
    tell_untimed(untimed);
    if senml.untimed > 0 {
        show::complain(format_args!(
            "{} readings whose time is not known are left out: SenML has no way to say so",
            senml.untimed
        ));
    }
    Ok(())
}
