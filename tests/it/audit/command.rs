//! `toolbridge audit verify`, as people run it; and the ten lines of Python that do without us.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;
use toolbridge::observe::audit::{Audit, AuditSettings, Entry, OnFailure};

const NOW: Duration = Duration::from_millis(1_767_268_800_123);

/// An audit that is the same in every run.
async fn written(folder: &Path, count: u64, max_bytes: usize) {
    let settings = AuditSettings {
        file: folder.join("audit.jsonl"),
        max_bytes,
        keep: 100,
        arguments: false,
        on_failure: OnFailure::Refuse,
    };
    let audit = Audit::open(&settings, || NOW).unwrap();
    for number in 0..count {
        let entry = Entry {
            at: NOW + Duration::from_secs(number),
            tenant: Some("acme".to_owned()),
            issuer: "issuer".to_owned(),
            subject: "älice \u{1}\u{2028}".to_owned(),
            client: None,
            tool: "update_note".to_owned(),
            entity: Some("note".to_owned()),
            record: None,
            version_before: None,
            version_after: Some(number),
            outcome: "ok",
            status: Some(200),
            repeated: false,
            may_have_written: true,
            correlation_id: "c".to_owned(),
            arguments: None,
            arguments_left_out: None,
        };
        audit.write(entry).await;
    }
    audit.ends().await;
}

/// What it says, both ways, and its exit code.
fn verify(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolbridge"));
    command.args(["audit", "verify"]).args(arguments);
    shown(&command.env_clear().current_dir(folder).output().unwrap())
}

fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}exit {}", output.status.code().unwrap())
}

/// The same file with one text in it changed.
fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

const NAMES: [&str; 3] = [
    "audit.jsonl",
    "audit.jsonl.000000000001",
    "audit.jsonl.000000000005",
];

#[tokio::test]
async fn an_unbroken_chain_is_summed_up() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 3, 1 << 20).await;
    insta::assert_snapshot!(verify(folder.path(), &NAMES[..1]), @"
    ok: 3 lines in 1 file
    first     2026-01-01T12:00:00.123Z
    last      2026-01-01T12:00:02.123Z
    last seq  3
    last hash 233e4c196906331d8e74e681fed85e17edae74ee5931a592b6aaea684959018c
    exit 0
    ");
    let last = "0".repeat(64);
    insta::assert_snapshot!(verify(folder.path(), &["--last", &last, NAMES[0]]), @"
    no line has the hash 0000000000000000000000000000000000000000000000000000000000000000: lines were taken from the end, or all were written anew, since it was noted
    exit 1
    ");
}

#[tokio::test]
async fn several_files_are_one_chain() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 8, 2_048).await;
    let mut found: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    found.retain(|name| name.starts_with("audit"));
    found.sort();
    assert_eq!(found, NAMES);
    insta::assert_snapshot!(verify(folder.path(), &NAMES), @"
    ok: 10 lines in 3 files
    first     2026-01-01T12:00:00.123Z
    last      2026-01-01T12:00:07.123Z
    last seq  10
    last hash ecd7c29da2ea48090b4f7dcf2231577f166e6ac1ab0cd8d96f189b025e88aded
    exit 0
    ");
    let all = verify(folder.path(), &NAMES);
    assert_eq!(verify(folder.path(), &["--older", NAMES[0]]), all);
    let elsewhere = folder.path().join(NAMES[0]);
    let elsewhere = elsewhere.to_str().unwrap();
    assert_eq!(verify(Path::new("/"), &["--older", elsewhere]), all);
    let nowhere = verify(folder.path(), &["--older", "nowhere/audit.jsonl"]);
    assert!(nowhere.ends_with("exit 64"), "{nowhere}");
    insta::assert_snapshot!(verify(folder.path(), &[NAMES[2], NAMES[0]]), @"
    ok: 6 lines in 2 files
    behind    seq 4, hash ab453bb741fae3f7d1d6071b1cd28b1dc86e41fd09b4ba8fdecb275bb04097ac (files before were not given)
    first     2026-01-01T12:00:04.123Z
    last      2026-01-01T12:00:07.123Z
    last seq  10
    last hash ecd7c29da2ea48090b4f7dcf2231577f166e6ac1ab0cd8d96f189b025e88aded
    exit 0
    ");
    insta::assert_snapshot!(verify(folder.path(), &[NAMES[1], NAMES[0]]), @"
    audit.jsonl:1: it does not follow the line before it (seq 4): lines were taken out, put in or moved
    exit 1
    ");
}

#[tokio::test]
async fn the_first_broken_line_is_named_and_why() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(NAMES[0]);
    written(folder.path(), 5, 1 << 20).await;
    let whole = fs::read_to_string(&path).unwrap();
    let mut said = String::new();
    let mut after = |lines: &[usize]| {
        let all: Vec<_> = whole.split_inclusive('\n').collect();
        let some: String = lines.iter().map(|line| all[*line]).collect();
        fs::write(&path, some).unwrap();
        said.push_str(&verify(folder.path(), &NAMES[..1]));
        said.push('\n');
    };
    after(&[1, 2, 3, 4]);
    after(&[0, 1, 3, 4]);
    after(&[0, 2, 1, 3, 4]);
    fs::write(&path, &whole).unwrap();
    change(&path, r#""version_after":2"#, r#""version_after":3"#);
    said.push_str(&verify(folder.path(), &NAMES[..1]));
    fs::write(&path, format!("{whole}no line\n")).unwrap();
    said.push_str(&format!("\n{}", verify(folder.path(), &NAMES[..1])));
    fs::write(&path, whole.trim_end()).unwrap();
    said.push_str(&format!("\n{}", verify(folder.path(), &NAMES[..1])));
    insta::assert_snapshot!(said, @"
    audit.jsonl:1: it is line 2 of a chain whose lines before it are missing
    exit 1
    audit.jsonl:3: it does not follow the line before it (seq 2): lines were taken out, put in or moved
    exit 1
    audit.jsonl:2: it does not follow the line before it (seq 1): lines were taken out, put in or moved
    exit 1
    audit.jsonl:3: it was changed: its hash is not that of what it says
    exit 1
    audit.jsonl:6: it does not end in a hash
    exit 1
    audit.jsonl:5: it is torn: it has no end (the sidecar mends that when it starts)
    exit 1
    ");
}

#[test]
fn what_cannot_be_looked_at_is_no_broken_line() {
    let folder = TempDir::new().unwrap();
    insta::assert_snapshot!(verify(folder.path(), &["missing.jsonl"]), @"
    missing.jsonl: No such file or directory (os error 2)
    exit 64
    ");
    fs::write(folder.path().join("empty.jsonl"), "").unwrap();
    insta::assert_snapshot!(verify(folder.path(), &["empty.jsonl"]), @"
    ok: 0 lines in 1 file
    exit 0
    ");
    assert!(verify(folder.path(), &[]).ends_with("exit 2"));
    assert!(verify(folder.path(), &["--last", "abc", "empty.jsonl"]).ends_with("exit 2"));
}

/// Runs the program in docs/audit.md; Python is among what the tests need (README, *Development*).
fn python(folder: &Path, files: &[&str]) -> Output {
    let page = include_str!("../../../docs/audit.md");
    let (_, rest) = page.split_once("```python\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let mut command = Command::new("python3");
    command
        .arg("-c")
        .arg(program)
        .args(files)
        .current_dir(folder);
    command.output().unwrap()
}

#[tokio::test]
async fn a_stranger_with_ten_lines_of_python_comes_to_the_same_end() {
    let folder = TempDir::new().unwrap();
    written(folder.path(), 8, 2_048).await;
    let in_order = [NAMES[1], NAMES[2], NAMES[0]];
    let output = python(folder.path(), &in_order);
    let ours = verify(folder.path(), &NAMES);
    let said = shown(&output);
    let (seq, hash) = said.lines().next().unwrap().split_once(' ').unwrap();
    assert!(
        ours.contains(&format!("last seq  {seq}\nlast hash {hash}\n")),
        "{said} {ours}"
    );
    let later = python(folder.path(), &in_order[1..]);
    assert!(later.status.success(), "{}", shown(&later));
    change(
        &folder.path().join(NAMES[2]),
        r#""tool":"update"#,
        r#""tool":"delete"#,
    );
    let broken = shown(&python(folder.path(), &in_order));
    let named = verify(folder.path(), &NAMES);
    let place = named.split(": ").next().unwrap();
    assert!(
        place.starts_with("audit.jsonl.") && broken.contains(place),
        "{broken} {named}"
    );
}
