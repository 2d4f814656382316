//! What a person who writes `sedge.toml` may count on.

#[path = "promises/catalogue.rs"]
mod catalogue;
#[path = "promises/faults.rs"]
mod faults;
#[path = "promises/golden.rs"]
mod golden;
#[path = "promises/never.rs"]
mod never;
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
