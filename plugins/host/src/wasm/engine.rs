//! The engines of a node, one per target, and what lets their time pass.
//!
//! A component that runs is asked every ten milliseconds whether it may run on: that is the epoch, which a thread advances as
//! long as some call is under way. On an idle node it sleeps.
//!
//! Instances of one component share its code, which is some hundred times what an instance has of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::load::{self, Vouched};
use super::settings::{Target, config};

/// How often a component is asked whether it may run on.
const EPOCH: Duration = Duration::from_millis(10);

/// An engine, and how many calls are under way in it.
pub(super) struct Clockwork {
    pub(super) engine: Engine,
    running: Mutex<usize>,
    wake: Condvar,
    /// What some instance has, by the hash of its code.
    loaded: Mutex<BTreeMap<[u8; 32], Weak<Component>>>,
}

/// The engine of a target, made once.
pub(super) fn engine(target: Target) -> Result<Arc<Clockwork>, String> {
    static NATIVE: OnceLock<Result<Arc<Clockwork>, String>> = OnceLock::new();
    static PULLEY: OnceLock<Result<Arc<Clockwork>, String>> = OnceLock::new();
    let place = if target == Target::host() { &NATIVE } else { &PULLEY };
    place.get_or_init(|| Clockwork::start(target)).clone()
}

impl Clockwork {
    fn start(target: Target) -> Result<Arc<Self>, String> {
        let failed = |error: wasmtime::Error| format!("WebAssembly cannot be run here: {error:#}");
        let engine = config(target).and_then(|config| Engine::new(&config)).map_err(failed)?;
        let clockwork =
            Arc::new(Self { engine, running: Mutex::new(0), wake: Condvar::new(), loaded: Mutex::default() });
        let ticking = Arc::clone(&clockwork);
        let thread = std::thread::Builder::new().name("wasm-epoch".into()).stack_size(64 * 1024);
        thread
            .spawn(move || ticking.tick())
            .map_err(|error| format!("no thread for WebAssembly: {error}"))?;
        Ok(clockwork)
    }

    /// Never ends: an engine stays as long as its node.
    fn tick(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            drop(self.wake.wait_while(running, |running| *running == 0));
            std::thread::park_timeout(EPOCH);
            self.engine.increment_epoch();
            running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Loads a component, where no other instance has loaded it. It is there as long as somebody has it.
    pub(super) fn load(&self, artefact: &Vouched) -> wasmtime::Result<Arc<Component>> {
        let hash = Sha256::digest(&artefact.0).into();
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.retain(|_, component| component.strong_count() > 0);
        if let Some(component) = loaded.get(&hash).and_then(Weak::upgrade) {
            return Ok(component);
        }
        let component = Arc::new(load::load(&self.engine, artefact)?);
        loaded.insert(hash, Arc::downgrade(&component));
        Ok(component)
    }

    /// A call begins; it ends when what this returns is dropped.
    pub(super) fn run(&self) -> Running<'_> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        if *running == 1 {
            self.wake.notify_one();
        }
        Running(self)
    }
}

/// A call that is under way.
pub(super) struct Running<'a>(&'a Clockwork);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}
