//! A stop as platforms and people ask for it: real signals to the real program.

use serde_json::json;
use toolbridge::sandbox::{Moment, Requests};

use super::{note, refuses};
use crate::harness::{
    FakeBackend, Person, Script, Setup, in_time, process::Served, sandbox, token_for,
};

fn alice(served: &Served) -> Person {
    Person::at(&served.url).with_token(&token_for("alice"))
}

#[tokio::test]
async fn sigterm_and_ctrl_c_finish_the_calls_that_run_and_end_with_success() {
    for signal in ["TERM", "INT"] {
        let backend = sandbox().await;
        let mut served = Setup::before(&backend).serves(&[]).await;
        let hold = backend.faults().hold(Requests::Entities, Moment::Answer);
        let arguments = json!({ "title": "kept", "content": "" });
        let call = alice(&served).begins("create_note", arguments).await;
        in_time(hold.reached(1)).await;
        served.is_told(signal).await;
        served.says("asked to stop").await;
        let ops = Person::at(&served.ops_url);
        let ready = ops.gets("/readyz").await;
        assert_eq!((ready.status, &*ready.body), (503, "process: stopping\n"));
        assert_eq!(ops.gets("/healthz").await.status, 200);
        refuses(&served.url).await;
        hold.release();
        let answer = call.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (code, said) = served.ends().await;
        assert_eq!(code, Some(0), "{signal}");
        let last = said.last().unwrap();
        assert_eq!(
            (&last["message"], &last["finished"]),
            (&"stopped".into(), &true.into())
        );
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("shutdown.kill_timeout", "1h")
        .set("shutdown.grace", "30m");
    let mut served = setup.serves(&[]).await;
    backend.does(Script::Stalls);
    let _call = alice(&served).begins("delete_note", note()).await;
    backend.stalls(1).await;
    served.is_told("TERM").await;
    served.says("asked to stop").await;
    served.is_told("TERM").await;
    let (code, said) = served.ends().await;
    assert_eq!(code, Some(0));
    let stopped = said.iter().find(|line| line["message"] == "stopped");
    assert_eq!(stopped.unwrap()["finished"], false);
    // The call that was cut has its line too.
    let cut = said.iter().find(|line| line["message"] == "tool call");
    assert_eq!(cut.unwrap()["outcome"], "CANCELLED");
}

#[tokio::test]
async fn nothing_to_finish_is_an_end_with_success() {
    let backend = FakeBackend::start();
    let served = Setup::before(&backend).serves(&[]).await;
    assert_eq!(served.stops().await, Some(0));
}
