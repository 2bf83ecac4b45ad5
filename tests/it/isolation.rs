//! `prove-isolation` finds nothing where nothing is wrong, and finds what is wrong: a backend that shows foreign
//! records, and sidecars with the classic mistakes, played by a proxy in front of good ones.

mod flawed;

use std::{path::Path, process::Command};

use serde_json::Value;
use toolbridge::{
    catalogue::Catalogue,
    isolation::{self, Report},
};

use flawed::{Flaw, Flawed};

/// One entity: enough to be wrong with.
const NOTES: &str = "
version: 1
server: { name: notes }
backend:
  session: { open: POST /v1/sync/sessions, headers: { X-Sync-Session: /id, X-Sync-Epoch: /epoch } }
  stale: [428, 409]
entities:
  note:
    plural: notes
    path: /v1/notes
    description: a text.
    fields:
      title: { type: string, required: true }
    actions:
      pin: { sets: { pinned: true } }
    archive: { sets: { status: archived } }
";

/// The command's exit code, table and report.
fn command(dir: &Path, arguments: &[&str]) -> (i32, String, Value) {
    let report = dir.join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_toolbridge"))
        .current_dir(dir)
        .arg("prove-isolation")
        .arg("--report")
        .arg(&report)
        .args(arguments)
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&report).unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (output.status.code().unwrap(), table, value)
}

async fn found_with(flaw: Flaw) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tools.yaml");
    std::fs::write(&file, NOTES).unwrap();
    let catalogue = Catalogue::load(&file).unwrap();
    let flawed = Flawed::start(flaw, &file, &catalogue).await;
    let report = isolation::prove(&catalogue, &flawed.targets, &|_| ()).await;
    report.unwrap()
}

/// Who found what, without repetitions.
fn tools_found(report: &Report, kind: &str) -> Vec<String> {
    let findings = report.findings.iter().filter(|found| found.kind == kind);
    let mut tools: Vec<String> = findings.map(|found| found.tool.clone()).collect();
    tools.sort();
    tools.dedup();
    tools
}

#[test]
fn four_people_try_every_tool_with_every_trick_and_nothing_crosses() {
    let dir = tempfile::tempdir().unwrap();
    let (code, table, report) = command(dir.path(), &[]);
    assert_eq!(code, 0, "{table}");
    assert_eq!(report["schema"], "toolbridge.isolation/1");
    assert_eq!(report["proved"], true);
    assert_eq!(report["tools"].as_array().unwrap().len(), 40);
    assert_eq!(report["tools_not_attempted"], serde_json::json!([]));
    let totals = &report["totals"];
    for nothing in ["leaks", "damage", "unanswered"] {
        assert_eq!(totals[nothing], 0, "{table}");
    }
    let tricks = report["tricks"].as_array().unwrap();
    let sum: u64 = tricks
        .iter()
        .map(|row| row["attempts"].as_u64().unwrap())
        .sum();
    assert_eq!(totals["attempts"].as_u64().unwrap(), sum);
    assert!(sum > 3_000, "{sum}");
    assert!(report["requests"].as_u64().unwrap() < 8_000, "{table}");
    assert!(table.contains("ISOLATED: 40 tools"), "{table}");
    let written = format!("{table}{report}");
    assert!(!written.contains("eyJ") && !written.contains("canary"));
}

/// Where a record of somebody else is asked for by its true uid, the answer is that there is none: neither a mistake of
/// the attempt's own nor the token check was in the way.
#[test]
fn a_backend_that_leaks_is_found_and_only_where_it_leaks() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tools.yaml"), NOTES).unwrap();
    let (code, table, report) = command(dir.path(), &["--with-leak"]);
    assert_eq!(code, 1, "{table}");
    assert_eq!(report["proved"], false);
    assert!(table.contains("NOT PROVED"), "{table}");
    assert_eq!(report["totals"]["damage"], 0);
    let findings = report["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|found| found["tool"] == "get_note"),
        "{table}"
    );
    let row = |name: &str| {
        let rows = report["tricks"].as_array().unwrap().iter();
        rows.clone()
            .find(|row| row["trick"] == name)
            .unwrap()
            .clone()
    };
    // Twelve pairs; the other five tools with a uid are refused for the right reason.
    assert_eq!(row("uid")["leaks"], 12);
    assert_eq!(
        row("uid")["refused_as"],
        serde_json::json!({ "NOT_FOUND": 60 })
    );
    assert_eq!(row("a query")["leaks"], 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn a_sidecar_that_answers_with_the_last_note_it_saw_is_found() {
    let report = found_with(Flaw::LastNote).await;
    assert!(!report.proved);
    assert_eq!(tools_found(&report, "leak"), ["get_note"], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn a_sidecar_that_makes_everybody_one_person_is_found() {
    let report = found_with(Flaw::OneForAll).await;
    assert!(!report.proved);
    let tools = tools_found(&report, "leak");
    assert!(tools.contains(&"list_notes".to_owned()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn a_sidecar_that_refuses_and_deletes_all_the_same_is_found() {
    let report = found_with(Flaw::DeletesForAnybody).await;
    assert!(!report.proved);
    let damage = report.findings.iter().find(|found| found.kind == "damage");
    assert!(damage.unwrap().what.contains("was changed"), "{report}");
    assert!(report.totals.damage >= 4, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn attempts_without_an_answer_are_no_proof() {
    let report = found_with(Flaw::DropsSomeAnswers).await;
    assert!(!report.proved);
    assert!(
        report.totals.unanswered > 0 && report.totals.leaks == 0,
        "{report}"
    );
}
