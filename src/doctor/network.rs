//! The way to the server, before any word of HTTP is judged: the URL itself, name, port, encryption.

use std::net::SocketAddr;

use http::header;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

use super::{
    report::{Finding, Outcome},
    visit::{Visit, cause, is_private},
};

const RESOURCE_RULE: &str = "RFC 8707 §2, MCP 2026-07-28 authorization (canonical server URI)";
const HTTPS_RULE: &str = "OAuth 2.1 §1.5, MCP 2026-07-28 authorization (communication security)";

/// The URL as it is typed into clients. Everything else needs it, so nothing is ever sent in the clear to another
/// machine.
pub(super) fn url(visit: &mut Visit) -> Outcome {
    let typed = visit.quote(&visit.typed);
    let wrong = |what: &str| Finding::wrong(format!("{typed} {what}")).rule(RESOURCE_RULE);
    let mend = "type it like https://acme.example.com/mcp";
    let url = match Url::parse(&visit.typed) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        Ok(_) | Err(_) => {
            return Outcome::failed("no web address", wrong("is no http(s) URL").mend(mend));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Outcome::failed(
            "a URL with a password",
            Finding::wrong("the URL holds a user name or a password")
                .rule("MCP 2026-07-28 authorization (tokens in the Authorization header only)")
                .mend("leave them out; use --token"),
        );
    }
    if url.fragment().is_some() || url.query().is_some() {
        return Outcome::failed(
            "a URL with more than a path",
            wrong("has a query or a fragment").mend(mend),
        );
    }
    if !is_private(&url) {
        return Outcome::failed(
            "http",
            Finding::wrong(format!(
                "{typed} is http: whoever sits in between reads every token"
            ))
            .rule(HTTPS_RULE)
            .mend("put TLS in front of toolbridge, set server.public_url to the https URL and use that"),
        );
    }
    visit.facts.url = Some(url);
    Outcome::passed(typed)
}

/// The name has addresses.
pub(super) async fn dns(visit: &mut Visit) -> Outcome {
    let Some((host, port)) = target(visit) else {
        return Outcome::skipped("there is no URL");
    };
    let looked_up = timeout(visit.patience.request, lookup_host((host.as_str(), port))).await;
    let addresses: Vec<SocketAddr> = match looked_up {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    if addresses.is_empty() {
        let host = visit.quote(&host);
        return Outcome::failed(
            "no address",
            Finding::wrong(format!("{host} has no address"))
                .rule("RFC 1035 (names have to resolve)")
                .mend("correct the name, or add its A or AAAA record"),
        );
    }
    let seen: Vec<_> = addresses.iter().map(|it| it.ip().to_string()).collect();
    visit.facts.addresses = addresses;
    Outcome::passed(seen.join(", "))
}

/// Something listens.
pub(super) async fn tcp(visit: &Visit) -> Outcome {
    let mut last = "no address".to_owned();
    let mut port = 0;
    for address in &visit.facts.addresses {
        port = address.port();
        match timeout(visit.patience.request, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Outcome::passed(format!("port {port} accepts connections")),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer in time".to_owned(),
        }
    }
    Outcome::failed(
        visit.quote(&last),
        Finding::wrong(format!("nothing accepts connections on port {port}"))
            .rule("RFC 9293 §3.5 (a listener is needed)")
            .mend("start toolbridge, correct the port (server.listen), or open it in the firewall"),
    )
}

/// The certificate is one that clients accept.
pub(super) async fn tls(visit: &Visit) -> Outcome {
    let Some(url) = visit.facts.url.clone() else {
        return Outcome::skipped("there is no URL");
    };
    if url.scheme() == "http" {
        return Outcome::skipped("plain http, which is fine on this machine only");
    }
    let request = visit
        .http
        .get(url)
        .header(header::ACCEPT, "text/event-stream");
    // Any answer proves the handshake; what it says is the next step's.
    match request.send().await {
        Ok(_) => Outcome::passed("the certificate is accepted"),
        Err(error) if error.is_connect() => {
            let why = cause(error);
            let mend = certificate_mend(&why);
            let why = visit.quote(&why);
            Outcome::failed(
                "no TLS connection",
                Finding::wrong(format!(
                    "the certificate or the handshake is refused: {why}"
                ))
                .rule(HTTPS_RULE)
                .mend(mend),
            )
        }
        Err(_) => Outcome::passed("the certificate is accepted, though no answer came yet"),
    }
}

fn certificate_mend(why: &str) -> &'static str {
    let why = why.to_ascii_lowercase();
    if why.contains("expired") {
        "renew the certificate"
    } else if why.contains("notvalidforname") || why.contains("not valid for name") {
        "get a certificate for exactly this host name"
    } else if why.contains("issuer") || why.contains("certificate") {
        "serve a certificate of a public authority with its whole chain; clients have no way to accept a self-signed one"
    } else {
        "is this the TLS port, or does it speak plain http?"
    }
}

fn target(visit: &Visit) -> Option<(String, u16)> {
    let url = visit.facts.url.as_ref()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}
