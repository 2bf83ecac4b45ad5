//! The protected-resource document (RFC 9728): at both places, the same, and naming exactly the URL that was typed.

use std::net::Ipv4Addr;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use serde_json::Value;
use url::{Host, Url};

use super::{
    report::{Finding, Outcome},
    visit::{Answer, BROWSER_ORIGIN, Visit, is_loopback},
};

const PLACE: &str = "RFC 9728 §3.1, MCP 2026-07-28 authorization (well-known locations)";
const RESOURCE: &str = "RFC 9728 §3.3 (`resource` is the URL the client used)";
const SERVERS: &str = "MCP 2026-07-28 authorization (at least one authorization server)";
const BROWSERS: &str = "Fetch standard (CORS), for clients that run in a browser";

/// Judges the document.
pub(super) async fn metadata(visit: &mut Visit) -> Outcome {
    if visit.is_open() {
        return Outcome::skipped("the server asks nobody for a token");
    }
    documents(visit).await;
    if !has_document(visit) && visit.facts.metadata_url.is_none() {
        return without_oauth(visit);
    }
    let found = visit.facts.documents.clone().unwrap_or_default();
    let mut findings = places(visit, &found);
    let pointed = visit.facts.metadata_url.clone();
    let preferred = found
        .iter()
        .filter(|(url, _)| pointed.as_ref().is_none_or(|pointed| pointed == url))
        .chain(&found);
    let document = preferred
        .filter_map(|(_, answer)| answer.as_ref().ok())
        .find_map(|answer| Some((answer, document_of(answer)?)));
    let seen = match document {
        Some((answer, document)) => {
            findings.extend(resource(visit, &document));
            findings.extend(servers(visit, &document));
            findings.extend(headers(answer));
            let resource = visit.facts.resource.clone().unwrap_or_default();
            format!("resource {}", visit.quote(&resource))
        }
        None => "no document".to_owned(),
    };
    Outcome::of(seen, findings)
}

/// Tokens that an operator hands out are fine on the way to a first success, not for people with Claude.
fn without_oauth(visit: &Visit) -> Outcome {
    if visit.facts.url.as_ref().is_some_and(is_loopback) {
        return Outcome::skipped(
            "no authorization server is named: the operator hands out the tokens (the issuer is no URL)",
        );
    }
    Outcome::failed(
        "no document at either place",
        Finding::warning(
            "no authorization server is named, so people cannot sign in from Claude or VS Code",
        )
        .rule(PLACE)
        .mend("set auth.issuer (or auth.authkit_domain) to the URL of your authorization server"),
    )
}

/// Asks at both well-known places and where the challenge points, once.
pub(super) async fn documents(visit: &mut Visit) {
    let Some(url) = visit.facts.url.clone() else {
        return;
    };
    let mut places = well_known(&url, "oauth-protected-resource");
    places.extend(visit.facts.metadata_url.clone());
    let mut found = visit.facts.documents.take().unwrap_or_default();
    for place in places {
        if !found.iter().any(|(known, _)| *known == place) {
            let answer = visit.get_as_browser("the server", place.clone()).await;
            found.push((place, answer));
        }
    }
    visit.facts.documents = Some(found);
}

/// Whether any place has one.
pub(super) fn has_document(visit: &Visit) -> bool {
    let found = visit.facts.documents.iter().flatten();
    found
        .filter_map(|(_, answer)| answer.as_ref().ok())
        .any(|answer| document_of(answer).is_some())
}

/// The well-known URL of a resource or issuer: its path follows the name; then the one without the path.
pub(super) fn well_known(url: &Url, name: &str) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let mut places = Vec::new();
    for suffix in [path, ""] {
        let mut place = url.clone();
        place.set_path(&format!("/.well-known/{name}{suffix}"));
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn document_of(answer: &Answer) -> Option<Value> {
    let document = answer.json().filter(Value::is_object);
    document.filter(|_| answer.status == 200)
}

fn places(visit: &Visit, found: &[(Url, Result<Answer, String>)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut documents: Vec<(&Url, Value)> = Vec::new();
    for (url, answer) in found {
        let shown = visit.quote(url.as_str());
        let what = match answer {
            Err(why) => format!("{shown} does not answer: {}", visit.quote(why)),
            Ok(answer) => match document_of(answer) {
                Some(document) => {
                    documents.push((url, document));
                    continue;
                }
                None if answer.status == 200 => {
                    format!("{shown} is no JSON document ({})", answer.media_type())
                }
                None => format!("{shown} answers {}", answer.status),
            },
        };
        let is_root = url.path() == "/.well-known/oauth-protected-resource";
        let is_pointed = visit.facts.metadata_url.as_ref() == Some(url);
        let finding = if is_root && !is_pointed {
            Finding::warning(what)
        } else {
            Finding::wrong(what)
        };
        findings.push(finding.rule(PLACE).mend(
            "let the proxy forward /.well-known/oauth-protected-resource and everything below it to toolbridge, without a login",
        ));
    }
    if let [(first, document), rest @ ..] = documents.as_slice()
        && let Some((other, _)) = rest.iter().find(|(_, other)| other != document)
    {
        let (first, other) = (visit.quote(first.as_str()), visit.quote(other.as_str()));
        findings.push(
            Finding::wrong(format!("{first} and {other} say different things"))
                .rule(PLACE)
                .mend("two servers answer: forward both places to the same toolbridge"),
        );
    }
    findings
}

fn resource(visit: &mut Visit, document: &Value) -> Option<Finding> {
    let resource = document.get("resource").and_then(Value::as_str);
    let Some(resource) = resource else {
        return Some(
            Finding::wrong("the document has no `resource`")
                .rule("RFC 9728 §2 (`resource` is required)")
                .mend("it must be the URL that people type"),
        );
    };
    visit.facts.resource = Some(resource.to_owned());
    if resource == visit.typed {
        return None;
    }
    let (shown, typed) = (visit.quote(resource), visit.quote(&visit.typed));
    let difference = difference(resource, &visit.typed);
    Some(
        Finding::wrong(format!("`resource` is {shown}, but {typed} was asked: {difference}"))
            .rule(RESOURCE)
            .mend("set server.public_url to the origin that people type, without /mcp; or type what `resource` says"),
    )
}

/// What exactly is different, in the words of the usual mistakes.
fn difference(resource: &str, typed: &str) -> &'static str {
    let (Ok(theirs), Ok(ours)) = (Url::parse(resource), Url::parse(typed)) else {
        return "it is no URL";
    };
    if is_internal(&theirs) && !is_internal(&ours)
        || theirs.host() != ours.host() && is_internal(&theirs)
    {
        return "it is a host name that only the inside knows";
    }
    if theirs.host() != ours.host() {
        return "another host";
    }
    if theirs.scheme() != ours.scheme() {
        return "another scheme, http or https";
    }
    if theirs.port_or_known_default() != ours.port_or_known_default() {
        return "another port";
    }
    if resource.trim_end_matches('/') == typed.trim_end_matches('/') {
        return "a slash at the end makes it another URL";
    }
    if matches!(theirs.path(), "" | "/") {
        return "the path is missing";
    }
    if theirs.path() == ours.path() {
        return "the same place, but not written the same";
    }
    "another path"
}

/// Whether only machines of one network can know a host.
fn is_internal(url: &Url) -> bool {
    const INSIDE: [&str; 6] = [
        ".internal",
        ".local",
        ".localdomain",
        ".lan",
        ".svc",
        ".flycast",
    ];
    match url.host() {
        Some(Host::Domain(name)) => {
            !name.contains('.') || INSIDE.iter().any(|suffix| name.ends_with(suffix))
        }
        Some(Host::Ipv4(address)) => {
            address.is_private() || address.is_loopback() || address == Ipv4Addr::UNSPECIFIED
        }
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        None => true,
    }
}

fn servers(visit: &mut Visit, document: &Value) -> Option<Finding> {
    let servers = document
        .get("authorization_servers")
        .and_then(Value::as_array);
    let servers: Vec<String> = servers
        .into_iter()
        .flatten()
        .filter_map(|server| server.as_str().map(str::to_owned))
        .collect();
    let is_empty = servers.is_empty();
    visit.facts.issuers = servers;
    is_empty.then(|| {
        Finding::wrong("`authorization_servers` is empty: no client knows where to sign in")
            .rule(SERVERS)
            .mend(
                "set auth.issuer (or auth.authkit_domain) to the URL of your authorization server",
            )
    })
}

fn headers(answer: &Answer) -> Vec<Finding> {
    let mut findings = Vec::new();
    if answer.media_type() != "application/json" {
        findings.push(
            Finding::warning("the document's media type is not application/json")
                .rule("RFC 9728 §3.2")
                .mend("let the proxy keep Content-Type"),
        );
    }
    let allowed = answer.headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
    if allowed.is_some_and(|allowed| allowed != "*" && allowed != BROWSER_ORIGIN) {
        findings.push(
            Finding::warning(format!(
                "`Access-Control-Allow-Origin` is neither `*` nor the origin that asked (`{BROWSER_ORIGIN}`): clients in a \
                 browser cannot read the document"
            ))
            .rule(BROWSERS)
            .mend("let the proxy keep `Access-Control-Allow-Origin: *`"),
        );
    }
    if allowed.is_none() {
        findings.push(
            Finding::warning("the document has no `Access-Control-Allow-Origin`: clients in a browser cannot read it")
                .rule(BROWSERS)
                .mend("let the proxy keep `Access-Control-Allow-Origin: *`"),
        );
    }
    let cache = answer.headers.get(CACHE_CONTROL);
    let cache = cache
        .and_then(|value| value.to_str().ok())
        .unwrap_or("no-store");
    if cache.contains("no-store") || cache.contains("no-cache") {
        findings.push(
            Finding::warning(
                "the document may not be cached, so every client asks for it again and again",
            )
            .rule("RFC 9728 §3.2, RFC 9111 §5.2")
            .mend("let the proxy keep `Cache-Control: public, max-age=3600`"),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_differ_has_its_own_words() {
        let typed = "https://acme.example.com/mcp";
        for (resource, words) in [
            (
                "https://acme.example.com/mcp/",
                "a slash at the end makes it another URL",
            ),
            ("https://acme.example.com", "the path is missing"),
            ("https://acme.example.com/", "the path is missing"),
            (
                "http://acme.example.com/mcp",
                "another scheme, http or https",
            ),
            ("https://acme.example.com:8443/mcp", "another port"),
            (
                "https://ACME.example.com/mcp",
                "the same place, but not written the same",
            ),
            ("https://other.example.com/mcp", "another host"),
            ("https://acme.example.com/v1/mcp", "another path"),
            (
                "http://toolbridge:8001/mcp",
                "it is a host name that only the inside knows",
            ),
            (
                "http://10.0.0.7:8001/mcp",
                "it is a host name that only the inside knows",
            ),
            (
                "http://acme.flycast/mcp",
                "it is a host name that only the inside knows",
            ),
            ("urn:acme", "it is a host name that only the inside knows"),
            ("acme", "it is no URL"),
        ] {
            assert_eq!(difference(resource, typed), words, "{resource}");
        }
    }

    #[test]
    fn the_name_goes_between_host_and_path() {
        let places = |url: &str| -> Vec<String> {
            let places = well_known(&Url::parse(url).unwrap(), "x");
            places.into_iter().map(String::from).collect()
        };
        assert_eq!(
            places("https://h/a/mcp"),
            ["https://h/.well-known/x/a/mcp", "https://h/.well-known/x"]
        );
        assert_eq!(places("https://h"), ["https://h/.well-known/x"]);
    }
}
