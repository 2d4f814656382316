//! Work that takes its time, looked after by handlers that must not wait for it.
//!
//! A destination has one at a time: so nothing is sent twice at once, and the order is kept. Begun and polled once it runs
//! elsewhere (on a thread, in the node's HTTP client); each later handler looks whether it has ended.

use std::future::{Future, poll_fn};
use std::task::Poll;

use sedge_plugin::BoxFuture;

/// See the [module](self).
pub(crate) struct Flight<T>(Option<BoxFuture<'static, T>>);

impl<T> Flight<T> {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn begin(&mut self, work: impl Future<Output = T> + Send + 'static) {
        debug_assert!(self.0.is_none(), "one at a time");
        self.0 = Some(Box::pin(work));
    }

    /// What came of it, if it has just ended. Does not wait.
    pub(crate) async fn look(&mut self) -> Option<T> {
        let work = self.0.as_mut()?;
        let Poll::Ready(result) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await else {
            return None;
        };
        self.0 = None;
        Some(result)
    }

    /// Waits for its end. None where there is nothing to wait for.
    pub(crate) async fn end(&mut self) -> Option<T> {
        let result = self.0.as_mut()?.await;
        self.0 = None;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sedge_hal::Worker;
    use sedge_plugin::testing::block_on;

    use super::*;

    #[test]
    fn looking_does_not_wait_and_the_work_goes_on() {
        let worker = Worker::spawn("test", || ()).unwrap();
        let (go, held) = mpsc::channel::<()>();
        let mut flight = Flight::NONE;
        assert_eq!(block_on(flight.look()), None);
        flight.begin(async move { worker.ask(move |()| held.recv().is_ok()).await });
        assert_eq!(block_on(flight.look()), None);
        assert!(flight.is_on());
        go.send(()).unwrap();
        assert_eq!(block_on(flight.end()), Some(Ok(true)));
        assert!(!flight.is_on() && block_on(flight.end()).is_none());
    }
}
