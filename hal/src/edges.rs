//! Edges of an input line: what comes between the kernel, which tells each of them, and whoever wants to know.
//!
//! An [`Inbox`] counts without end and lists only the latest, so it is bounded however fast a line changes: what is not
//! listed is counted, and what the kernel lost is known from its sequence numbers and counted too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::lines::LineError;

/// Edges of a batch that are listed. The older ones are only counted.
pub const LISTED: usize = 64;

/// Edges that wait in the kernel, at most; it takes no larger number for one line.
pub(crate) const KERNEL_QUEUE: u32 = 1024;

/// Which edges are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detect {
    /// None: the line is only asked.
    #[default]
    Nothing,
    /// Those that switch it on.
    Rising,
    /// Those that switch it off.
    Falling,
    /// All.
    Both,
}

impl Detect {
    pub(crate) fn wants(self, rising: bool) -> bool {
        match self {
            Self::Nothing => false,
            Self::Rising => rising,
            Self::Falling => !rising,
            Self::Both => true,
        }
    }
}

/// A change of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// When, in nanoseconds on the kernel's monotonic clock: good for differences.
    pub at_ns: u64,
    /// Whether it switched the line on; `active_low` is applied.
    pub rising: bool,
    /// Counts the edges of the line that are detected. A hole is a loss.
    pub seq: u32,
}

/// What happened since it was asked last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edges {
    /// How often it was switched on, those that were lost included.
    pub rising: u64,
    /// How often it was switched off, those that were lost included.
    pub falling: u64,
    /// How many of them the kernel dropped, because its queue was full.
    pub lost: u64,
    /// How many more there were than are listed in `latest`; those that were lost are not among them.
    pub unlisted: u64,
    /// Whether the line is on, as the last edge left it.
    pub level: bool,
    /// The first one.
    pub first: Option<Edge>,
    /// The latest, [`LISTED`] at most, in their order.
    pub latest: Vec<Edge>,
}

impl Edges {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.rising + self.falling
    }

    /// How many there are per second, from the first to the last. None where there are not two at different times.
    pub fn frequency(&self) -> Option<f64> {
        let (first, last) = (self.first?, self.latest.last()?);
        let ns = last.at_ns.checked_sub(first.at_ns).filter(|ns| *ns > 0)?;
        Some(f64::from(last.seq.wrapping_sub(first.seq)) * 1e9 / ns as f64)
    }
}

/// Between the thread that hears of edges and whoever wants them.
pub(crate) struct Inbox {
    line: u32,
    detect: Detect,
    state: Mutex<State>,
    news: Notify,
}

struct State {
    batch: Edges,
    /// Of the last edge.
    seq: u32,
    /// Of the last edge that was numbered here.
    given: u32,
    end: Option<LineError>,
}

impl Inbox {
    /// For a line that has this level now.
    pub(crate) fn new(line: u32, detect: Detect, level: bool) -> Arc<Self> {
        let batch = Edges { level, ..Edges::default() };
        let state = Mutex::new(State { batch, seq: 0, given: 0, end: None });
        Arc::new(Self { line, detect, state, news: Notify::new() })
    }

    /// An edge of the kernel, with its number.
    pub(crate) fn push(&self, edge: Edge) {
        let mut state = self.state();
        let missing = edge.seq.wrapping_sub(state.seq).wrapping_sub(1);
        // A number that goes back is no loss of four thousand million.
        let missing = if missing > u32::MAX / 2 { 0 } else { u64::from(missing) };
        state.seq = edge.seq;
        let batch = &mut state.batch;
        batch.lost += missing;
        let rising = match self.detect {
            Detect::Rising => missing,
            Detect::Falling | Detect::Nothing => 0,
            // They took turns, beginning with the one that the line had not.
            Detect::Both if batch.level => missing / 2,
            Detect::Both => missing.div_ceil(2),
        } + u64::from(edge.rising);
        batch.rising += rising;
        batch.falling += missing + 1 - rising;
        batch.level = edge.rising;
        batch.first.get_or_insert(edge);
        if batch.latest.len() == LISTED {
            batch.latest.remove(0);
            batch.unlisted += 1;
        }
        batch.latest.push(edge);
        drop(state);
        self.news.notify_one();
    }

    /// A change that nobody has numbered. One that is not asked for is left out.
    pub(crate) fn tell(&self, at_ns: u64, rising: bool) {
        if !self.detect.wants(rising) {
            self.state().batch.level = rising;
            return;
        }
        let seq = self.skip(1);
        self.push(Edge { at_ns, rising, seq });
    }

    /// Gives numbers to so many edges. Gives the last of them.
    pub(crate) fn skip(&self, count: u32) -> u32 {
        let mut state = self.state();
        state.given = state.given.wrapping_add(count);
        state.given
    }

    /// As the last edge left it.
    pub(crate) fn level(&self) -> bool {
        self.state().batch.level
    }

    /// There will be no more.
    pub(crate) fn close(&self, why: LineError) {
        self.state().end.get_or_insert(why);
        self.news.notify_one();
    }

    /// The line was let go.
    pub(crate) fn let_go(&self) {
        self.close(LineError::LetGo { line: self.line });
    }

    fn take(&self) -> Edges {
        let mut state = self.state();
        let level = state.batch.level;
        std::mem::replace(&mut state.batch, Edges { level, ..Edges::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The edges of a line, for one who listens: what one has taken another does not get.
pub struct EdgeStream(Arc<Inbox>);

impl EdgeStream {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self(inbox)
    }

    /// What happened since it was asked last, without waiting.
    pub fn take(&mut self) -> Edges {
        self.0.take()
    }

    /// Why there will be no more, if there will be none.
    pub fn end(&self) -> Option<LineError> {
        self.0.state().end.clone()
    }

    /// Waits until something has happened. May be given up without losing any.
    ///
    /// # Errors
    /// When there will be nothing more: the line was let go, or its chip went away.
    pub async fn next(&mut self) -> Result<Edges, LineError> {
        loop {
            let edges = self.0.take();
            if edges.count() > 0 {
                return Ok(edges);
            }
            if let Some(end) = self.end() {
                return Err(end);
            }
            self.0.news.notified().await;
        }
    }
}

/// Tells a change only once the line has been still for a while, as the kernel does where it can.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) struct Debounce {
    period_ns: u64,
    level: bool,
    pending: Option<Edge>,
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
impl Debounce {
    /// For a line that has this level now.
    pub(crate) fn new(period: std::time::Duration, level: bool) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Self { period_ns, level, pending: None }
    }

    /// A change of the line. Gives the one before it, if that was still for long enough.
    pub(crate) fn edge(&mut self, edge: Edge) -> Option<Edge> {
        let still = |before: &Edge| edge.at_ns.saturating_sub(before.at_ns) >= self.period_ns;
        let settled = if self.pending.as_ref().is_some_and(still) { self.settle() } else { None };
        self.pending = Some(edge);
        settled
    }

    /// Whether a change waits to be told.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// The line was still for long enough.
    pub(crate) fn settle(&mut self) -> Option<Edge> {
        let edge = self.pending.take().filter(|edge| edge.rising != self.level)?;
        self.level = edge.rising;
        Some(edge)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use sedge_plugin::testing::block_on;

    use super::*;

    const MS: u64 = 1_000_000;

    fn edge(seq: u32, at_ms: u64, rising: bool) -> Edge {
        Edge { at_ns: at_ms * MS, rising, seq }
    }

    #[test]
    fn edges_beyond_those_that_are_listed_are_counted() {
        let inbox = Inbox::new(4, Detect::Both, false);
        for n in 0..LISTED as u64 + 6 {
            inbox.tell(n, n % 2 == 0);
        }
        let edges = EdgeStream::new(inbox).take();
        assert_eq!((edges.latest.len(), edges.unlisted, edges.lost), (LISTED, 6, 0));
        assert_eq!((edges.rising, edges.falling, edges.count()), (35, 35, LISTED as u64 + 6));
        assert_eq!((edges.first.unwrap().seq, edges.latest[0].seq), (1, 7));
    }

    #[test]
    fn a_hole_in_the_numbers_is_a_loss_and_counts_for_the_direction_that_it_had() {
        for (detect, before, hole, expected) in [
            (Detect::Rising, true, 5, (6, 0)),
            (Detect::Falling, false, 5, (0, 6)),
            (Detect::Both, false, 2, (2, 1)),
            (Detect::Both, true, 3, (2, 2)),
            (Detect::Both, true, 2, (1, 2)),
        ] {
            let inbox = Inbox::new(4, detect, before);
            // After an even number comes the other level, after an odd one the same again.
            let rising = match detect {
                Detect::Both => (hole % 2 == 0) != before,
                detect => detect == Detect::Rising,
            };
            inbox.push(edge(hole + 1, 0, rising));
            let edges = EdgeStream::new(inbox).take();
            assert_eq!((edges.rising, edges.falling), expected, "{detect:?}");
            assert_eq!((edges.lost, edges.level), (u64::from(hole), rising));
        }
    }

    #[test]
    fn a_frequency_comes_from_the_kernels_times_and_counts_what_was_lost() {
        let inbox = Inbox::new(4, Detect::Rising, false);
        let mut edges = EdgeStream::new(inbox.clone());
        inbox.push(edge(1, 1000, true));
        assert_eq!(edges.take().frequency(), None, "one tells nothing");
        inbox.push(edge(2, 2000, true));
        inbox.push(edge(12, 4000, true));
        let batch = edges.take();
        assert_eq!((batch.frequency(), batch.rising, batch.lost), (Some(5.0), 11, 9));
        inbox.push(edge(13, 5000, true));
        inbox.push(edge(14, 5000, true));
        assert_eq!(edges.take().frequency(), None, "no time between them");
    }

    #[test]
    fn who_waits_is_woken_by_an_edge_and_by_the_end() {
        let inbox = Inbox::new(4, Detect::Rising, false);
        let mut edges = EdgeStream::new(inbox.clone());
        {
            let mut next = pin!(edges.next());
            let mut context = Context::from_waker(Waker::noop());
            assert!(next.as_mut().poll(&mut context).is_pending());
            inbox.tell(1, false);
            assert!(next.as_mut().poll(&mut context).is_pending(), "nobody asked for that one");
            inbox.tell(2, true);
            assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(edges)) if edges.rising == 1));
        }
        inbox.tell(3, true);
        inbox.let_go();
        assert_eq!(block_on(edges.next()).unwrap().rising, 1, "what came before the end is not lost");
        assert_eq!(block_on(edges.next()), Err(LineError::LetGo { line: 4 }));
    }

    #[test]
    fn a_contact_that_bounces_is_told_once_and_a_disturbance_never() {
        let mut contact = Debounce::new(Duration::from_millis(20), false);
        for (at, rising) in [(0, true), (1, false), (2, true)] {
            assert_eq!(contact.edge(edge(0, at, rising)), None);
        }
        assert!(contact.is_pending());
        assert_eq!(contact.settle(), Some(edge(0, 2, true)));
        assert!(!contact.is_pending());

        contact.edge(edge(0, 100, false));
        contact.edge(edge(0, 101, true));
        assert_eq!(contact.settle(), None, "it is as it was");
    }

    #[test]
    fn a_press_and_its_release_that_are_heard_of_late_are_both_told() {
        let mut contact = Debounce::new(Duration::from_millis(20), false);
        assert_eq!(contact.edge(edge(0, 0, true)), None);
        assert_eq!(contact.edge(edge(0, 20, false)), Some(edge(0, 0, true)));
        assert_eq!(contact.settle(), Some(edge(0, 20, false)));
    }
}
