//! Who may come in: the token checks as a client meets them, before MCP sees a byte; where a client learns whom to ask for
//! a token; and which names and pages are served at all.

use std::{net::SocketAddr, path::Path, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use toolbridge::clock;

use crate::{
    canonical_calls::NOTE,
    harness::{Answer, Claims, FakeBackend, ISSUER, Person, Setup, Sidecar, in_time, token_for},
};

/// What a refused request is told: status and challenge.
#[track_caller]
fn challenge(answer: &Answer) -> String {
    assert!(!answer.body.contains("jsonrpc"), "{answer:?}");
    format!("{} {}", answer.status, answer.header("www-authenticate"))
}

/// One call that must not get through.
async fn refused(person: &Person) -> String {
    let answer = person.asks("tools/list", json!({})).await;
    challenge(&answer)
}

async fn gets_in(person: &Person) {
    let list = person.asks("tools/list", json!({})).await.result();
    assert_eq!(list["tools"].as_array().unwrap().len(), 40);
}

#[tokio::test]
async fn without_a_token_one_is_asked_for_and_no_error_named() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let nobody = sidecar.nobody();
    insta::assert_snapshot!(refused(&nobody).await, @r#"401 Bearer realm="toolbridge""#);
    for (method, path) in [("GET", "/mcp"), ("DELETE", "/mcp"), ("POST", "/mcp/")] {
        assert_eq!(
            nobody.sends(method, path, "").await.status,
            401,
            "{method} {path}"
        );
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn what_is_no_token_is_told_so() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let mut told = String::new();
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer a b",
        "Bearer abc",
        "Bearer a.b.c",
    ] {
        let answer = refused(&sidecar.nobody().with("authorization", header)).await;
        told.push_str(&format!("{header:?}: {answer}\n"));
    }
    insta::assert_snapshot!(told, @r#"
    "": 400 Bearer error="invalid_request", error_description="the Authorization scheme must be Bearer"
    "Bearer": 400 Bearer error="invalid_request", error_description="no token after Bearer"
    "Bearer ": 400 Bearer error="invalid_request", error_description="no token after Bearer"
    "Basic YTpi": 400 Bearer error="invalid_request", error_description="the Authorization scheme must be Bearer"
    "Bearer a b": 401 Bearer error="invalid_token", error_description="malformed token: odd characters"
    "Bearer abc": 401 Bearer error="invalid_token", error_description="malformed token: not three parts"
    "Bearer a.b.c": 401 Bearer error="invalid_token", error_description="malformed token: unreadable header"
    "#);
}

#[tokio::test]
async fn a_token_that_is_not_good_here_is_told_why() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let good = Claims::of("alice");
    let mut told = String::new();
    let bad = [
        (
            "old",
            Claims {
                age: Duration::from_secs(4000),
                ..good
            },
        ),
        (
            "audience",
            Claims {
                audience: "somebody-else",
                ..good
            },
        ),
        (
            "issuer",
            Claims {
                issuer: "https://evil.test",
                ..good
            },
        ),
        (
            "secret",
            Claims {
                secret: "another secret of more than 32 characters",
                ..good
            },
        ),
    ];
    for (what, claims) in bad {
        let person = sidecar.nobody().with_token(&claims.signed());
        told.push_str(&format!("{what}: {}\n", refused(&person).await));
    }
    insta::assert_snapshot!(told, @r#"
    old: 401 Bearer error="invalid_token", error_description="the token has expired"
    audience: 401 Bearer error="invalid_token", error_description="wrong audience: expected audience-of-tests, got somebody-else"
    issuer: 401 Bearer error="invalid_token", error_description="unknown issuer https://evil.test"
    secret: 401 Bearer error="invalid_token", error_description="the signature does not match"
    "#);
    assert!(refused(&sidecar.mallory()).await.starts_with("401 "));
    gets_in(&sidecar.alice()).await;
}

#[tokio::test]
async fn an_open_connection_does_not_outlive_its_token() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let connection = sidecar.alice().connects().await;
    let old = Claims {
        age: Duration::from_secs(4000),
        ..Claims::of("alice")
    };
    let person = connection.person.without("authorization");
    let told = refused(&person.with_token(&old.signed())).await;
    assert!(told.starts_with("401 "), "{told}");
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let good = token_for("alice");
    let (signed, _) = good.rsplit_once('.').unwrap();
    let claims = signed.split('.').nth(1).unwrap();
    // {"alg":"none"}, {"alg":"None","typ":"JWT"}
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0"] {
        for token in [format!("{header}.{claims}."), format!("{signed}.")] {
            let told = refused(&sidecar.nobody().with_token(&token)).await;
            assert!(told.starts_with("401 "), "{told}");
        }
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_no_token() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let path = format!("/mcp?access_token={}", token_for("alice"));
    let answer = sidecar.nobody().sends("POST", &path, "{}").await;
    assert_eq!(challenge(&answer), "401 Bearer realm=\"toolbridge\"");
}

#[tokio::test]
async fn two_tokens_are_a_bad_request() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    let told = refused(&sidecar.alice().with_token(&token_for("bob"))).await;
    assert!(
        told.starts_with("400 Bearer error=\"invalid_request\""),
        "{told}"
    );
}

#[tokio::test]
async fn a_token_that_is_too_long_is_refused_and_harms_nothing() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let told = refused(&sidecar.nobody().with_token(&"a".repeat(9 * 1024))).await;
    assert!(
        told.starts_with("400 Bearer error=\"invalid_request\""),
        "{told}"
    );

    let address = sidecar.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = "a".repeat(64 * 1024);
    let request =
        format!("POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    // The sidecar may hang up before it has read everything: then writing or reading fails.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = in_time(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    gets_in(&sidecar.alice()).await;
}

#[tokio::test]
async fn the_token_is_checked_before_anything_else_of_the_request() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    for body in ["", "garbage", "[]", "{\"jsonrpc\":\"1.0\"}", "\u{0}"] {
        for kind in ["application/json", "text/plain"] {
            let nobody = sidecar.nobody().with("content-type", kind);
            assert_eq!(
                nobody.sends("POST", "/mcp", body).await.status,
                401,
                "{body}"
            );
        }
    }
    let answer = sidecar.nobody().sends("PATCH", "/mcp", "").await;
    assert_eq!(answer.status, 401);
}

struct Key {
    algorithm: Algorithm,
    file: &'static str,
}

const KEYS: [Key; 3] = [
    Key {
        algorithm: Algorithm::ES256,
        file: "p256.pem",
    },
    Key {
        algorithm: Algorithm::EdDSA,
        file: "ed25519.pem",
    },
    Key {
        algorithm: Algorithm::RS256,
        file: "rsa.pem",
    },
];

const KEY_ISSUER: &str = "https://issuer.example";
const KEY_AUDIENCE: &str = "https://acme.example.com/mcp";

impl Key {
    fn encoding(&self) -> EncodingKey {
        // Minting a token sets up the cryptography that reading a key needs.
        token_for("somebody");
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        let pem = std::fs::read(keys.join(self.file)).unwrap();
        let key = match self.algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(&pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
            _ => EncodingKey::from_rsa_pem(&pem),
        };
        key.unwrap()
    }

    fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding(), self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.file);
        jwk
    }

    fn token(&self, audience: &str) -> String {
        let now = clock::unix_now().as_secs();
        let header = Header {
            kid: Some(self.file.to_owned()),
            ..Header::new(self.algorithm)
        };
        let claims = json!({
            "iss": KEY_ISSUER, "sub": "alice", "aud": audience, "iat": now, "exp": now + 600,
        });
        jsonwebtoken::encode(&header, &claims, &self.encoding()).unwrap()
    }
}

fn key_set() -> String {
    let keys: Vec<_> = KEYS.iter().map(Key::public).collect();
    json!({ "keys": keys }).to_string()
}

/// A server that answers every request with the key set.
async fn key_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = key_set();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    address
}

async fn accepts_all_three_kinds(setup: Setup) {
    let sidecar = setup
        .without_jwt_secret()
        .set("auth.issuer", KEY_ISSUER)
        .set("auth.audience", KEY_AUDIENCE)
        .start()
        .await;
    for key in &KEYS {
        gets_in(&sidecar.nobody().with_token(&key.token(KEY_AUDIENCE))).await;
        let foreign = sidecar
            .nobody()
            .with_token(&key.token("https://other.example.com/mcp"));
        let told = refused(&foreign).await;
        let both = told.contains(KEY_AUDIENCE) && told.contains("https://other.example.com/mcp");
        assert!(told.starts_with("401 ") && both, "{told}");
    }
    let other = Key {
        algorithm: Algorithm::RS256,
        file: "rsa-other.pem",
    };
    let mut token = other.token(KEY_AUDIENCE);
    assert!(
        refused(&sidecar.nobody().with_token(&token))
            .await
            .starts_with("401 ")
    );
    token = Claims {
        issuer: KEY_ISSUER,
        audience: KEY_AUDIENCE,
        ..Claims::of("a")
    }
    .signed();
    assert!(
        refused(&sidecar.nobody().with_token(&token))
            .await
            .starts_with("401 ")
    );
}

#[tokio::test]
async fn tokens_are_checked_with_keys_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    std::fs::write(&file, key_set()).unwrap();
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend).set("auth.jwks_file", file.to_str().unwrap());
    accepts_all_three_kinds(setup).await;
}

#[tokio::test]
async fn tokens_are_checked_with_keys_from_an_address() {
    let url = format!("http://{}/jwks", key_server().await);
    let backend = FakeBackend::start();
    accepts_all_three_kinds(Setup::before(&backend).set("auth.jwks_url", &url)).await;
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_no_reason_to_throw_a_token_away() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", closed.local_addr().unwrap());
    drop(closed);
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .without_jwt_secret()
        .set("auth.jwks_url", &url);
    let setup = setup
        .set("auth.issuer", KEY_ISSUER)
        .set("auth.audience", KEY_AUDIENCE);
    let sidecar = setup.start().await;
    let token = KEYS[0].token(KEY_AUDIENCE);
    let answer = sidecar
        .nobody()
        .with_token(&token)
        .asks("tools/list", json!({}))
        .await;
    assert_eq!(challenge(&answer), "503 ");
    assert!(
        answer.header("retry-after").parse::<u64>().is_ok(),
        "{answer:?}"
    );
    let ready = Person::at(&sidecar.ops_url).gets("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(!ready.body.contains("127.0.0.1"), "{}", ready.body);
}

#[tokio::test]
async fn the_metadata_is_where_the_challenge_and_the_specification_say() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("auth.issuer", KEY_ISSUER)
        .set("auth.audience", KEY_AUDIENCE)
        .set("server.public_url", "https://acme.example.com");
    let sidecar = setup.start().await;
    let told = refused(&sidecar.nobody()).await;
    let path = "/.well-known/oauth-protected-resource/mcp";
    assert_eq!(
        told,
        format!("401 Bearer resource_metadata=\"https://acme.example.com{path}\"")
    );
    let browser = sidecar.nobody().with("host", "acme.example.com");
    let documents = [
        browser.gets(path).await,
        browser.gets("/.well-known/oauth-protected-resource").await,
        sidecar.nobody().gets(path).await,
    ];
    for document in documents {
        assert_eq!(document.status, 200);
        assert_eq!(document.header("access-control-allow-origin"), "*");
        assert_eq!(
            document.json(),
            json!({
                "resource": "https://acme.example.com/mcp",
                "authorization_servers": [KEY_ISSUER],
                "bearer_methods_supported": ["header"],
                "resource_name": "toolbridge",
            })
        );
    }
}

#[tokio::test]
async fn an_issuer_that_is_no_address_has_no_metadata() {
    let sidecar = Sidecar::before(&FakeBackend::start()).await;
    assert!(!ISSUER.contains("://"));
    let answer = sidecar
        .nobody()
        .gets("/.well-known/oauth-protected-resource")
        .await;
    assert_eq!(answer.status, 404);
}

/// Whether somebody with a good token gets in with this header.
async fn status_with(sidecar: &Sidecar, name: &str, value: &str) -> u16 {
    let alice = sidecar.alice().with(name, value);
    alice.asks("tools/list", json!({})).await.status
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_refused() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    for host in ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test:80"] {
        assert_eq!(status_with(&sidecar, "host", host).await, 403, "{host}");
    }
    for origin in ["http://evil.test", "null", "http://localhost:1", "file://"] {
        assert_eq!(
            status_with(&sidecar, "origin", origin).await,
            403,
            "{origin}"
        );
    }
    let preflight = sidecar.nobody().with("origin", "http://evil.test");
    assert_eq!(preflight.sends("OPTIONS", "/mcp", "").await.status, 403);
    let own = sidecar.url.clone();
    assert_eq!(status_with(&sidecar, "origin", &own).await, 200);
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn configured_names_and_pages_are_served() {
    let backend = FakeBackend::start();
    let setup = Setup::before(&backend)
        .set("server.public_url", "https://acme.example.com")
        .set("server.allowed_hosts", "inner.test")
        .set("server.allowed_origins", "https://app.test");
    let sidecar = setup.start().await;
    for host in ["acme.example.com", "inner.test:8001"] {
        assert_eq!(status_with(&sidecar, "host", host).await, 200, "{host}");
    }
    for origin in ["https://app.test", "https://acme.example.com"] {
        assert_eq!(
            status_with(&sidecar, "origin", origin).await,
            200,
            "{origin}"
        );
    }
    assert_eq!(
        status_with(&sidecar, "origin", "https://app.test.evil.test").await,
        403
    );
}

#[tokio::test]
async fn a_backend_that_refuses_an_accepted_token_is_a_failed_call_and_no_challenge() {
    let backend = FakeBackend::start();
    let sidecar = Sidecar::before(&backend).await;
    let challenge = [("www-authenticate", "Bearer realm=\"backend-canary\"")];
    backend.does(crate::harness::Script::with(
        401,
        &challenge,
        r#"{"error":"no"}"#,
    ));
    let params = json!({ "name": "get_note", "arguments": { "uid": NOTE } });
    let alice = sidecar.alice().with("mcp-name", "get_note");
    let answer = alice.asks("tools/call", params).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (200, "")
    );
    assert!(!answer.body.contains("canary"));
}
