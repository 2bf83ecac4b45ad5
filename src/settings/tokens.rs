//! `auth.*`: who may call. In: keys and the JWT secret. Out: [`AuthSettings`], in which a token check without issuer,
//! audience or key cannot be written down.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::auth::Algorithm;

use super::{
    Stage,
    keys::{self, Key},
    parse,
    problem::{Problem, Wrong, shown},
    reader::Reader,
    secrets::Secret,
};

/// How callers are recognized.
#[derive(Clone, Debug)]
pub enum AuthSettings {
    /// `auth.mode = "none"`: everybody who can connect is the same anonymous caller.
    None,
    /// `auth.mode = "jwt"`: every request carries a token that is checked.
    Tokens(TokenSettings),
}

/// What a token must satisfy.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// The exact `iss`; kept as written, because reading it as a URL would add a slash.
    pub issuer: String,
    /// `aud` must contain one of these; never empty.
    pub audiences: Vec<String>,
    /// What signatures are checked with.
    pub keys: VerificationKeys,
    /// Tolerated difference between clocks for `exp`, `nbf` and `iat`; at most five minutes.
    pub leeway: Duration,
}

/// Where the keys come from; algorithms are pinned to their source.
#[derive(Clone, Debug)]
pub enum VerificationKeys {
    /// HS256 with the secret that the backend has too.
    Secret(SecretString),
    /// Public keys.
    KeySet(KeySetSettings),
    /// Both, each for its own algorithms.
    Both(SecretString, KeySetSettings),
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug)]
pub struct KeySetSettings {
    /// Where it is.
    pub source: KeySetSource,
    /// Accepted algorithms; never empty.
    pub algorithms: Vec<Algorithm>,
}

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetSource {
    /// Fetched and refreshed.
    Url(Url),
    /// Read from a file.
    File(PathBuf),
}

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

/// `auth.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Jwt,
    None,
}

/// `auth.mode` as it is written.
pub(super) fn mode(text: &str) -> Result<Mode, Wrong> {
    parse::one_of(text, &[("jwt", Mode::Jwt), ("none", Mode::None)])
}

/// The JWT secret as it was read, and which text is the published one of development.
pub(super) struct JwtSecret<'a> {
    /// `Err` stands for a problem that is reported already.
    pub(super) secret: Result<Option<Secret>, ()>,
    pub(super) is_development: &'a dyn Fn(&str) -> bool,
}

/// Reads `auth.*`; `None` if something is wrong with it.
pub(super) fn read(
    reader: &mut Reader,
    stage: Stage,
    secret: JwtSecret<'_>,
) -> Option<AuthSettings> {
    let written = Written::read(reader);
    match reader.text(&keys::AUTH_MODE, mode)? {
        Mode::Jwt => {}
        Mode::None => return Some(AuthSettings::None),
    }
    let issuer = written.issuer(reader);
    let audiences = written.audiences(reader);
    let keys = written.keys(reader, stage, secret);
    if let Some(issuer) = &issuer {
        check_issuer(reader, stage, issuer, keys.as_ref());
    }
    let (issuer, audiences, keys) = (issuer?, audiences?, keys?);
    let leeway = written.leeway?;
    Some(AuthSettings::Tokens(TokenSettings {
        issuer,
        audiences,
        keys,
        leeway,
    }))
}

/// The keys of the section, each read by itself.
struct Written {
    issuer: Option<String>,
    audiences: Option<Vec<String>>,
    jwks_url: Option<Url>,
    jwks_file: Option<PathBuf>,
    algorithms: Option<Vec<Option<Algorithm>>>,
    leeway: Option<Duration>,
    authkit: Option<Url>,
}

impl Written {
    fn read(reader: &mut Reader) -> Self {
        Self {
            issuer: reader.text(&keys::AUTH_ISSUER, issuer),
            audiences: reader.list(&keys::AUTH_AUDIENCE, parse::header_text),
            jwks_url: reader.text(&keys::AUTH_JWKS_URL, parse::url),
            jwks_file: reader.text(&keys::AUTH_JWKS_FILE, parse::path),
            algorithms: reader.list(&keys::AUTH_ALGORITHMS, |text| {
                parse::one_of(text, ALGORITHMS)
            }),
            leeway: reader.duration(&keys::AUTH_LEEWAY, Duration::ZERO..=LONGEST_LEEWAY),
            authkit: reader.text(&keys::AUTH_AUTHKIT_DOMAIN, parse::domain),
        }
    }

    fn issuer(&self, reader: &mut Reader) -> Option<String> {
        if !reader.is_set(&keys::AUTH_ISSUER) && !reader.is_set(&keys::AUTH_AUTHKIT_DOMAIN) {
            let hint =
                "set it (or `JWT_ISSUER`, or `auth.authkit_domain`) to the `iss` of the tokens";
            reader.refuse(
                &keys::AUTH_ISSUER,
                "missing, and tokens are only accepted from a known issuer",
                hint,
            );
        }
        if reader.is_set(&keys::AUTH_ISSUER) {
            return self.issuer.clone();
        }
        let authkit = self.authkit.as_ref()?;
        Some(authkit.as_str().trim_end_matches('/').to_owned())
    }

    fn audiences(&self, reader: &mut Reader) -> Option<Vec<String>> {
        let hint = "set it (or `JWT_AUDIENCE`) to the `aud` of the tokens, usually this server's `…/mcp` URL";
        if !reader.is_set(&keys::AUTH_AUDIENCE)
            || self.audiences.as_ref().is_some_and(Vec::is_empty)
        {
            reader.refuse(
                &keys::AUTH_AUDIENCE,
                "missing, and tokens are only accepted if made for this server",
                hint,
            );
            return None;
        }
        self.audiences.clone()
    }

    /// The keys for the allowed algorithms.
    fn keys(
        &self,
        reader: &mut Reader,
        stage: Stage,
        secret: JwtSecret<'_>,
    ) -> Option<VerificationKeys> {
        let source = self.key_set_source(reader, stage);
        let algorithms = self.algorithms.as_ref();
        let found = secret.secret.ok()?;
        let found = found.filter(|_| algorithms.is_none_or(|allowed| allowed.contains(&None)));
        let refusal = found
            .as_ref()
            .and_then(|found| refusal(found, stage, secret.is_development));
        reader.problems.extend(refusal);
        let found = found.map(|found| found.value);
        let algorithms: Vec<_> = algorithms?.iter().copied().flatten().collect();
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

    /// Says that no key is left, unless the reason is a source that is wrong in itself.
    fn refuse_no_key(&self, reader: &mut Reader) {
        let sources = [
            (&keys::AUTH_JWKS_URL, self.jwks_url.is_some()),
            (&keys::AUTH_JWKS_FILE, self.jwks_file.is_some()),
            (&keys::AUTH_AUTHKIT_DOMAIN, self.authkit.is_some()),
        ];
        if sources
            .iter()
            .any(|(key, readable)| reader.is_set(key) && !readable)
        {
            return;
        }
        let what = "`jwt` has no key to check tokens with";
        let hint = "set `JWT_HS256_SECRET` (or `JWT_HS256_SECRET_FILE`), `auth.jwks_url`, `auth.jwks_file` or \
                    `auth.authkit_domain`, with its algorithm in `auth.algorithms`; or `auth.mode` to `none`";
        reader.refuse(&keys::AUTH_MODE, what, hint);
    }

    fn key_set_source(&self, reader: &mut Reader, stage: Stage) -> Option<KeySetSource> {
        if reader.is_set(&keys::AUTH_JWKS_URL) && reader.is_set(&keys::AUTH_JWKS_FILE) {
            let hint = "unset it, or `auth.jwks_url`";
            reader.refuse(
                &keys::AUTH_JWKS_FILE,
                "`auth.jwks_url` is set as well",
                hint,
            );
        }
        if let Some(url) = &self.jwks_url {
            require_https(reader, stage, &keys::AUTH_JWKS_URL, url);
        }
        if let Some(url) = &self.authkit {
            require_https(reader, stage, &keys::AUTH_AUTHKIT_DOMAIN, url);
        }
        if reader.is_set(&keys::AUTH_JWKS_URL) {
            return self.jwks_url.clone().map(KeySetSource::Url);
        }
        if reader.is_set(&keys::AUTH_JWKS_FILE) {
            return self.jwks_file.clone().map(KeySetSource::File);
        }
        let url = self.authkit.as_ref()?.join("/oauth2/jwks").ok()?;
        Some(KeySetSource::Url(url))
    }
}

/// An issuer: an http(s) URL, or another text (which [`check_issuer`] allows only beside the secret).
fn issuer(text: &str) -> Result<String, Wrong> {
    if parse::is_web_address(text) {
        parse::url(text)?;
    }
    parse::header_text(text)
}

fn check_issuer(reader: &mut Reader, stage: Stage, issuer: &str, keys: Option<&VerificationKeys>) {
    if !reader.is_set(&keys::AUTH_ISSUER) {
        return;
    }
    if parse::is_web_address(issuer) {
        if let Ok(url) = parse::url(issuer) {
            require_https(reader, stage, &keys::AUTH_ISSUER, &url);
        }
    } else if matches!(keys, Some(VerificationKeys::KeySet(_))) {
        let what = format!(
            "{} is not a URL, so nobody could look up its keys",
            shown(issuer)
        );
        let hint = "write the issuer's URL with `https://`; a bare name needs `JWT_HS256_SECRET`";
        reader.refuse(&keys::AUTH_ISSUER, what, hint);
    }
}

/// Refuses `http` to another machine in production: whoever sits in between could change what is read there.
pub(super) fn require_https(reader: &mut Reader, stage: Stage, key: &Key, url: &Url) {
    if stage == Stage::Production && url.scheme() != "https" && !parse::is_loopback(url) {
        let what = format!("{} is not https", shown(url.as_str()));
        let hint =
            "use `https://`; `http://` is for loopback and for `environment = \"development\"`";
        reader.refuse(key, what, hint);
    }
}

/// Why the JWT secret must not be used in production, if it must not.
fn refusal(
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
