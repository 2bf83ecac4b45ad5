//! Fifty people at once, each through all forty tools, and nobody gets an error. `scripts/soak` does the same for long.

#[path = "../soak/walk.rs"]
mod walk;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Person, Sidecar, in_time, sandbox};
use walk::Caller;

const PEOPLE: usize = 50;

impl Caller for Person {
    async fn call(&self, tool: &str, arguments: Value) -> Result<Value, String> {
        let ended = self.calls(tool, arguments).await;
        match ended.result["isError"] == true {
            true => Err(format!("{tool}: {}", ended.text())),
            false => Ok(ended.good()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes its time: scripts/test runs it"]
async fn fifty_people_call_all_forty_tools_without_an_error() {
    let backend = sandbox().await;
    let sidecar = Sidecar::before(&backend).await;
    let mut running = JoinSet::new();
    for person in 0..PEOPLE {
        let person = sidecar.person(&format!("person-{person}"));
        running.spawn(async move { walk::walk(&person).await });
    }
    let mut walks = 0;
    while let Some(ended) = in_time(running.join_next()).await {
        assert_eq!(ended.unwrap(), Ok(()));
        walks += 1;
    }
    assert_eq!(walks * walk::CALLS, 2000);
    assert!(sidecar.stops().await);
}
