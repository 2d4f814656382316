//! What a person who writes `sedge.toml` may count on.

#[path = "promises/callers.rs"]
mod callers;
#[path = "promises/catalogue.rs"]
mod catalogue;
#[path = "promises/chains.rs"]
mod chains;
#[path = "promises/edits.rs"]
mod edits;
#[path = "promises/faults.rs"]
mod faults;
#[path = "promises/fingerprints.rs"]
mod fingerprints;
#[path = "promises/golden.rs"]
mod golden;
#[path = "promises/guards.rs"]
mod guards;
#[path = "promises/hardware.rs"]
mod hardware;
#[path = "promises/layers.rs"]
mod layers;
#[path = "promises/muxes.rs"]
mod muxes;
#[path = "promises/never.rs"]
mod never;
#[path = "promises/origins.rs"]
mod origins;
#[path = "promises/outside.rs"]
mod outside;
#[path = "promises/schema.rs"]
mod schema;
#[path = "promises/values.rs"]
mod values;

/// Parses with the catalogue of these tests.
fn parse(text: &str) -> sedge_config::Outcome {
    sedge_config::parse("sedge.toml", text, &catalogue::catalogue())
}

/// All diagnostics, one line each.
fn lines(outcome: &sedge_config::Outcome) -> Vec<String> {
    outcome.diagnostics.iter().map(sedge_config::Diagnostic::one_line).collect()
}
