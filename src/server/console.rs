//! The console on the operations port: a page that is part of this binary, and the JSON it asks for. In: requests under
//! `/console`. Out: files that hold no data, for everybody; data and tries, for whoever the door lets in. What the data
//! says is `Insight`'s affair. Nothing here may send a secret, and the page can load and talk to nothing but this port.

use std::{future::Future, pin::Pin, sync::Arc};

use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Body, connection::RequestBytes, ops_door::OpsDoor, reply, scopes};

/// What the console shows, and how it tries a tool.
pub trait Insight: Send + Sync {
    /// How everything stands.
    fn state(&self) -> Telling;

    /// The tools, with what each costs a model.
    fn catalogue(&self) -> Telling;

    /// The calls that ended after the one of this number.
    fn calls(&self, after: u64) -> Value;

    /// Runs a call as MCP would.
    fn attempt(&self, attempt: Attempt) -> Attempting;
}

/// JSON on its way.
pub type Telling = Pin<Box<dyn Future<Output = Value> + Send>>;

/// The end of a try on its way.
pub type Attempting = Pin<Box<dyn Future<Output = Result<Value, NotTried>> + Send>>;

/// A call that somebody wants to try.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, unchecked.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// The token of whoever calls.
    #[serde(default, deserialize_with = "secret")]
    pub token: Option<SecretString>,
}

/// Why a call was not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTried {
    /// There is no such tool.
    #[error("there is no such tool: load the console again for the tools of now")]
    UnknownTool,
    /// The sidecar stops.
    #[error("this sidecar is stopping: try again at the next one")]
    Stopping,
    /// The call's task ended early.
    #[error("the call was lost: the log says why")]
    Lost,
}

/// The console.
pub struct Console {
    /// What is shown.
    pub insight: Arc<dyn Insight>,
    /// Longest body of a try in bytes.
    pub max_request_bytes: usize,
}

/// Where everything of the console is.
const ROOT: &str = "/console";

/// The page may load and ask this port alone, is in no frame, sends no forms, and cannot make markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The files of the page: path below [`ROOT`], type, content.
const FILES: [(&str, &str, &str); 10] = [
    ("", HTML, include_str!("console/index.html")),
    ("/console.css", CSS, include_str!("console/console.css")),
    (
        "/console.js",
        JAVASCRIPT,
        include_str!("console/console.js"),
    ),
    ("/ask.js", JAVASCRIPT, include_str!("console/ask.js")),
    (
        "/connect.js",
        JAVASCRIPT,
        include_str!("console/connect.js"),
    ),
    ("/dom.js", JAVASCRIPT, include_str!("console/dom.js")),
    ("/form.js", JAVASCRIPT, include_str!("console/form.js")),
    ("/live.js", JAVASCRIPT, include_str!("console/live.js")),
    ("/plots.js", JAVASCRIPT, include_str!("console/plots.js")),
    ("/tools.js", JAVASCRIPT, include_str!("console/tools.js")),
];

/// Whether a path is the console's.
pub(super) fn is_at(path: &str) -> bool {
    let rest = path.strip_prefix(ROOT);
    path == "/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Console {
    /// Answers one request whose path [is the console's](is_at).
    pub(super) async fn answer(
        &self,
        request: Request<RequestBytes>,
        door: &OpsDoor,
    ) -> Response<Body> {
        let mut response = self.answered(request, door).await;
        guard(&mut response);
        response
    }

    async fn answered(&self, request: Request<RequestBytes>, door: &OpsDoor) -> Response<Body> {
        let path = request.uri().path();
        let rest = path.strip_prefix(ROOT).unwrap_or("/");
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if rest == "/" {
            return if is_read {
                to_the_page(path)
            } else {
                use_get()
            };
        }
        if let Some((_, kind, text)) = file(rest) {
            return if is_read { page(kind, text) } else { use_get() };
        }
        if let Err(stopped) = door.admits(&request) {
            return stopped.response();
        }
        let told = match (rest, is_read) {
            ("/try", _) => return self.tries(request).await,
            ("/state", true) => self.insight.state().await,
            ("/catalogue", true) => self.insight.catalogue().await,
            ("/calls", true) => match after(request.uri().query()) {
                Some(number) => self.insight.calls(number),
                None => {
                    let why = "`after` is the number of the last call that you have";
                    return reply::refusal(StatusCode::BAD_REQUEST, "invalid_request", why);
                }
            },
            ("/state" | "/catalogue" | "/calls", false) => return use_get(),
            _ => {
                let why = "the console is at /console";
                return reply::refusal(StatusCode::NOT_FOUND, "not_found", why);
            }
        };
        fresh(reply::json(StatusCode::OK, &told))
    }

    async fn tries(&self, request: Request<RequestBytes>) -> Response<Body> {
        if request.method() != Method::POST {
            let why = "use POST";
            return reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", why);
        }
        // A form of another page could send text; JSON it could not.
        let kind = request.headers().get(CONTENT_TYPE);
        if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
            let why = "send JSON: `content-type: application/json`";
            return reply::refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request", why);
        }
        let body = match scopes::read(request.into_body(), self.max_request_bytes).await {
            Ok(body) => body,
            Err(refused) => return refused.of_body(),
        };
        // What is wrong with it is not said in the parser's words: they could hold a piece of the token.
        let Ok(attempt) = serde_json::from_slice(&body) else {
            let why = "send `{\"tool\": …, \"arguments\": {…}, \"token\": …}`, the token where callers need one";
            return reply::refusal(StatusCode::BAD_REQUEST, "invalid_request", why);
        };
        match self.insight.attempt(attempt).await {
            Ok(ended) => fresh(reply::json(StatusCode::OK, &ended)),
            Err(not_tried) => {
                let (status, error) = match not_tried {
                    NotTried::UnknownTool => (StatusCode::NOT_FOUND, "not_found"),
                    NotTried::Stopping => {
                        (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
                    }
                    NotTried::Lost => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
                };
                reply::refusal(status, error, &not_tried.to_string())
            }
        }
    }
}

fn file(rest: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    FILES.iter().find(|(path, _, _)| *path == rest)
}

/// One of the page's files. Asked for again each time, because the next version of this binary brings others.
fn page(kind: &'static str, text: &'static str) -> Response<Body> {
    let mut response = reply::text(StatusCode::OK, text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Relative, so that a proxy may put everything below a path of its own.
fn to_the_page(path: &str) -> Response<Body> {
    let mut response = reply::text(StatusCode::FOUND, "the console is at /console\n");
    let place = if path == "/" { "console" } else { "../console" };
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static(place));
    response
}

/// Not to be kept by anybody.
fn fresh(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What every answer tells browsers.
fn guard(response: &mut Response<Body>) {
    let same = "same-origin";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), same),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            same,
        ),
    ] {
        let headers = response.headers_mut();
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn use_get() -> Response<Body> {
    reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "use GET")
}

/// `after` of a query, 0 where there is none; `None` where it is no number.
fn after(query: Option<&str>) -> Option<u64> {
    let mut parameters = query.unwrap_or_default().split('&');
    let after = parameters.find_map(|parameter| parameter.strip_prefix("after="));
    after.map_or(Some(0), |number| number.parse().ok())
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.map(SecretString::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_file_that_is_not_served_and_nothing_of_elsewhere() {
        let served = |name: &str| file(&format!("/{name}")).is_some();
        let (_, _, page) = file("").unwrap();
        for attribute in ["src=\"", "href=\""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().unwrap();
                let is_ours = target.strip_prefix("console/").is_some_and(served);
                assert!(
                    is_ours || target.starts_with(['#']) || target.starts_with("data:"),
                    "{target}"
                );
            }
        }
        for (name, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == JAVASCRIPT) {
            for rest in text.split(" from \"./").skip(1) {
                let target = rest.split('"').next().unwrap();
                assert!(served(target), "{name} imports {target}");
            }
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "import(",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
        }
        for forbidden in ["<style", "style=", "<script>", "onclick", "onload"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[test]
    fn paths_beside_the_console_are_not_the_consoles() {
        for path in [
            "/",
            "/console",
            "/console/",
            "/console/state",
            "/console/nothing",
        ] {
            assert!(is_at(path), "{path}");
        }
        for path in ["/consoles", "/metrics", "/readyz", "/a/console", ""] {
            assert!(!is_at(path), "{path}");
        }
    }

    #[test]
    fn the_last_number_is_a_number_or_nothing() {
        assert_eq!(after(None), Some(0));
        assert_eq!(after(Some("x=1&after=17")), Some(17));
        for odd in [
            "after=",
            "after=-1",
            "after=1e3",
            "after=99999999999999999999",
        ] {
            assert_eq!(after(Some(odd)), None, "{odd}");
        }
    }
}
