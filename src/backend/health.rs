//! What a failure says of the backend's health, for its breaker. Only what shows that it is ill counts: not a no, not "too
//! many requests", not a limit that was ours or the client's.

use super::error::{BackendError, BodyProblem, Limited, Stage};
use crate::guard::Verdict;

impl BackendError {
    /// What it says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut {
                limit: Limited::Connecting,
                ..
            } => Verdict::BackendIll,
            Self::Broken { stage, .. }
            | Self::TimedOut {
                stage,
                limit: Limited::Request,
                ..
            }
            | Self::Unreadable {
                stage,
                problem: BodyProblem::CutShort,
                ..
            } => ill_while(*stage),
            Self::SessionRefused(rejection) if is_ill(rejection.status) => Verdict::BackendIll,
            Self::Rejected(rejection) if is_ill(rejection.status) => Verdict::RequestIll,
            Self::SessionRefused(_)
            | Self::Rejected(_)
            | Self::Stale(_)
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::Redirected { .. } => Verdict::Well,
            Self::TimedOut {
                limit: Limited::Call,
                ..
            }
            | Self::SessionUnusable { .. }
            | Self::Crowded { .. }
            | Self::Busy(_)
            | Self::UnsafeTarget { .. } => Verdict::Unsaid,
        }
    }
}

/// Sessions are the same for every tool.
fn ill_while(stage: Stage) -> Verdict {
    match stage {
        Stage::Opening => Verdict::BackendIll,
        Stage::Request | Stage::Closing => Verdict::RequestIll,
    }
}

fn is_ill(status: u16) -> bool {
    matches!(status, 502..=504)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timed_out(stage: Stage, limit: Limited) -> Verdict {
        let after = Duration::from_secs(1);
        let sent = true;
        BackendError::TimedOut {
            stage,
            limit,
            after,
            sent,
        }
        .verdict()
    }

    #[test]
    fn only_what_shows_an_ill_backend_counts() {
        let all = [Stage::Opening, Stage::Request];
        assert_eq!(
            all.map(|stage| timed_out(stage, Limited::Connecting)),
            [Verdict::BackendIll; 2]
        );
        assert_eq!(
            all.map(|stage| timed_out(stage, Limited::Request)),
            [Verdict::BackendIll, Verdict::RequestIll]
        );
        assert_eq!(
            all.map(|stage| timed_out(stage, Limited::Call)),
            [Verdict::Unsaid; 2]
        );
        let crowded = BackendError::Crowded { retry_after: 1 };
        assert_eq!(crowded.verdict(), Verdict::Unsaid);
    }

    #[test]
    fn a_no_is_an_answer() {
        let ill: Vec<u16> = (100..600).filter(|status| is_ill(*status)).collect();
        assert_eq!(ill, [502, 503, 504]);
    }
}
