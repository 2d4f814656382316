//! At the broker: asks the registrar, and tries what it gave.
//!
//! A board that is switched on for the first time has no network yet, and thirty-nine others beside it: so it tries again until
//! `--wait` is over, at moments of its own. What will not be otherwise in a minute (a token that has ended) is told at once.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use sedge_config::BrokerUrl;
use sedge_mqtt::Settings;
use sedge_mqtt::remote::{Remote, RemoteError};
use sedge_mqtt::wire::Answer;
use sedge_plugin::{Id, Name, Progress, ToolError, ToolErrorCode};
use sedge_token::{
    Facts, JOINING, JoinAnswer, JoinRequest, JoinSecret, MOST_FRAGMENTS, NodeKey, TOOL, Token, pem,
};
use serde_json::json;
use tokio::time::Instant;

use super::standing::Standing;
use crate::commands::node;
use crate::commands::version::{VERSION, target};
use crate::exit::Failure;

/// How long the registrar may take.
const ANSWER: Duration = Duration::from_secs(20);
/// The first pause between two tries, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Who asks whom.
pub(super) struct Asking<'a> {
    pub(super) standing: &'a Standing,
    pub(super) token: &'a Token,
    pub(super) broker: &'a BrokerUrl,
    pub(super) id: &'a Id,
    pub(super) key: &'a NodeKey,
}

/// Why a try failed.
enum Fault {
    /// It may go better in a moment.
    Passing(String),
    /// It will not.
    Lasting(Failure),
}

impl Asking<'_> {
    /// The registrar's answer.
    pub(super) async fn registrar(
        &self,
        registrar: &Id,
        secret: &JoinSecret,
        wait: Duration,
    ) -> Result<JoinAnswer, Failure> {
        let request = JoinRequest::new(secret, self.id.clone(), self.key, facts())
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let certificate = pem::encode("CERTIFICATE", &self.token.certificate);
        let key = pem::encode("PRIVATE KEY", &self.token.key);
        let files = self.standing.joining(&self.token.authority, &certificate, &key)?;
        let settings = self.settings(JOINING, files)?;
        let tool = Name::new(TOOL).map_err(|error| Failure::Failed(error.to_string()))?;
        self.until(wait, async || {
            let remote = self.connect(&settings).await?.calling_as(&format!("{JOINING}@{}", self.id));
            let asked = remote.call(registrar, &tool, json!(request), ANSWER, Progress::default()).await;
            let frame = asked.map_err(|error| match error {
                RemoteError::NotConnected(_) => Fault::Passing(format!(
                    "the registrar, node `{registrar}`, is not connected to the broker; on that machine: sedge node status"
                )),
                error => self.fault(error),
            })?;
            match frame.answer {
                Answer::Done { result: Ok(result), .. } => answer(result).map_err(Fault::Lasting),
                Answer::Done { result: Err(error), .. } => Err(refused(error)),
                Answer::Progress { .. } => Err(Fault::Passing("the registrar did not answer".into())),
            }
        })
        .await
    }

    /// Whether the broker lets this board in with its certificate.
    pub(super) async fn try_certificate(&self, certificate: &str, wait: Duration) -> Result<(), Failure> {
        let files = self.standing.joining(&self.token.authority, certificate, &self.key.to_pem())?;
        let settings = self.settings(self.id.as_str(), files)?;
        self.until(wait, async || self.connect(&settings).await.map(drop)).await
    }

    async fn connect(&self, settings: &Settings) -> Result<Remote, Fault> {
        // Nobody else's: a second client of one name throws the first one out.
        let client = format!("sedge-join-{}-{:x}", self.id, RandomState::new().hash_one(std::process::id()));
        Remote::connect(settings, &client).await.map_err(|error| self.fault(error))
    }

    fn settings(&self, user: &str, [ca, cert, key]: [PathBuf; 3]) -> Result<Settings, Failure> {
        let settings = Settings {
            brokers: node::brokers(std::slice::from_ref(self.broker)),
            username: Some(user.into()),
            ca_file: Some(ca),
            cert_file: Some(cert),
            key_file: Some(key),
            ..Settings::default()
        };
        settings.check().map_err(|error| Failure::Usage(format!("BROKER: {error}")))?;
        Ok(settings)
    }

    fn fault(&self, error: RemoteError) -> Fault {
        let broker = self.broker;
        match error {
            // In the words of the system's resolver, and of ours where it found the name and no address.
            RemoteError::Unreachable(text)
                if text.contains("lookup") || text.contains("host's name has no address") =>
            {
                Fault::Passing(format!(
                    "{broker}: {text}; is the name right? `.local` names need avahi-daemon on the broker machine"
                ))
            }
            RemoteError::Unreachable(text) => Fault::Passing(format!("{broker}: {text}")),
            RemoteError::Timeout(_) | RemoteError::NotConnected(_) => {
                Fault::Passing(format!("{broker}: {error}"))
            }
            // What the broker has against a certificate comes as an alert of TLS.
            RemoteError::Tls(text) if text.contains("does not take this node's certificate") => {
                Fault::Lasting(Failure::Untrusted(format!(
                    "{broker} does not let this board in: its token or certificate was revoked, has ended, or is another site's ({text})"
                )))
            }
            RemoteError::Tls(text) if text.contains("signed by nobody whom this node trusts") => {
                Fault::Lasting(Failure::Untrusted(format!(
                    "{broker} is not the broker of the token's site: another authority has signed its certificate"
                )))
            }
            RemoteError::Tls(text) => Fault::Lasting(Failure::Untrusted(format!("{broker}: {text}"))),
            error => Fault::Lasting(Failure::Failed(format!("{broker}: {error}"))),
        }
    }

    /// Tries until it goes well, or will not, or the time is over.
    async fn until<T>(
        &self,
        wait: Duration,
        mut attempt: impl AsyncFnMut() -> Result<T, Fault>,
    ) -> Result<T, Failure> {
        let begin = Instant::now();
        let (end, mut pause) = (begin + wait, PAUSES.0);
        let mut told = String::new();
        loop {
            let why = match attempt().await {
                Ok(done) => return Ok(done),
                Err(Fault::Lasting(failure)) => return Err(failure),
                Err(Fault::Passing(why)) => why,
            };
            // Between half and all of it, so that boards that were switched on together do not stay together.
            let part = 0.5 + (RandomState::new().hash_one(pause) % 512) as f64 / 1024.0;
            let next = Instant::now() + pause.mul_f64(part);
            if next >= end {
                return Err(Failure::Unreachable(format!(
                    "{why}; tried for {} s. Joining again goes on where this ended",
                    begin.elapsed().as_secs_f64().round()
                )));
            }
            if told != why {
                crate::show::complain(format_args!("{}; trying again", why.trim_end_matches("; try again")));
                told = why;
            }
            tokio::time::sleep_until(next).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

fn refused(error: ToolError) -> Fault {
    match error.code {
        ToolErrorCode::Busy
        | ToolErrorCode::Unavailable
        | ToolErrorCode::Timeout
        | ToolErrorCode::Expired => Fault::Passing(format!("the registrar: {}", error.message)),
        ToolErrorCode::NotFound => Fault::Passing(format!(
            "the registrar does not run on its node: {}; on that machine: sedge plugin info site",
            error.message
        )),
        _ => Fault::Lasting(Failure::Failed(format!(
            "the site does not let this board join: {}",
            error.message
        ))),
    }
}

fn answer(json: serde_json::Value) -> Result<JoinAnswer, Failure> {
    let wrong = |why: String| Failure::Failed(format!("what the site answered cannot be read: {why}"));
    let answer: JoinAnswer = serde_json::from_value(json).map_err(|error| wrong(error.to_string()))?;
    match answer.config.len() > MOST_FRAGMENTS {
        true => Err(wrong(format!("{} pieces of config", answer.config.len()))),
        false => Ok(answer),
    }
}

/// What this board tells of itself, for the list at the site.
fn facts() -> Facts {
    let host = crate::identity::host_name(std::path::Path::new("/"));
    let mut facts =
        Facts::from([("version".into(), VERSION.into()), ("target".into(), target()), ("host".into(), host)]);
    facts.extend(node::model().map(|model| ("model".to_owned(), model)));
    facts
}
