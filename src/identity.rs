//! Caller → identity: everything a backend request must carry. No backend request exists without one.
//! In: a verified caller. Out: an [`Identity`], which only [`Identities::of`] makes, and whose headers are written from
//! nothing for every request. Nothing that a client sent can become, join or replace one of these headers.

pub mod outbound;
pub mod signature;
pub mod tenant;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use crate::auth::{BearerToken, Caller};

pub use outbound::{Outbound, OutboundError};
pub use signature::{InvalidSecret, Signer};
pub use tenant::{CannotAsk, Members, Organization, Right, TenantId, TenantSource, Workspace};

use tenant::source::Tenants;

const TENANT: HeaderName = HeaderName::from_static("x-tb-tenant-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-tb-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-tb-signature");
const KEY_ID: HeaderName = HeaderName::from_static("x-tb-key-id");

/// The headers that say in whose name a request is made: an identity sets them, nobody else may.
pub const IDENTITY_HEADERS: [HeaderName; 5] = [AUTHORIZATION, TENANT, TIMESTAMP, SIGNATURE, KEY_ID];

/// Why a caller has no identity at the backend.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The caller belongs to several organizations and has to choose one of these.
    #[error("the caller has to choose one of {} organizations", .0.len())]
    SelectionRequired(Vec<Organization>),
    /// The caller may not.
    #[error("{0}")]
    Denied(#[from] Denial),
    /// Who is asked for it does not answer; later it may.
    #[error("{what}")]
    Unavailable {
        /// Who, and what happened.
        what: &'static str,
        /// How long they want us to wait.
        retry_after: Option<Duration>,
    },
    /// Only the operator can mend it.
    #[error("{0}")]
    Misconfigured(&'static str),
    /// The backend does not take the caller's token, though we did.
    #[error("the backend does not accept the caller's token")]
    TokenRefused,
    /// There is no token for the backend.
    #[error("no token for the backend")]
    Outbound(#[from] OutboundError),
}

/// Why a caller may not act for a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Member of nothing, where there is no tenant for such people.
    #[error("the caller belongs to no organization")]
    NoMembership,
    /// No right to the tenant of this process.
    #[error("the caller is no member of this tenant")]
    NotAMember,
    /// The token was issued for an organization that is not the caller's, or not this tenant.
    #[error("the caller's token is for an organization that it may not act for")]
    ForeignOrganization,
    /// The chosen organization is none of the caller's.
    #[error("the caller does not belong to the chosen organization")]
    NotYours,
    /// Several of the caller's organizations have the chosen name.
    #[error("the chosen name is that of several organizations")]
    AmbiguousName,
    /// The token was issued for another one of the caller's organizations.
    #[error("the caller's token is for another organization than the chosen one")]
    TokenDecides,
    /// There is nothing to choose in this process.
    #[error("this process serves one tenant")]
    NoChoice,
}

/// Makes identities: the tenant's source, which token the backend gets and, where the backend wants signed tenant
/// headers, the signer.
#[derive(Clone, Debug)]
pub struct Identities {
    tenants: Arc<Tenants>,
    signer: Option<Arc<Signer>>,
    outbound: Arc<Outbound>,
    now: fn() -> Duration,
}

impl Identities {
    /// Without a signer the tenant header goes unsigned (contract §4.2); with one it is signed too (§4.1).
    #[must_use]
    pub fn new(tenant: TenantSource, signer: Option<Signer>) -> Self {
        Self {
            tenants: Tenants::new(tenant),
            signer: signer.map(Arc::new),
            outbound: Arc::new(Outbound::Forward),
            // Who forwards asks for no time.
            now: || Duration::ZERO,
        }
    }

    /// The same, with another token for the backend than the caller's own; `now` is the Unix time.
    #[must_use]
    pub fn with_outbound(self, outbound: Arc<Outbound>, now: fn() -> Duration) -> Self {
        Self {
            outbound,
            now,
            ..self
        }
    }

    /// The identity of a verified caller.
    ///
    /// # Errors
    /// Every [`IdentityError`]: what is not known for certain is refused.
    pub async fn of(&self, caller: &Caller) -> Result<Identity, IdentityError> {
        let tenant = self.tenants.of(caller).await?.id().clone();
        let token = self.outbound.token_for(caller, Some(&tenant), (self.now)());
        Ok(Identity {
            caller: caller.clone(),
            token: token.await?,
            tenant,
            signer: self.signer.clone(),
        })
    }

    /// The same caller and tenant with a fresh token, after the backend refused this one; `None` where a fresh token
    /// would be no better.
    ///
    /// # Errors
    /// [`IdentityError::Outbound`] when there is no token for the backend.
    pub async fn renewed(&self, refused: &Identity) -> Result<Option<Identity>, IdentityError> {
        let (caller, tenant) = (&refused.caller, Some(&refused.tenant));
        let token = refused.token.as_ref();
        if !token.is_some_and(|token| self.outbound.forget(caller, tenant, token)) {
            return Ok(None);
        }
        let fresh = self.outbound.token_for(caller, tenant, (self.now)());
        Ok(Some(Identity {
            token: fresh.await?,
            ..refused.clone()
        }))
    }

    /// Whether callers may have to choose an organization; if so, [`Identities::choose`] takes their choice.
    #[must_use]
    pub fn offers_selection(&self) -> bool {
        self.tenants.offer_selection()
    }

    /// Remembers for a while the organization that the caller names by its id or its exact name.
    ///
    /// # Errors
    /// When it is none of the caller's now, or when that cannot be found out.
    pub async fn choose(
        &self,
        caller: &Caller,
        wanted: &str,
    ) -> Result<Organization, IdentityError> {
        self.tenants.choose(caller, wanted).await
    }

    /// Where the caller is, and where it could be.
    ///
    /// # Errors
    /// When there is no tenant for the caller, choosing or not; or when that cannot be found out.
    pub async fn current(&self, caller: &Caller) -> Result<Workspace, IdentityError> {
        self.tenants.workspace(caller).await
    }

    /// Asks anew before the caller's next call: the backend refused the tenant of this one.
    pub fn forget(&self, caller: &Caller) {
        self.tenants.forget(caller);
    }
}

/// A caller with the tenant it may act for and the token the backend takes from it.
#[derive(Clone, Debug)]
pub struct Identity {
    caller: Caller,
    tenant: TenantId,
    token: Option<BearerToken>,
    signer: Option<Arc<Signer>>,
}

impl Identity {
    /// Who is calling.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// In whose name.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The identity headers of one request at the Unix time `now`; ask again for the next request, never keep them.
    #[must_use]
    pub fn headers(&self, now: Duration) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(16);
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.authorization());
        }
        headers.insert(TENANT, self.tenant.header());
        if let Some(signer) = &self.signer {
            let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            let timestamp = HeaderValue::from(millis);
            headers.insert(SIGNATURE, signer.sign(&self.tenant, &timestamp));
            headers.insert(TIMESTAMP, timestamp);
            if let Some(key_id) = signer.key_id() {
                headers.insert(KEY_ID, key_id.clone());
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use secrecy::SecretString;

    use super::{Identities, Identity, Signer, TenantSource};
    use crate::auth::Caller;

    const AT: Duration = Duration::from_millis(1_700_000_000_000);

    async fn identity(token: Option<&str>, secret: Option<&str>) -> Identity {
        let signer = secret.map(|secret| Signer::new(&SecretString::from(secret)).unwrap());
        let tenant = TenantSource::Fixed("tenant-123".parse().unwrap());
        let caller = Caller::for_tests("https://issuer.test", "alice", token);
        Identities::new(tenant, signer).of(&caller).await.unwrap()
    }

    #[tokio::test]
    async fn a_signed_identity_has_exactly_its_four_headers() {
        let headers = identity(Some("canary.jwt.token"), Some("test-secret-key"))
            .await
            .headers(AT);
        assert_eq!(headers.len(), 4);
        assert_eq!(headers["authorization"], "Bearer canary.jwt.token");
        assert_eq!(headers["x-tb-tenant-id"], "tenant-123");
        assert_eq!(headers["x-tb-timestamp"], "1700000000000");
        assert_eq!(
            headers["x-tb-signature"],
            "05b7b0da7a0b4764ddea0bfd3b552343117e1785ba05d89e123df5b5b3f609ae"
        );
        assert!(headers["authorization"].is_sensitive());
        assert!(headers["x-tb-signature"].is_sensitive());
    }

    #[tokio::test]
    async fn a_key_id_is_one_more_header_and_nothing_else() {
        let plain = identity(Some("t"), Some("test-secret-key")).await;
        let signer = Signer::new(&SecretString::from("test-secret-key")).unwrap();
        let signer = signer.with_key_id(Some("2026-11".parse().unwrap()));
        let named = Identity {
            signer: Some(Arc::new(signer)),
            ..plain.clone()
        };
        let mut headers = named.headers(AT);
        assert_eq!(headers.remove("x-tb-key-id").unwrap(), "2026-11");
        assert_eq!(headers, plain.headers(AT));
    }

    #[tokio::test]
    async fn without_a_secret_nothing_pretends_to_be_signed() {
        let headers = identity(Some("t"), None).await.headers(AT);
        assert_eq!(headers.len(), 2);
        assert!(headers.contains_key("authorization") && headers.contains_key("x-tb-tenant-id"));
    }

    #[tokio::test]
    async fn the_anonymous_caller_sends_no_authorization() {
        let headers = identity(None, None).await.headers(AT);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("x-tb-tenant-id"));
    }

    #[tokio::test]
    async fn each_request_is_signed_for_its_own_time() {
        let identity = identity(None, Some("test-secret-key")).await;
        let later = identity.headers(AT + Duration::from_millis(1));
        assert_eq!(later["x-tb-timestamp"], "1700000000001");
        assert_ne!(
            later["x-tb-signature"],
            identity.headers(AT)["x-tb-signature"]
        );
    }

    #[tokio::test]
    async fn debug_shows_neither_token_nor_secret_nor_signature() {
        let identity = identity(Some("canary.jwt.token"), Some("canary-secret")).await;
        let shown = format!("{identity:?} {:?}", identity.headers(AT));
        assert!(!shown.contains("canary"), "{shown}");
        let signature = identity.headers(AT)["x-tb-signature"].clone();
        assert!(!shown.contains(signature.to_str().unwrap()), "{shown}");
    }
}
