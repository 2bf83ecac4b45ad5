//! Tokens with one thing wrong, and one rule each that refuses them.

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
