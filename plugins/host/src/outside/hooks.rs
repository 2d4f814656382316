//! The topics that a plugin outside hears, is a step of, or answers: one row each.
//!
//! The engine subscribes by type, a manifest by name. It must not subscribe to what was not granted: whoever calls
//! [`subscribe`] has looked.

use std::sync::Arc;

use sedge_plugin::topic::{Answer, Hooks, Link, Observer, Options, Step, Topic};
use sedge_plugin::topics::{self as t, Command};
use sedge_plugin::{Frame, PluginError, Reading};
use sedge_protocol::frame;
use sedge_protocol::topics::Shape;

use super::plugin::Outside;

macro_rules! table {
    (observe: $($observed:ident),+; chain: $($chain:ident),+; first: $($first:ident),+;) => {
        /// Subscribes to a topic by its name. False where there is none that can be used from outside.
        pub(super) fn subscribe(hooks: &mut impl Hooks<Outside>, topic: &str, options: Options) -> bool {
            $(if topic == t::$observed::NAME {
                hooks.observe::<t::$observed>(options);
                return true;
            })+
            $(if topic == t::$chain::NAME {
                hooks.chain::<t::$chain>(options);
                return true;
            })+
            $(if topic == t::$first::NAME {
                hooks.first::<t::$first>(options);
                return true;
            })+
            false
        }

        $(impl Link<t::$chain> for Outside {
            async fn step(
                &mut self,
                message: Arc<<t::$chain as Topic>::Message>,
            ) -> Result<Step<<t::$chain as Topic>::Message>, PluginError> {
                self.judge::<t::$chain>(&message).await
            }
        })+
    };
}

macro_rules! heard {
    ($($observed:ident),+) => {
        $(impl Observer<t::$observed> for Outside {
            async fn observe(&mut self, message: Arc<<t::$observed as Topic>::Message>) -> Result<(), PluginError> {
                self.hear::<t::$observed>(&message);
                Ok(())
            }
        })+
    };
}

table! {
    observe: ConfigApplied, NodeStarted, NodeStopping, PluginStateChanged, OnError, EventRaised, SensorChanged, Deliver,
        ToolsChanged, ToolFailed, CallRecorded;
    chain: ConfigLoaded, Process, Validate, Admit, PreToolExecute, PostToolExecute;
    first: Extract;
}

heard!(
    ConfigApplied,
    NodeStarted,
    NodeStopping,
    PluginStateChanged,
    OnError,
    EventRaised,
    SensorChanged,
    ToolsChanged,
    ToolFailed,
    CallRecorded
);

impl Observer<t::Deliver> for Outside {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        if self.takes_away() {
            return self.take_away(&reading).await;
        }
        self.hear::<t::Deliver>(&reading);
        Ok(())
    }
}

impl Answer<t::Extract> for Outside {
    async fn answer(&mut self, message: Arc<t::RawPayload>) -> Result<Option<Frame>, PluginError> {
        let answer = self.ask(t::Extract::NAME, t::Extract::encode(&message)).await?;
        let frame = t::Extract::decode_answer(answer).and_then(|frame| frame.map(frame::bounded).transpose());
        frame.map_err(PluginError::failed)
    }
}

/// From its manifest: it need not be asked.
impl Answer<t::CommandRegistryBuild> for Outside {
    async fn answer(&mut self, _: Arc<()>) -> Result<Option<Vec<Command>>, PluginError> {
        Ok(Some(self.commands()))
    }
}
