//! One issuer as it is written: in the keys of `[auth]`, or of `[auth.issuers.NAME]`. In: the keys. Out:
//! [`IssuerSettings`], or everything that is wrong with it.

use std::{path::PathBuf, time::Duration};

use secrecy::ExposeSecret;
use url::Url;

use crate::auth::Algorithm;

use super::{
    IssuerSettings, JwtSecrets, KeySetSettings, KeySetSource, VerificationKeys, require_https,
};
use crate::settings::{
    Stage,
    keys::{self, Key, PREFIX},
    parse,
    problem::{Problem, Wrong, shown},
    reader::Reader,
    secrets::{self, Secret},
};

/// `None` stands for HS256, the one algorithm of the secret.
const ALGORITHMS: &[(&str, Option<Algorithm>)] = &[
    ("HS256", None),
    ("RS256", Some(Algorithm::RS256)),
    ("RS384", Some(Algorithm::RS384)),
    ("RS512", Some(Algorithm::RS512)),
    ("PS256", Some(Algorithm::PS256)),
    ("PS384", Some(Algorithm::PS384)),
    ("PS512", Some(Algorithm::PS512)),
    ("ES256", Some(Algorithm::ES256)),
    ("ES384", Some(Algorithm::ES384)),
    ("EdDSA", Some(Algorithm::EdDSA)),
];

const LONGEST_LEEWAY: Duration = Duration::from_secs(300);

/// The keys of one issuer.
pub(super) struct Section {
    issuer: Key,
    audience: Key,
    jwks_url: Key,
    jwks_file: Key,
    algorithms: Key,
    leeway: Key,
    own: Own,
}

/// What only one of the two forms has.
enum Own {
    /// Its secret is `JWT_HS256_SECRET`.
    Short { authkit: Key },
    /// Its secret is in a variable that it names.
    Named { secret_env: Key },
}

impl Section {
    /// The keys of `[auth]`.
    pub(super) fn short() -> Self {
        Self {
            issuer: keys::AUTH_ISSUER,
            audience: keys::AUTH_AUDIENCE,
            jwks_url: keys::AUTH_JWKS_URL,
            jwks_file: keys::AUTH_JWKS_FILE,
            algorithms: keys::AUTH_ALGORITHMS,
            leeway: keys::AUTH_LEEWAY,
            own: Own::Short {
                authkit: keys::AUTH_AUTHKIT_DOMAIN,
            },
        }
    }

    /// The keys of `[auth.issuers.NAME]`.
    pub(super) fn named(name: &str) -> Self {
        let key = |leaf| keys::of_issuer(name, leaf);
        Self {
            issuer: key("issuer"),
            audience: key("audience"),
            jwks_url: key("jwks_url"),
            jwks_file: key("jwks_file"),
            algorithms: key("algorithms"),
            leeway: key("leeway"),
            own: Own::Named {
                secret_env: key("secret_env"),
            },
        }
    }
}

/// What is written, each key read by itself.
pub(super) struct Written {
    section: Section,
    issuer: Option<String>,
    audiences: Option<Vec<String>>,
    jwks_url: Option<Url>,
    jwks_file: Option<PathBuf>,
    algorithms: Option<Vec<Option<Algorithm>>>,
    leeway: Option<Duration>,
    authkit: Option<Url>,
    secret_env: Option<String>,
}

impl Written {
    pub(super) fn read(reader: &mut Reader, section: Section) -> Self {
        let (authkit, secret_env) = match &section.own {
            Own::Short { authkit } => (reader.text(authkit, parse::domain), None),
            Own::Named { secret_env } => (None, reader.text(secret_env, variable)),
        };
        Self {
            issuer: reader.text(&section.issuer, issuer),
            audiences: reader.list(&section.audience, parse::header_text),
            jwks_url: reader.text(&section.jwks_url, parse::url),
            jwks_file: reader.text(&section.jwks_file, parse::path),
            algorithms: reader.list(&section.algorithms, |text| parse::one_of(text, ALGORITHMS)),
            leeway: reader.duration(&section.leeway, Duration::ZERO..=LONGEST_LEEWAY),
            authkit,
            secret_env,
            section,
        }
    }

    /// Whether anything says that this issuer is meant.
    pub(super) fn is_begun(&self, reader: &Reader) -> bool {
        let section = &self.section;
        [&section.issuer, &section.jwks_url, &section.jwks_file]
            .into_iter()
            .chain(self.authkit_key())
            .any(|key| reader.is_set(key))
    }

    /// The issuer, if nothing is wrong with it.
    pub(super) fn checked(
        &self,
        reader: &mut Reader,
        stage: Stage,
        secrets: &JwtSecrets<'_>,
    ) -> Option<IssuerSettings> {
        let issuer = self.issuer(reader);
        let audiences = self.audiences(reader);
        let keys = self.keys(reader, stage, secrets);
        if let Some(issuer) = &issuer {
            self.check_issuer(reader, stage, issuer, keys.as_ref());
        }
        Some(IssuerSettings {
            issuer: issuer?,
            audiences: audiences?,
            keys: keys?,
            leeway: self.leeway?,
        })
    }

    fn authkit_key(&self) -> Option<&Key> {
        match &self.section.own {
            Own::Short { authkit } => Some(authkit),
            Own::Named { .. } => None,
        }
    }

    fn issuer(&self, reader: &mut Reader) -> Option<String> {
        let key = &self.section.issuer;
        if reader.is_set(key) {
            return self.issuer.clone();
        }
        if !self
            .authkit_key()
            .is_some_and(|authkit| reader.is_set(authkit))
        {
            let hint = match self.section.own {
                Own::Short { .. } => {
                    "set it (or `JWT_ISSUER`, or `auth.authkit_domain`) to the `iss` of the tokens"
                }
                Own::Named { .. } => "set it to the `iss` of the tokens",
            };
            let what = "missing, and tokens are only accepted from a known issuer";
            reader.refuse(key, what, hint);
        }
        let authkit = self.authkit.as_ref()?;
        Some(authkit.as_str().trim_end_matches('/').to_owned())
    }

    /// The audiences that are written, else those that clients ask for who have read our metadata.
    fn audiences(&self, reader: &mut Reader) -> Option<Vec<String>> {
        let key = &self.section.audience;
        let public_url = reader.text_again(&keys::SERVER_PUBLIC_URL, parse::root_url);
        if let (false, Some(base)) = (reader.is_set(key), public_url) {
            let base = base.as_str().trim_end_matches('/').to_owned();
            return Some(["/mcp", "/sse"].map(|path| format!("{base}{path}")).into());
        }
        if !reader.is_set(key) || self.audiences.as_ref().is_some_and(Vec::is_empty) {
            let what = "missing, and tokens are only accepted if made for this server";
            let hint = match self.section.own {
                Own::Short { .. } => {
                    "set it (or `JWT_AUDIENCE`) to the `aud` of the tokens, or set `server.public_url`, whose `…/mcp` is the `aud` then"
                }
                Own::Named { .. } => {
                    "set it to the `aud` of the tokens, or set `server.public_url`, whose `…/mcp` is the `aud` then"
                }
            };
            reader.refuse(key, what, hint);
            return None;
        }
        self.audiences.clone()
    }

    /// The keys for the allowed algorithms.
    fn keys(
        &self,
        reader: &mut Reader,
        stage: Stage,
        secrets: &JwtSecrets<'_>,
    ) -> Option<VerificationKeys> {
        let source = self.key_set_source(reader, stage);
        let algorithms = self.algorithms.as_ref();
        let found = self.secret(reader, secrets)?;
        let found = found.filter(|_| algorithms.is_none_or(|allowed| allowed.contains(&None)));
        let refusal = found
            .as_ref()
            .and_then(|found| refusal(found, stage, secrets.is_development));
        reader.problems.extend(refusal);
        let found = found.map(|found| found.value);
        let algorithms: Vec<_> = algorithms?.iter().copied().flatten().collect();
        let discovered = || self.is_discoverable() && found.is_none();
        let source = source.or_else(|| discovered().then_some(KeySetSource::Discovered));
        let key_set = source
            .filter(|_| !algorithms.is_empty())
            .map(|source| KeySetSettings { source, algorithms });
        let keys = match (found, key_set) {
            (Some(secret), Some(key_set)) => VerificationKeys::Both(secret, key_set),
            (Some(secret), None) => VerificationKeys::Secret(secret),
            (None, Some(key_set)) => VerificationKeys::KeySet(key_set),
            (None, None) => {
                self.refuse_no_key(reader);
                return None;
            }
        };
        Some(keys)
    }

    /// Whether the issuer can be asked where its keys are.
    fn is_discoverable(&self) -> bool {
        let issuer = self.issuer.as_deref();
        issuer.is_some_and(parse::is_web_address)
    }

    /// The secret; the outer `None` stands for a problem that is reported.
    fn secret(&self, reader: &mut Reader, secrets: &JwtSecrets<'_>) -> Option<Option<Secret>> {
        let Own::Named { secret_env } = &self.section.own else {
            return secrets.own.as_ref().ok().cloned();
        };
        if !reader.is_set(secret_env) {
            return Some(None);
        }
        let variable = self.secret_env.as_deref()?;
        match secrets::read(secrets.environment, &[variable]) {
            Ok(Some(secret)) => return Some(Some(secret)),
            Ok(None) => {
                let what = format!("neither `{variable}` nor `{variable}_FILE` is set");
                let hint = "set one of them to the secret that the issuer signs with";
                reader.refuse(secret_env, what, hint);
            }
            Err(problem) => reader.problems.push(problem),
        }
        None
    }

    /// Says that no key is left, unless the reason is a source that is wrong in itself.
    fn refuse_no_key(&self, reader: &mut Reader) {
        let section = &self.section;
        let authkit = self.authkit_key().map(|key| (key, self.authkit.is_some()));
        let broken = [
            (&section.jwks_url, self.jwks_url.is_some()),
            (&section.jwks_file, self.jwks_file.is_some()),
        ];
        let mut broken = broken.into_iter().chain(authkit);
        if broken.any(|(key, readable)| reader.is_set(key) && !readable) {
            return;
        }
        match section.own {
            Own::Short { .. } => {
                let what = "`jwt` has no key to check tokens with";
                let hint = "set `JWT_HS256_SECRET` (or `JWT_HS256_SECRET_FILE`), `auth.jwks_url`, `auth.jwks_file` or \
                            `auth.authkit_domain`, with its algorithm in `auth.algorithms`; or `auth.mode` to `none`";
                reader.refuse(&keys::AUTH_MODE, what, hint);
            }
            Own::Named { .. } if self.issuer.is_some() => {
                let what = "there is no key to check its tokens with";
                let hint = "set `jwks_url`, `jwks_file` or `secret_env` beside it, with its algorithm in `algorithms`";
                reader.refuse(&section.issuer, what, hint);
            }
            Own::Named { .. } => {}
        }
    }

    fn key_set_source(&self, reader: &mut Reader, stage: Stage) -> Option<KeySetSource> {
        let section = &self.section;
        let (by_url, by_file) = (&section.jwks_url, &section.jwks_file);
        if reader.is_set(by_url) && reader.is_set(by_file) {
            let what = format!("`{}` is set as well", by_url.name);
            reader.refuse(by_file, what, format!("unset it, or `{}`", by_url.name));
        }
        if let Some(url) = &self.jwks_url {
            require_https(reader, stage, by_url, url);
        }
        if let (Some(key), Some(url)) = (self.authkit_key(), &self.authkit) {
            require_https(reader, stage, key, url);
        }
        if reader.is_set(by_url) {
            return self.jwks_url.clone().map(KeySetSource::Url);
        }
        if reader.is_set(by_file) {
            return self.jwks_file.clone().map(KeySetSource::File);
        }
        let url = self.authkit.as_ref()?.join("/oauth2/jwks").ok()?;
        Some(KeySetSource::Url(url))
    }

    fn check_issuer(
        &self,
        reader: &mut Reader,
        stage: Stage,
        issuer: &str,
        keys: Option<&VerificationKeys>,
    ) {
        let key = &self.section.issuer;
        if !reader.is_set(key) {
            return;
        }
        if parse::is_web_address(issuer) {
            if let Ok(url) = parse::url(issuer) {
                require_https(reader, stage, key, &url);
            }
        } else if matches!(keys, Some(VerificationKeys::KeySet(_))) {
            let what = format!(
                "{} is not a URL, so nobody could look up its keys",
                shown(issuer)
            );
            let secret = match self.section.own {
                Own::Short { .. } => "`JWT_HS256_SECRET`",
                Own::Named { .. } => "`secret_env`",
            };
            let hint =
                format!("write the issuer's URL with `https://`; a bare name needs {secret}");
            reader.refuse(key, what, hint);
        }
    }
}

/// An issuer: an http(s) URL, or another text (which only goes with a secret).
fn issuer(text: &str) -> Result<String, Wrong> {
    if parse::is_web_address(text) {
        parse::url(text)?;
    }
    parse::header_text(text)
}

/// The name of a variable that holds a secret. What begins like our own variables would be taken for a setting.
fn variable(text: &str) -> Result<String, Wrong> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(allowed)
        && !text.starts_with(PREFIX)
    {
        return Ok(text.to_owned());
    }
    // Not shown: it could be the secret itself.
    Err(Wrong::new(
        "it is not the name of a variable",
        format!(
            "write a name like `PARTNER_JWT_SECRET`, not one that begins with `{PREFIX}`, and put the secret into that variable"
        ),
    ))
}

/// Why a secret that signs tokens must not be used in production, if it must not.
pub(in crate::settings) fn refusal(
    secret: &Secret,
    stage: Stage,
    is_development: &dyn Fn(&str) -> bool,
) -> Option<Problem> {
    if stage == Stage::Production && is_development(secret.value.expose_secret()) {
        let what = "it is the published secret of development, with which anybody can sign tokens";
        return Some(secret.problem(
            what,
            "give it the secret that the backend has in production",
        ));
    }
    secret.too_short(stage)
}
