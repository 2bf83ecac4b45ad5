//! What is believed of one issuer: its name, its audiences, its algorithms, its keys, and how its claims are checked.
//! In: [`IssuerRules`] from the settings. Out: a loaded `Issuer`. Every claim is checked here and by nothing else; the
//! JWT crate only checks signatures, because its claim checks pass absent and wrongly typed claims and read the clock.

use std::{sync::Arc, time::Duration};

use crate::auth::{
    Algorithm, AuthError,
    caller::Claims,
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
    pub(super) fn check(&self, signed: SignedClaims, now: Duration) -> Result<Claims, AuthError> {
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
        for (name, claim) in begins {
            if let Some(begin) = claim.map(|claim| claim.right(name)).transpose()?
                && begin.0 > now.saturating_add(self.leeway)
            {
                return Err(AuthError::NotYetValid);
            }
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
        Ok(Claims {
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
mod tests {
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{
        Caller, Verifier,
        fixtures::{AUDIENCE, ISSUER, NOW, SECRET, claims, hmac_token, shared_secret_rules},
    };

    fn judge(rules: IssuerRules, header: Value, changes: Value) -> Result<Caller, AuthError> {
        let token = hmac_token(
            SECRET.as_bytes(),
            Algorithm::HS256,
            header,
            &claims(changes),
        );
        Verifier::new(vec![rules]).unwrap().judge(&token)
    }

    #[track_caller]
    fn with_claims(changes: Value) -> Result<(), AuthError> {
        judge(shared_secret_rules(), json!({}), changes).map(drop)
    }

    #[track_caller]
    fn with_type(rules: &IssuerRules, typ: Value) -> Result<(), AuthError> {
        judge(rules.clone(), json!({ "typ": typ }), json!({})).map(drop)
    }

    #[test]
    fn a_token_without_a_required_claim_is_refused() {
        for name in ["iss", "aud", "sub", "exp"] {
            assert_eq!(
                with_claims(json!({ (name): null })),
                Err(AuthError::MissingClaim(name))
            );
        }
        assert_eq!(
            with_claims(json!({ "sub": "" })),
            Err(AuthError::MissingClaim("sub"))
        );
        assert_eq!(
            with_claims(json!({ "iat": null, "nbf": null, "scope": null })),
            Ok(())
        );
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_refused() {
        for (name, value) in [
            ("iss", json!([ISSUER])),
            ("iss", json!(5)),
            ("aud", json!(5)),
            ("aud", json!({ "a": AUDIENCE })),
            ("aud", json!([AUDIENCE, 5])),
            ("sub", json!(["alice"])),
            ("sub", json!(17)),
            ("exp", json!("1900000000")),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("nbf", json!("now")),
            ("iat", json!([1])),
            ("org_id", json!(["org_1"])),
            ("org_id", json!(7)),
        ] {
            assert_eq!(
                with_claims(json!({ (name): value })),
                Err(AuthError::BadClaim(name)),
                "{name} {value}"
            );
        }
    }

    #[test]
    fn a_token_can_be_for_an_organization() {
        let organization = |changes| {
            let caller = judge(shared_secret_rules(), json!({}), changes).unwrap();
            caller.organization().map(str::to_owned)
        };
        assert_eq!(organization(json!({})), None);
        let org = organization(json!({ "org_id": "org_1" }));
        assert_eq!(org.as_deref(), Some("org_1"));
    }

    #[test]
    fn one_of_the_audiences_must_be_ours_exactly() {
        assert_eq!(
            with_claims(json!({ "aud": ["https://other.example", AUDIENCE] })),
            Ok(())
        );
        for aud in [
            json!([]),
            json!(""),
            json!(format!("{AUDIENCE}/")),
            json!(AUDIENCE.to_uppercase()),
            json!([["x"]]),
        ] {
            let refused = with_claims(json!({ "aud": aud }));
            assert!(
                matches!(
                    refused,
                    Err(AuthError::WrongAudience { .. } | AuthError::BadClaim("aud"))
                ),
                "{aud}"
            );
        }
    }

    #[test]
    fn an_issuer_without_a_rule_is_unknown() {
        let refused = with_claims(json!({ "iss": format!("{ISSUER}/\"") }));
        assert_eq!(
            refused,
            Err(AuthError::UnknownIssuer {
                got: format!("{ISSUER}/")
            })
        );
    }

    #[test]
    fn a_rule_does_not_check_claims_of_another_issuer() {
        let rule = load(vec![shared_secret_rules()]).unwrap().remove(0);
        let foreign = claims(json!({ "iss": "https://other.example" }));
        let signed = SignedClaims(serde_json::from_value(foreign).unwrap());
        let refused = rule.check(signed, NOW).map(drop);
        assert!(matches!(refused, Err(AuthError::UnknownIssuer { .. })));
    }

    #[test]
    fn a_token_ends_with_exp_and_the_leeway() {
        let now = NOW.as_secs();
        assert_eq!(with_claims(json!({ "exp": now - 29 })), Ok(()));
        assert_eq!(
            with_claims(json!({ "exp": now - 30 })),
            Err(AuthError::Expired)
        );
        assert_eq!(with_claims(json!({ "exp": 0 })), Err(AuthError::Expired));
        assert_eq!(
            with_claims(json!({ "exp": f64::from(1_800_000_000) + 0.5 })),
            Ok(())
        );
    }

    #[test]
    fn a_token_from_the_future_is_refused() {
        let now = NOW.as_secs();
        for name in ["nbf", "iat"] {
            assert_eq!(with_claims(json!({ (name): now + 30 })), Ok(()));
            assert_eq!(
                with_claims(json!({ (name): now + 31 })),
                Err(AuthError::NotYetValid)
            );
        }
    }

    #[test]
    fn a_rule_may_limit_how_long_tokens_live() {
        let rules = IssuerRules {
            max_lifetime: Some(Duration::from_secs(3600)),
            ..shared_secret_rules()
        };
        let until = |exp: u64| judge(rules.clone(), json!({}), json!({ "exp": exp })).map(drop);
        assert_eq!(until(NOW.as_secs() + 3600), Ok(()));
        assert_eq!(until(NOW.as_secs() + 3601), Err(AuthError::LifetimeTooLong));
    }

    #[test]
    fn an_id_token_is_no_access_token() {
        for nonce in [json!("n-0S6"), json!(1), json!("")] {
            assert_eq!(
                with_claims(json!({ "nonce": nonce })),
                Err(AuthError::NotAnAccessToken)
            );
        }
    }

    #[test]
    fn a_rule_may_accept_a_nonce() {
        let rules = IssuerRules {
            refuse_nonce: false,
            ..shared_secret_rules()
        };
        let judged = judge(rules, json!({}), json!({ "nonce": "n-0S6" }));
        assert_eq!(judged.map(drop), Ok(()));
    }

    #[test]
    fn only_types_of_access_tokens_are_accepted() {
        let rules = shared_secret_rules();
        for typ in [
            json!(null),
            json!("JWT"),
            json!("jwt"),
            json!("at+jwt"),
            json!("application/AT+JWT"),
            json!("Application/jwt"),
        ] {
            assert_eq!(with_type(&rules, typ.clone()), Ok(()), "{typ}");
        }
        for typ in [
            "",
            "logout+jwt",
            "dpop+jwt",
            "application/",
            "application/application/jwt",
            "JWT ",
            "id+jwt",
        ] {
            assert_eq!(
                with_type(&rules, json!(typ)),
                Err(AuthError::NotAnAccessToken),
                "{typ}"
            );
        }
    }

    #[test]
    fn a_rule_may_demand_declared_access_tokens() {
        let rules = IssuerRules {
            token_type: TokenType::AccessTokenOnly,
            ..shared_secret_rules()
        };
        assert_eq!(with_type(&rules, json!("application/at+jwt")), Ok(()));
        for typ in [json!(null), json!("JWT")] {
            assert_eq!(with_type(&rules, typ), Err(AuthError::NotAnAccessToken));
        }
    }

    #[test]
    fn scopes_come_as_one_string_or_as_a_list_and_a_wrong_type_grants_none() {
        let scopes = |changes| {
            let caller = judge(shared_secret_rules(), json!({}), changes).unwrap();
            caller.scopes().iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(scopes(json!({ "scope": " b  a " })), ["a", "b"]);
        assert_eq!(
            scopes(json!({ "scope": null, "scp": ["a", "b c"] })),
            ["a", "b", "c"]
        );
        assert_eq!(scopes(json!({ "scope": "a", "scp": "b" })), ["a", "b"]);
        assert!(scopes(json!({ "scope": { "a": true } })).is_empty());
    }

    #[test]
    fn rules_that_cannot_work_are_refused_with_the_reason() {
        let good = shared_secret_rules;
        let refused = |rules| load(rules).unwrap_err().to_string();
        insta::assert_snapshot!(refused(vec![]), @"no issuer is configured");
        insta::assert_snapshot!(refused(vec![IssuerRules { issuer: String::new(), ..good() }]), @"an issuer has no name");
        insta::assert_snapshot!(refused(vec![IssuerRules { audiences: vec![], ..good() }]), @"issuer https://issuer.example: no audience is configured, or an empty one");
        insta::assert_snapshot!(refused(vec![IssuerRules { audiences: vec![String::new()], ..good() }]), @"issuer https://issuer.example: no audience is configured, or an empty one");
        insta::assert_snapshot!(refused(vec![IssuerRules { leeway: Duration::from_secs(301), ..good() }]), @"issuer https://issuer.example: the leeway is longer than 5 minutes");
        insta::assert_snapshot!(refused(vec![good(), good()]), @"issuer https://issuer.example: configured twice with the same algorithm");
        let empty = KeySource::SharedSecret(SecretString::from(""));
        insta::assert_snapshot!(refused(vec![IssuerRules { keys: empty, ..good() }]), @"issuer https://issuer.example: the shared secret is empty");
        insta::assert_snapshot!(refused(vec![IssuerRules { algorithms: vec![], ..good() }]), @"issuer https://issuer.example: no algorithm is configured");
        insta::assert_snapshot!(refused(vec![IssuerRules { algorithms: vec![Algorithm::RS256], ..good() }]), @"issuer https://issuer.example: RS256 cannot be used with this kind of key (a shared secret takes HS256, a public key anything but HS…)");
    }
}
