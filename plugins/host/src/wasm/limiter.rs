//! How much memory a component has, over all its memories and tables.

use wasmtime::ResourceLimiter;

/// What a component gets that nothing was said about, in bytes.
pub const MEMORY: u64 = 16 * 1024 * 1024;

/// Entries of one table: functions, mostly.
const TABLE: usize = 20_000;

/// A component is one module of its author's and two small ones that connect it.
const INSTANCES: usize = 16;

/// Counts what a component takes.
#[derive(Debug)]
pub(super) struct Limiter {
    most: usize,
    taken: usize,
    /// Whether it was refused some.
    refused: bool,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { most: usize::try_from(MEMORY).unwrap_or(usize::MAX), taken: 0, refused: false }
    }
}

impl Limiter {
    /// May take so much; nothing said is [`MEMORY`].
    pub(super) fn set(&mut self, bytes: u64) {
        let bytes = if bytes == 0 { MEMORY } else { bytes };
        self.most = usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// What it was refused, in words.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.then(|| format!("it wanted more than its {} of memory", size(self.most)))
    }
}

fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1024 * 1024 => format!("{} MiB", bytes / (1024 * 1024)),
        _ => format!("{} KiB", bytes / 1024),
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let taken = self.taken.saturating_sub(current).saturating_add(desired);
        let granted = taken <= self.most && maximum.is_none_or(|maximum| desired <= maximum);
        if granted {
            self.taken = taken;
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE && maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_a_component_together_stay_within_its_limit() {
        let mut limiter = Limiter::default();
        limiter.set(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 30, None).unwrap());
        assert!(!limiter.memory_growing(30, 50, None).unwrap());
        assert!(limiter.memory_growing(60, 70, None).unwrap());
        assert_eq!(limiter.refused().unwrap(), "it wanted more than its 0 KiB of memory");
    }
}
