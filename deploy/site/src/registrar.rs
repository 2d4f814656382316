//! The registrar: the plugin of the node on the broker machine that boards ask for their certificates.
//!
//! All that it knows is on the disk and read at each call, so `sedge site token` counts at once and a restart forgets nothing. It
//! writes what it has decided before it answers: an answer that is lost is given again.
//!
//! It must not sign anything but what [`crate::admission::admit`] lets through.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sedge_plugin::metrics::Counter;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Event, Severity};
use sedge_token::{JoinAnswer, JoinRequest, PLUGIN, TOOL};
use serde_json::{Value as Json, json};

use crate::admission::{Admitted, admit};
use crate::authority::Authority;
use crate::ledger::{NodeRow, Open};
use crate::places::Places;
use crate::{files, fragments};

/// Requests in a minute: forty boards that are switched on together need two each.
const MOST_A_MINUTE: u32 = 240;

/// Its settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the site's files lie, but for tests.
    #[serde(default)]
    root: Option<PathBuf>,
}

/// See the [module](self).
pub struct Registrar {
    ctx: Context,
    places: Places,
    joined: Counter,
    refused: Counter,
    /// How many may still ask, and when that was counted.
    left: (f64, Duration),
}

impl Plugin for Registrar {
    type Args = Settings;
    const MANIFEST: Manifest = Manifest::new(
        PLUGIN,
        env!("CARGO_PKG_VERSION"),
        "Signs the certificates of boards that join the site.",
    )
    .category(Category::Tool);

    async fn setup(settings: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let places = Places::below(settings.root.clone().unwrap_or_else(|| "/".into()));
        let count = |name: &str, help| {
            let name = Name::new(name).map_err(|error| PluginError::failed(error.to_string()))?;
            ctx.counter(name, help).map_err(|error| PluginError::failed(error.to_string()))
        };
        let joined = count("site_joined", "Boards that joined.")?;
        let refused = count("site_refused", "Requests to join that were refused.")?;
        authority(&places).map_err(PluginError::unmet)?;
        Open::wait(&places).map_err(|error| PluginError::unmet(unreadable(&places, &error)))?;
        let left = (f64::from(MOST_A_MINUTE), ctx.clock().up());
        Ok(Self { ctx, places, joined, refused, left })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, _: &Settings, _: &Context) {
        hooks.tools();
    }
}

impl Tools for Registrar {
    fn tools(&self) -> Vec<Tool> {
        let Ok(name) = Name::new(TOOL) else { return Vec::new() };
        let tool = Tool::new(name, "Lets a board join the site that has a token.").input::<JoinRequest>();
        let annotations = Annotations { idempotent: true, ..Annotations::default() };
        vec![Tool { annotations, ..tool }]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let request: JoinRequest = serde_json::from_value(call.args)
            .map_err(|error| ToolError::new(ToolErrorCode::BadArgs, error.to_string()))?;
        if !self.may_ask() {
            let text = format!("more than {MOST_A_MINUTE} boards ask in a minute; try again in a minute");
            return Err(ToolError::new(ToolErrorCode::Busy, text));
        }
        let now = self.ctx.clock().wall_ms();
        let (kind, severity, text, result) = match self.join(&request, now) {
            Ok((answer, true)) => {
                self.joined.inc();
                let text = format!("`{}` joined the site, by token {}", request.id, request.token);
                ("site_joined", Severity::Info, text, Ok(json!(answer)))
            }
            // Asked again: nothing has happened.
            Ok((answer, false)) => return Ok(json!(answer)),
            Err(error) => {
                self.refused.inc();
                let text = format!("`{}` was not let join: {error}", request.id);
                ("site_refused", Severity::Warning, text, Err(error))
            }
        };
        if let Ok(kind) = Name::new(kind) {
            // Not what it tells of itself: that may be more than an event takes, and then nobody would hear of it.
            let data = json!({ "id": request.id });
            self.ctx.publish::<topics::EventRaised>(Event { kind, severity, text, data }).await;
        }
        result
    }
}

impl Registrar {
    /// Whether it is let in; with true where it is new.
    fn join(&self, request: &JoinRequest, now: Option<i64>) -> Result<(JoinAnswer, bool), ToolError> {
        let ours = |why: String| ToolError::failed(format!("the registrar cannot sign: {why}"));
        let mut open = Open::wait(&self.places).map_err(|error| ours(unreadable(&self.places, &error)))?;
        let admitted = admit(&open.ledger, request, now);
        let (certificate, group, is_new) = match admitted {
            Ok(Admitted::Again { certificate, group }) => (certificate, group, false),
            Ok(Admitted::New { point, group }) => {
                // Before anything is signed: what is wrong with the config is told while nothing has happened.
                self.config(request, group.as_ref())?;
                let signed = authority(&self.places).and_then(|authority| {
                    authority.client(request.id.as_str(), &point, now).map_err(|error| error.to_string())
                });
                let signed = signed.map_err(ours)?;
                let row = NodeRow {
                    serial: signed.serial.clone(),
                    key: Some(BASE64.encode(&point)),
                    certificate: Some(signed.pem()),
                    group: group.clone(),
                    since_ms: now,
                    by: request.token.clone(),
                    facts: request.facts.clone(),
                    revoked: false,
                };
                open.ledger.nodes.insert(request.id.clone(), row);
                if let Some(token) = open.ledger.tokens.get_mut(&request.token) {
                    token.used += 1;
                }
                open.save().map_err(|error| ours(unreadable(&self.places, &error)))?;
                (signed.pem(), group, true)
            }
            Err(error) => {
                self.log(&open, now, "refused", request, &error.to_string());
                return Err(error);
            }
        };
        self.log(&open, now, if is_new { "joined" } else { "answered again" }, request, &request.token);
        let config = self.config(request, group.as_ref())?;
        Ok((JoinAnswer { certificate, config }, is_new))
    }

    fn config(
        &self,
        request: &JoinRequest,
        group: Option<&Id>,
    ) -> Result<Vec<sedge_token::Fragment>, ToolError> {
        let wrong = |why| ToolError::failed(format!("the site's config for boards has a mistake: {why}"));
        fragments::of(&self.places.fragments(), &request.id, group).map_err(wrong)
    }

    /// A log that cannot be written holds nobody up.
    fn log(&self, open: &Open, now: Option<i64>, what: &str, request: &JoinRequest, text: &str) {
        if let Err(error) = open.log(now, what, request.id.as_str(), text) {
            sedge_sdk::log(sedge_sdk::Level::Warn, &format!("the site's log cannot be written: {error}"));
        }
    }

    fn may_ask(&mut self) -> bool {
        let (left, counted) = self.left;
        let now = self.ctx.clock().up();
        let more = now.saturating_sub(counted).as_secs_f64() * f64::from(MOST_A_MINUTE) / 60.0;
        let left = (left + more).min(f64::from(MOST_A_MINUTE));
        self.left = (if left >= 1.0 { left - 1.0 } else { left }, now);
        left >= 1.0
    }
}

fn authority(places: &Places) -> Result<Authority, String> {
    let read = |file: PathBuf| {
        files::read(&file).map_err(|error| format!("{}: {error}; see `sedge site init`", file.display()))
    };
    let (certificate, key) = (read(places.ca())?, read(places.ca_key())?);
    Authority::load(&certificate, &key).map_err(|error| error.to_string())
}

fn unreadable(places: &Places, error: &std::io::Error) -> String {
    format!("{}: {error}; see `sedge site init`", places.state().display())
}
