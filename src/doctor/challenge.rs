//! The 401 and its `WWW-Authenticate`: from it alone a client learns where to sign in.

use http::header::WWW_AUTHENTICATE;
use url::Url;

use super::{
    metadata::{self, has_document},
    report::{Finding, Outcome},
    visit::{Visit, is_loopback, is_private},
};

const SYNTAX: &str = "RFC 9110 §11.6.1 (WWW-Authenticate)";
const BEARER: &str = "RFC 6750 §3 (the Bearer challenge)";
const POINTER: &str = "RFC 9728 §5.1, MCP 2026-07-28 authorization (resource_metadata)";

/// Whether a client without a token is told what to do.
pub(super) async fn challenge(visit: &mut Visit) -> Outcome {
    let Some(first) = visit.facts.first.clone() else {
        return Outcome::skipped("there is no answer");
    };
    if first.status != 401 {
        return open(visit);
    }
    let values: Vec<_> = first.headers.get_all(WWW_AUTHENTICATE).iter().collect();
    let text: Vec<_> = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let joined = text.join(", ");
    let (seen, finding) = match judge(visit, &joined, values.is_empty()) {
        Ok(Some(url)) => {
            let seen = format!("401, metadata at {}", visit.quote(url.as_str()));
            visit.facts.metadata_url = Some(url);
            return Outcome::passed(seen);
        }
        Ok(None) => {
            metadata::documents(visit).await;
            if !has_document(visit) {
                return Outcome::passed("401; no authorization server is named");
            }
            let finding = Finding::wrong("the challenge has no `resource_metadata`, though there is a document to point to")
                .rule(POINTER)
                .mend("let 401 answers carry `Bearer resource_metadata=\"…\"`; a proxy may have replaced the header");
            ("401", finding)
        }
        Err(finding) => ("401", finding),
    };
    Outcome::failed(seen, finding)
}

fn open(visit: &Visit) -> Outcome {
    if visit.facts.url.as_ref().is_some_and(is_loopback) {
        return Outcome::skipped("the server asks nobody for a token (auth.mode = none)");
    }
    let finding =
        Finding::warning("the server asks nobody for a token: whoever finds it can use every tool")
            .rule("MCP 2026-07-28 authorization (protected servers answer 401)")
            .mend("set auth.mode = jwt");
    Outcome::failed("200 without a token", finding)
}

/// The URL of the metadata, or what is wrong.
fn judge(visit: &Visit, header: &str, is_missing: bool) -> Result<Option<Url>, Finding> {
    if is_missing {
        return Err(Finding::wrong(
            "401 comes without a `WWW-Authenticate` header, so no client knows where to sign in",
        )
        .rule("RFC 9110 §15.5.2, MCP 2026-07-28 authorization")
        .mend("let the proxy pass WWW-Authenticate on, and let toolbridge make the 401"));
    }
    let challenges = parse(header).ok_or_else(|| {
        Finding::wrong(format!(
            "`WWW-Authenticate` cannot be read: {}",
            visit.quote(header)
        ))
        .rule(SYNTAX)
        .mend("write it like `Bearer resource_metadata=\"https://…\"`")
    })?;
    let bearer = challenges
        .iter()
        .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"));
    let Some(bearer) = bearer else {
        return Err(Finding::wrong(format!("no `Bearer` among the schemes: {}", visit.quote(header)))
            .rule(BEARER)
            .mend("a proxy with a login of its own may stand before toolbridge: let it pass Authorization on"));
    };
    let Some(url) = bearer.parameter("resource_metadata") else {
        return Ok(None);
    };
    match Url::parse(url) {
        Ok(url) if is_private(&url) => Ok(Some(url)),
        Ok(_) | Err(_) => Err(Finding::wrong(format!(
            "`resource_metadata` is no absolute https URL: {}",
            visit.quote(url)
        ))
        .rule(POINTER)
        .mend("set server.public_url to the URL that clients see, with https://")),
    }
}

/// One challenge of the header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The challenges of a header, or nothing where it breaks the grammar.
pub(super) fn parse(header: &str) -> Option<Vec<Challenge>> {
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    let mut challenges: Vec<Challenge> = Vec::new();
    while !rest.is_empty() {
        let (word, after) = token(rest)?;
        let spaced = after.trim_start_matches([' ', '\t']);
        if let Some(value) = spaced.strip_prefix('=') {
            let (value, after) = value_of(value.trim_start_matches([' ', '\t']))?;
            let challenge = challenges.last_mut()?;
            challenge.parameters.push((word.to_owned(), value));
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() {
                rest = rest.strip_prefix(',')?.trim_start_matches([' ', '\t', ',']);
            }
        } else {
            let ends = after.is_empty() || after.starts_with([' ', '\t', ',']);
            if !ends {
                return None;
            }
            challenges.push(Challenge {
                scheme: word.to_owned(),
                parameters: Vec::new(),
            });
            rest = spaced.trim_start_matches([' ', '\t', ',']);
        }
    }
    (!challenges.is_empty()).then_some(challenges)
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    let (token, rest) = text.split_at_checked(end)?;
    (!token.is_empty()).then_some((token, rest))
}

fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(header: &str) -> Option<String> {
        let challenges = parse(header)?;
        let bearer = challenges.iter().find(|it| it.scheme == "Bearer")?;
        bearer.parameter("resource_metadata").map(str::to_owned)
    }

    #[test]
    fn the_pointer_is_found_however_the_header_is_written() {
        for header in [
            r#"Bearer resource_metadata="https://h/x""#,
            r#"Bearer error="invalid_token", error_description="a, \"b\"=c", resource_metadata="https://h/x""#,
            r#"Basic realm="x", Bearer scope="a b",resource_metadata = "https://h/x""#,
            r#"Negotiate, Bearer realm=r, Resource_Metadata="https://h/x", DPoP algs="ES256""#,
        ] {
            assert_eq!(metadata(header).as_deref(), Some("https://h/x"), "{header}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_not_read() {
        for header in [
            "",
            ",",
            r#"realm="x""#,
            r#"Bearer realm="x"#,
            r#"Bearer realm="x" scope="y""#,
            r"Bearer realm=",
            "Bearer: x",
            r#"Bearer realm="x\"#,
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_refused_without_a_crash(header in "\\PC{0,80}") {
            let _ = parse(&header);
        }
    }
}
