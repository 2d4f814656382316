//! What the config says of callers and their calls, as the bridge is told it; and the key pair of a new caller.

use sedge_config::Config;
use sedge_mqtt::{CallRules, Caller, MustSign};

/// The rules of a config, with a number that changes when they do.
pub(crate) fn rules(config: &Config) -> (CallRules, u64) {
    let caller = |caller: &sedge_config::Caller| Caller {
        name: caller.id.clone(),
        key: caller.key,
        tools: caller.tools.clone(),
        rate: caller.rate,
    };
    let calls = &config.calls;
    let rules = CallRules {
        signed: match calls.signed {
            sedge_config::MustSign::Off => MustSign::None,
            sedge_config::MustSign::Actuate => MustSign::Changing,
            sedge_config::MustSign::All => MustSign::All,
        },
        allow_unsigned: calls.allow_unsigned.clone(),
        per_caller: calls.per_caller,
        unsigned: calls.unsigned,
        callers: config.callers.iter().map(caller).collect(),
    };
    let marks = config.callers.iter().map(|caller| caller.fingerprint().to_le_bytes());
    let marks: Vec<u8> = [calls.fingerprint().to_le_bytes()].into_iter().chain(marks).flatten().collect();
    (rules, sedge_plugin::fnv1a(&marks))
}
