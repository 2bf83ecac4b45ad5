//! The token, taken apart and believed in nothing: would it pass, going by what it says of itself? Shown are times,
//! issuer and audience, never the token.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    report::{Finding, Outcome},
    visit::Visit,
};

const CLAIMS: &str = "RFC 7519 §4.1, RFC 9068 §2.2 (claims of an access token)";
const AUDIENCE: &str = "RFC 8707 §2, MCP 2026-07-28 authorization (audience of the token)";

/// Why a step has no token to look at.
const NONE_GIVEN: &str = "no token was given (--token or --token-file)";

/// What a token says of itself.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Claims {
    issuer: Option<String>,
    audiences: Vec<String>,
    expires: Option<Duration>,
    not_before: Option<Duration>,
    key: Option<String>,
}

/// Times, issuer and key.
pub(super) fn token(visit: &mut Visit) -> Outcome {
    let Some(token) = &visit.token else {
        return Outcome::skipped(if visit.is_open() {
            "none is asked for"
        } else {
            NONE_GIVEN
        });
    };
    let token = token.expose_secret();
    if token.is_empty() || token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Outcome::failed(
            "not a token",
            Finding::wrong(
                "the token is empty, or holds spaces, line breaks or other characters that cannot be sent",
            )
            .rule("RFC 6750 §2.1 (token syntax)")
            .mend("pass the token alone, without `Bearer` and quotes"),
        );
    }
    let Some(claims) = decoded(token) else {
        return Outcome::skipped("it is not a JWT, so only the server can judge it");
    };
    let findings = judge(visit, &claims);
    let seen = match claims.expires {
        Some(expires) => match expires.checked_sub((visit.now)()) {
            Some(left) => format!("good for another {}", whole(left)),
            None => "expired".to_owned(),
        },
        None => "without an end".to_owned(),
    };
    visit.facts.claims = Some(claims);
    Outcome::of(seen, findings)
}

fn judge(visit: &Visit, claims: &Claims) -> Vec<Finding> {
    let now = (visit.now)();
    let mut findings = Vec::new();
    match claims.expires {
        None => findings.push(
            Finding::wrong("the token has no `exp`")
                .rule(CLAIMS)
                .mend("let the authorization server issue tokens that expire"),
        ),
        Some(expires) if expires <= now => findings.push(
            Finding::wrong(format!(
                "the token expired {} ago",
                whole(now.saturating_sub(expires))
            ))
            .rule(CLAIMS)
            .mend("get a new one; if it is new, correct this machine's clock"),
        ),
        Some(_) => {}
    }
    if let Some(start) = claims.not_before.filter(|start| *start > now) {
        findings.push(
            Finding::wrong(format!(
                "the token is not valid for another {}",
                whole(start.saturating_sub(now))
            ))
            .rule(CLAIMS)
            .mend("correct the clock of this machine or of the issuer"),
        );
    }
    findings.extend(issuer(visit, claims));
    findings.extend(key(visit, claims));
    findings
}

/// Whether `iss` is one that is named: by the server's document, else by the settings.
fn issuer(visit: &Visit, claims: &Claims) -> Option<Finding> {
    let mut expected = visit.facts.issuers.clone();
    if expected.is_empty() {
        expected = visit.operator.issuers();
    }
    let got = claims.issuer.as_deref().unwrap_or("");
    if expected.is_empty() || expected.iter().any(|expected| expected == got) {
        return None;
    }
    let expected: Vec<_> = expected.iter().map(|issuer| visit.quote(issuer)).collect();
    let (expected, got) = (expected.join(" or "), visit.quote(got));
    Some(
        Finding::wrong(format!(
            "the token's `iss` is {got}, but tokens of {expected} are accepted"
        ))
        .rule("RFC 9068 §4 (`iss` is the expected one, byte by byte)")
        .mend("sign in at the right authorization server, or set auth.issuer to this `iss`"),
    )
}

fn key(visit: &Visit, claims: &Claims) -> Option<Finding> {
    let (known, kid) = (visit.facts.keys.as_ref()?, claims.key.as_ref()?);
    (!known.contains(kid)).then(|| {
        Finding::wrong(format!("the issuer publishes no key {}, with which the token says it is signed", visit.quote(kid)))
            .rule("RFC 7517 §4.5 (`kid` names a published key)")
            .mend("get a new token; if that does not help, the issuer's jwks_uri belongs to another environment")
    })
}

/// Whether the token is for this server.
pub(super) fn audience(visit: &Visit) -> Outcome {
    let Some(claims) = &visit.facts.claims else {
        return Outcome::skipped(match visit.token {
            Some(_) => "the token cannot be looked into",
            None if visit.is_open() => "no token is asked for",
            None => NONE_GIVEN,
        });
    };
    let settings = visit.operator.audiences();
    let accepted: Vec<String> = match &visit.facts.resource {
        Some(resource) => [resource.clone(), visit.typed.clone()]
            .into_iter()
            .chain(settings)
            .collect(),
        None if settings.is_empty() => {
            return Outcome::skipped("there is no `resource` to compare the token's `aud` with");
        }
        None => settings,
    };
    let is_meant = |audience: &String| {
        let bare = audience.trim_end_matches('/');
        accepted
            .iter()
            .any(|accepted| accepted.trim_end_matches('/') == bare)
    };
    let got: Vec<_> = claims.audiences.iter().map(|it| visit.quote(it)).collect();
    let got = if got.is_empty() {
        "nobody".to_owned()
    } else {
        got.join(", ")
    };
    if claims.audiences.iter().any(is_meant) {
        return Outcome::passed(format!("the token is for {got}"));
    }
    let wanted = visit.quote(accepted.first().map_or("", String::as_str));
    Outcome::failed(
        format!("the token is for {got}"),
        Finding::wrong(format!("the token's `aud` is {got}, but this server is {wanted}"))
            .rule(AUDIENCE)
            .mend("register this URL as a resource indicator at the authorization server and sign in again; where it stamps one fixed audience, list that in auth.audience"),
    )
}

fn decoded(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (header, payload) = (parts.next()?, parts.next()?);
    let read = |part: &str| -> Option<Value> {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&json).ok()
    };
    let (header, payload) = (read(header)?, read(payload)?);
    let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let seconds = |name: &str| Duration::try_from_secs_f64(payload.get(name)?.as_f64()?).ok();
    let audiences = match payload.get("aud") {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect(),
        _ => text(&payload, "aud").into_iter().collect(),
    };
    Some(Claims {
        issuer: text(&payload, "iss"),
        audiences,
        expires: seconds("exp"),
        not_before: seconds("nbf"),
        key: text(&header, "kid"),
    })
}

/// In whole seconds: `1h 3m`.
fn whole(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> String {
        let [header, payload] =
            [r#"{"alg":"none","kid":"k"}"#, payload].map(|it| URL_SAFE_NO_PAD.encode(it));
        format!("{header}.{payload}.s")
    }

    #[test]
    fn a_token_is_read_without_being_believed() {
        let claims = decoded(&token(r#"{"iss":"i","aud":["a","b"],"exp":5.5}"#)).unwrap();
        assert_eq!(
            claims,
            Claims {
                issuer: Some("i".to_owned()),
                audiences: vec!["a".to_owned(), "b".to_owned()],
                expires: Some(Duration::from_millis(5500)),
                not_before: None,
                key: Some("k".to_owned()),
            }
        );
    }

    #[test]
    fn what_is_no_token_is_left_to_the_server() {
        for text in ["opaque", "a.b.c", "..", "", &token("[]x")] {
            assert_eq!(decoded(text), None, "{text}");
        }
        assert_eq!(
            decoded(&token(r#"{"exp":-1,"aud":5,"iss":{}}"#))
                .unwrap()
                .audiences,
            Vec::<String>::new()
        );
    }
}
