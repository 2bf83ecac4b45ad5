//! `backend.session` of the file: the requests that open and end a session, and the headers it gives a call.

use std::sync::Arc;

use http::{HeaderName, Method};

use crate::catalogue::{
    expand, headers,
    problem::{At, Problem},
    raw::RawSession,
    session::{InvalidPointer, SessionClose, SessionRecipe},
    yaml::Placed,
};

/// The statuses with which the original backend says "your session is stale" (contract §2.2, §2.3).
const STALE: [u16; 2] = [428, 409];

/// How a session is opened and closed; `None` where something is wrong with it.
pub(super) fn recipe(
    raw: &RawSession,
    stale: Option<&[Placed<u16>]>,
    problems: &mut Vec<Problem>,
) -> Option<SessionRecipe> {
    let before = problems.len();
    let mut headers = Vec::new();
    for (name, pointer) in &raw.headers {
        let header = headers::of_session(&name.value).ok_or_else(|| {
            let what = format!("`{}` cannot be a session's header", name.value);
            problems.push(
                Problem::error(name.at, what)
                    .hint("identity, tracing and framing headers are the sidecar's own"),
            );
        });
        let pointer = pointer.value.parse().map_err(|error: InvalidPointer| {
            let what = format!("bad JSON Pointer `{}`", pointer.value);
            problems.push(Problem::error(pointer.at, what).hint(error.to_string()));
        });
        if let (Ok(header), Ok(pointer)) = (header, pointer) {
            headers.push((header, pointer));
        }
    }
    let open = session_request(&raw.open, problems);
    let close = raw
        .close
        .as_ref()
        .map(|close| session_close(close, problems));
    (problems.len() == before).then_some(())?;
    let (method, target) = open?;
    Some(SessionRecipe {
        method,
        target,
        success: Arc::new([200, 201]),
        headers,
        close: close.flatten(),
        stale: stale.map_or_else(
            || Arc::from(STALE),
            |statuses| statuses.iter().map(|status| status.value).collect(),
        ),
    })
}

/// The headers a session sets: no argument may set them too.
pub(super) fn session_headers(raw: &RawSession) -> Vec<HeaderName> {
    let names = raw.headers.iter().map(|(name, _)| &name.value);
    names.filter_map(|name| name.parse().ok()).collect()
}

fn session_request(raw: &Placed<String>, problems: &mut Vec<Problem>) -> Option<(Method, String)> {
    if raw.at == At::default() {
        return None; // its absence is reported
    }
    let found = expand::request_line(&raw.value).and_then(|(method, path)| {
        let target = path.fill(|_| None);
        let target = target.ok_or("opening a session takes no placeholders".to_owned())?;
        Ok((method, target))
    });
    found
        .map_err(|what| problems.push(Problem::error(raw.at, what)))
        .ok()
}

fn session_close(raw: &Placed<String>, problems: &mut Vec<Problem>) -> Option<SessionClose> {
    let found = raw
        .value
        .split_once(' ')
        .ok_or("a method and a target, `DELETE /v1/sessions/{/id}`".to_owned())
        .and_then(|(method, target)| {
            Ok(SessionClose {
                method: expand::method(method)?,
                target: target
                    .trim()
                    .parse()
                    .map_err(|error| format!("bad target: {error}"))?,
            })
        });
    found
        .map_err(|what| problems.push(Problem::error(raw.at, what)))
        .ok()
}
