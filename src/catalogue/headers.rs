//! Which headers a catalogue may set. Identity, session, tracing and framing headers are the sidecar's own: a
//! parameter that could set one would let a model choose the tenant. In: a name of the file. Out: a header name.
//! And which headers clients are told to repeat an argument in: those are never the backend's.

use http::HeaderName;

use super::{problem::Problem, shape::Kind, yaml::Placed};

/// How headers that repeat an argument begin (protocol page A.7).
const ARGUMENT: &str = "Mcp-Param-";

/// Headers that carry identity or framing, or change what the request is.
const OURS: &[&str] = &[
    "accept-encoding",
    "authorization",
    "baggage",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The same for whole families. `x-http-method` and its like turn a read into a write at some backends.
const OUR_FAMILIES: &[&str] = &[
    "proxy-",
    "x-correlation-",
    "x-debug-",
    "x-forwarded-",
    "x-http-method",
    "x-method-override",
    "x-tb-",
];

/// A header whose value a backend's session answer may give.
pub(super) fn of_session(name: &str) -> Option<HeaderName> {
    let header = HeaderName::try_from(name).ok()?;
    let name = header.as_str();
    let ours = OURS.contains(&name) || OUR_FAMILIES.iter().any(|family| name.starts_with(family));
    (!ours).then_some(header)
}

/// A header whose value an argument may give: none of ours, and none of the session's.
pub(super) fn of_parameter(name: &str, session: &[HeaderName]) -> Option<HeaderName> {
    of_session(name)
        .filter(|header| !header.as_str().starts_with("x-sync-") && !session.contains(header))
}

/// The end of a header in which clients repeat a value of this kind. One that breaks a rule of the protocol would make
/// conforming clients drop the tool from their list without a word (protocol page A.7).
pub(super) fn mcp_header(
    kind: &Kind,
    name: Option<&Placed<String>>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let name = name?;
    let is_token = !name.value.is_empty() && HeaderName::try_from(&name.value).is_ok();
    if !is_token {
        let what = format!("`{}` cannot be part of a header's name", name.value);
        let hint =
            "letters, digits and `-`, such as `Region`: the header is `Mcp-Param-Region` then";
        problems.push(Problem::error(name.at, what).hint(hint));
    }
    if !matches!(kind, Kind::String | Kind::Integer | Kind::Boolean) {
        let what = format!("{} cannot be repeated in a header", kind.a());
        let hint = "a header repeats a string, an integer or a boolean";
        problems.push(Problem::error(name.at, what).hint(hint));
    }
    is_token.then(|| name.value.clone())
}

/// The whole header that repeats an argument.
pub(super) fn of_argument(name: &str) -> String {
    format!("{ARGUMENT}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_reaches_a_header_of_identity_session_or_framing() {
        let session = [HeaderName::from_static("x-my-session")];
        for name in [
            "Authorization",
            "X-TB-Tenant-ID",
            "x-sync-epoch",
            "X-My-Session",
            "HOST",
            "X-HTTP-Method-Override",
            "a b",
            "",
        ] {
            assert_eq!(of_parameter(name, &session), None, "{name}");
        }
        assert!(of_parameter("If-Match", &session).is_some());
        assert!(of_session("X-Sync-Session").is_some());
        assert_eq!(of_session("X-TB-Signature"), None);
    }
}
