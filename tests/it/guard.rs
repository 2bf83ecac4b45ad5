//! The sidecar's own limits: how often a person may call, how many calls are at the backend at once, and when it is left
//! alone. Each is met on purpose, and everybody else is served meanwhile.

mod backend;
mod rate;
mod redis_server;
mod shared;

use serde_json::{Value, json};

use crate::{
    canonical_calls::NOTE,
    harness::{Backend, Ended, Person, Setup},
};

/// The uid of a note.
fn note() -> Value {
    json!({ "uid": NOTE })
}

async fn reads(person: &Person) -> Ended {
    person.calls("get_note", note()).await
}

/// A sidecar at which each person has so many calls, and no more for the rest of the day.
fn few(backend: &impl Backend, calls: u32) -> Setup {
    Setup::before(backend)
        .set("limits.person.requests", "1")
        .set("limits.person.window", "1d")
        .set("limits.person.burst", &calls.to_string())
}

/// The words of a call that was refused with this code, and may be tried again after some seconds.
#[track_caller]
fn refused(ended: &Ended, code: &str) -> (String, u64) {
    let error = ended.failed();
    assert_eq!(error["code"], code, "{}", ended.text());
    assert_eq!(error["retryable"], true);
    let message = error["message"].as_str().unwrap().to_owned();
    (message, error["retry_after_s"].as_u64().unwrap())
}
