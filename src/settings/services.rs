//! `server.*`, `ops.*`, `backend.*`, `catalogue.*`: who is served, and from what; and the
//! rules between them: nobody is let in unasked, and no caller's token leaves this machine unasked.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use url::Url;

use super::{
    Stage, keys,
    outbound::{self, Token},
    parse,
    problem::{Wrong, shown},
    reader::Reader,
    tokens::{self, AuthSettings, Mode, require_https},
};

/// `server.*`: where MCP is served, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Address of the MCP listener.
    pub listen: SocketAddr,
    /// Root URL under which clients reach us, without `/mcp`; `None`: the listen address.
    pub public_url: Option<Url>,
    /// Where people can read about this server.
    pub documentation_url: Option<Url>,
    /// `Host` values accepted besides the public URL's and loopback, in lower case.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values accepted, in lower case.
    pub allowed_origins: Vec<String>,
    /// Longest request body in bytes.
    pub max_request_bytes: usize,
    /// Whether clients of revision 2024-11-05 are served, at `/sse`.
    pub sse: bool,
    /// Whether calls of which nothing is unusual are answered without rmcp.
    pub fast_path: bool,
    /// What one TCP connection may take, and how many there may be.
    pub tcp: TcpSettings,
}

/// The part of `server.*` that bounds TCP connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Until the head of a request is here.
    pub header_timeout: Duration,
    /// Until the body of a request is here.
    pub body_timeout: Duration,
    /// Bytes that wait to be sent may wait this long.
    pub write_timeout: Duration,
    /// A connection without a request is kept this long.
    pub idle_timeout: Duration,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address; `None`: any number.
    pub max_connections_per_ip: Option<usize>,
}

/// `ops.*`: where health, metrics and console are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsSettings {
    /// Address of the listener.
    pub listen: SocketAddr,
}

/// `backend.*`: the REST service beside us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSettings {
    /// Where its paths begin.
    pub url: Url,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until an answer is read.
    pub request_timeout: Duration,
    /// Until a call's turn at the backend comes, where many wait.
    pub pool_timeout: Duration,
    /// Until a connection is closed that nobody uses.
    pub idle_timeout: Duration,
    /// Until a call is over, with everything that it waits for.
    pub call_timeout: Duration,
    /// The wait before the second try.
    pub retry_base: Duration,
    /// For how long a session serves further calls of its person; `None`: each call has its own.
    pub session_reuse: Option<Duration>,
    /// Longest answer in bytes.
    pub max_response_bytes: usize,
}

/// `catalogue.file`: what the tools are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogueSource {
    /// The one inside the binary.
    Shipped,
    /// A `tools.yaml`.
    File(PathBuf),
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(1);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
const LONGEST_REUSE: Duration = Duration::from_secs(29 * 60);
const LONGEST_RETRY_BASE: Duration = Duration::from_secs(60);

impl ServerSettings {
    pub(super) fn read(reader: &mut Reader, stage: Stage) -> Option<Self> {
        let listen = reader.text(&keys::SERVER_LISTEN, parse::listen);
        let public_url = reader.text(&keys::SERVER_PUBLIC_URL, parse::root_url);
        if let Some(url) = &public_url {
            require_https(reader, stage, &keys::SERVER_PUBLIC_URL, url);
        }
        let documentation_url = reader.text(&keys::SERVER_DOCUMENTATION_URL, parse::url);
        let allowed_hosts = reader.list(&keys::SERVER_ALLOWED_HOSTS, parse::host);
        let allowed_origins = reader.list(&keys::SERVER_ALLOWED_ORIGINS, parse::origin);
        let max_request_bytes = reader.scalar(&keys::SERVER_MAX_REQUEST_BYTES, parse::bytes);
        let sse = reader.boolean(&keys::SERVER_SSE);
        let fast_path = reader.boolean(&keys::SERVER_FAST_PATH);
        let tcp = TcpSettings::read(reader);
        Some(Self {
            listen: listen?,
            public_url,
            documentation_url,
            allowed_hosts: allowed_hosts?,
            allowed_origins: allowed_origins?,
            max_request_bytes: max_request_bytes?,
            sse: sse?,
            fast_path: fast_path?,
            tcp: tcp?,
        })
    }
}

impl TcpSettings {
    fn read(reader: &mut Reader) -> Option<Self> {
        let bounds = SHORTEST_TIMEOUT..=LONGEST_TIMEOUT;
        let header_timeout = reader.duration(&keys::SERVER_HEADER_TIMEOUT, bounds.clone());
        let body_timeout = reader.duration(&keys::SERVER_BODY_TIMEOUT, bounds.clone());
        let write_timeout = reader.duration(&keys::SERVER_WRITE_TIMEOUT, bounds.clone());
        let idle_timeout = reader.duration(&keys::SERVER_IDLE_TIMEOUT, bounds);
        let max_headers = reader.scalar(&keys::SERVER_MAX_HEADERS, parse::header_count);
        let max_connections = reader.scalar(&keys::SERVER_MAX_CONNECTIONS, parse::count);
        let per_ip = reader.scalar(&keys::SERVER_MAX_CONNECTIONS_PER_IP, parse::count);
        Some(Self {
            header_timeout: header_timeout?,
            body_timeout: body_timeout?,
            write_timeout: write_timeout?,
            idle_timeout: idle_timeout?,
            max_headers: max_headers?,
            max_connections: max_connections?,
            max_connections_per_ip: per_ip,
        })
    }
}

impl OpsSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let listen = reader.text(&keys::OPS_LISTEN, parse::listen)?;
        let server = reader.text_again(&keys::SERVER_LISTEN, parse::listen);
        if server.is_some_and(|server| collide(server, listen)) {
            let what = format!("{} is taken by `server.listen`", shown(&listen.to_string()));
            reader.refuse(&keys::OPS_LISTEN, what, "give it another port");
        }
        Some(Self { listen })
    }
}

impl BackendSettings {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let bounds = SHORTEST_TIMEOUT..=LONGEST_TIMEOUT;
        let url = reader.text(&keys::BACKEND_URL, parse::url);
        let connect_timeout = reader.duration(&keys::BACKEND_CONNECT_TIMEOUT, bounds.clone());
        let request_timeout = reader.duration(&keys::BACKEND_REQUEST_TIMEOUT, bounds.clone());
        let call_timeout = reader.duration(&keys::BACKEND_CALL_TIMEOUT, bounds.clone());
        let pool_timeout = reader.duration(&keys::BACKEND_POOL_TIMEOUT, bounds.clone());
        let idle_timeout = reader.duration(&keys::BACKEND_IDLE_TIMEOUT, bounds);
        let bounds = SHORTEST_TIMEOUT..=LONGEST_RETRY_BASE;
        let retry_base = reader.duration(&keys::BACKEND_RETRY_BASE, bounds);
        let max_response_bytes = reader.scalar(&keys::BACKEND_MAX_RESPONSE_BYTES, parse::bytes);
        let session_reuse = reader.scalar(&keys::BACKEND_SESSION_REUSE, session_reuse);
        Some(Self {
            url: url?,
            connect_timeout: connect_timeout?,
            request_timeout: request_timeout?,
            call_timeout: call_timeout?,
            pool_timeout: pool_timeout?,
            idle_timeout: idle_timeout?,
            retry_base: retry_base?,
            max_response_bytes: max_response_bytes?,
            session_reuse: session_reuse?,
        })
    }
}

/// `off`, or well below the 30 minutes after which the original's sessions end.
fn session_reuse(text: &str) -> Result<Option<Duration>, Wrong> {
    if text == "off" {
        return Ok(None);
    }
    parse::duration(text, Duration::from_secs(1), LONGEST_REUSE).map(Some)
}

impl CatalogueSource {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let file = reader.text(&keys::CATALOGUE_FILE, parse::path);
        file.map_or(Self::Shipped, Self::File)
    }
}

/// Two people of two issuers can have one subject, and the backend of minted tokens would give each the other's records:
/// which name it gets has to be said there.
pub(super) fn check_subjects(reader: &mut Reader, auth: Option<&AuthSettings>) {
    let mints = reader.text_again(&keys::IDENTITY_TOKEN, outbound::token) == Some(Token::Mint);
    let Some(AuthSettings::Tokens(tokens)) = auth.filter(|_| mints) else {
        return;
    };
    let issuers: BTreeSet<_> = tokens.issuers.iter().map(|it| &it.issuer).collect();
    if issuers.len() < 2 || reader.is_set(&keys::MINT_SUBJECT) {
        return;
    }
    let what = "missing, and there are several issuers: people of two of them who have the same `sub` would be one person \
                to the backend";
    let hint =
        "set it to `issuer|sub`, or to `sub` if no two issuers ever give one `sub` to two people";
    reader.refuse(&keys::MINT_SUBJECT, what, hint);
}

/// What no section can know alone: an open door that others can reach, and a token that would travel.
pub(super) fn check_exposure(reader: &mut Reader, stage: Stage) {
    let open = reader.boolean(&keys::AUTH_NONE_ON_PUBLIC_ADDRESS);
    let forward = reader.boolean(&keys::IDENTITY_FORWARD_TO_REMOTE);
    match reader.text_again(&keys::AUTH_MODE, tokens::mode) {
        Some(Mode::None) if open == Some(false) => refuse_open_door(reader),
        Some(Mode::Jwt) if forward == Some(false) => {
            match reader.text_again(&keys::IDENTITY_TOKEN, outbound::token) {
                Some(Token::Forward) => refuse_travelling_token(reader),
                Some(Token::Exchange | Token::Mint) => refuse_readable_token(reader, stage),
                None => {}
            }
        }
        _ => {}
    }
}

fn refuse_open_door(reader: &mut Reader) {
    let listen = reader.text_again(&keys::SERVER_LISTEN, parse::listen);
    let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) else {
        return;
    };
    let what = format!(
        "`none` lets everybody in who can reach {}",
        shown(&listen.to_string())
    );
    let hint =
        "use `jwt`, listen on 127.0.0.1, or say it twice with `auth.none_on_public_address = true`";
    reader.refuse(&keys::AUTH_MODE, what, hint);
}

fn refuse_travelling_token(reader: &mut Reader) {
    let url = reader.text_again(&keys::BACKEND_URL, parse::url);
    let Some(url) = url.filter(|url| !parse::is_loopback(url)) else {
        return;
    };
    let what = format!(
        "{} is another machine; the caller's token would go there, and whoever reads it could act as the person",
        shown(url.as_str())
    );
    let hint = "put toolbridge beside the backend, give it a token of its own (`identity.token`), or set \
                `identity.forward_to_remote = true` if both are one service of one operator";
    reader.refuse(&keys::BACKEND_URL, what, hint);
}

/// A token that was made for the backend may travel, but not for everybody in between to read.
fn refuse_readable_token(reader: &mut Reader, stage: Stage) {
    let url = reader.text_again(&keys::BACKEND_URL, parse::url);
    let is_readable = |url: &Url| url.scheme() != "https" && !parse::is_loopback(url);
    let Some(url) = url.filter(|url| stage == Stage::Production && is_readable(url)) else {
        return;
    };
    let what = format!(
        "{} is another machine without https; whoever reads the token on its way could act as the person",
        shown(url.as_str())
    );
    let hint = "use `https://`, or set `identity.forward_to_remote = true` if nobody else can read that network";
    reader.refuse(&keys::BACKEND_URL, what, hint);
}

/// Whether both cannot listen at once; port 0 never collides.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_ip =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_ip
}
