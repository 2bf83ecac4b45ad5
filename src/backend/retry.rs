//! When a call that failed is tried again, and when it is not. In: what went wrong, what kind of plan it was, and how
//! long anybody still waits. Out: another try, or the failure itself, at once where waiting would be in vain.
//!
//! A write is repeated only if the backend provably did not handle it, or if doing it twice is doing it once. Neither
//! time nor chance is taken from here: the clock is tokio's, the dice are a setting.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    deadline::Deadline,
    error::{BackendError, BodyProblem, Limited},
    queue::Queue,
    rejection::Rejection,
};
use crate::{
    catalogue::Plan,
    observe::{HopName, Trail},
};

/// Of failures that pass by themselves: 1, 2 and 4 times the base.
const MOST_AGAIN: u32 = 3;
/// Of "too many requests".
const MOST_LIMITED: u32 = 5;
/// The longest wait of our own choosing.
const LONGEST: Duration = Duration::from_secs(60);
/// Where "too many requests" comes without a time.
const UNSAID: Duration = Duration::from_secs(60);

/// How tries are spread.
#[derive(Clone, Copy, Debug)]
pub struct RetrySettings {
    /// The wait before the second try; it doubles for each further one.
    pub base: Duration,
    /// A number from 0 to 1, another one each time.
    pub dice: fn() -> f64,
}

/// A number from 0 to 1 by chance.
#[must_use]
pub fn dice() -> f64 {
    let (_, low) = Uuid::new_v4().as_u64_pair();
    // The upper bits of this half are the UUID's variant.
    f64::from((low & u64::from(u32::MAX)) as u32) / f64::from(u32::MAX)
}

/// The tries of one call.
pub(super) struct Tries<'a> {
    pub(super) settings: RetrySettings,
    pub(super) deadline: Deadline,
    pub(super) plan: &'a Plan,
    pub(super) trail: Trail,
    pub(super) done: Done,
}

/// How often the call was tried again, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    again: u32,
    limited: u32,
    stale: u32,
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// A while, longer each time, and at least so long.
    Pause(Option<u64>),
    /// As long as the backend says.
    Wait(Option<u64>),
    /// A fresh session.
    Fresh,
    /// Nothing helps, or nothing that is safe.
    None,
}

impl Tries<'_> {
    /// Makes the call: opens, sends, and once more as long as that is safe and may help.
    ///
    /// # Errors
    /// What stands in the way; of a write that may have been carried out by an earlier try, that it may have been.
    pub(super) async fn run<S, T, O, W>(
        mut self,
        queue: &Queue,
        open: impl Fn() -> O,
        send: impl Fn(S) -> W,
    ) -> Result<T, BackendError>
    where
        O: Future<Output = Result<S, BackendError>>,
        W: Future<Output = Result<T, BackendError>>,
    {
        let mut turn = queue.behind_others(self.deadline.patience()).await?;
        let mut in_doubt = None;
        loop {
            let error = match open().await {
                Ok(opened) => {
                    // The next one's turn: only opening is what people queue for.
                    drop(turn.take());
                    match send(opened).await {
                        Ok(answer) => return Ok(answer),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let Some(next) = self.next(&error) else {
                return Err(told(error, in_doubt));
            };
            if turn.is_none() && is_crowded(&error) {
                let patience = self.deadline.patience();
                turn = match queue.join(patience).await {
                    Some(turn) => Some(turn),
                    None => return Err(told(error, in_doubt)),
                };
            }
            self.trail.again();
            let pause = self.trail.hop(HopName::Pause);
            sleep_until(next).await;
            drop(pause);
            if error.may_have_written(self.plan) {
                in_doubt = Some(error);
            }
        }
    }

    /// When to try again; `None` where that is not safe, does not help, or is too late for whoever waits.
    fn next(&mut self, error: &BackendError) -> Option<Instant> {
        let pause = match self.remedy(error) {
            Remedy::Pause(at_least) if self.done.again < MOST_AGAIN => {
                let pause = self.settings.base * 2_u32.pow(self.done.again);
                self.done.again += 1;
                let at_least = at_least.map_or(Duration::ZERO, Duration::from_secs);
                pause.mul_f64(0.5 + self.dice()).min(LONGEST).max(at_least)
            }
            Remedy::Wait(told) if self.done.limited < MOST_LIMITED => {
                self.done.limited += 1;
                // Never sooner than told; a little later, each by another time, so that a burst is spread.
                let told = told.map_or(UNSAID, Duration::from_secs);
                told + told.min(LONGEST).mul_f64(self.dice() / 2.0)
            }
            Remedy::Fresh if self.done.stale < 1 => {
                self.done.stale += 1;
                Duration::ZERO
            }
            Remedy::Pause(_) | Remedy::Wait(_) | Remedy::Fresh | Remedy::None => return None,
        };
        let next = Instant::now() + pause;
        (next < self.deadline.patience()).then_some(next)
    }

    fn remedy(&self, error: &BackendError) -> Remedy {
        // Whatever the cause: it must not be done twice.
        if error.may_have_written(self.plan) && !self.plan.may_be_repeated() {
            return Remedy::None;
        }
        match error {
            BackendError::Unreachable { .. }
            | BackendError::Broken { .. }
            | BackendError::TimedOut {
                limit: Limited::Connecting,
                ..
            }
            | BackendError::Unreadable {
                problem: BodyProblem::CutShort,
                ..
            } => Remedy::Pause(None),
            BackendError::SessionRefused(refusal) | BackendError::Rejected(refusal) => {
                by_status(refusal)
            }
            BackendError::Stale(_) => Remedy::Fresh,
            // Slow is not better twice, and whoever waits has waited for long.
            BackendError::TimedOut {
                limit: Limited::Request | Limited::Call,
                ..
            }
            | BackendError::Unreadable { .. }
            | BackendError::TooLarge { .. }
            | BackendError::Redirected { .. }
            | BackendError::SessionUnusable { .. }
            | BackendError::Crowded { .. }
            | BackendError::Busy(_)
            | BackendError::UnsafeTarget { .. } => Remedy::None,
        }
    }

    fn dice(&self) -> f64 {
        (self.settings.dice)().clamp(0.0, 1.0)
    }
}

fn by_status(refusal: &Rejection) -> Remedy {
    match refusal.status {
        429 => Remedy::Wait(refusal.retry_after),
        502..=504 => Remedy::Pause(refusal.retry_after),
        _ => Remedy::None,
    }
}

/// Whether the backend opens no more sessions for this person right now.
fn is_crowded(error: &BackendError) -> bool {
    matches!(error, BackendError::SessionRefused(refusal) if refusal.status == 429)
}

/// What is known at the end: a refusal of a repeated write (412, 404, 410) may well be the echo of our own first try, and
/// a last try that was not sent says nothing of the first.
fn told(last: BackendError, in_doubt: Option<BackendError>) -> BackendError {
    in_doubt.unwrap_or(last)
}

#[cfg(test)]
mod tests;
