//! The backend behind the sidecar: nobody gets there around it, and nobody when something needed to judge him is away.

use std::net::{IpAddr, UdpSocket};

use serde_json::json;
use tokio::net::TcpListener;
use toolbridge::sandbox::{Sandbox, SandboxSettings};

use crate::{
    canonical_calls::NOTE,
    harness::{
        AUDIENCE, Claims, FakeBackend, ISSUER, Person, Setup, Sidecar, TENANT, sandbox, shipped,
        token_for,
    },
};

#[tokio::test]
async fn a_request_around_the_sidecar_is_refused_without_its_signature() {
    let backend = sandbox().await;
    let direct = Person::at(&backend.url()).with_token(&token_for("alice"));
    let claimed = direct.with("x-tb-tenant-id", TENANT);
    let forged = claimed
        .with("x-tb-timestamp", "1735689600000")
        .with("x-tb-signature", &"0".repeat(64));
    for person in [&direct, &claimed, &forged] {
        for (method, path) in [("POST", "/v1/sync/sessions"), ("GET", "/v1/notes")] {
            let answer = person.sends(method, path, "").await;
            assert!([401, 403].contains(&answer.status), "{answer:?}");
        }
    }
    let sidecar = Sidecar::before(&backend).await;
    sidecar.alice().calls("list_notes", json!({})).await.good();
}

/// The address of this machine that others see; no packet is sent. `None` where the machine has no network.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
async fn the_switches_of_the_sandbox_are_for_this_machine_alone() {
    let settings = SandboxSettings {
        listen: ([0, 0, 0, 0], 0).into(),
        ..SandboxSettings::for_tests(shipped().entities().to_vec())
    };
    let sandbox = Sandbox::start(settings).await.unwrap();
    let port = sandbox.addr().port();
    let here = Person::at(&format!("http://127.0.0.1:{port}"));
    assert_eq!(here.gets("/_sandbox/faults").await.status, 200);
    let Some(address) = outer_address() else {
        return;
    };
    let there = Person::at(&format!("http://{address}:{port}"))
        .with("x-forwarded-for", "127.0.0.1")
        .with("forwarded", "for=127.0.0.1")
        .with("host", "localhost");
    for method in ["GET", "PUT", "DELETE"] {
        let answer = there.sends(method, "/_sandbox/faults", "{}").await;
        assert_eq!(answer.status, 404, "{method}");
    }
    assert_eq!(
        there.sends("DELETE", "/_sandbox/sessions", "").await.status,
        404
    );
}

#[tokio::test]
async fn whoever_cannot_be_judged_does_not_get_through() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("http://{}/jwks", closed.local_addr().unwrap());
    drop(closed);
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).without_jwt_secret();
    let sidecar = setup
        .set("auth.jwks_url", &keys)
        .set("auth.issuer", "https://issuer.example")
        .start()
        .await;
    let params = json!({ "name": "get_note", "arguments": { "uid": NOTE } });
    for issuer in ["https://issuer.example", ISSUER] {
        let claims = Claims {
            issuer,
            audience: AUDIENCE,
            ..Claims::of("alice")
        };
        let person = sidecar.nobody().with_token(&claims.signed());
        let person = person.with("mcp-name", "get_note");
        let answer = person.asks("tools/call", params.clone()).await;
        assert!([401, 503].contains(&answer.status), "{answer:?}");
    }
    assert!(backend.seen().is_empty());
}
