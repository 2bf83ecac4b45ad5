//! How it all ends, and with which exit code.

use serde_json::{Value, json};
use toolbridge::sandbox::{Moment, Requests};

use super::{IDLE, before, script};
use crate::{
    canonical_calls::NOTE,
    harness::{
        FakeBackend, Person, Script, Setup, fake_backend::Down, in_time, process::sends, sandbox,
        token_for,
    },
};

fn never_well(down: &Down) -> Setup {
    Setup::before(down)
        .set("child.backoff", "1ms")
        .set("child.attempts", "3")
}

fn starts(said: &[Value]) -> usize {
    let is_start = |line: &&Value| line["message"] == "the child was started";
    said.iter().filter(is_start).count()
}

fn position(said: &[Value], what: &str) -> usize {
    let mut lines = said.iter();
    let found = lines.position(|line| line["message"] == what);
    found.unwrap_or_else(|| panic!("{what}: {said:#?}"))
}

#[tokio::test]
async fn a_child_that_never_starts_well_is_given_up_with_its_exit_code() {
    let down = Down::new();
    let served = never_well(&down).serves(&script("echo why; exit 3")).await;
    let (code, said) = served.ends().await;
    assert_eq!((code, starts(&said)), (Some(3), 3));
    let why = said.iter().filter(|line| line["message"] == "why");
    assert_eq!(why.count(), 3);
    let last = "the child ended with exit code 3 and was never healthy: giving up (child.attempts); its lines above say why";
    position(&said, last);
}

#[tokio::test]
async fn a_backend_that_ends_with_success_has_failed() {
    let down = Down::new();
    let served = never_well(&down).serves(&["true"]).await;
    assert_eq!(served.ends().await.0, Some(1));
}

#[tokio::test]
async fn a_child_that_runs_and_never_gets_healthy_is_ended_and_given_up() {
    let down = Down::new();
    let setup = never_well(&down).set("child.start_timeout", "20ms");
    let (code, said) = setup.serves(&IDLE).await.ends().await;
    assert_eq!((code, starts(&said)), (Some(1), 3));
    position(
        &said,
        "the child did not get healthy within child.start_timeout; it is started again in 1ms",
    );
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let down = Down::new();
    let served = never_well(&down).serves(&["/no/such/backend"]).await;
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(127));
    let named = "/no/such/backend cannot be run: No such file or directory (os error 2) (the command behind `serve --`)";
    position(&said, named);
}

#[tokio::test]
async fn without_restarts_everything_ends_with_the_child() {
    let backend = FakeBackend::start();
    let setup = || Setup::before(&backend).set("child.restart", "false");
    let (code, said) = setup().serves(&script("exit 4")).await.ends().await;
    assert_eq!((code, starts(&said)), (Some(4), 1));
    assert_eq!(setup().serves(&["true"]).await.ends().await.0, Some(0));
}

#[tokio::test]
async fn the_exit_code_of_a_child_that_was_asked_to_end_is_ours() {
    let backend = FakeBackend::start();
    for (at_its_end, ours) in [
        ("exit 0", 0),
        ("exit 5", 5),
        ("exit 143", 0),
        ("kill -KILL $$", 137),
    ] {
        let text =
            format!("trap '{at_its_end}' TERM; echo set; while :; do sleep 1000 & wait $!; done");
        let mut served = before(&backend).serves(&script(&text)).await;
        served.prints("set").await;
        assert_eq!(served.stops().await, Some(ours), "{at_its_end}");
    }
}

#[tokio::test]
async fn a_child_that_does_not_end_is_killed_before_the_platform_kills_us() {
    let backend = FakeBackend::start();
    let setup = before(&backend)
        .set("shutdown.grace", "0s")
        .set("shutdown.kill_timeout", "1s");
    let text = "trap '' TERM; echo set; while :; do sleep 1000 & wait $!; done";
    let mut served = setup.serves(&script(text)).await;
    served.prints("set").await;
    served.is_told("TERM").await;
    served.says("the child did not end in time").await;
    assert_eq!(served.ends().await.0, Some(137));
}

#[tokio::test]
async fn calls_finish_before_the_child_is_asked_to_end() {
    let backend = sandbox().await;
    let text = "trap 'echo asked; exit 0' TERM; echo set; while :; do sleep 1000 & wait $!; done";
    let mut served = Setup::before(&backend).serves(&script(text)).await;
    served.prints("set").await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let alice = Person::at(&served.url).with_token(&token_for("alice"));
    let arguments = json!({ "title": "kept", "content": "" });
    let call = alice.begins("create_note", arguments).await;
    in_time(hold.reached(1)).await;
    served.is_told("TERM").await;
    served.says("asked to stop").await;
    hold.release();
    let answer = call.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(0));
    assert!(
        position(&said, "tool call") < position(&said, "asked"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn a_second_signal_waits_neither_for_calls_nor_for_the_child() {
    let backend = FakeBackend::start();
    let setup = before(&backend)
        .set("shutdown.kill_timeout", "1h")
        .set("shutdown.grace", "30m");
    let text = "trap '' TERM; echo set; while :; do sleep 1000 & wait $!; done";
    let mut served = setup.serves(&script(text)).await;
    served.prints("set").await;
    backend.does(Script::Stalls);
    let alice = Person::at(&served.url).with_token(&token_for("alice"));
    let _call = alice.begins("delete_note", json!({ "uid": NOTE })).await;
    backend.stalls(1).await;
    served.is_told("TERM").await;
    served.says("asked to stop").await;
    served.is_told("TERM").await;
    assert_eq!(served.ends().await.0, Some(137));
}

#[tokio::test]
async fn a_child_that_ends_while_we_stop_is_not_started_again() {
    let backend = sandbox().await;
    let mut served = Setup::before(&backend).serves(&IDLE).await;
    let child = served.starts_child().await;
    served.says("the child is healthy").await;
    let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
    let alice = Person::at(&served.url).with_token(&token_for("alice"));
    let call = alice.begins("list_notes", json!({})).await;
    in_time(hold.reached(1)).await;
    served.is_told("TERM").await;
    served.says("asked to stop").await;
    sends("KILL", child).await;
    hold.release();
    assert!(call.answer().await.starts_with("HTTP/1.1 200"));
    let (code, said) = served.ends().await;
    assert_eq!((code, starts(&said)), (Some(137), 1));
}
