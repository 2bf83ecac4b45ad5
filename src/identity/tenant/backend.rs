//! Memberships as the backend tells them: `GET /v1/auth/tenant` (contract §4.2) with the token that the caller's calls
//! carry too, which for a minted or exchanged one names no tenant yet. In: a verified caller. Out: its organizations, or
//! why they are not known. An answer that contradicts itself is no answer.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, RETRY_AFTER},
};
use serde::Deserialize;
use url::Url;

use super::{
    Organization,
    members::{CannotAsk, LookUpError},
};
use crate::{
    auth::{BearerToken, Caller},
    identity::Outbound,
    outgoing::{self, Timeouts},
};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(1_000),
    request: Duration::from_millis(2_800),
};
/// Some thousands of organizations.
const LARGEST: usize = 1 << 20;
const UNREADABLE: &str = "the backend's answer about the tenant could not be read";

pub(super) struct BackendSource {
    client: reqwest::Client,
    url: String,
    outbound: Arc<Outbound>,
    now: fn() -> Duration,
}

#[derive(Deserialize)]
struct Answer {
    tenant_id: String,
    organization_name: Option<String>,
    #[serde(default)]
    organizations: Vec<Named>,
    requires_selection: bool,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: Option<String>,
}

impl BackendSource {
    pub(super) fn new(
        base: &Url,
        outbound: Arc<Outbound>,
        now: fn() -> Duration,
    ) -> Result<Self, CannotAsk> {
        Ok(Self {
            client: outgoing::client(TIMEOUTS)?,
            url: format!("{}/v1/auth/tenant", base.as_str().trim_end_matches('/')),
            outbound,
            now,
        })
    }

    pub(super) async fn organizations(
        &self,
        caller: &Caller,
    ) -> Result<Vec<Organization>, LookUpError> {
        let token = self.token(caller).await?;
        let mut answer = self.ask(&token).await?;
        // An exchanged token may have been revoked since it was remembered; a fresh one is tried once.
        if answer.status() == StatusCode::UNAUTHORIZED && self.outbound.forget(caller, None, &token)
        {
            answer = self.ask(&self.token(caller).await?).await?;
        }
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(refused(status, retry_after(answer.headers())));
        }
        let body = outgoing::read_at_most(answer, LARGEST).await;
        let body = body.map_err(|_| LookUpError::unavailable(UNREADABLE))?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| LookUpError::unavailable(UNREADABLE))?;
        answer.organizations()
    }

    async fn token(&self, caller: &Caller) -> Result<BearerToken, LookUpError> {
        let token = self.outbound.token_for(caller, None, (self.now)()).await?;
        token.ok_or(LookUpError::TokenRefused)
    }

    async fn ask(&self, token: &BearerToken) -> Result<reqwest::Response, LookUpError> {
        let request = self
            .client
            .get(&self.url)
            .header(AUTHORIZATION, token.authorization());
        request.send().await.map_err(|_| {
            LookUpError::unavailable("the backend cannot be asked for the tenant right now")
        })
    }
}

/// Seconds, as the backend writes it (contract §6.1).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn refused(status: StatusCode, retry_after: Option<Duration>) -> LookUpError {
    match status.as_u16() {
        401 => LookUpError::TokenRefused,
        403 => LookUpError::UnknownPerson,
        404 => LookUpError::Misconfigured(
            "the backend has no /v1/auth/tenant, which tenant.mode = \"backend\" asks",
        ),
        429 => LookUpError::Unavailable {
            what: "the backend was asked for the tenant too often",
            retry_after,
        },
        _ => LookUpError::Unavailable {
            what: "the backend cannot say the tenant right now",
            retry_after,
        },
    }
}

impl Answer {
    /// One tenant, or several to choose from; both or neither is a contradiction.
    fn organizations(self) -> Result<Vec<Organization>, LookUpError> {
        let contradiction =
            || LookUpError::unavailable("the backend's answer about the tenant contradicts itself");
        let known = |id: &str, name: Option<&str>| {
            Organization::new(id, name).map_err(|_| LookUpError::unavailable(UNREADABLE))
        };
        let several: Vec<_> = self
            .organizations
            .iter()
            .map(|it| known(&it.id, it.name.as_deref()))
            .collect::<Result<_, _>>()?;
        match (self.requires_selection, self.tenant_id.as_str()) {
            (true, "") if several.len() > 1 => Ok(several),
            (false, id) if !id.is_empty() && several.is_empty() => {
                Ok(vec![known(id, self.organization_name.as_deref())?])
            }
            _ => Err(contradiction()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Vec<String>> {
        let answer: Answer = serde_json::from_str(json).ok()?;
        let organizations = answer.organizations().ok()?;
        Some(organizations.iter().map(|it| it.id().to_string()).collect())
    }

    #[test]
    fn an_answer_names_one_tenant_or_several_to_choose_from() {
        let one = r#"{"tenant_id":"a","organization_name":"A","requires_selection":false}"#;
        assert_eq!(read(one).unwrap(), ["a"]);
        let two = r#"{"tenant_id":"","organizations":[{"id":"a","name":"A"},{"id":"b"}],"requires_selection":true}"#;
        assert_eq!(read(two).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_refusal_says_who_can_act() {
        let refused = |status| refused(StatusCode::from_u16(status).unwrap(), None);
        assert_eq!(refused(401), LookUpError::TokenRefused);
        assert_eq!(refused(403), LookUpError::UnknownPerson);
        assert!(matches!(refused(404), LookUpError::Misconfigured(_)));
        for status in [204, 302, 429, 500, 503] {
            assert!(matches!(refused(status), LookUpError::Unavailable { .. }));
        }
    }

    #[test]
    fn an_answer_that_contradicts_itself_names_nobody() {
        for answer in [
            r#"{"tenant_id":"a","requires_selection":true}"#,
            r#"{"tenant_id":"a","organizations":[{"id":"a"},{"id":"b"}],"requires_selection":true}"#,
            r#"{"tenant_id":"a","organizations":[{"id":"b"}],"requires_selection":false}"#,
            r#"{"tenant_id":"","requires_selection":true}"#,
            r#"{"tenant_id":"","organizations":[{"id":"a"}],"requires_selection":true}"#,
            r#"{"tenant_id":"","requires_selection":false}"#,
            r#"{"tenant_id":"a:b","requires_selection":false}"#,
            r#"{"tenant_id":"a\r\nX-TB-Tenant-ID: b","requires_selection":false}"#,
            r#"{"tenant_id":"a","tenant_id":"b","requires_selection":false}"#,
            r#"{"tenant_id":null,"requires_selection":false}"#,
            r#"{"requires_selection":false}"#,
            r#"{"tenant_id":"a"}"#,
            "[]",
        ] {
            assert_eq!(read(answer), None, "{answer}");
        }
    }
}
