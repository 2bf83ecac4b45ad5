//! Why nobody's identity could be made, in words: who has to do what. In every case nothing was sent to the backend. A
//! token endpoint that refuses us is the operator's matter: its reason is in the log alone, and it never becomes the
//! caller's 401.

use super::{doubt, plain};
use crate::{
    catalogue::Tool,
    identity::{Denial, IdentityError, Organization, OutboundError},
    mcp::{
        outcome::{Code, Failure},
        workspace::SELECT,
    },
};

/// So many organizations are named in a sentence; all of them are in the structured error.
const NAMED: usize = 20;

/// For a call of a tool that the backend does.
pub(super) fn failure(tool: &Tool, error: &IdentityError) -> Failure {
    worded(error, doubt(tool, false))
}

/// For what is not sent to the backend in any case.
pub(crate) fn refused(error: &IdentityError) -> Failure {
    worded(error, "")
}

fn worded(error: &IdentityError, undone: &str) -> Failure {
    match error {
        IdentityError::Outbound(error) => outbound(error, undone),
        IdentityError::SelectionRequired(organizations) => choose(organizations),
        IdentityError::Denied(denial) => plain(Code::Forbidden, denied(*denial).to_owned()),
        IdentityError::Unavailable { what, retry_after } => Failure {
            retryable: true,
            retry_after: retry_after.map(|wait| wait.as_secs().max(1)),
            ..plain(
                Code::BackendUnavailable,
                format!("{what}, so it is not known for which organization to act: nothing was done, try again shortly"),
            )
        },
        IdentityError::Misconfigured(_) => plain(
            Code::BackendUnavailable,
            "it cannot be found out for which organization to act, because the server is not set up right; nothing was done: the operator finds the reason in the log".to_owned(),
        ),
        IdentityError::TokenRefused => plain(
            Code::Unauthenticated,
            "the backend does not accept your token, though toolbridge did: the operator has to compare their token settings".to_owned(),
        ),
    }
}

fn choose(organizations: &[Organization]) -> Failure {
    let names: Vec<_> = organizations
        .iter()
        .take(NAMED)
        .map(|it| format!("{} ({})", it.name(), it.id()))
        .collect();
    let more = match organizations.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Failure {
        organizations: organizations.to_vec(),
        ..plain(
            Code::TenantSelectionRequired,
            format!(
                "you belong to several organizations, so nothing was done: {}{more}. Ask the person which one is meant, call {SELECT} with its id, then repeat this call",
                names.join(", ")
            ),
        )
    }
}

/// Why a question about the organization brought no choice.
#[derive(Clone, Copy)]
pub(crate) enum Unchosen {
    /// The person said no.
    Declined,
    /// The person said nothing.
    Late,
    /// What came back is no answer to a question about this call.
    NotOurs,
}

pub(crate) fn unchosen(reason: Unchosen) -> Failure {
    let (code, message) = match reason {
        Unchosen::Declined => (
            Code::TenantSelectionRequired,
            format!(
                "the person did not want to choose an organization, so nothing was done: ask what they want; {SELECT} takes a choice too"
            ),
        ),
        Unchosen::Late => (
            Code::TenantSelectionRequired,
            format!(
                "the person did not choose an organization in time, so nothing was done: ask them, and call {SELECT} with their choice, or repeat this call"
            ),
        ),
        Unchosen::NotOurs => (
            Code::Forbidden,
            "the chosen organization was not taken and nothing was done: the answer does not belong to a question about this very call by this person, or it came too late. Repeat the call without requestState and inputResponses".to_owned(),
        ),
    };
    plain(code, message)
}

fn denied(denial: Denial) -> &'static str {
    match denial {
        Denial::NoMembership => {
            "you belong to no organization here: ask an administrator to add you to one"
        }
        Denial::NotAMember => {
            "you are no member of this organization: ask an administrator to add you"
        }
        Denial::ForeignOrganization => {
            "your token is for an organization that you may not act for here: sign in again and choose another one"
        }
        Denial::NotYours => {
            "you belong to no organization of that id or name: current_workspace lists yours"
        }
        Denial::AmbiguousName => "several of your organizations have that name: choose by id",
        Denial::TokenDecides => {
            "your token is for another organization: sign in again and choose this one there"
        }
        Denial::NoChoice => "this server serves one organization: there is nothing to choose",
    }
}

fn outbound(error: &OutboundError, undone: &str) -> Failure {
    match error {
        OutboundError::CallerExpired => plain(
            Code::Unauthenticated,
            format!("your token ended before the call was made: sign in again{undone}"),
        ),
        OutboundError::Unavailable {
            status,
            retry_after,
            ..
        } => unavailable(*status, *retry_after, undone),
        OutboundError::Abandoned => unavailable(None, None, undone),
        OutboundError::Refused { .. }
        | OutboundError::ClientRefused { .. }
        | OutboundError::Unusable(_)
        | OutboundError::Signing(_) => plain(
            Code::Internal,
            format!(
                "toolbridge got no token for the backend in your name: the operator has to look at its log{undone}"
            ),
        ),
    }
}

fn unavailable(status: Option<u16>, retry_after: Option<u64>, undone: &str) -> Failure {
    let when = match retry_after {
        Some(seconds) => format!("in {seconds} s"),
        None => "shortly".to_owned(),
    };
    let (code, what) = match status {
        Some(429) => (
            Code::RateLimited,
            "too many tokens were asked for: try again",
        ),
        Some(_) | None => (
            Code::BackendUnavailable,
            "the service that issues tokens for the backend is not available right now: try again",
        ),
    };
    Failure {
        retryable: true,
        retry_after,
        ..plain(code, format!("{what} {when}{undone}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_choice_names_the_organizations_and_the_tool() {
        let of = |n: usize| Organization::new(&format!("org_{n}"), Some(&format!("Team {n}")));
        let all: Vec<_> = (0..23).map(|n| of(n).unwrap()).collect();
        let failure = worded(&IdentityError::SelectionRequired(all), "");
        assert_eq!(failure.code, Code::TenantSelectionRequired);
        assert!(failure.message.contains("Team 0 (org_0), Team 1 (org_1)"));
        assert!(failure.message.contains("and 3 more"));
        assert!(failure.message.contains("select_workspace"));
        let error = &failure.structured()["error"];
        assert_eq!(error["organizations"].as_array().unwrap().len(), 23);
        assert_eq!(
            error["organizations"][1],
            json!({ "id": "org_1", "name": "Team 1" })
        );
        assert_eq!(error["tool"], "select_workspace");
    }

    #[test]
    fn what_only_the_operator_can_mend_is_for_the_log() {
        let failure = worded(
            &IdentityError::Misconfigured("WORKOS_API_KEY is refused"),
            "",
        );
        assert_eq!(failure.code, Code::BackendUnavailable);
        assert!(!failure.message.contains("KEY") && !failure.retryable);
    }
}
