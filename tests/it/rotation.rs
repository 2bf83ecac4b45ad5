//! The signing secret is replaced while people work: the backend accepts both secrets, the sidecar changes over, the
//! backend drops the old one, and no call is refused on the way.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use toolbridge::sandbox::{Sandbox, SandboxSettings, Storage, Tenants, TokenRules};

use crate::harness::{
    AUDIENCE, FakeBackend, ISSUER, Person, SECRET, Setup, Sidecar, TENANT_SECRET, in_time, shipped,
};

const NEXT: &str = "next-tenant-secret-of-the-integration-tests-0123456789";

/// A backend that keeps its records in the folder and listens where it did before.
async fn backend(folder: &TempDir, listen: &str, secret: &str, next: Option<&str>) -> Sandbox {
    let settings = SandboxSettings {
        listen: listen.parse().unwrap(),
        storage: Storage::File(folder.path().join("sandbox.db")),
        tokens: TokenRules {
            issuer: Some(ISSUER.to_owned()),
            audiences: vec![AUDIENCE.to_owned()],
            ..TokenRules::hs256(SECRET)
        },
        tenants: Tenants::Signed {
            secret: secret.into(),
            next: next.map(SecretString::from),
        },
        ..SandboxSettings::for_tests(shipped().entities().to_vec())
    };
    Sandbox::start(settings).await.unwrap()
}

/// Reads and writes, every call a good one; how many notes there are then.
async fn works(person: &Person) -> usize {
    let note = json!({ "title": "kept", "content": "" });
    person.calls("create_note", note).await.good();
    let notes = person.calls("list_notes", json!({})).await.good();
    notes["items"].as_array().map_or(0, Vec::len)
}

/// With the next secret beside the current one, and this one of them signing.
fn rotating(setup: Setup, active: &str) -> Setup {
    let setup = setup.secret("TENANT_HEADER_SECRET_NEXT", NEXT);
    setup.set("signature.active", active)
}

async fn is_ready(sidecar: &Sidecar) {
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
}

#[tokio::test]
async fn a_rotation_refuses_no_call() {
    let folder = TempDir::new().unwrap();
    let both = backend(&folder, "127.0.0.1:0", TENANT_SECRET, Some(NEXT)).await;
    let listen = both.addr().to_string();
    let old = Setup::before(&both).start().await;
    assert_eq!(works(&old.alice()).await, 1);

    // Both work side by side while sidecars are restarted one after another.
    let new = rotating(Setup::before(&both), "next").start().await;
    assert_eq!(works(&new.alice()).await, 2);
    assert_eq!(works(&old.alice()).await, 3);
    assert!(old.stops().await);
    assert_eq!(works(&new.alice()).await, 4);

    both.stop().await;
    let dropped = backend(&folder, &listen, NEXT, None).await;
    is_ready(&new).await;
    assert_eq!(works(&new.alice()).await, 5);

    let tidied = Setup::before(&dropped).secret("TENANT_HEADER_SECRET", NEXT);
    assert_eq!(works(&tidied.start().await.alice()).await, 6);
}

/// Calls without a pause until told to stop; how many came good, the first that did not failing the test.
async fn keeps_calling(person: Person, made: &AtomicUsize, stop: &CancellationToken) {
    let note = json!({ "title": "kept", "content": "" });
    while !stop.is_cancelled() {
        person.calls("create_note", note.clone()).await.good();
        person.calls("list_notes", json!({})).await.good();
        made.fetch_add(1, Ordering::SeqCst);
    }
}

/// Until that many more calls have come good.
async fn more(made: &AtomicUsize, calls: usize) {
    let enough = made.load(Ordering::SeqCst) + calls;
    while made.load(Ordering::SeqCst) < enough {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn calls_go_on_all_the_time_while_the_secret_is_changed_over() {
    let folder = TempDir::new().unwrap();
    let both = backend(&folder, "127.0.0.1:0", TENANT_SECRET, Some(NEXT)).await;
    let old = Setup::before(&both).start().await;
    let new = rotating(Setup::before(&both), "next").start().await;
    let (at_old, at_new) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (leave_old, leave_new) = (CancellationToken::new(), CancellationToken::new());
    let people_of_old = [old.alice(), old.bob()].map(|it| keeps_calling(it, &at_old, &leave_old));
    let people_of_new = [new.alice(), new.bob()].map(|it| keeps_calling(it, &at_new, &leave_new));
    let changing = async {
        let told = async {
            more(&at_old, 3).await;
            more(&at_new, 3).await;
            leave_old.cancel();
        };
        // Both work side by side; when the last call through the old one has come good, it goes.
        join(join_all(people_of_old), told).await;
        assert!(old.stops().await);
        more(&at_new, 3).await;
        leave_new.cancel();
    };
    let everything = join(join_all(people_of_new), changing);
    in_time(everything).await;
}

#[tokio::test]
async fn what_was_not_changed_over_is_refused_once_the_old_secret_is_gone() {
    let folder = TempDir::new().unwrap();
    let dropped = backend(&folder, "127.0.0.1:0", NEXT, None).await;
    for setup in [
        Setup::before(&dropped),
        rotating(Setup::before(&dropped), "current"),
    ] {
        let sidecar = setup.start().await;
        let refused = sidecar.alice().calls("list_notes", json!({})).await;
        assert_eq!(refused.failed()["status"], 401);
    }
}

#[tokio::test]
async fn a_secret_that_is_neither_is_refused_by_a_backend_that_accepts_two() {
    let folder = TempDir::new().unwrap();
    let both = backend(&folder, "127.0.0.1:0", TENANT_SECRET, Some(NEXT)).await;
    let other = "another-tenant-secret-of-the-integration-tests-0123456789";
    let setup = Setup::before(&both).secret("TENANT_HEADER_SECRET", other);
    let sidecar = setup.start().await;
    let refused = sidecar.alice().calls("list_notes", json!({})).await;
    assert_eq!(refused.failed()["status"], 401);
}

#[tokio::test]
async fn a_key_id_is_sent_only_where_the_secret_that_signs_has_one() {
    let backend = FakeBackend::start();
    for (setup, sent) in [
        (Setup::before(&backend), ""),
        (
            Setup::before(&backend).set("signature.next_key_id", "b"),
            "",
        ),
        (Setup::before(&backend).set("signature.key_id", "a"), "a"),
    ] {
        let sidecar = setup.start().await;
        let alice = sidecar.alice().with("x-tb-key-id", "forged");
        let _ = alice.calls("list_notes", json!({})).await;
        let seen = backend.take_seen();
        assert!(!seen.is_empty());
        assert!(
            seen.iter()
                .all(|request| request.header("x-tb-key-id") == sent)
        );
        // The fake knows no such header; it refuses what is new in the format.
        assert_eq!(backend.take_complaints().is_empty(), sent.is_empty());
    }
}
