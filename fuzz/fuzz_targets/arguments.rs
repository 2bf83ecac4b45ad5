//! Any JSON object as the arguments of every shipped tool: planning ends with an error, or with a request that stays
//! below the tool's own path and carries JSON; never with a panic.
#![no_main]

use std::{hint::black_box, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use toolbridge::catalogue::{Catalogue, Plan};

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::shipped().expect("the shipped catalogue loads"));

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(arguments)) = serde_json::from_slice(bytes) else {
        return;
    };
    for tool in CATALOGUE.tools() {
        match tool.plan(arguments.clone()) {
            Ok(plan) => check(&plan),
            Err(errors) => {
                black_box(errors.first.to_string());
            }
        }
    }
});

/// What no argument may reach: another path (contract T6), or a body that is not JSON.
fn check(plan: &Plan) {
    let (path, query) = plan.target.split_once('?').unwrap_or((&plan.target, ""));
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    assert!(matches!(segments.as_slice(), ["v1", _, ..]), "{path}");
    assert!(segments.len() <= 4, "{path}");
    for segment in segments {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        assert!(!segment.is_empty() && segment.bytes().all(plain), "{path}");
    }
    assert!(
        query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#'),
        "{query}"
    );
    if let Some(body) = &plan.body {
        assert!(matches!(serde_json::from_slice(body), Ok(Value::Object(_))));
    }
}
