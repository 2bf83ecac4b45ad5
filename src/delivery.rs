//! Whether an answer reached its client. In: what the connection sees (the answer is written, the client goes on, the
//! connection breaks). Out: to whoever put a [`Receipt`] on the answer, each change once; and the state of now. A write
//! whose answer was lost is one that its client will ask for again, so nothing here may be guessed in the client's favour:
//! written is not received while the connection can still break.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Told what becomes of the answer that it was put on.
pub trait Receipt: Send + Sync {
    /// All of it is on its way, and nothing says that it will not arrive.
    fn sent(&self);
    /// It did not arrive, though it may have been said to be on its way.
    fn lost(&self);
    /// The client has it: this is the last that is heard of it.
    fn received(&self);
}

/// Waits for a write that is just under way, and says whether the connection is broken by now, also where nobody has
/// noticed yet.
pub type Probe = Arc<dyn Fn() -> bool + Send + Sync>;

/// The way of one answer to its client; clones are the same way.
#[derive(Clone)]
pub struct Delivery(Arc<Inner>);

struct Inner {
    probe: Probe,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    receipts: Vec<Arc<dyn Receipt>>,
    /// Ways on which the same answer left again, after this one was lost.
    again: Vec<Delivery>,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// There is none yet, or not all of it is written.
    Answering,
    /// Written, and the connection stands.
    Sent,
    /// The client has it.
    Received,
    /// It did not arrive.
    Lost,
}

impl Delivery {
    /// The way of an answer over a connection that `probe` knows.
    #[must_use]
    pub fn over(probe: Probe) -> Self {
        Self(Arc::new(Inner {
            probe,
            state: Mutex::new(State {
                stage: Stage::Answering,
                receipts: Vec::new(),
                again: Vec::new(),
            }),
        }))
    }

    /// Puts a receipt on the answer. Where the answer is out already, this is something else that the client is told
    /// (HTTP+SSE), which counts as received.
    pub fn carries(&self, receipt: Arc<dyn Receipt>) {
        let (stage, again) = {
            let mut state = self.state();
            if matches!(state.stage, Stage::Answering | Stage::Lost) {
                state.receipts.push(Arc::clone(&receipt));
            }
            (state.stage, state.again.clone())
        };
        if matches!(stage, Stage::Sent | Stage::Received) {
            receipt.received();
        }
        for way in again {
            way.carries(Arc::clone(&receipt));
        }
    }

    /// The same answer is asked for again, and leaves on that other way too, with the receipts that are on it or will be.
    pub fn again_over(&self, other: &Self) {
        let receipts = {
            let mut state = self.state();
            state.again.push(other.clone());
            state.receipts.clone()
        };
        for receipt in receipts {
            other.carries(receipt);
        }
    }

    /// How far the answer is, on the way on which it got farthest, looking at the connection itself. Whoever has read the
    /// answer and asks us something after that finds it sent or received, on whichever connection it asks. Takes locks
    /// of receipts and of the connection.
    #[must_use]
    pub fn stage(&self) -> Stage {
        if (self.0.probe)() {
            self.lost();
        }
        let (stage, again) = {
            let state = self.state();
            (state.stage, state.again.clone())
        };
        let arrives = |stage: &Stage| matches!(stage, Stage::Sent | Stage::Received);
        let others = again.iter().map(Self::stage);
        others
            .into_iter()
            .find(arrives)
            .filter(|_| !arrives(&stage))
            .unwrap_or(stage)
    }

    /// The whole answer is written.
    pub fn sent(&self) {
        self.moves(Stage::Sent, &[Stage::Answering]);
    }

    /// The client goes on, so it has the answer.
    pub fn received(&self) {
        self.moves(Stage::Received, &[Stage::Answering, Stage::Sent]);
    }

    /// The connection broke.
    pub fn lost(&self) {
        self.moves(Stage::Lost, &[Stage::Answering, Stage::Sent]);
    }

    /// Nothing more is heard of the connection: what was written arrived, what was not did not.
    pub fn over_and_out(&self) {
        self.moves(Stage::Received, &[Stage::Sent]);
        self.moves(Stage::Lost, &[Stage::Answering]);
    }

    fn moves(&self, to: Stage, from: &[Stage]) {
        let receipts = {
            let mut state = self.state();
            if !from.contains(&state.stage) {
                return;
            }
            state.stage = to;
            match to {
                // Asked for again, the same answer may still arrive: its receipts are kept with it.
                Stage::Sent | Stage::Lost => state.receipts.clone(),
                Stage::Received | Stage::Answering => std::mem::take(&mut state.receipts),
            }
        };
        for receipt in receipts {
            match to {
                Stage::Answering => {}
                Stage::Sent => receipt.sent(),
                Stage::Received => receipt.received(),
                Stage::Lost => receipt.lost(),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change leaves the state whole, so a panic elsewhere does not spoil it.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery")
            .field(&self.state().stage)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Writes down what it is told.
    #[derive(Default)]
    struct Told(Mutex<Vec<&'static str>>);

    impl Told {
        fn all(&self) -> Vec<&'static str> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Receipt for Told {
        fn sent(&self) {
            self.0.lock().unwrap().push("sent");
        }
        fn lost(&self) {
            self.0.lock().unwrap().push("lost");
        }
        fn received(&self) {
            self.0.lock().unwrap().push("received");
        }
    }

    fn sound() -> Delivery {
        Delivery::over(Arc::new(|| false))
    }

    fn carrying(delivery: &Delivery) -> Arc<Told> {
        let told = Arc::new(Told::default());
        delivery.carries(Arc::clone(&told) as Arc<dyn Receipt>);
        told
    }

    #[test]
    fn an_answer_is_sent_and_then_received_and_nothing_after_that_counts() {
        let delivery = sound();
        let told = carrying(&delivery);
        assert_eq!(delivery.stage(), Stage::Answering);
        delivery.sent();
        delivery.received();
        delivery.lost();
        delivery.over_and_out();
        assert_eq!(told.all(), ["sent", "received"]);
        assert_eq!(delivery.stage(), Stage::Received);
    }

    #[test]
    fn a_sent_answer_can_still_be_lost_also_where_only_the_socket_knows() {
        let broken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&broken);
        let delivery = Delivery::over(Arc::new(move || seen.load(Ordering::Relaxed)));
        let told = carrying(&delivery);
        delivery.sent();
        assert_eq!(delivery.stage(), Stage::Sent);
        // Nothing is told of it, and then somebody asks.
        broken.store(true, Ordering::Relaxed);
        assert_eq!(delivery.stage(), Stage::Lost);
        assert_eq!(told.all(), ["sent", "lost"]);
    }

    #[test]
    fn what_is_not_written_when_the_connection_ends_is_lost() {
        let delivery = sound();
        let told = carrying(&delivery);
        delivery.over_and_out();
        assert_eq!(told.all(), ["lost"]);
        let late = carrying(&delivery);
        assert_eq!(late.all(), Vec::<&str>::new());
        assert_eq!(delivery.stage(), Stage::Lost);
    }

    #[test]
    fn what_is_put_on_an_answer_that_is_out_counts_as_received() {
        let delivery = sound();
        delivery.sent();
        assert_eq!(carrying(&delivery).all(), ["received"]);
    }

    #[test]
    fn a_lost_answer_that_is_asked_for_again_arrives_the_second_time() {
        let (first, second) = (sound(), sound());
        let told = carrying(&first);
        first.lost();
        first.again_over(&second);
        // The call ends only now.
        let later = carrying(&first);
        second.sent();
        assert_eq!(first.stage(), Stage::Sent);
        second.received();
        assert_eq!(told.all(), ["lost", "sent", "received"]);
        assert_eq!(later.all(), ["sent", "received"]);
    }
}
