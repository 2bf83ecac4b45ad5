//! Any JSON object as the arguments of every shipped tool: planning ends with a plan or with an error that can be
//! worded, never with a panic.
#![no_main]

use std::{hint::black_box, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use toolbridge::catalogue::Catalogue;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::shipped);

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(arguments)) = serde_json::from_slice(bytes) else {
        return;
    };
    for tool in CATALOGUE.tools() {
        match tool.plan(arguments.clone()) {
            Ok(plan) => {
                black_box(plan);
            }
            Err(error) => {
                black_box(error.to_string());
            }
        }
    }
});
