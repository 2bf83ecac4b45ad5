//! Threads that serve connections, one for each processor, each with a runtime of its own. In: a connection's future.
//! Out: the same, running on the lane that has the fewest. What one call does, it does on one thread, so that nothing of it
//! is fetched by another processor, and nobody is woken to fetch it. The one thing not to break: nothing may block a lane,
//! because the connections of a blocked lane are not taken over by another.

use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Where connections run. With the last clone the lanes end, and drop whatever still lives there.
#[derive(Clone, Debug)]
pub struct Lanes(Arc<[Lane]>);

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    busy: Arc<AtomicUsize>,
    /// Ends with this; `None`: somebody else's.
    _thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    stop: CancellationToken,
    ends: Option<JoinHandle<()>>,
}

/// A connection's place on a lane, until it is dropped.
#[derive(Debug)]
pub(super) struct OnLane(Arc<AtomicUsize>);

impl Lanes {
    /// As many as there are processors for this process.
    ///
    /// # Errors
    /// Where the system has no thread, or no files, for one.
    pub fn one_a_processor() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let lanes: io::Result<Vec<Lane>> = (0..processors).map(Lane::start).collect();
        Ok(Self(lanes?.into()))
    }

    /// The runtime of whoever asks, and no other thread.
    #[must_use]
    pub fn here() -> Self {
        Self(Arc::new([Lane {
            runtime: Handle::current(),
            busy: Arc::default(),
            _thread: None,
        }]))
    }

    /// The runtime with the fewest connections, and a place there.
    pub(super) fn emptiest(&self) -> (Handle, OnLane) {
        let lane = self.0.iter().min_by_key(|lane| lane.busy.load(Relaxed));
        // There is always one.
        let (runtime, busy) = lane.map_or_else(
            || (Handle::current(), Arc::default()),
            |lane| (lane.runtime.clone(), Arc::clone(&lane.busy)),
        );
        busy.fetch_add(1, Relaxed);
        (runtime, OnLane(busy))
    }
}

impl Lane {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        let ends = thread::Builder::new()
            .name(format!("lane-{number}"))
            .spawn(move || {
                runtime.block_on(stopped.cancelled());
                // What has to end in order has ended. Nobody waits for what a system call holds up.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            busy: Arc::default(),
            _thread: Some(Thread {
                stop,
                ends: Some(ends),
            }),
        })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(ends) = self.ends.take()
            && ends.thread().id() != thread::current().id()
        {
            // A lane that panicked is over as well.
            let _ = ends.join();
        }
    }
}

impl Drop for OnLane {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_spread_over_lanes_that_are_not_this_thread() {
        let lanes = Lanes(Arc::new([0, 1].map(|number| Lane::start(number).unwrap())));
        let name = async || {
            let (runtime, place) = lanes.emptiest();
            let name = async { thread::current().name().map(str::to_owned) };
            (runtime.spawn(name).await.unwrap().unwrap(), place)
        };
        let (first, second) = (name().await, name().await);
        assert_eq!((&*first.0, &*second.0), ("lane-0", "lane-1"));
        // Whoever leaves makes room.
        drop(second);
        assert_eq!(name().await.0, "lane-1");
    }

    #[tokio::test]
    async fn without_lanes_everything_stays_where_it_is() {
        let (runtime, _place) = Lanes::here().emptiest();
        assert_eq!(runtime.id(), Handle::current().id());
    }

    #[tokio::test]
    async fn what_still_lives_on_lanes_is_dropped_before_they_are_gone() {
        let lanes = Lanes::one_a_processor().unwrap();
        let (runtime, place) = lanes.emptiest();
        let begun = Arc::new(tokio::sync::Notify::new());
        let begins = Arc::clone(&begun);
        let busy = Arc::clone(&place.0);
        runtime.spawn(async move {
            begins.notify_one();
            std::future::pending::<()>().await;
            drop(place);
        });
        begun.notified().await;
        assert_eq!(busy.load(Relaxed), 1);
        drop(lanes);
        assert_eq!(busy.load(Relaxed), 0);
    }

    #[test]
    fn there_is_a_lane_for_each_processor() {
        let processors = thread::available_parallelism().unwrap().get();
        assert_eq!(Lanes::one_a_processor().unwrap().0.len(), processors);
    }
}
