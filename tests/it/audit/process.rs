//! The audit of the real binary: killed, started twice, on a full disk.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use super::{files, lines, verified};
use crate::harness::{Person, Setup, process::Served, sandbox, token_for};
use toolbridge::sandbox::Sandbox;

fn audited(backend: &Sandbox, folder: &Path) -> Setup {
    let file = folder.join("audit.jsonl");
    Setup::before(backend)
        .set("audit.file", file.to_str().unwrap())
        .set("log.format", "json")
}

fn alice(served: &Served) -> Person {
    Person::at(&served.url).with_token(&token_for("alice"))
}

async fn creates(person: &Person, title: &str) -> crate::harness::Ended {
    let note = json!({ "title": title, "content": "c" });
    person.calls("create_note", note).await
}

/// A note is made; its uid.
async fn creates_one(alice: &Person, title: &str) -> String {
    let made = creates(alice, title).await.good();
    made["uid"].as_str().unwrap().to_owned()
}

/// The uids that lines of the audit name as written.
fn audited_uids(folder: &Path) -> Vec<String> {
    let paths = files(folder);
    let all = paths.iter().flat_map(|path| lines(path));
    let written = all.filter(|line| line["outcome"] == "ok");
    written
        .map(|line| line["record"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_chain_with_a_line_for_each_answer() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let mut answered = Vec::new();
    for round in 0..5 {
        let served = audited(&backend, folder.path())
            .set("audit.max_size", "8 KiB")
            .serves(&[])
            .await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for person in 0..4 {
            let (alice, tell) = (alice(&served), tell.clone());
            // Until the process is gone, and the call with it.
            tokio::spawn(async move {
                for number in 0.. {
                    let made = creates(&alice, &format!("{round} {person} {number}")).await;
                    let uid = made.good()["uid"].as_str().unwrap().to_owned();
                    if tell.send(uid).is_err() {
                        break;
                    }
                }
            });
        }
        for _ in 0..20 {
            answered.push(told.recv().await.unwrap());
        }
        served.is_told("KILL").await;
        assert_eq!(served.ends().await.0, None);
        while let Ok(uid) = told.try_recv() {
            answered.push(uid);
        }
    }
    // What the last one left is mended by the next.
    let served = audited(&backend, folder.path())
        .set("audit.max_size", "8 KiB")
        .serves(&[])
        .await;
    assert_eq!(served.stops().await, Some(0));
    verified(folder.path());
    let uids = audited_uids(folder.path());
    for uid in answered {
        assert!(uids.contains(&uid), "no line for {uid}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_file_does_not_start() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let first = audited(&backend, folder.path()).serves(&[]).await;
    let second = audited(&backend, folder.path()).start_fails().await;
    assert!(
        second.contains("audit.file") && second.contains("another process"),
        "{second}"
    );
    creates(&alice(&first), "t").await.good();
    assert_eq!(first.stops().await, Some(0));
    assert_eq!(verified(folder.path()).lines, 1);
}

#[tokio::test]
async fn the_last_line_is_in_the_log_when_it_stops() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let served = audited(&backend, folder.path()).serves(&[]).await;
    creates(&alice(&served), "t").await.good();
    served.is_told("TERM").await;
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(0));
    let end = said
        .iter()
        .find(|line| line["message"] == "the audit ends here")
        .unwrap();
    let (_, last) = verified(folder.path()).last.unwrap();
    assert_eq!(
        (&end["audit.seq"], &end["audit.hash"]),
        (&json!(1), &json!(last.hash.to_string()))
    );
}

/// A process that may write files of 4 KiB, as if its disk were full then.
async fn on_a_small_disk(setup: Setup) -> Served {
    let small = "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" \"$@\"";
    setup.serves_by(&["/bin/sh", "-c", small], &[]).await
}

async fn finds_room(served: &Served) {
    let limit = [
        "--pid",
        &served.pid().to_string(),
        "--fsize=unlimited:unlimited",
    ];
    let status = Command::new("prlimit").args(limit).status().await;
    assert!(status.unwrap().success());
}

async fn readiness(served: &Served) -> String {
    let ready = Person::at(&served.ops_url).gets("/readyz").await;
    assert_eq!(ready.status, 200);
    let line = ready.body.lines().find(|line| line.starts_with("audit"));
    line.unwrap().to_owned()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("audit.jsonl")
}

#[tokio::test]
async fn while_the_disk_is_full_no_write_is_sent_and_none_goes_without_a_line() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let mut served = on_a_small_disk(audited(&backend, folder.path())).await;
    let alice = alice(&served);
    let mut made = Vec::new();
    let refused = loop {
        let ended = creates(&alice, &format!("{}", made.len())).await;
        if ended.result["isError"] == true {
            break ended;
        }
        made.push(ended.good()["uid"].as_str().unwrap().to_owned());
    };
    assert_eq!(refused.code(), "INTERNAL");
    assert!(refused.text().contains("audit") && refused.failed()["retryable"] == true);
    served.says("the audit cannot be written").await;
    let readiness_line = readiness(&served).await;
    assert!(
        readiness_line.contains("writes are refused"),
        "{readiness_line}"
    );
    // Reads go on, and show that what was refused was not sent.
    let listed = alice.calls("list_notes", json!({})).await.good();
    assert_eq!(listed["items"].as_array().unwrap().len(), made.len());
    // All but the last one, of which the disk was full, have whole lines.
    assert_eq!(verified(folder.path()).lines, made.len() as u64 - 1);
    finds_room(&served).await;
    made.push(creates_one(&alice, "again").await);
    served.says("the audit is written again").await;
    assert_eq!(readiness(&served).await, "audit: ok");
    assert_eq!(served.stops().await, Some(0));
    verified(folder.path());
    assert_eq!(audited_uids(folder.path()), made);
}

#[tokio::test]
async fn where_writes_go_on_their_lines_wait_for_room() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let setup = audited(&backend, folder.path()).set("audit.on_failure", "continue");
    let mut served = on_a_small_disk(setup).await;
    let alice = alice(&served);
    let mut made = Vec::new();
    for number in 0..30 {
        made.push(creates_one(&alice, &format!("{number}")).await);
    }
    served.says("the audit cannot be written").await;
    assert!(readiness(&served).await.contains("writes go on"));
    assert!(lines(&file(folder.path())).len() < 30);
    finds_room(&served).await;
    made.push(creates_one(&alice, "again").await);
    assert_eq!(readiness(&served).await, "audit: ok");
    assert_eq!(served.stops().await, Some(0));
    verified(folder.path());
    assert_eq!(audited_uids(folder.path()), made);
}

#[tokio::test]
async fn lines_that_find_no_room_to_the_end_are_said_to_be_lost() {
    let backend = sandbox().await;
    let folder = TempDir::new().unwrap();
    let setup = audited(&backend, folder.path()).set("audit.on_failure", "continue");
    let served = on_a_small_disk(setup).await;
    let alice = alice(&served);
    for number in 0..20 {
        creates(&alice, &format!("{number}")).await.good();
    }
    served.is_told("TERM").await;
    let said = served.ends().await.1;
    let lost = said.iter().find(|line| {
        line["message"]
            .as_str()
            .is_some_and(|it| it.starts_with("lines of the audit are lost"))
    });
    let lost = lost.unwrap()["lines"].as_u64().unwrap();
    assert_eq!(verified(folder.path()).lines + lost, 20);
}
