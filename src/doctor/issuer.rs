//! The authorization server: its own document (RFC 8414, `OpenID` Connect Discovery), and how clients get an id there.

use serde_json::Value;
use url::Url;

use super::{
    metadata::well_known,
    report::{Finding, Outcome},
    visit::{Visit, is_private},
};

const DISCOVERY: &str = "RFC 8414 §3, MCP 2026-07-28 authorization (server metadata discovery)";
const SAME: &str = "RFC 8414 §3.3 (`issuer` is identical, byte by byte)";
const PKCE: &str = "MCP 2026-07-28 authorization (PKCE: clients refuse without S256)";
const REGISTRATION: &str = "MCP 2026-07-28 authorization (client registration)";

/// Why a step has no issuer to look at.
pub(super) const NONE_NAMED: &str = "no authorization server is named";

/// Finds the issuer's document and judges it.
pub(super) async fn issuer(visit: &mut Visit) -> Outcome {
    let Some(name) = visit.facts.issuers.first().cloned() else {
        return Outcome::skipped(NONE_NAMED);
    };
    let shown = visit.quote(&name);
    let url = match Url::parse(&name) {
        Ok(url) if is_private(&url) => url,
        Ok(_) | Err(_) => {
            return Outcome::failed(
                shown.clone(),
                Finding::wrong(format!("the authorization server {shown} is no https URL"))
                    .rule("RFC 8414 §2, OAuth 2.1 §1.5 (https only)")
                    .mend("set auth.issuer to its https:// URL"),
            );
        }
    };
    let mut troubles = Vec::new();
    for place in places(&url) {
        let answer = visit.get("the issuer", place.clone()).await;
        let document = answer.as_ref().ok().filter(|answer| answer.status == 200);
        let document = document.and_then(|answer| answer.json().filter(Value::is_object));
        if let Some(document) = document {
            let findings = judge(visit, &name, &document);
            visit.facts.issuer = Some(document);
            return Outcome::of(shown, findings);
        }
        let trouble = match answer {
            Ok(answer) if answer.status == 200 => "no JSON".to_owned(),
            Ok(answer) => answer.status.to_string(),
            Err(why) => visit.quote(&why),
        };
        troubles.push(format!("{}: {trouble}", visit.quote(place.as_str())));
    }
    Outcome::failed(
        "no document",
        Finding::wrong(format!("{shown} publishes no metadata:\n{}", troubles.join("\n")))
            .rule(DISCOVERY)
            .mend("correct auth.issuer, or see that the authorization server is up and can be reached from where clients are"),
    )
}

/// RFC 8414 with the path behind the name, then `OpenID` Connect in both of its ways: the order that MCP prescribes.
fn places(issuer: &Url) -> Vec<Url> {
    let mut places = Vec::new();
    places.extend(
        well_known(issuer, "oauth-authorization-server")
            .into_iter()
            .next(),
    );
    places.extend(
        well_known(issuer, "openid-configuration")
            .into_iter()
            .next(),
    );
    let mut appended = issuer.clone();
    let path = issuer.path().trim_end_matches('/');
    appended.set_path(&format!("{path}/.well-known/openid-configuration"));
    if !places.contains(&appended) {
        places.push(appended);
    }
    places
}

fn judge(visit: &Visit, expected: &str, document: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let got = document.get("issuer").and_then(Value::as_str).unwrap_or("");
    if got != expected {
        let (got, expected) = (visit.quote(got), visit.quote(expected));
        findings.push(
            Finding::wrong(format!(
                "its document says `issuer` {got}, but we name it {expected}"
            ))
            .rule(SAME)
            .mend(format!(
                "set auth.issuer to exactly {got}, if that is the one you mean"
            )),
        );
    }
    for endpoint in ["authorization_endpoint", "token_endpoint"] {
        if document.get(endpoint).and_then(Value::as_str).is_none() {
            findings.push(
                Finding::wrong(format!("its document has no `{endpoint}`"))
                    .rule("RFC 8414 §2")
                    .mend("enable the authorization code grant at the authorization server"),
            );
        }
    }
    if !lists(document, "code_challenge_methods_supported", "S256") {
        findings.push(
            Finding::wrong("its `code_challenge_methods_supported` does not list S256")
                .rule(PKCE)
                .mend("enable PKCE with S256 at the authorization server"),
        );
    }
    findings
}

/// How a client that nobody has registered gets in.
pub(super) fn registration(visit: &Visit) -> Outcome {
    let Some(document) = &visit.facts.issuer else {
        return Outcome::skipped(NONE_NAMED);
    };
    let dynamic = document
        .get("registration_endpoint")
        .and_then(Value::as_str)
        .is_some();
    let by_document =
        document.get("client_id_metadata_document_supported") == Some(&Value::Bool(true));
    match (by_document, dynamic) {
        (true, true) => Outcome::passed("client id documents and dynamic registration"),
        (false, true) => Outcome::passed("dynamic registration"),
        (true, false) if lists(document, "token_endpoint_auth_methods_supported", "none") => {
            Outcome::passed("client id documents")
        }
        (true, false) => Outcome::failed(
            "client id documents",
            Finding::warning("`token_endpoint_auth_methods_supported` does not list `none`, which Claude needs for them")
                .rule(REGISTRATION)
                .mend("allow public clients at the authorization server"),
        ),
        (false, false) => Outcome::failed(
            "none offered",
            Finding::wrong("neither `registration_endpoint` nor `client_id_metadata_document_supported`: clients have no way to get an id")
                .rule(REGISTRATION)
                .mend("enable client id metadata documents (AuthKit: Connect, Configuration) or dynamic registration; else register each client by hand"),
        ),
    }
}

fn lists(document: &Value, key: &str, value: &str) -> bool {
    let list = document.get(key).and_then(Value::as_array);
    list.is_some_and(|list| list.iter().any(|item| item == value))
}
