//! The sidecar's own limits in words: which one, how much it allows, how long to wait. Nothing was sent in any of these
//! cases, so all may be tried again.

use std::time::Duration;

use super::{plain, spelled};
use crate::{
    catalogue::Tool,
    guard::{Busy, Excess, Over, Refused, Whose},
    mcp::outcome::{Code, Failure},
};

/// Its line could not have been written (`audit.on_failure`).
pub(super) fn unaudited(tool: &Tool) -> Failure {
    Failure {
        retryable: true,
        ..plain(
            Code::Internal,
            format!(
                "{} was not run, because no record of it could be kept: try again later; the operator has to look at the audit's disk",
                tool.name
            ),
        )
    }
}

/// Why it was not sent.
pub(super) fn failure(tool: &Tool, refused: &Refused) -> Failure {
    let name = &tool.name;
    let (code, wait, why) = match refused {
        Refused::TooOften(excess) => {
            let wait = excess.over.wait();
            (Code::RateLimited, wait, too_often(tool, excess))
        }
        Refused::BackendIll { retry_after } => {
            let why = format!("the backend has failed for a while, so {name} was not sent to it");
            (Code::BackendUnavailable, *retry_after, why)
        }
        Refused::ToolIll { retry_after } => {
            let why = format!(
                "the backend has failed at every {name} for a while, so this one was not sent; other tools may work"
            );
            (Code::BackendUnavailable, *retry_after, why)
        }
    };
    retryable(code, wait, &why)
}

fn too_often(tool: &Tool, excess: &Excess) -> String {
    let (name, rule) = (&tool.name, excess.rule);
    let (what, setting) = match excess.whose {
        Whose::Person => ("call", "limits.person"),
        Whose::Tool => ("call this tool", "limits.tool"),
    };
    let held = match excess.over {
        Over::Limit(_) => String::new(),
        Over::Block(left) => format!(" and are held back for {} s more", seconds(left)),
    };
    let (requests, burst, window) = (rule.requests, rule.burst, spelled(rule.window));
    format!(
        "you may {what} {requests} times in {window}, {burst} times at once (the operator's {setting}){held}: {name} was not run"
    )
}

/// There was no room among everybody's calls.
pub(super) fn busy(tool: &Tool, busy: Busy) -> Failure {
    let name = &tool.name;
    let (wait, why) = match busy {
        Busy::Full { retry_after } => (
            retry_after,
            format!(
                "too many calls of everybody wait for the backend, not only yours: {name} was not sent"
            ),
        ),
        Busy::Waited {
            waited,
            retry_after,
        } => (
            retry_after,
            format!(
                "{name} waited {} for its turn at the backend, which is busy with everybody's calls, and was not sent",
                spelled(waited)
            ),
        ),
    };
    retryable(Code::RateLimited, wait, &why)
}

fn retryable(code: Code, wait: Duration, why: &str) -> Failure {
    let seconds = seconds(wait);
    Failure {
        retryable: true,
        retry_after: Some(seconds),
        ..plain(code, format!("{why}; try again in {seconds} s"))
    }
}

/// Whole seconds, never too few and never none.
fn seconds(wait: Duration) -> u64 {
    let more = u64::from(wait.subsec_nanos() > 0);
    (wait.as_secs() + more).max(1)
}
