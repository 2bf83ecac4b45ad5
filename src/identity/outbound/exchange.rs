//! The caller's token for one that is made for the backend: RFC 8693's form, or the JSON form of the original backend
//! (contract §3.2). In: a caller and a tenant. Out: a token, asked for once for all who wait and remembered until shortly
//! before its end. The caller's token goes to the token endpoint and nowhere else: no redirect, no proxy.

use std::{error::Error, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{
    HeaderValue, Method,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use reqwest::Request;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::{Url, form_urlencoded};

use super::{
    OutboundError, answer,
    cache::{Issued, Key, TokenCache},
};
use crate::{
    auth::{BearerToken, Caller},
    identity::{Identity, Signer, tenant::TenantId},
    outgoing::{self, ReadError, Timeouts},
};

/// Most tokens that are remembered.
const CAPACITY: usize = 10_000;
/// Largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Where and how tokens are exchanged.
#[derive(Clone, Debug)]
pub struct ExchangeSettings {
    /// The token endpoint.
    pub url: Url,
    /// What it is asked.
    pub form: ExchangeForm,
    /// How long one exchange may take.
    pub timeouts: Timeouts,
}

impl ExchangeSettings {
    /// As long as the original waits for its exchange (contract §3.4).
    pub const TIMEOUTS: Timeouts = Timeouts {
        connect: Duration::from_secs(2),
        request: Duration::from_secs(10),
    };
}

/// What a token endpoint understands.
#[derive(Clone, Debug)]
pub enum ExchangeForm {
    /// RFC 8693: a form with the caller's token in it.
    Rfc8693 {
        /// `audience`: the backend by its name.
        audience: Option<String>,
        /// `resource`: the backend by its URI (RFC 8707).
        resource: Option<String>,
        /// `scope`; empty: what the endpoint grants of itself.
        scopes: Vec<String>,
        /// Who we are to the endpoint.
        client: ClientAuth,
    },
    /// The original backend's `/auth/token-exchange`: JSON, the caller's token in the `Authorization` header, tenant
    /// headers as on every request.
    Json {
        /// `audience`, copied into the token.
        audience: String,
    },
}

/// How a token endpoint recognizes us (RFC 6749 §2.3).
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// Not at all.
    None,
    /// By a name that proves nothing.
    Public {
        /// `client_id`.
        id: String,
    },
    /// By id and secret in the `Authorization` header.
    Basic {
        /// `client_id`.
        id: String,
        /// `client_secret`.
        secret: SecretString,
    },
    /// By id and secret in the form.
    Post {
        /// `client_id`.
        id: String,
        /// `client_secret`.
        secret: SecretString,
    },
}

/// Exchanges tokens and remembers them.
#[derive(Debug)]
pub struct Exchange {
    endpoint: Arc<Endpoint>,
    tokens: Arc<TokenCache>,
}

#[derive(Debug)]
struct Endpoint {
    settings: ExchangeSettings,
    client: reqwest::Client,
    /// Signs the tenant headers of the JSON form.
    signer: Option<Arc<Signer>>,
}

impl Exchange {
    /// Nothing is sent yet. `signer` is for the JSON form at a backend that wants signed tenant headers there, too.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn new(settings: ExchangeSettings, signer: Option<Signer>) -> Result<Self, reqwest::Error> {
        let endpoint = Endpoint {
            client: outgoing::client(settings.timeouts)?,
            settings,
            signer: signer.map(Arc::new),
        };
        Ok(Self {
            endpoint: Arc::new(endpoint),
            tokens: Arc::new(TokenCache::new(CAPACITY)),
        })
    }

    pub(super) async fn token_for(
        &self,
        caller: &Caller,
        own: &BearerToken,
        tenant: Option<&TenantId>,
        now: Duration,
    ) -> Result<BearerToken, OutboundError> {
        let exchange = || {
            let (endpoint, caller) = (Arc::clone(&self.endpoint), caller.clone());
            let request = endpoint.request(&caller, own, tenant, now);
            async move { endpoint.exchange(request, &caller, now).await }
        };
        self.tokens.get(Key::of(own, tenant), now, exchange).await
    }

    pub(super) fn forget(
        &self,
        own: &BearerToken,
        tenant: Option<&TenantId>,
        refused: &BearerToken,
    ) {
        self.tokens.forget(&Key::of(own, tenant), refused);
    }
}

impl Endpoint {
    async fn exchange(
        &self,
        request: Request,
        caller: &Caller,
        now: Duration,
    ) -> Result<Issued, OutboundError> {
        let response = self.client.execute(request).await.map_err(unavailable)?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = outgoing::read_at_most(response, LARGEST_ANSWER).await;
        if status != 200 {
            // The status stands, whatever became of the body.
            return Err(answer::refusal(status, &headers, &body.unwrap_or_default()));
        }
        let body = body.map_err(|error| match error {
            ReadError::TooLarge { .. } => OutboundError::Unusable("it is larger than 64 KiB"),
            ReadError::Broken(error) => unavailable(error),
        })?;
        answer::token(&body, caller, now)
    }

    fn request(
        &self,
        caller: &Caller,
        own: &BearerToken,
        tenant: Option<&TenantId>,
        now: Duration,
    ) -> Request {
        let mut request = Request::new(Method::POST, self.settings.url.clone());
        let (content_type, body) = match &self.settings.form {
            ExchangeForm::Rfc8693 { client, .. } => {
                if let ClientAuth::Basic { id, secret } = client {
                    request
                        .headers_mut()
                        .insert(AUTHORIZATION, basic(id, secret));
                }
                (FORM, self.fields(own))
            }
            ExchangeForm::Json { audience } => {
                if let Some(tenant) = tenant {
                    let asking = Identity {
                        caller: caller.clone(),
                        tenant: tenant.clone(),
                        token: Some(own.clone()),
                        signer: self.signer.clone(),
                    };
                    *request.headers_mut() = asking.headers(now);
                } else {
                    // A token to ask for the tenant with: there is none to name yet.
                    let headers = request.headers_mut();
                    headers.insert(AUTHORIZATION, own.authorization());
                }
                let body = json!({ "grant_type": GRANT, "audience": audience });
                (JSON, body.to_string())
            }
        };
        request.headers_mut().insert(ACCEPT, JSON);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(body.into());
        request
    }

    /// The form of RFC 8693 §2.1.
    fn fields(&self, own: &BearerToken) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", GRANT)
            .append_pair("subject_token", own.expose())
            .append_pair("subject_token_type", ACCESS_TOKEN);
        if let ExchangeForm::Rfc8693 {
            audience,
            resource,
            scopes,
            client,
        } = &self.settings.form
        {
            let scope = (!scopes.is_empty()).then(|| scopes.join(" "));
            let (id, secret) = match client {
                ClientAuth::None | ClientAuth::Basic { .. } => (None, None),
                ClientAuth::Public { id } => (Some(id.as_str()), None),
                ClientAuth::Post { id, secret } => {
                    (Some(id.as_str()), Some(secret.expose_secret()))
                }
            };
            let optional = [
                ("audience", audience.as_deref()),
                ("resource", resource.as_deref()),
                ("scope", scope.as_deref()),
                ("client_id", id),
                ("client_secret", secret),
            ];
            for (name, value) in optional {
                if let Some(value) = value {
                    form.append_pair(name, value);
                }
            }
        }
        form.finish()
    }
}

/// Both halves are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &SecretString) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    #[expect(clippy::expect_used, reason = "base64 is always a header value")]
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
        .expect("base64 is a header value");
    value.set_sensitive(true);
    value
}

/// The innermost cause only: the outer ones repeat the URL.
fn unavailable(error: reqwest::Error) -> OutboundError {
    let error = error.without_url();
    let why = if error.is_timeout() {
        "no whole answer in time".to_owned()
    } else {
        let mut cause: &dyn Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    };
    OutboundError::Unavailable {
        why,
        status: None,
        retry_after: None,
    }
}
