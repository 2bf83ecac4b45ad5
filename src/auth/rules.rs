//! What is believed of one issuer: its name, its audiences, its algorithms, its keys, and how its claims are checked.
//! In: [`IssuerRules`] from the settings. Out: a loaded `Issuer`. Every claim is checked here and by nothing else; the
//! JWT crate only checks signatures, because its claim checks pass absent and wrongly typed claims and read the clock.

use std::{sync::Arc, time::Duration};

use crate::auth::{
    Algorithm, AuthError,
    caller::Person,
    discovery::{self, Discovery},
    error::plain,
    fetch::Http,
    keys::{Fetching, KeyError, KeySource, Keys},
    remote::Remote,
    verify::{NumericDate, OneOrMany, SignedClaims, Unverified, required},
};

/// Longest accepted clock difference: more than this is a broken clock, not a drift.
const LONGEST_LEEWAY: Duration = Duration::from_secs(300);

/// One issuer and what its tokens must be like.
#[derive(Clone, Debug)]
pub struct IssuerRules {
    /// `iss`, compared byte for byte.
    pub issuer: String,
    /// Accepted `aud` values, compared byte for byte; at least one.
    pub audiences: Vec<String>,
    /// How far clocks may differ for `exp`, `nbf` and `iat`; at most 5 minutes.
    pub leeway: Duration,
    /// Where its keys are.
    pub keys: KeySource,
    /// Accepted algorithms; at least one, and only such as fit the key source.
    pub algorithms: Vec<Algorithm>,
    /// Tokens whose `exp` is further away than this are refused.
    pub max_lifetime: Option<Duration>,
    /// Accepted `typ` headers.
    pub token_type: TokenType,
    /// Whether a token with a `nonce` is taken for an ID token and refused. Keycloak before 25 puts one into access
    /// tokens too.
    pub refuse_nonce: bool,
}

/// Which `typ` headers are accepted, in any case, with or without `application/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenType {
    /// `JWT`, `at+jwt`, or none.
    #[default]
    Any,
    /// `at+jwt` only (RFC 9068 §4).
    AccessTokenOnly,
}

impl IssuerRules {
    /// The usual rules: the key source's usual algorithms, 30 s leeway, any lifetime, any token type.
    pub fn new<A: Into<String>>(
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = A>,
        keys: KeySource,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            leeway: Duration::from_secs(30),
            algorithms: keys.usual_algorithms(),
            keys,
            max_lifetime: None,
            token_type: TokenType::default(),
            refuse_nonce: true,
        }
    }
}

/// Rules whose keys are loaded.
#[derive(Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) keys: Keys,
    audiences: Vec<String>,
    leeway: Duration,
    algorithms: Vec<Algorithm>,
    max_lifetime: Option<Duration>,
    token_type: TokenType,
    refuse_nonce: bool,
    /// Its metadata, where its name is an address that may be asked.
    pub(super) discovery: Option<Arc<Remote<Discovery>>>,
}

/// Loads every rule, or says which one cannot work.
pub(super) fn load(rules: Vec<IssuerRules>) -> Result<Vec<Issuer>, KeyError> {
    if rules.is_empty() {
        return Err(KeyError::NoIssuer);
    }
    let mut issuers = Vec::<Issuer>::with_capacity(rules.len());
    let http = Http::default();
    for rules in rules {
        let issuer = Issuer::load(rules, &http)?;
        let clash = |other: &&Issuer| {
            other.name == issuer.name
                && issuer
                    .algorithms
                    .iter()
                    .any(|it| other.algorithms.contains(it))
        };
        if issuers.iter().any(|other| clash(&other)) {
            return Err(KeyError::Ambiguous {
                issuer: issuer.name,
            });
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

impl Issuer {
    fn load(rules: IssuerRules, http: &Http) -> Result<Self, KeyError> {
        let name = rules.issuer;
        if name.is_empty() {
            return Err(KeyError::UnnamedIssuer);
        }
        if rules.audiences.is_empty() || rules.audiences.iter().any(String::is_empty) {
            return Err(KeyError::NoAudience { issuer: name });
        }
        if rules.leeway > LONGEST_LEEWAY {
            return Err(KeyError::LeewayTooLong { issuer: name });
        }
        let discovery = Discovery::new(&name, http.clone());
        let fetching = Fetching {
            http: http.clone(),
            discovery: discovery.map(|discovery| Remote::new(discovery, discovery::POLICY)),
        };
        let keys = Keys::load(&name, rules.keys, &rules.algorithms, &fetching)?;
        Ok(Self {
            name,
            keys,
            audiences: rules.audiences,
            leeway: rules.leeway,
            algorithms: rules.algorithms,
            max_lifetime: rules.max_lifetime,
            token_type: rules.token_type,
            refuse_nonce: rules.refuse_nonce,
            discovery: fetching.discovery.ok(),
        })
    }

    /// Whether this rule pins the algorithm, so that it is the one for the token among those of its issuer.
    pub(super) fn pins(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Refuses ID tokens, logout tokens and whatever else says that it is no access token (RFC 8725 §3.11).
    pub(super) fn accepts_type_of(&self, token: &Unverified<'_>) -> Result<(), AuthError> {
        let is = |wanted: &str| {
            token.token_type().is_some_and(|typ| {
                let typ = typ.to_ascii_lowercase();
                typ.strip_prefix("application/").unwrap_or(&typ) == wanted
            })
        };
        let accepted = match self.token_type {
            TokenType::Any => token.token_type().is_none() || is("jwt") || is("at+jwt"),
            TokenType::AccessTokenOnly => is("at+jwt"),
        };
        accepted.then_some(()).ok_or(AuthError::NotAnAccessToken)
    }

    /// Checks the claims of a token whose signature and issuer are right.
    pub(super) fn check(&self, signed: SignedClaims, now: Duration) -> Result<Person, AuthError> {
        let claims = signed.0;
        let issuer = required(claims.iss, "iss")?;
        // This claim selected the rule; compared again, so that the check holds by itself.
        if issuer != self.name {
            return Err(AuthError::UnknownIssuer {
                got: plain(&issuer, 100),
            });
        }
        self.check_audience(required(claims.aud, "aud")?)?;
        let subject = required(claims.sub, "sub")?;
        if subject.is_empty() {
            return Err(AuthError::MissingClaim("sub"));
        }
        let expires = required(claims.exp, "exp")?;
        let begins = [("nbf", claims.nbf), ("iat", claims.iat)];
        let mut begin = Duration::ZERO;
        for (name, claim) in begins {
            if let Some(claimed) = claim.map(|claim| claim.right(name)).transpose()? {
                begin = begin.max(claimed.0.saturating_sub(self.leeway));
            }
        }
        if begin > now {
            return Err(AuthError::NotYetValid);
        }
        let ends = self.check_expiry(&expires, now)?;
        if claims.nonce && self.refuse_nonce {
            return Err(AuthError::NotAnAccessToken);
        }
        let organization = claims.org_id.map(|claim| claim.right("org_id"));
        let scopes = [claims.scope, claims.scp].into_iter().flatten();
        let scopes = scopes
            .filter_map(|claim| claim.right("scope").ok())
            .flat_map(OneOrMany::words);
        Ok(Person {
            begins: begin,
            issuer,
            subject,
            scopes: scopes.collect(),
            expires_at: ends.as_secs(),
            organization: organization.transpose()?,
        })
    }

    fn check_audience(&self, got: OneOrMany) -> Result<(), AuthError> {
        let got = got.all();
        if got.iter().any(|audience| self.audiences.contains(audience)) {
            return Ok(());
        }
        let got = got
            .iter()
            .take(4)
            .map(|audience| plain(audience, 100))
            .collect();
        Err(AuthError::WrongAudience {
            expected: self.audiences.clone(),
            got,
        })
    }

    /// When the token ends for us: `exp` plus the leeway, so that a token accepted now is not expired a moment later.
    fn check_expiry(&self, expires: &NumericDate, now: Duration) -> Result<Duration, AuthError> {
        let ends = expires.0.saturating_add(self.leeway);
        if now >= ends {
            return Err(AuthError::Expired);
        }
        if self
            .max_lifetime
            .is_some_and(|longest| ends > now.saturating_add(longest).saturating_add(self.leeway))
        {
            return Err(AuthError::LifetimeTooLong);
        }
        Ok(ends)
    }
}

#[cfg(test)]
mod tests;
