//! Memberships as WorkOS tells them, through its own crate, which is used in this file and nowhere else. In: a subject.
//! Out: all its active memberships, or why they are not known. What the crate leaves open is closed here:
//! - It sleeps a `Retry-After` in full, so it never retries (`max_retries(0)`); the wait is reported instead.
//! - It has no deadline and reads bodies of any size: the transport below has our timeouts, our cap, no proxy and no
//!   redirects.
//! - It keeps the key as plain text and hands it out: it never gets it, the transport adds the header.
//! - It follows pages without end: twenty of them, and never the same cursor twice.
//! - It refuses rows without fields that we never read (older servers and the emulator leave them out), and would carry
//!   people's addresses: of each row only what is used reaches it, the rest is blank.
//! - It trusts the filters it sends: status and person of each row are compared again.
//! - Its errors hold bodies and headers: they are told apart here and dropped, never printed.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use workos::{
    Client, Error,
    enums::{UserManagementOrganizationMembershipStatuses, UserOrganizationMembershipStatus},
    models::UserOrganizationMembershipList,
    organization_membership::ListOrganizationMembershipsParams,
    transport::{HttpRequest, HttpResponse, HttpTransport, TransportError},
};

use super::{
    Organization,
    members::{CannotAsk, LookUpError},
};
use crate::outgoing::{self, Timeouts};

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_millis(1_500),
    request: Duration::from_millis(2_800),
};
/// A page of a hundred rows with whole users and their metadata.
const LARGEST: usize = 2 << 20;
const PAGE: i64 = 100;
const MOST_PAGES: usize = 20;
/// No id of WorkOS is longer.
const LONGEST_SUBJECT: usize = 255;

pub(super) struct WorkOs(Client);

impl WorkOs {
    pub(super) fn new(url: &Url, key: &SecretString) -> Result<Self, CannotAsk> {
        let bearer = format!("Bearer {}", key.expose_secret());
        let mut authorization = HeaderValue::try_from(bearer).map_err(|_| CannotAsk::Key)?;
        authorization.set_sensitive(true);
        let transport = Transport {
            client: outgoing::client(TIMEOUTS)?,
            authorization,
        };
        let client = Client::builder()
            // The crate joins it with the path as text.
            .base_url(url.as_str().trim_end_matches('/'))
            .max_retries(0)
            .transport(std::sync::Arc::new(transport))
            .try_build();
        client.map(Self).map_err(|_| CannotAsk::Key)
    }

    /// Every active membership of this person.
    pub(super) async fn organizations(
        &self,
        subject: &str,
    ) -> Result<Vec<Organization>, LookUpError> {
        if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
            return Err(LookUpError::UnknownPerson);
        }
        let mut organizations = Vec::new();
        let mut seen = HashSet::new();
        let mut after = None;
        for _ in 0..MOST_PAGES {
            let page = self.page(subject, after).await?;
            collect(&page, subject, &mut organizations)?;
            let Some(next) = page.list_metadata.after else {
                return Ok(organizations);
            };
            if !seen.insert(next.clone()) {
                return Err(LookUpError::unavailable(
                    "WorkOS gave the same page of memberships twice",
                ));
            }
            after = Some(next);
        }
        Err(LookUpError::unavailable(
            "WorkOS gave more pages of memberships than are read",
        ))
    }

    async fn page(
        &self,
        subject: &str,
        after: Option<String>,
    ) -> Result<UserOrganizationMembershipList, LookUpError> {
        let active = UserManagementOrganizationMembershipStatuses::Active;
        let params = ListOrganizationMembershipsParams {
            user_id: Some(subject.to_owned()),
            statuses: Some(vec![active]),
            limit: Some(PAGE),
            after,
            ..ListOrganizationMembershipsParams::default()
        };
        let memberships = self.0.organization_membership();
        let page = memberships.list_organization_memberships(params).await;
        page.map_err(|error| reason(&error))
    }
}

fn collect(
    page: &UserOrganizationMembershipList,
    subject: &str,
    organizations: &mut Vec<Organization>,
) -> Result<(), LookUpError> {
    for row in &page.data {
        if row.user_id != subject {
            return Err(LookUpError::unavailable(
                "WorkOS answered about another person",
            ));
        }
        if row.status != UserOrganizationMembershipStatus::Active {
            continue;
        }
        let name = row.organization_name.as_deref();
        let organization = Organization::new(&row.organization_id, name).map_err(|_| {
            LookUpError::unavailable("WorkOS names an organization whose id cannot be a tenant's")
        })?;
        let is_known = |it: &Organization| it.id() == organization.id();
        if !organizations.iter().any(is_known) {
            organizations.push(organization);
        }
    }
    Ok(())
}

fn reason(error: &Error) -> LookUpError {
    match error.status() {
        Some(401 | 403) => LookUpError::Misconfigured("WORKOS_API_KEY is refused by WorkOS"),
        Some(404) => LookUpError::Misconfigured("tenant.workos_url has no list of memberships"),
        Some(400 | 422) => LookUpError::UnknownPerson,
        Some(429) => LookUpError::Unavailable {
            what: "WorkOS is asked too often",
            retry_after: error.retry_after(),
        },
        Some(_) => LookUpError::Unavailable {
            what: "WorkOS cannot answer right now",
            retry_after: error.retry_after(),
        },
        None if matches!(error, Error::Decode(_)) => {
            LookUpError::unavailable("the answer of WorkOS could not be read")
        }
        None => LookUpError::unavailable("WorkOS cannot be reached right now"),
    }
}

/// The crate's way out: our client, our limits, our key.
struct Transport {
    client: reqwest::Client,
    authorization: HeaderValue,
}

#[async_trait]
impl HttpTransport for Transport {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let mut headers = request.headers;
        headers.insert(AUTHORIZATION, self.authorization.clone());
        let sending = self
            .client
            .request(request.method, &request.url)
            .headers(headers)
            .body(request.body.unwrap_or_default());
        let answer = sending.send().await.map_err(|error| {
            // The URL names the person.
            TransportError::other(error.without_url())
        })?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = outgoing::read_at_most(answer, LARGEST).await;
        let body = body.map_err(TransportError::other)?;
        Ok(HttpResponse {
            status,
            headers,
            body: lean(body),
        })
    }
}

/// A page with what is used of it.
#[derive(Deserialize)]
struct Page {
    data: Vec<Row>,
    list_metadata: Cursors,
}

#[derive(Deserialize)]
struct Row {
    user_id: String,
    organization_id: String,
    organization_name: Option<String>,
    status: String,
}

#[derive(Deserialize)]
struct Cursors {
    after: Option<String>,
}

/// The same page with all that the crate insists on; what is no page stays as it is, and the crate refuses it.
fn lean(body: Vec<u8>) -> Bytes {
    match serde_json::from_slice::<Page>(&body) {
        Ok(page) => {
            let rows: Vec<_> = page.data.iter().map(row).collect();
            let cursors = json!({ "after": page.list_metadata.after });
            let page = json!({ "object": "list", "data": rows, "list_metadata": cursors });
            page.to_string().into()
        }
        Err(_) => body.into(),
    }
}

fn row(row: &Row) -> Value {
    json!({
        "object": "organization_membership",
        "id": "",
        "user_id": row.user_id,
        "organization_id": row.organization_id,
        "organization_name": row.organization_name,
        "status": row.status,
        "directory_managed": false,
        "created_at": "",
        "updated_at": "",
        "role": { "slug": "" },
        "roles": [],
        "user": {
            "object": "user", "id": row.user_id, "email": "", "email_verified": false,
            "created_at": "", "updated_at": "",
        },
    })
}
