//! `sedge metrics [PLUGIN]`: what the node on this machine and its plugins count.

use serde_json::Value as Json;

use super::local;
use crate::cli::{Global, MetricsArgs};
use crate::control::Ask;
use crate::exit::Failure;
use crate::show::{self, say};

/// Prints metrics.
pub async fn metrics(global: &Global, args: &MetricsArgs) -> Result<(), Failure> {
    let all = local::node(global)?.ask(&Ask::Metrics).await?;
    let wanted =
        |metric: &&Json| args.plugin.as_ref().is_none_or(|plugin| metric["plugin"] == plugin.as_str());
    let metrics: Vec<&Json> = all.as_array().into_iter().flatten().filter(wanted).collect();
    if let (Some(plugin), true) = (&args.plugin, metrics.is_empty()) {
        return Err(Failure::Failed(format!("`{plugin}` counts nothing, or is not there")));
    }
    if global.json {
        return say(metrics.into_iter().cloned().collect::<Json>());
    }
    let row = |metric: &&Json| {
        let text = |key: &str| metric[key].as_str().unwrap_or_default().to_owned();
        vec![text("plugin"), text("name"), value(metric), text("help")]
    };
    show::table(&metrics.iter().map(row).collect::<Vec<_>>())
}

fn value(metric: &Json) -> String {
    match (metric["value"].as_f64(), metric["count"].as_u64(), metric["sum"].as_f64()) {
        (Some(_), ..) => metric["value"].to_string(),
        (None, Some(0), _) => "none yet".into(),
        (None, Some(count), Some(sum)) => format!("{count} × {:.6} on average", sum / count as f64),
        _ => "-".into(),
    }
}
