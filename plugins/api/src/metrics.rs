//! Numbers that a plugin counts of itself, shown under its name by `sedge metrics` and a Prometheus endpoint.
//!
//! ```
//! use sedge_plugin::metrics::{Metric, Registry};
//! use sedge_plugin::{Id, Name};
//! let registry = Registry::default();
//! let pump = Id::new("pump").unwrap();
//! let litres = registry.counter(&pump, Name::new("litres").unwrap(), "Litres pumped.").unwrap();
//! litres.add(12);
//! assert!(matches!(registry.snapshot()[0].metric, Metric::Counter(12)));
//! ```
//!
//! A handle is an atomic number: counting takes no lock. The same name gives the same number, also after a restart. A
//! plugin has [`MOST`] of them at most, because a name made of data would never end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Id, Name};

/// Metrics that one plugin may have.
pub const MOST: usize = 64;

/// Upper bounds of a histogram's buckets, in seconds, unless told otherwise.
pub const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }
    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One for each bound, and one for what is beyond.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// How a number is spread.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Buckets>);

impl Histogram {
    /// A histogram with these upper bounds, in rising order.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0_f64.to_bits()) }))
    }

    /// One more observation. A number that is not finite is left out.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let Buckets { bounds, counts, sum } = &*self.0;
        counts[bounds.partition_point(|bound| *bound < value)].fetch_add(1, Ordering::Relaxed);
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn view(&self) -> Metric {
        let Buckets { bounds, counts, sum } = &*self.0;
        let mut total = 0;
        let mut below = |count: &AtomicU64| {
            total += count.load(Ordering::Relaxed);
            total
        };
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| (*bound, below(count))).collect();
        let count = below(&counts[bounds.len()]);
        Metric::Histogram { buckets, count, sum: f64::from_bits(sum.load(Ordering::Relaxed)) }
    }
}

/// What a metric says now.
#[derive(Debug, Clone, PartialEq)]
pub enum Metric {
    /// Only grows.
    Counter(u64),
    /// Goes up and down.
    Gauge(f64),
    /// Is spread.
    Histogram {
        /// Upper bound, and how many observations were at or below it.
        buckets: Vec<(f64, u64)>,
        /// How many observations there were.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// One metric of one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Whose it is.
    pub plugin: Id,
    /// Its name within the plugin.
    pub name: Name,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// What it says now.
    pub metric: Metric,
}

#[derive(Clone)]
enum Handle {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

struct Row {
    help: &'static str,
    handle: Handle,
}

/// Why there is no such metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The name is one of another type.
    #[error("the metric `{0}` is there already, with another type")]
    OtherType(Name),
    /// The plugin has too many.
    #[error("a plugin has {MOST} metrics at most; a name must not be made of data")]
    TooMany,
}

/// The metrics of a node's plugins.
#[derive(Default)]
pub struct Registry(Mutex<BTreeMap<Id, BTreeMap<Name, Row>>>);

impl Registry {
    /// The counter of that name.
    ///
    /// # Errors
    /// When the name has another type, or the plugin too many.
    pub fn counter(&self, plugin: &Id, name: Name, help: &'static str) -> Result<Counter, MetricError> {
        match self.handle(plugin, &name, help, || Handle::Counter(Counter::default()))? {
            Handle::Counter(counter) => Ok(counter),
            _ => Err(MetricError::OtherType(name)),
        }
    }

    /// The gauge of that name.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, plugin: &Id, name: Name, help: &'static str) -> Result<Gauge, MetricError> {
        match self.handle(plugin, &name, help, || Handle::Gauge(Gauge::default()))? {
            Handle::Gauge(gauge) => Ok(gauge),
            _ => Err(MetricError::OtherType(name)),
        }
    }

    /// The histogram of that name.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn histogram(
        &self,
        plugin: &Id,
        name: Name,
        help: &'static str,
        bounds: &'static [f64],
    ) -> Result<Histogram, MetricError> {
        match self.handle(plugin, &name, help, || Handle::Histogram(Histogram::new(bounds)))? {
            Handle::Histogram(histogram) => Ok(histogram),
            _ => Err(MetricError::OtherType(name)),
        }
    }

    /// Forgets a plugin that is gone.
    pub fn remove(&self, plugin: &Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(plugin);
    }

    /// All metrics as they are now, by plugin and name.
    pub fn snapshot(&self) -> Vec<Measured> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(plugin, rows): (&Id, &BTreeMap<Name, Row>)| {
            let plugin = plugin.clone();
            let measured = |(name, row): (&Name, &Row)| Measured {
                plugin: plugin.clone(),
                name: name.clone(),
                help: row.help,
                metric: match &row.handle {
                    Handle::Counter(counter) => Metric::Counter(counter.get()),
                    Handle::Gauge(gauge) => Metric::Gauge(gauge.get()),
                    Handle::Histogram(histogram) => histogram.view(),
                },
            };
            rows.iter().map(measured).collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    }

    fn handle(
        &self,
        plugin: &Id,
        name: &Name,
        help: &'static str,
        new: impl FnOnce() -> Handle,
    ) -> Result<Handle, MetricError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = all.entry(plugin.clone()).or_default();
        if let Some(row) = rows.get(name) {
            return Ok(row.handle.clone());
        }
        if rows.len() >= MOST {
            return Err(MetricError::TooMany);
        }
        let handle = new();
        rows.insert(name.clone(), Row { help, handle: handle.clone() });
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_name_gives_the_same_number_again_and_another_type_is_refused() {
        let (registry, id) = (Registry::default(), Id::new("p").unwrap());
        registry.counter(&id, name("n"), "N.").unwrap().add(2);
        assert_eq!(registry.counter(&id, name("n"), "N.").unwrap().get(), 2);
        assert_eq!(registry.gauge(&id, name("n"), "N.").unwrap_err(), MetricError::OtherType(name("n")));
    }

    #[test]
    fn a_plugin_cannot_make_names_of_data_for_ever() {
        let (registry, id) = (Registry::default(), Id::new("p").unwrap());
        for n in 0..MOST {
            registry.counter(&id, name(&format!("n{n}")), "N.").unwrap();
        }
        assert_eq!(registry.counter(&id, name("more"), "N.").unwrap_err(), MetricError::TooMany);
        registry.remove(&id);
        assert!(registry.snapshot().is_empty());
    }

    #[test]
    fn a_histogram_counts_what_is_at_or_below_each_bound() {
        let histogram = Histogram::new(&[1.0, 10.0]);
        for value in [0.5, 1.0, 5.0, 100.0, f64::NAN] {
            histogram.observe(value);
        }
        let Metric::Histogram { buckets, count, sum } = histogram.view() else { panic!("a histogram") };
        assert_eq!((buckets, count, sum), (vec![(1.0, 2), (10.0, 3)], 4, 106.5));
    }
}
