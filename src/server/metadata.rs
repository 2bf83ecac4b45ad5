//! Where a client learns whom to ask for a token: the protected-resource document (RFC 9728). Built once, from settings
//! only: a document that follows `Host` lets a caller choose the audience.

use serde_json::{Value, json};
use url::Url;

/// The document and where it is.
#[derive(Clone, Debug)]
pub struct ResourceMetadata {
    /// Its absolute URL, for challenges.
    pub url: String,
    /// The document.
    pub document: Value,
}

/// The well-known path; the resource's own path follows it.
pub(super) const PATH: &str = "/.well-known/oauth-protected-resource";

impl ResourceMetadata {
    /// The document of the resource `{base}/mcp`. `None` where the issuer is no URL: there is nobody to ask then, and
    /// tokens come some other way.
    #[must_use]
    pub fn new(base: &Url, issuer: &str, name: &str) -> Option<Self> {
        let is_url = Url::parse(issuer).is_ok_and(|url| url.has_host());
        is_url.then(|| {
            let base = base.as_str().trim_end_matches('/');
            Self {
                url: format!("{base}{PATH}/mcp"),
                document: json!({
                    "resource": format!("{base}/mcp"),
                    "authorization_servers": [issuer],
                    "bearer_methods_supported": ["header"],
                    "resource_name": name,
                }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_is_the_url_people_type() {
        let base = Url::parse("https://acme.example.com/").unwrap();
        let metadata = ResourceMetadata::new(&base, "https://login.test", "acme").unwrap();
        assert_eq!(
            metadata.document["resource"],
            "https://acme.example.com/mcp"
        );
        assert_eq!(
            metadata.url,
            "https://acme.example.com/.well-known/oauth-protected-resource/mcp"
        );
    }

    #[test]
    fn an_issuer_that_is_no_url_has_no_document() {
        let base = Url::parse("http://127.0.0.1:8001").unwrap();
        assert!(ResourceMetadata::new(&base, "toolbridge-dev", "dev").is_none());
    }
}
