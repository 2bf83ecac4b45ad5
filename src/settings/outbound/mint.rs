//! `identity.mint.*` → what the backend's tokens are signed with and say. The key is loaded here, so that one that cannot
//! sign is a problem among the others; no message holds any part of it.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::{
    auth::{Algorithm, SigningError, SigningKey},
    identity::outbound::{MintSettings, SubjectForm},
};

use super::{
    super::{Stage, keys, parse, reader::Reader, tokens},
    Secrets, missing,
};

const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(3600);

/// `identity.mint.*`, each key read by itself.
pub(super) struct Written {
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    lifetime: Option<Duration>,
    /// Unset counts as said where there is one issuer.
    subject: Option<SubjectForm>,
}

impl Written {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let algorithms = [
            ("RS256", Algorithm::RS256),
            ("ES256", Algorithm::ES256),
            ("EdDSA", Algorithm::EdDSA),
            ("HS256", Algorithm::HS256),
        ];
        let subjects = [
            ("sub", SubjectForm::Own),
            ("issuer|sub", SubjectForm::WithIssuer),
        ];
        Self {
            algorithm: reader.text(&keys::MINT_ALGORITHM, |text| {
                parse::one_of(text, &algorithms)
            }),
            key_id: reader.text(&keys::MINT_KEY_ID, parse::word),
            issuer: reader.text(&keys::MINT_ISSUER, parse::header_text),
            audience: reader.text(&keys::MINT_AUDIENCE, parse::header_text),
            lifetime: reader.duration(&keys::MINT_LIFETIME, LIFETIMES),
            subject: if reader.is_set(&keys::MINT_SUBJECT) {
                reader.text(&keys::MINT_SUBJECT, |text| parse::one_of(text, &subjects))
            } else {
                Some(SubjectForm::Own)
            },
        }
    }

    pub(super) fn settings(
        self,
        reader: &mut Reader,
        stage: Stage,
        secrets: Secrets<'_>,
    ) -> Option<MintSettings> {
        if !reader.is_set(&keys::MINT_AUDIENCE) {
            let hint = "set it (or `TOOLBRIDGE_BACKEND_API_AUDIENCE`) to the audience that the backend checks";
            missing(
                reader,
                &keys::MINT_AUDIENCE,
                "a token is for somebody",
                hint,
            );
        }
        let key = self.key(reader, stage, secrets);
        Some(MintSettings {
            key: Arc::new(key?),
            issuer: self.issuer?,
            audience: self.audience?,
            subject: self.subject?,
            lifetime: self.lifetime?,
        })
    }

    fn key(&self, reader: &mut Reader, stage: Stage, secrets: Secrets<'_>) -> Option<SigningKey> {
        let algorithm = self.algorithm?;
        let Some(secret) = secrets.key.ok()? else {
            let [name, _] = keys::MINT_KEY;
            let what = "`mint` has no key to sign with";
            let hint = format!(
                "set `{name}_FILE` to a private key in PEM (or `{name}` to the key itself), or `{name}` to a secret and \
                 `identity.mint.algorithm` to `HS256`"
            );
            reader.refuse(&keys::IDENTITY_TOKEN, what, hint);
            return None;
        };
        let key_id = self.key_id.as_deref();
        let problem = if algorithm == Algorithm::HS256 {
            if is_pem(&secret.value) {
                let hint = "set `identity.mint.algorithm` to the key's own, or give it a secret";
                Some(secret.problem("a key in PEM is no secret for `HS256`", hint))
            } else {
                tokens::issuer::refusal(&secret, stage, secrets.is_development)
            }
        } else {
            None
        };
        if let Some(problem) = problem {
            reader.problems.push(problem);
            return None;
        }
        let key = match algorithm {
            Algorithm::HS256 => SigningKey::shared_secret(&secret.value, key_id),
            algorithm => SigningKey::private_key(algorithm, &unfolded(&secret.value), key_id),
        };
        let refused = |error: SigningError| {
            let hint = format!(
                "give it a private key in PEM for {algorithm:?}; `openssl pkcs8 -topk8 -nocrypt` makes one of other forms"
            );
            secret.problem(&error.to_string(), &hint)
        };
        key.map_err(|error| reader.problems.push(refused(error)))
            .ok()
    }
}

fn is_pem(secret: &SecretString) -> bool {
    secret.expose_secret().contains("-----BEGIN")
}

/// A PEM text whose line breaks were written as `\n`, as platforms with one-line variables make people do.
fn unfolded(pem: &SecretString) -> SecretString {
    let text = pem.expose_secret();
    if text.contains('\n') {
        return pem.clone();
    }
    SecretString::from(text.replace("\\n", "\n"))
}
