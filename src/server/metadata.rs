//! Where a client learns whom to ask for a token: the protected-resource document (RFC 9728), one for each endpoint that
//! people may type. Built from settings only: a document that follows `Host` lets a caller choose the audience.

use serde_json::{Map, Value, json};
use url::Url;

/// The endpoints that are resources of their own; the first is what the root document speaks of.
const RESOURCES: [&str; 2] = ["/mcp", "/sse"];

/// The well-known path; the resource's own path follows it.
const PATH: &str = "/.well-known/oauth-protected-resource";

/// What the documents say, apart from the scopes.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    base: String,
    issuers: Vec<String>,
    name: String,
    documentation: Option<String>,
}

impl ResourceMetadata {
    /// The documents of the resources below `base`. `None` where no issuer is a URL: there is nobody to ask then, and
    /// tokens come some other way.
    #[must_use]
    pub fn new<'i>(
        base: &Url,
        issuers: impl IntoIterator<Item = &'i str>,
        name: &str,
        documentation: Option<&Url>,
    ) -> Option<Self> {
        let is_address = |issuer: &&str| Url::parse(issuer).is_ok_and(|url| url.has_host());
        let mut known: Vec<String> = Vec::new();
        for issuer in issuers.into_iter().filter(is_address) {
            if !known.iter().any(|other| other == issuer) {
                known.push(issuer.to_owned());
            }
        }
        (!known.is_empty()).then(|| Self {
            base: base.as_str().trim_end_matches('/').to_owned(),
            issuers: known,
            name: name.to_owned(),
            documentation: documentation.map(ToString::to_string),
        })
    }

    /// The absolute URL of the document for whoever was refused at `path`.
    #[must_use]
    pub fn url_for(&self, path: &str) -> String {
        let legacy = path.starts_with("/sse") || path.starts_with("/messages");
        let [mcp, sse] = RESOURCES;
        format!("{}{PATH}{}", self.base, if legacy { sse } else { mcp })
    }

    /// The document of the resource, with the scopes that its tools ask for.
    #[must_use]
    pub fn document(&self, resource: Resource, scopes: &[String]) -> Value {
        let mut document = Map::new();
        let mut say = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
        say("resource", json!(format!("{}{}", self.base, resource.0)));
        say("authorization_servers", json!(self.issuers));
        if !scopes.is_empty() {
            say("scopes_supported", json!(scopes));
        }
        say("bearer_methods_supported", json!(["header"]));
        say("resource_name", json!(self.name));
        if let Some(documentation) = &self.documentation {
            say("resource_documentation", json!(documentation));
        }
        Value::Object(document)
    }
}

/// A resource that has a document: its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource(&'static str);

impl Resource {
    /// The resource whose document is at `path`, if one is.
    #[must_use]
    pub fn described_at(path: &str) -> Option<Self> {
        let of = path.strip_prefix(PATH)?;
        let [mcp, _] = RESOURCES;
        if of.is_empty() {
            return Some(Self(mcp));
        }
        RESOURCES
            .into_iter()
            .find(|resource| *resource == of)
            .map(Self)
    }
}

/// What of these scopes clients are told to ask for: whether one may stay logged in is between it and the issuer.
pub(super) fn advertised(mut scopes: Vec<String>) -> Vec<String> {
    scopes.retain(|scope| scope != "offline_access");
    scopes
}

/// Whether an authorization server's metadata would be at `path`, were we one: clients of the revision 2025-03-26 look
/// there.
#[must_use]
pub fn is_relay(path: &str) -> bool {
    let of = path.strip_prefix("/.well-known/oauth-authorization-server");
    of.is_some_and(|of| of.is_empty() || RESOURCES.contains(&of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(path: &str) -> Option<Value> {
        let base = Url::parse("https://acme.example.com/").unwrap();
        let documentation = Url::parse("https://docs.test/acme").unwrap();
        let issuers = ["https://login.test", "bare", "https://login.test"];
        let metadata = ResourceMetadata::new(&base, issuers, "acme", Some(&documentation));
        let scopes = ["notes:read".to_owned(), "offline_access".to_owned()];
        let resource = Resource::described_at(path)?;
        Some(
            metadata
                .unwrap()
                .document(resource, &advertised(scopes.into())),
        )
    }

    #[test]
    fn each_resource_is_the_url_people_type() {
        for (path, resource) in [
            ("", "https://acme.example.com/mcp"),
            ("/mcp", "https://acme.example.com/mcp"),
            ("/sse", "https://acme.example.com/sse"),
        ] {
            let document = described(&format!("{PATH}{path}")).unwrap();
            assert_eq!(document["resource"], resource);
        }
        for path in ["/", "/mcp/", "x", "/healthz"] {
            assert_eq!(described(&format!("{PATH}{path}")), None, "{path}");
        }
    }

    #[test]
    fn the_document_names_whom_to_ask_and_what_for() {
        insta::assert_snapshot!(described(PATH).unwrap(), @r#"{"resource":"https://acme.example.com/mcp","authorization_servers":["https://login.test"],"scopes_supported":["notes:read"],"bearer_methods_supported":["header"],"resource_name":"acme","resource_documentation":"https://docs.test/acme"}"#);
    }

    #[test]
    fn whoever_is_refused_is_sent_to_the_document_of_where_they_were() {
        let base = Url::parse("https://acme.example.com").unwrap();
        let metadata = ResourceMetadata::new(&base, ["https://login.test"], "acme", None).unwrap();
        let below = "https://acme.example.com/.well-known/oauth-protected-resource";
        assert_eq!(metadata.url_for("/mcp"), format!("{below}/mcp"));
        assert_eq!(metadata.url_for("/mcp/"), format!("{below}/mcp"));
        assert_eq!(metadata.url_for("/sse"), format!("{below}/sse"));
        assert_eq!(metadata.url_for("/messages"), format!("{below}/sse"));
    }

    #[test]
    fn an_issuer_that_is_no_url_has_no_document() {
        let base = Url::parse("http://127.0.0.1:8001").unwrap();
        assert!(ResourceMetadata::new(&base, ["toolbridge-dev"], "dev", None).is_none());
    }
}
