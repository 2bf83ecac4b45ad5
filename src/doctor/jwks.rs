//! The issuer's keys: without one that we can use, every token is refused.

use serde_json::Value;
use url::Url;

use crate::auth;

use super::{
    issuer::NONE_NAMED,
    report::{Finding, Outcome},
    visit::{Visit, is_private},
};

const RULE: &str = "RFC 7517 §5, RFC 8414 §2 (`jwks_uri`)";

/// Whether the key set can be fetched and has a key to check signatures with.
pub(super) async fn jwks(visit: &mut Visit) -> Outcome {
    let Some(document) = &visit.facts.issuer else {
        return Outcome::skipped(NONE_NAMED);
    };
    let Some(place) = document.get("jwks_uri").and_then(Value::as_str) else {
        return Outcome::skipped("the issuer's document names no `jwks_uri`");
    };
    let shown = visit.quote(place);
    let unreachable = |why: String| {
        Outcome::failed(
            "no key set",
            Finding::wrong(format!("{shown} gives no key set: {why}"))
                .rule(RULE)
                .mend("correct the issuer's jwks_uri (auth.jwks_url here), or see why it does not answer"),
        )
    };
    let Some(url) = Url::parse(place).ok().filter(is_private) else {
        return unreachable("it is no https URL".to_owned());
    };
    let answer = match visit.get("the issuer", url).await {
        Ok(answer) => answer,
        Err(why) => return unreachable(visit.quote(&why)),
    };
    if answer.status != 200 {
        return unreachable(format!("it answers {}", answer.status));
    }
    match auth::usable_keys(&answer.body) {
        Ok(keys) => {
            let seen = format!("{} usable keys at {shown}", keys.len());
            visit.facts.keys = Some(keys);
            Outcome::passed(seen)
        }
        Err(error) => {
            let kinds = kinds(visit, &answer.json().unwrap_or_default());
            Outcome::failed(
                shown,
                Finding::wrong(format!("{error}: {kinds}"))
                    .rule("RFC 7517 §5, RFC 8725 §3.1 (public keys, never shared secrets)")
                    .mend("let the authorization server sign with RS256, ES256 or EdDSA and publish that key, with a kid"),
            )
        }
    }
}

/// The kinds of the keys there are.
fn kinds(visit: &Visit, set: &Value) -> String {
    let keys = set.get("keys").and_then(Value::as_array);
    let kinds: Vec<_> = keys
        .into_iter()
        .flatten()
        .map(|key| key.get("kty").and_then(Value::as_str).unwrap_or("unknown"))
        .collect();
    if kinds.is_empty() {
        return "it has no keys".to_owned();
    }
    format!("it has only {}", visit.quote(&kinds.join(", ")))
}
