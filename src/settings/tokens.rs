//! `auth.*`: who may call. In: keys and secrets. Out: [`AuthSettings`], in which a token check without issuer, audience
//! or key cannot be written down. One issuer is written with the keys of the section itself, further ones with those of
//! `[auth.issuers.NAME]`.

pub(super) mod issuer;

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use url::Url;

use crate::auth::Algorithm;

use super::{
    Stage,
    environment::Environment,
    keys::{self, Key},
    parse,
    problem::{Wrong, shown},
    reader::Reader,
    secrets::Secret,
};
use issuer::{Section, Written};

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
    /// Who may have issued it; never empty.
    pub issuers: Vec<IssuerSettings>,
    /// Audiences accepted though they do not name this server: whoever has a token for one of them gets in here too.
    pub extra_audiences: Vec<String>,
    /// Whether its `typ` must be `at+jwt`.
    pub access_tokens_only: bool,
    /// Whether one with a `nonce` is taken for an ID token.
    pub refuse_nonce: bool,
}

/// One issuer and what its tokens must satisfy.
#[derive(Clone, Debug)]
pub struct IssuerSettings {
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
    /// Fetched from where the issuer's metadata says.
    Discovered,
}

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

/// The secrets that tokens are checked with.
pub(super) struct JwtSecrets<'a> {
    /// `JWT_HS256_SECRET`; `Err` stands for a problem that is reported already.
    pub(super) own: Result<Option<Secret>, ()>,
    /// Where the secrets of further issuers are.
    pub(super) environment: &'a Environment,
    /// Knows the published one of development.
    pub(super) is_development: &'a dyn Fn(&str) -> bool,
}

/// Reads `auth.*`; `None` if something is wrong with it.
pub(super) fn read(
    reader: &mut Reader,
    stage: Stage,
    secrets: &JwtSecrets<'_>,
) -> Option<AuthSettings> {
    let short = Written::read(reader, Section::short());
    let names: Vec<_> = reader.layers.issuers().map(str::to_owned).collect();
    let named: Vec<_> = names
        .iter()
        .map(|name| Written::read(reader, Section::named(name)))
        .collect();
    let extra_audiences = reader.list(&keys::AUTH_EXTRA_AUDIENCES, parse::header_text);
    let slash = reader.boolean(&keys::AUTH_AUDIENCE_TRAILING_SLASH);
    let access_tokens_only = reader.boolean(&keys::AUTH_ACCESS_TOKENS_ONLY);
    let refuse_nonce = reader.boolean(&keys::AUTH_REFUSE_NONCE);
    match reader.text(&keys::AUTH_MODE, mode)? {
        Mode::Jwt => {}
        Mode::None => return Some(AuthSettings::None),
    }
    let is_meant = |written: &Written| names.is_empty() || written.is_begun(reader);
    let written: Vec<_> = Some(short)
        .filter(is_meant)
        .into_iter()
        .chain(named)
        .collect();
    let issuers: Vec<_> = written
        .iter()
        .map(|written| written.checked(reader, stage, secrets))
        .collect();
    let mut issuers = issuers.into_iter().collect::<Option<Vec<_>>>()?;
    let (slash, extra_audiences) = (slash?, extra_audiences?);
    for issuer in &mut issuers {
        if slash {
            issuer.audiences = with_and_without_slash(&issuer.audiences);
        }
        issuer.audiences.extend(extra_audiences.iter().cloned());
    }
    Some(AuthSettings::Tokens(TokenSettings {
        issuers,
        extra_audiences,
        access_tokens_only: access_tokens_only?,
        refuse_nonce: refuse_nonce?,
    }))
}

/// Each audience, and where it is a URL also the same with its last slash the other way.
fn with_and_without_slash(audiences: &[String]) -> Vec<String> {
    let mut all = audiences.to_vec();
    for audience in audiences.iter().filter(|it| parse::is_web_address(it)) {
        let other = match audience.strip_suffix('/') {
            Some(bare) => bare.to_owned(),
            None => format!("{audience}/"),
        };
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
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
