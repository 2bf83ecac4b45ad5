//! The connection is cut at every byte, on either side of the sidecar, while clients retry.

use std::{collections::HashMap, sync::Arc};

use tokio::task::JoinSet;
use toolbridge::sandbox::Sandbox;

use super::retrying::{Retrying, titles};
use crate::harness::{
    Backend, Setup, Sidecar,
    cutting_proxy::{Cut, CuttingProxy, Since, Way},
    sandbox,
};

/// So many creates, and as many cuts.
const CREATES: usize = 2_000;

/// Clients at once.
const LANES: usize = 4;

/// The one request of the client, and the two of the sidecar.
const CALL: &str = "POST /mcp";
const OPENING: &str = "POST /v1/sync/sessions";
const CREATE: &str = "POST /v1/notes";

/// A cut at each byte of what is said and of what is answered to it, the first and the last included.
fn at_every_byte(said: &'static str, passed: [u64; 2]) -> Vec<Cut> {
    let [to_server, to_client] = passed;
    let of = |way, bytes| (0..=bytes).map(move |after| Cut::abort(way, after));
    let there = of(Way::ToServer, to_server);
    let back = of(Way::ToClient, to_client);
    there
        .chain(back)
        .map(|cut| cut.since(Since::Said(said)))
        .collect()
}

/// The bytes of one create on the first connection of this proxy, there and back.
async fn bytes_of_one(proxy: &CuttingProxy, client: &Retrying) -> [u64; 2] {
    client.creates("measured").await;
    let passed = proxy.passed()[0];
    [passed.to_server, passed.to_client]
}

fn as_many(cuts: &[Cut]) -> Vec<Cut> {
    cuts.iter().copied().cycle().take(CREATES).collect()
}

/// Fails unless each title is there once.
fn once_each(titles: &HashMap<String, usize>, count: usize) {
    let doubled: Vec<_> = titles.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(titles.len(), count);
}

async fn scene(proxied: bool) -> (Sandbox, Option<CuttingProxy>, Sidecar) {
    let backend = sandbox().await;
    let proxy = match proxied {
        true => Some(CuttingProxy::before(&backend).await),
        false => None,
    };
    let setup = match &proxy {
        Some(proxy) => Setup::before(proxy),
        None => Setup::before(&backend),
    };
    (backend, proxy, setup.start().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: scripts/test runs it"]
async fn two_thousand_creates_cut_at_every_byte_before_the_sidecar_make_two_thousand_records() {
    let (_backend, _, sidecar) = scene(false).await;
    let measuring = CuttingProxy::before(sidecar.url.as_str()).await;
    let client = Retrying::at(&measuring.url(), "measurer");
    let cuts = as_many(&at_every_byte(
        CALL,
        bytes_of_one(&measuring, &client).await,
    ));
    let mut lanes = JoinSet::new();
    for (lane, cuts) in cuts.chunks(CREATES / LANES).enumerate() {
        let cuts = cuts.to_vec();
        let proxy = CuttingProxy::before(sidecar.url.as_str()).await;
        lanes.spawn(async move {
            let client = Retrying::at(&proxy.url(), "alice");
            let mut retried = 0;
            for (number, cut) in cuts.into_iter().enumerate() {
                proxy.cuts(cut);
                let (_, tried) = client.creates(&format!("{lane}-{number}")).await;
                retried += usize::from(tried > 1);
            }
            assert!(proxy.left().is_empty());
            retried
        });
    }
    let retried: usize = lanes.join_all().await.into_iter().sum();
    // All but those whose answer had passed as a whole, or whose request was sent anew by the client's own library.
    assert!(retried > CREATES / 2, "{retried}");
    once_each(&titles(&sidecar.alice()).await, CREATES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes its time: scripts/test runs it"]
async fn two_thousand_creates_cut_at_every_byte_behind_the_sidecar_make_two_thousand_records() {
    let (_backend, proxy, sidecar) = scene(true).await;
    let proxy = Arc::new(proxy.unwrap());
    let client = Retrying::at(&sidecar.url, "measurer");
    let [to_server, to_client] = bytes_of_one(&proxy, &client).await;
    // Both requests went over one connection: more than each of them has, so that every byte of each is met.
    let mut cuts = at_every_byte(OPENING, [to_server / 2, to_client / 2]);
    cuts.extend(at_every_byte(
        CREATE,
        [to_server / 2 + 200, to_client / 2 + 100],
    ));
    let (cuts, count) = (cuts.clone(), cuts.len().max(CREATES));
    let cuts: Vec<_> = cuts.into_iter().cycle().take(count).collect();
    let mut lanes = JoinSet::new();
    for (lane, cuts) in cuts.chunks(count.div_ceil(LANES)).enumerate() {
        let (cuts, proxy) = (cuts.to_vec(), Arc::clone(&proxy));
        let client = Retrying::at(&sidecar.url, "alice");
        lanes.spawn(async move {
            for (number, cut) in cuts.into_iter().enumerate() {
                proxy.cuts(cut);
                client.creates(&format!("{lane}-{number}")).await;
            }
        });
    }
    lanes.join_all().await;
    let cut = proxy.passed().iter().filter(|it| it.cut.is_some()).count();
    assert!(cut > count / 2, "{cut} of {count}");
    once_each(&titles(&sidecar.alice()).await, count);
}
