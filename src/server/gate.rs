//! Host and Origin: a browser page elsewhere must not be able to talk to us in its user's name (DNS rebinding).
//! In: a request's headers. Out: may it come in. Names come from settings, never from the request.

use http::{HeaderMap, Uri, header::HOST, header::ORIGIN, uri::Authority};
use url::{Host, Url};

/// Names under which we are always reachable.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Who may be named in `Host`, and which pages may call.
#[derive(Clone, Debug)]
pub struct Gate {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// `Host` is missing, malformed, or not one of our names.
    #[error(
        "this Host is not served: the operator can set server.public_url or add it to server.allowed_hosts"
    )]
    Host,
    /// A page of another origin calls.
    #[error("this Origin may not call: the operator can add it to server.allowed_origins")]
    Origin,
}

impl Gate {
    /// A gate for loopback names, the public URL's, and those named in settings.
    #[must_use]
    pub fn new(public_url: Option<&Url>, hosts: &[String], origins: &[String]) -> Self {
        let public_host = public_url.and_then(Url::host).map(|host| match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => format!("[{address}]"),
        });
        let public_origin = public_url.map(|url| url.origin().ascii_serialization());
        let lower = |text: &String| text.to_ascii_lowercase();
        Self {
            hosts: LOOPBACK
                .iter()
                .map(ToString::to_string)
                .chain(public_host)
                .chain(hosts.iter().map(lower))
                .collect(),
            origins: public_origin
                .into_iter()
                .chain(origins.iter().map(lower))
                .collect(),
        }
    }

    /// Whether a request with this target and these headers may come in.
    ///
    /// # Errors
    /// [`Stopped`], which says what the operator can change.
    pub fn admits(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Stopped> {
        let host = self.admits_host(uri, headers)?;
        self.admits_page(&host, headers)
    }

    /// Whether the page that sent a request to `host`, which was just admitted, may do so; whoever is no page may.
    ///
    /// # Errors
    /// [`Stopped::Origin`].
    pub fn admits_page(&self, host: &str, headers: &HeaderMap) -> Result<(), Stopped> {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if self.admits_origin(origin.as_bytes(), host) => Ok(()),
            _ => Err(Stopped::Origin),
        }
    }

    /// Whether a request came by one of our names, whichever page sent it: for what every page may read. Returns the
    /// name with its port, in lower case.
    ///
    /// # Errors
    /// [`Stopped::Host`].
    pub fn admits_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<String, Stopped> {
        let authority = host_of(uri, headers).ok_or(Stopped::Host)?;
        let host = authority.host().to_ascii_lowercase();
        let whole = authority.as_str().to_ascii_lowercase();
        let mut hosts = self.hosts.iter();
        if hosts.any(|known| *known == host || *known == whole) {
            Ok(whole)
        } else {
            Err(Stopped::Host)
        }
    }

    /// Known pages, and our own: the same authority as the `Host` that was just admitted.
    fn admits_origin(&self, origin: &[u8], host: &str) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        let same = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .is_some_and(|authority| authority == host);
        same || self.origins.contains(&origin)
    }
}

/// The one `Host`, or the authority of an absolute target.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        (None, _) => uri.authority().cloned(),
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn verdict(host: &str, origin: Option<&str>) -> Result<(), Stopped> {
        let public = Url::parse("https://acme.example.com").unwrap();
        let gate = Gate::new(
            Some(&public),
            &["inner.test".to_owned()],
            &["https://app.test".to_owned()],
        );
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        gate.admits(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn our_own_names_come_in() {
        for host in [
            "localhost:8001",
            "127.0.0.1:8001",
            "[::1]:8001",
            "acme.example.com",
            "ACME.example.com:443",
            "inner.test:1",
        ] {
            assert_eq!(verdict(host, None), Ok(()), "{host}");
        }
    }

    #[test]
    fn a_rebound_name_is_stopped() {
        for host in [
            "evil.test",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "evil.test:8001",
            "",
        ] {
            assert_eq!(verdict(host, None), Err(Stopped::Host), "{host}");
        }
    }

    #[test]
    fn two_hosts_are_stopped() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("localhost"));
        headers.append(HOST, HeaderValue::from_static("evil.test"));
        let gate = Gate::new(None, &[], &[]);
        assert_eq!(
            gate.admits(&Uri::from_static("/"), &headers),
            Err(Stopped::Host)
        );
    }

    #[test]
    fn pages_of_other_origins_are_stopped() {
        let host = "acme.example.com";
        for origin in [
            "http://evil.test",
            "null",
            "https://acme.example.com.evil.test",
            "file://",
            "",
        ] {
            assert_eq!(
                verdict(host, Some(origin)),
                Err(Stopped::Origin),
                "{origin}"
            );
        }
        for origin in [
            "https://acme.example.com",
            "https://app.test",
            "HTTPS://APP.test",
        ] {
            assert_eq!(verdict(host, Some(origin)), Ok(()), "{origin}");
        }
        let local = "localhost:8001";
        assert_eq!(verdict(local, Some("http://localhost:8001")), Ok(()));
        assert_eq!(
            verdict(local, Some("http://localhost:3000")),
            Err(Stopped::Origin)
        );
    }
}
