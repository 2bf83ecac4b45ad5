//! What a team is told about its `tools.yaml`: every mistake, in file order, in bounded time and memory; and what the
//! shipped catalogue becomes: the golden list of tools and the golden requests.

mod editor_schema;
mod golden_files;
mod hostile_files;
mod operations_as_data;
mod reports;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use toolbridge::catalogue::{Catalogue, Effect, Plan, Problems, SCHEMA, operations, tokens};

use crate::canonical_calls::canonical_calls;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalogues");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() > 40, "the fixtures are missing");
    files
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Problems of a text, or what could be better where there is none.
fn problems_of(name: &str, bytes: &[u8]) -> Problems {
    match Catalogue::parse(name, bytes) {
        Ok(catalogue) => catalogue.lints().clone(),
        Err(problems) => problems,
    }
}

fn report(text: &str) -> String {
    problems_of("tools.yaml", text.as_bytes()).to_string()
}

#[track_caller]
fn loaded(text: &str) -> Catalogue {
    match Catalogue::parse("tools.yaml", text.as_bytes()) {
        Ok(catalogue) => catalogue,
        Err(problems) => panic!("{problems}"),
    }
}

#[track_caller]
fn plan(catalogue: &Catalogue, tool: &str, arguments: &Value) -> Plan {
    let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
    let tool = catalogue.find(tool).unwrap();
    tool.plan(arguments).unwrap()
}

/// Golden files lie in `folder`, seen from this one, under their plain names.
fn golden(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
