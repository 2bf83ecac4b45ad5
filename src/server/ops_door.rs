//! Who may look at a running sidecar, and change what it logs: whoever is on this machine, or has the operator's token.
//! In: a request to the operations port. Out: let in, or why not. Pages of other origins are stopped before anything
//! else, with or without the token: a browser must not be able to act here for a page its user merely visits.

use std::net::{IpAddr, SocketAddr};

use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, FORWARDED, ORIGIN, VIA, WWW_AUTHENTICATE},
};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::{Body, gate, reply};

/// Headers by which a proxy says that somebody else is behind it: then a loopback address says nothing of who asks.
const OF_PROXIES: [&str; 3] = ["x-forwarded-for", "x-forwarded-host", "x-real-ip"];

/// The way in to what is not for everybody on the operations port.
#[derive(Clone, Debug)]
pub struct OpsDoor {
    is_on_loopback: bool,
    token: Option<SecretString>,
}

/// Why a request may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// A page of another origin asks.
    #[error("pages of other origins may not ask here: open this port's own /console")]
    Origin,
    /// The operator's token is missing or wrong.
    #[error("send the operator's token: `Authorization: Bearer …` with the value of OPS_TOKEN")]
    Token,
    /// There is no token that could be sent.
    #[error(
        "only for requests from this machine to its loopback address: use http://127.0.0.1 there, or set OPS_TOKEN (32 characters or more) and send it as a bearer token"
    )]
    Elsewhere,
}

impl OpsDoor {
    /// The door of a port that listens here; `token` opens it from everywhere.
    #[must_use]
    pub fn new(listen: SocketAddr, token: Option<SecretString>) -> Self {
        Self {
            is_on_loopback: listen.ip().is_loopback(),
            token,
        }
    }

    /// Whether a request may come in.
    ///
    /// # Errors
    /// [`Stopped`], which says who can do what about it.
    pub fn admits<B>(&self, request: &Request<B>) -> Result<(), Stopped> {
        let (uri, headers) = (request.uri(), request.headers());
        if !is_of_this_origin(uri, headers) {
            return Err(Stopped::Origin);
        }
        if self.is_on_loopback && is_from_here(uri, headers) {
            return Ok(());
        }
        let token = self.token.as_ref().ok_or(Stopped::Elsewhere)?;
        let sent = bearer(headers).ok_or(Stopped::Token)?;
        let is_right = sent.as_bytes().ct_eq(token.expose_secret().as_bytes());
        if is_right.into() {
            Ok(())
        } else {
            Err(Stopped::Token)
        }
    }
}

impl Stopped {
    /// What whoever was stopped is told.
    #[must_use]
    pub fn response(self) -> Response<Body> {
        let (status, error) = match self {
            Self::Origin | Self::Elsewhere => (StatusCode::FORBIDDEN, "access_denied"),
            Self::Token => (StatusCode::UNAUTHORIZED, "invalid_token"),
        };
        let mut response = reply::refusal(status, error, &self.to_string());
        if self == Self::Token {
            let challenge = HeaderValue::from_static("Bearer realm=\"operations\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// No page, or one that came from this very port under the name it is asked by.
fn is_of_this_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, host) = match (origins.next(), origins.next()) {
        (None, _) => return true,
        (Some(origin), None) => (origin, gate::host_of(uri, headers)),
        (Some(_), Some(_)) => return false,
    };
    let (Ok(origin), Some(host)) = (origin.to_str(), host) else {
        return false;
    };
    let origin = origin.to_ascii_lowercase();
    let authority = origin.strip_prefix("http://");
    let authority = authority.or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority == host.as_str().to_ascii_lowercase())
}

/// Asked by a loopback name, so that no other name can be made to point here, and not passed on by anybody.
fn is_from_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_passed_on = headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || OF_PROXIES.iter().any(|name| headers.contains_key(*name));
    let host = gate::host_of(uri, headers);
    !is_passed_on && host.is_some_and(|host| is_loopback(host.host()))
}

fn is_loopback(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(host).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// The one bearer token that was sent.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(one), None) = (sent.next(), sent.next()) else {
        return None;
    };
    let (scheme, token) = one.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "operators-token-of-the-tests-0123456789";
    const HERE: &str = "127.0.0.1:9091";
    const EVERYWHERE: &str = "0.0.0.0:9091";

    fn asks(listen: &str, token: Option<&str>, headers: &[(&str, &str)]) -> Result<(), Stopped> {
        let door = OpsDoor::new(listen.parse().unwrap(), token.map(Into::into));
        let mut request = Request::get("/console/state");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        door.admits(&request.body(()).unwrap())
    }

    #[test]
    fn whoever_is_on_this_machine_comes_in() {
        for host in [
            "localhost:9091",
            "LOCALHOST",
            "127.0.0.1:9091",
            "127.8.9.1",
            "[::1]:9091",
        ] {
            assert_eq!(asks(HERE, None, &[("host", host)]), Ok(()), "{host}");
            assert_eq!(asks("[::1]:9091", Some(TOKEN), &[("host", host)]), Ok(()));
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_does_not_come_in() {
        for host in [
            "evil.test:9091",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "localhost@evil.test",
            "[::2]",
            "0.0.0.0:9091",
            "10.0.0.1",
            "",
        ] {
            let bare = asks(HERE, None, &[("host", host)]);
            assert_eq!(bare, Err(Stopped::Elsewhere), "{host}");
            // Its page is of the same origin then, which alone opens nothing.
            let origin = format!("http://{host}");
            let page = asks(HERE, Some(TOKEN), &[("host", host), ("origin", &origin)]);
            assert!(page.is_err(), "{host}");
        }
        let two = [("host", "localhost"), ("host", "evil.test")];
        assert_eq!(asks(HERE, None, &two), Err(Stopped::Elsewhere));
        assert_eq!(asks(HERE, None, &[]), Err(Stopped::Elsewhere));
    }

    #[test]
    fn an_open_port_takes_nothing_but_the_token() {
        let local = ("host", "127.0.0.1:9091");
        assert_eq!(asks(EVERYWHERE, None, &[local]), Err(Stopped::Elsewhere));
        assert_eq!(asks(EVERYWHERE, Some(TOKEN), &[local]), Err(Stopped::Token));
        let right = format!("Bearer {TOKEN}");
        for sent in [
            right.as_str(),
            "bearer operators-token-of-the-tests-0123456789 ",
        ] {
            let headers = [("host", "ops.acme.test"), ("authorization", sent)];
            assert_eq!(asks(EVERYWHERE, Some(TOKEN), &headers), Ok(()), "{sent}");
        }
        let longer = format!("{right}0");
        for sent in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer operators-token-of-the-tests-012345678",
            "Bearer OPERATORS-TOKEN-OF-THE-TESTS-0123456789",
            "Basic operators-token-of-the-tests-0123456789",
            TOKEN,
            &longer,
        ] {
            let headers = [local, ("authorization", sent)];
            let refused = asks(EVERYWHERE, Some(TOKEN), &headers);
            assert_eq!(refused, Err(Stopped::Token), "{sent}");
        }
        let two = [
            local,
            ("authorization", &right),
            ("authorization", "Bearer x"),
        ];
        assert_eq!(asks(EVERYWHERE, Some(TOKEN), &two), Err(Stopped::Token));
    }

    #[test]
    fn what_a_proxy_passes_on_is_not_from_this_machine() {
        let local = ("host", "127.0.0.1:9091");
        for name in [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
        ] {
            let headers = [local, (name, "203.0.113.7")];
            assert_eq!(
                asks(HERE, None, &headers),
                Err(Stopped::Elsewhere),
                "{name}"
            );
            assert_eq!(
                asks(HERE, Some(TOKEN), &headers),
                Err(Stopped::Token),
                "{name}"
            );
        }
    }

    #[test]
    fn pages_of_other_origins_are_stopped_even_with_the_token() {
        let right = format!("Bearer {TOKEN}");
        for origin in [
            "http://evil.test",
            "null",
            "",
            "file://",
            "http://127.0.0.1",
            "http://127.0.0.1:3000",
            "http://localhost:9091",
            "http://127.0.0.1:9091.evil.test",
        ] {
            let headers = [
                ("host", "127.0.0.1:9091"),
                ("origin", origin),
                ("authorization", &right),
            ];
            for listen in [HERE, EVERYWHERE] {
                let refused = asks(listen, Some(TOKEN), &headers);
                assert_eq!(refused, Err(Stopped::Origin), "{origin}");
            }
        }
        let own = [
            ("host", "127.0.0.1:9091"),
            ("origin", "http://127.0.0.1:9091"),
        ];
        assert_eq!(asks(HERE, None, &own), Ok(()));
        let two = [own[0], own[1], ("origin", "http://evil.test")];
        assert_eq!(asks(HERE, None, &two), Err(Stopped::Origin));
    }

    #[test]
    fn who_is_stopped_is_told_what_to_do() {
        let status = |stopped: Stopped| stopped.response().status().as_u16();
        assert_eq!(status(Stopped::Origin), 403);
        assert_eq!(status(Stopped::Elsewhere), 403);
        let asked = Stopped::Token.response();
        assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
        assert!(asked.headers().contains_key(WWW_AUTHENTICATE));
    }

    #[test]
    fn the_token_is_not_shown() {
        let door = OpsDoor::new(HERE.parse().unwrap(), Some(TOKEN.into()));
        assert!(!format!("{door:?}").contains("operators"));
    }
}
