//! `identity.exchange.*` → where and how tokens are exchanged, or what is missing for it. A setting that the chosen form
//! would not send is refused, so that nobody relies on it.

use url::Url;

use crate::identity::outbound::{ClientAuth, ExchangeForm, ExchangeSettings};

use super::{
    super::{Stage, keys, parse, reader::Reader, secrets::Secret, tokens::require_https},
    missing,
};

/// Where the original backend exchanges tokens (contract §3.2).
const BACKEND_EXCHANGE: &str = "/auth/token-exchange";

#[derive(Clone, Copy)]
enum Form {
    Rfc8693,
    Json,
}

#[derive(Clone, Copy)]
enum Method {
    Basic,
    Post,
}

/// `identity.exchange.*`, each key read by itself.
pub(super) struct Written {
    url: Option<Url>,
    form: Option<Form>,
    audience: Option<String>,
    resource: Option<String>,
    scopes: Option<Vec<String>>,
    client_id: Option<String>,
    method: Option<Method>,
}

impl Written {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let forms = [("rfc8693", Form::Rfc8693), ("json", Form::Json)];
        let methods = [("basic", Method::Basic), ("post", Method::Post)];
        Self {
            url: reader.text(&keys::EXCHANGE_URL, parse::url),
            form: reader.text(&keys::EXCHANGE_FORM, |text| parse::one_of(text, &forms)),
            audience: reader.text(&keys::EXCHANGE_AUDIENCE, parse::header_text),
            resource: reader.text(&keys::EXCHANGE_RESOURCE, |text| {
                // Kept as written: the endpoint compares it as a text.
                parse::url(text).and_then(|_| parse::header_text(text))
            }),
            scopes: reader.list(&keys::EXCHANGE_SCOPE, parse::word),
            client_id: reader.text(&keys::EXCHANGE_CLIENT_ID, parse::header_text),
            method: reader.text(&keys::EXCHANGE_CLIENT_AUTH, |text| {
                parse::one_of(text, &methods)
            }),
        }
    }

    pub(super) fn settings(
        self,
        reader: &mut Reader,
        stage: Stage,
        secret: Result<Option<Secret>, ()>,
    ) -> Option<ExchangeSettings> {
        let form = self.form?;
        let url = self.endpoint(reader, stage, form);
        let form = match form {
            Form::Rfc8693 => self.rfc8693(reader, secret),
            Form::Json => self.json(reader, secret),
        };
        Some(ExchangeSettings {
            url: url?,
            form: form?,
            timeouts: ExchangeSettings::TIMEOUTS,
        })
    }

    /// The token endpoint; the JSON form is the backend's own, so its place is known.
    fn endpoint(&self, reader: &mut Reader, stage: Stage, form: Form) -> Option<Url> {
        if let Some(url) = &self.url {
            require_https(reader, stage, &keys::EXCHANGE_URL, url);
        }
        if reader.is_set(&keys::EXCHANGE_URL) {
            return self.url.clone();
        }
        match form {
            Form::Rfc8693 => {
                let hint = "set it to the token endpoint of the authorization server";
                missing(reader, &keys::EXCHANGE_URL, "nobody can be asked", hint);
                None
            }
            Form::Json => {
                let backend = reader.text_again(&keys::BACKEND_URL, parse::url)?;
                let base = backend.as_str().trim_end_matches('/');
                Url::parse(&format!("{base}{BACKEND_EXCHANGE}")).ok()
            }
        }
    }

    fn rfc8693(
        &self,
        reader: &mut Reader,
        secret: Result<Option<Secret>, ()>,
    ) -> Option<ExchangeForm> {
        if !reader.is_set(&keys::EXCHANGE_AUDIENCE) && !reader.is_set(&keys::EXCHANGE_RESOURCE) {
            let hint = "set it (or `TOOLBRIDGE_BACKEND_API_AUDIENCE`), or `identity.exchange.resource`, to what the \
                        authorization server calls the backend";
            missing(
                reader,
                &keys::EXCHANGE_AUDIENCE,
                "a token is for somebody",
                hint,
            );
            return None;
        }
        Some(ExchangeForm::Rfc8693 {
            audience: self.audience.clone(),
            resource: self.resource.clone(),
            client: self.client(reader, secret.ok()?)?,
            scopes: self.scopes.clone()?,
        })
    }

    fn client(&self, reader: &mut Reader, secret: Option<Secret>) -> Option<ClientAuth> {
        let (id, method) = (self.client_id.clone(), self.method?);
        Some(match (id, secret) {
            (None, None) => ClientAuth::None,
            (Some(id), None) => ClientAuth::Public { id },
            (Some(id), Some(secret)) => {
                let secret = secret.value;
                match method {
                    Method::Basic => ClientAuth::Basic { id, secret },
                    Method::Post => ClientAuth::Post { id, secret },
                }
            }
            (None, Some(secret)) => {
                let what = "a secret without an id proves nothing";
                let hint = "set `identity.exchange.client_id` too";
                reader.problems.push(secret.problem(what, hint));
                return None;
            }
        })
    }

    fn json(
        &self,
        reader: &mut Reader,
        secret: Result<Option<Secret>, ()>,
    ) -> Option<ExchangeForm> {
        let what = "the form `json` does not send it";
        let unsent = [
            (&keys::EXCHANGE_RESOURCE, self.resource.is_some()),
            (
                &keys::EXCHANGE_SCOPE,
                self.scopes
                    .as_ref()
                    .is_some_and(|scopes| !scopes.is_empty()),
            ),
            (&keys::EXCHANGE_CLIENT_ID, self.client_id.is_some()),
        ];
        for (key, _) in unsent.iter().filter(|(_, is_set)| *is_set) {
            let hint = "unset it, or use `identity.exchange.form = \"rfc8693\"`";
            reader.refuse(key, what, hint);
        }
        if let Some(secret) = secret.ok()? {
            reader.problems.push(secret.problem(what, "unset it"));
        }
        if !reader.is_set(&keys::EXCHANGE_AUDIENCE) {
            let hint = "set it, or `TOOLBRIDGE_BACKEND_API_AUDIENCE`; the backend only copies it into the token";
            missing(
                reader,
                &keys::EXCHANGE_AUDIENCE,
                "the backend asks for it",
                hint,
            );
        }
        let audience = self.audience.clone()?;
        Some(ExchangeForm::Json { audience })
    }
}
