//! `/_sandbox/…`: the fault switches over HTTP. No token is asked for, so it answers on loopback connections only;
//! everywhere else these paths do not exist.

use serde_json::json;

use super::{
    faults::Switches,
    pipeline::{Call, Pipeline},
    reply::Reply,
};

/// The answer to a control request; `None` for every other path.
///
/// - `GET /_sandbox/faults` shows the switches, `PUT` replaces them, `DELETE` puts everything right.
/// - `DELETE /_sandbox/sessions` ends every session at once.
pub(super) fn answer(pipeline: &Pipeline, call: &Call) -> Option<Reply> {
    let path = call.path.strip_prefix("/_sandbox/")?;
    let faults = &pipeline.faults;
    Some(match (path, call.method.as_str()) {
        ("faults", "GET") => shown(&faults.switches()),
        ("faults", "PUT") => match serde_json::from_slice::<Switches>(&call.body) {
            Ok(switches) => {
                faults.set(switches.clone());
                shown(&switches)
            }
            Err(error) => Reply::error(400, error.to_string()),
        },
        ("faults", "DELETE") => {
            faults.clear();
            Reply::empty(204)
        }
        ("sessions", "DELETE") => {
            pipeline.sessions.clear();
            Reply::empty(204)
        }
        _ => Reply::text(404, "404 page not found"),
    })
}

fn shown(switches: &Switches) -> Reply {
    Reply::json(200, json!(switches).to_string())
}
