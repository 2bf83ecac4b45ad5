//! What the operating system sees: groups, signals, orphans, PID 1, and nothing left behind.

use std::{fs, path::Path};

use tokio::process::Command;

use super::{IDLE, before, script};
use crate::harness::{FakeBackend, in_time, process::sends};

/// Fields of `/proc/PID/stat` behind the name: state, parent, group.
fn stat(pid: u32) -> Option<(String, u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.to_owned();
    let parent = fields.next()?.parse().ok()?;
    Some((state, parent, fields.next()?.parse().ok()?))
}

/// Waits until the operating system says so: it sends no event to strangers.
async fn until(is_so: impl Fn() -> bool) {
    in_time(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Dead, whether or not anybody has reaped it.
fn is_dead(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, ..)| state == "Z" || state == "X")
}

#[tokio::test]
async fn signals_are_passed_on_and_a_terminals_group_is_ours_alone() {
    let backend = FakeBackend::start();
    let text = "for s in HUP USR1 USR2 QUIT WINCH; do trap \"echo got $s\" $s; done; echo set;
        while :; do sleep 1000 & wait $!; done";
    let mut served = before(&backend).serves(&script(text)).await;
    let child = served.starts_child().await;
    served.prints("set").await;
    for signal in ["HUP", "USR1", "USR2", "QUIT", "WINCH"] {
        served.is_told(signal).await;
        served.prints(&format!("got {signal}")).await;
    }
    // SIGHUP is for both of us.
    served
        .says("the catalogue is the one inside the binary")
        .await;
    assert_eq!(stat(child).unwrap().2, child);
    assert_ne!(stat(served.pid()).unwrap().2, child);
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn a_signal_that_is_not_to_be_passed_on_is_not() {
    let backend = FakeBackend::start();
    let text = "trap 'echo got HUP' HUP; trap 'echo got USR1' USR1; echo set;
        while :; do sleep 1000 & wait $!; done";
    let setup = before(&backend).set("child.forward", "USR1");
    let mut served = setup.serves(&script(text)).await;
    served.prints("set").await;
    served.is_told("HUP").await;
    served
        .says("the catalogue is the one inside the binary")
        .await;
    served.is_told("USR1").await;
    served.prints("got USR1").await;
    served.is_told("TERM").await;
    let (_, said) = served.ends().await;
    assert!(
        !said.iter().any(|line| line["message"] == "got HUP"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn an_orphan_comes_to_us_and_is_reaped() {
    let backend = FakeBackend::start();
    let text = "mkfifo fifo; (cat fifo & echo $! >orphan; echo left); exec sleep infinity";
    let mut served = before(&backend).serves(&script(text)).await;
    served.prints("left").await;
    let orphan = fs::read_to_string(served.folder().join("orphan")).unwrap();
    let orphan: u32 = orphan.trim().parse().unwrap();
    let ours = served.pid();
    until(|| stat(orphan).is_some_and(|(_, parent, _)| parent == ours)).await;
    let fifo = served.folder().join("fifo");
    let written = tokio::task::spawn_blocking(move || fs::write(fifo, ""));
    in_time(written).await.unwrap().unwrap();
    // Gone, and no zombie either.
    until(|| stat(orphan).is_none()).await;
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn what_the_child_started_goes_with_it() {
    let backend = FakeBackend::start();
    let text = "sleep infinity & echo $! >worker; echo left; wait";
    let mut served = before(&backend).serves(&script(text)).await;
    let child = served.starts_child().await;
    served.prints("left").await;
    let worker = fs::read_to_string(served.folder().join("worker")).unwrap();
    let worker: u32 = worker.trim().parse().unwrap();
    sends("KILL", child).await;
    until(|| is_dead(worker)).await;
    served.prints("left").await;
    assert_eq!(served.stops().await, Some(0));
}

#[tokio::test]
async fn a_child_does_not_outlive_a_sidecar_that_is_killed() {
    let backend = FakeBackend::start();
    let mut served = before(&backend).serves(&IDLE).await;
    let child = served.starts_child().await;
    served.says("the child is healthy").await;
    assert!(!is_dead(child));
    served.is_told("KILL").await;
    assert_eq!(served.ends().await.0, None);
    until(|| is_dead(child)).await;
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "a test that does nothing has to say so"
)]
async fn as_pid_1_it_does_all_of_that() {
    let namespaces = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let tried = Command::new(namespaces[0])
        .args([&namespaces[1..], &["true"]].concat())
        .output();
    if !tried.await.is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: as_pid_1_it_does_all_of_that needs root and `unshare`");
        return;
    }
    assert!(Path::new("/proc/self").exists());
    let backend = FakeBackend::start();
    let text = "echo parent $PPID; (true & echo $! >orphan); p=$(cat orphan);
        while [ -e /proc/$p ]; do :; done; echo reaped;
        trap 'echo asked; exit 6' TERM; kill -TERM $PPID; while :; do sleep 1000 & wait $!; done";
    let mut served = before(&backend).serves_by(&namespaces, &script(text)).await;
    served.prints("parent 1").await;
    served.prints("reaped").await;
    served.prints("asked").await;
    assert_eq!(served.ends().await.0, Some(6));
}
