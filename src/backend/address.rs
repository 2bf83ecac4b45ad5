//! Where the backend is. In: the setting, once, and a target per request. Out: the URL of the request.
//! A target can only ever name a path below the base: one that would leave it, or that a URL parser on its way would make
//! a different path of (`..`, `\`, tabs), is none (contract T6).

use std::{fmt, net::IpAddr, str::FromStr};

use bytes::Bytes;
use http::{HeaderValue, Uri, uri::PathAndQuery};
use url::{Host, Url};

/// The backend's base URL: http or https, a host, perhaps a port and a path prefix, nothing else.
///
/// It prints itself for the operator's log; no error that reaches a caller carries it.
///
/// ```
/// use toolbridge::backend::BackendUrl;
/// assert!("http://127.0.0.1:8080".parse::<BackendUrl>().unwrap().is_loopback());
/// assert!("http://user:pw@backend".parse::<BackendUrl>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BackendUrl {
    url: Url,
    /// `http://host:port/prefix`, without a slash at its end.
    base: String,
    /// The path of that: where every target begins.
    prefix: String,
    /// Scheme, host and port, as connections are made there.
    place: Uri,
    /// Host and port, as requests name it.
    host: HeaderValue,
}

/// Why a text is no backend URL. Says nothing of the text: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackendUrl {
    /// No URL at all.
    #[error("it is not a URL such as `http://127.0.0.1:8080`")]
    Unreadable,
    /// Some other scheme.
    #[error("it starts with neither `http://` nor `https://`")]
    Scheme,
    /// User name or password.
    #[error("it holds a user name or a password; the backend gets the caller's token")]
    Userinfo,
    /// A query or a fragment.
    #[error("it holds a `?` or a `#`; only a path may follow the host")]
    Extra,
}

impl BackendUrl {
    /// Whether the backend is on this machine, judged without asking a name server.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
            None => false,
        }
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Where connections are made.
    pub(super) fn place(&self) -> &Uri {
        &self.place
    }

    /// What requests say in `Host`.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// The URL of a target; nothing for one that is not exactly what it says.
    pub(crate) fn at(&self, target: &str) -> Option<Url> {
        is_exact(target).then_some(())?;
        Url::parse(&format!("{}{target}", self.base)).ok()
    }

    /// Path and query of a target (encoded); nothing for one that is not exactly what it says.
    pub(super) fn path_of(&self, target: &str) -> Option<PathAndQuery> {
        is_exact(target).then_some(())?;
        let whole = [self.prefix.as_bytes(), target.as_bytes()].concat();
        PathAndQuery::from_maybe_shared(Bytes::from(whole)).ok()
    }
}

/// Whether every reader of URLs takes the target for what it says: nothing in it is encoded, decoded or left out on the
/// way, and no part of its path is a step up or a step that leads nowhere.
fn is_exact(target: &str) -> bool {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, query),
        None => (target, ""),
    };
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    path.bytes().all(|byte| is_plain(byte) || byte == b'\'')
        && query.bytes().all(|byte| is_plain(byte) || byte == b'?')
        && !path.split('/').any(is_step)
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'
        | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/')
}

/// `.` and `..`, however they are encoded.
fn is_step(segment: &str) -> bool {
    const LONGEST: usize = "%2e%2e".len();
    segment.starts_with(['.', '%']) && segment.len() <= LONGEST && {
        let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
        decoded == "." || decoded == ".."
    }
}

impl FromStr for BackendUrl {
    type Err = InvalidBackendUrl;

    fn from_str(text: &str) -> Result<Self, InvalidBackendUrl> {
        let url = Url::parse(text).map_err(|_| InvalidBackendUrl::Unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidBackendUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidBackendUrl::Userinfo);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBackendUrl::Extra);
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        let prefix = url.path().trim_end_matches('/').to_owned();
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(InvalidBackendUrl::Unreadable),
        };
        let place = format!("{}://{host}", url.scheme());
        Ok(Self {
            place: place.parse().map_err(|_| InvalidBackendUrl::Unreadable)?,
            host: HeaderValue::try_from(host).map_err(|_| InvalidBackendUrl::Unreadable)?,
            base,
            prefix,
            url,
        })
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendUrl({})", self.base)
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{BackendUrl, InvalidBackendUrl};

    fn url(text: &str) -> BackendUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_base_is_scheme_host_port_and_prefix_only() {
        for good in [
            "http://127.0.0.1:8080",
            "https://api.example.com/tenant/",
            "http://[::1]:1",
        ] {
            assert!(good.parse::<BackendUrl>().is_ok(), "{good}");
        }
        let refused = [
            ("", InvalidBackendUrl::Unreadable),
            ("127.0.0.1:8080", InvalidBackendUrl::Unreadable),
            ("http://", InvalidBackendUrl::Unreadable),
            ("file:///etc/passwd", InvalidBackendUrl::Scheme),
            ("localhost:8080", InvalidBackendUrl::Scheme),
            ("https://u:p@h", InvalidBackendUrl::Userinfo),
            ("https://u@h", InvalidBackendUrl::Userinfo),
            ("http://h/?a=1", InvalidBackendUrl::Extra),
            ("http://h/#a", InvalidBackendUrl::Extra),
        ];
        for (text, why) in refused {
            assert_eq!(text.parse::<BackendUrl>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn loopback_is_not_what_merely_looks_like_it() {
        for here in [
            "http://127.9.9.9",
            "http://localhost:1",
            "http://[::1]",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(url(here).is_loopback(), "{here}");
        }
        for elsewhere in [
            "http://127.0.0.1.evil.test",
            "http://169.254.169.254",
            "http://[::ffff:10.0.0.1]",
            "http://0.0.0.0",
        ] {
            assert!(!url(elsewhere).is_loopback(), "{elsewhere}");
        }
    }

    /// What a URL parser makes of the target, where that is what it says.
    fn parsed(base: &BackendUrl, target: &str) -> Option<String> {
        let url = Url::parse(&format!("{}{target}", base.base)).ok()?;
        let path = target.split('?').next()?;
        let is_exact = path.starts_with('/')
            && url.path().strip_prefix(&base.prefix)? == path
            && url.query().is_some() == target.contains('?')
            && url.fragment().is_none()
            && url.origin() == base.url.origin();
        let query = url.query().map(|query| format!("?{query}"));
        let whole = format!("{}{}", url.path(), query.unwrap_or_default());
        is_exact.then_some(whole)
    }

    #[test]
    fn a_target_is_reached_below_the_prefix() {
        let at = |base: &str, target: &str| url(base).path_of(target).map(|it| it.to_string());
        let reached = Some("/v1/notes?limit=5&q=a%26b".to_owned());
        assert_eq!(at("http://h:1", "/v1/notes?limit=5&q=a%26b"), reached);
        assert_eq!(at("http://h/p/", "/v1/n"), Some("/p/v1/n".to_owned()));
        let named = |base: &str| (url(base).place().to_string(), url(base).host().clone());
        for (base, place, host) in [
            ("http://h:1/p", "http://h:1/", "h:1"),
            (
                "https://API.example.com:443/",
                "https://api.example.com/",
                "api.example.com",
            ),
            ("http://[::1]:80", "http://[::1]/", "[::1]"),
        ] {
            assert_eq!(named(base), (place.to_owned(), host.parse().unwrap()));
        }
    }

    #[test]
    fn a_target_that_would_go_elsewhere_goes_nowhere() {
        for base in ["http://h:1", "http://h:1/prefix"] {
            for target in [
                "",
                "v1",
                "@evil.test/",
                ":80/",
                ".evil.test/",
                "/a/../b",
                "/..",
                "/a/%2e%2e/b",
                "/a/./b",
                "/a\\b",
                "/a\tb",
                "/a\r\nb",
                "/a b",
                "/a#b",
                "/a?b#c",
                "/\u{e9}",
                "?a=1",
            ] {
                assert_eq!(url(base).path_of(target), None, "{base} {target}");
                assert_eq!(parsed(&url(base), target), None, "{base} {target}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_url_parser_takes_a_target_for_another(target in "(/([a-zA-Z0-9._~%!$&'()*+,;=:@-]|%2[eEfF]|\\PC){0,6}){0,4}(\\?[ -~]{0,12})?") {
            let base = url("http://h:1/prefix");
            if let Some(ours) = base.path_of(&target) {
                let parsed = parsed(&base, &target);
                proptest::prop_assert_eq!(parsed.as_deref(), Some(ours.as_str()));
            }
        }
    }
}
