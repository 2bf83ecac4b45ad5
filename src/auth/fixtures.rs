//! What the tests of this module share: test keys, tokens signed with them, and a key set server that counts.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey, crypto, jwk::Jwk};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

use crate::auth::{
    Algorithm, AuthError, Caller, IssuerRules, KeyError, KeySource, Verifier, keys::install_crypto,
};

/// The time at which the tests happen.
pub(super) const NOW: Duration = Duration::from_secs(1_800_000_000);
pub(super) const SECRET: &str = "a shared secret of the tests, long enough";
pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const AUDIENCE: &str = "https://t1.example.com/mcp";

/// A private key and the `kid` under which its public half is published.
#[derive(Clone, Copy)]
pub(super) struct TestKey {
    pub(super) kid: &'static str,
    pub(super) algorithm: Algorithm,
    pem: &'static str,
}

const fn key(kid: &'static str, algorithm: Algorithm, pem: &'static str) -> TestKey {
    TestKey {
        kid,
        algorithm,
        pem,
    }
}

pub(super) const RSA: TestKey = key(
    "rsa",
    Algorithm::RS256,
    include_str!("../../tests/keys/rsa.pem"),
);
pub(super) const RSA_OTHER: TestKey = key(
    "other",
    Algorithm::RS256,
    include_str!("../../tests/keys/rsa-other.pem"),
);
pub(super) const P256: TestKey = key(
    "p256",
    Algorithm::ES256,
    include_str!("../../tests/keys/p256.pem"),
);
pub(super) const P384: TestKey = key(
    "p384",
    Algorithm::ES384,
    include_str!("../../tests/keys/p384.pem"),
);
pub(super) const ED25519: TestKey = key(
    "ed",
    Algorithm::EdDSA,
    include_str!("../../tests/keys/ed25519.pem"),
);

impl TestKey {
    fn encoding(&self) -> EncodingKey {
        let pem = self.pem.as_bytes();
        match self.algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        }
        .unwrap()
    }

    /// The same key, signing with another algorithm.
    pub(super) fn with(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// Its entry in a key set, `alg` and `use` left out.
    pub(super) fn jwk(&self) -> Value {
        install_crypto();
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding(), self.algorithm).unwrap())
                .unwrap();
        let entry = jwk.as_object_mut().unwrap();
        entry.remove("alg");
        entry.insert("kid".to_owned(), json!(self.kid));
        jwk
    }

    /// A token with the key's `alg` and `kid`, those replaced by what `header` has (`null` removes).
    pub(super) fn token(&self, header: Value, claims: &Value) -> String {
        install_crypto();
        let alg = format!("{:?}", self.algorithm);
        let header = merged(json!({ "alg": alg, "typ": "JWT", "kid": self.kid }), header);
        let signed = unsigned(&header, claims);
        let signature = crypto::sign(signed.as_bytes(), &self.encoding(), self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

/// The entry of an RSA key that is too short; nobody can sign with it here.
pub(super) fn weak_jwk() -> Value {
    install_crypto();
    let pem = include_bytes!("../../tests/keys/rsa-weak.public.pem");
    let key = DecodingKey::from_rsa_pem(pem).unwrap();
    let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&key, None).unwrap()).unwrap();
    jwk["kid"] = json!("weak");
    jwk
}

/// A token signed with `secret`.
pub(super) fn hmac_token(
    secret: &[u8],
    algorithm: Algorithm,
    header: Value,
    claims: &Value,
) -> String {
    install_crypto();
    let header = merged(
        json!({ "alg": format!("{algorithm:?}"), "typ": "JWT" }),
        header,
    );
    let signed = unsigned(&header, claims);
    let signature = crypto::sign(
        signed.as_bytes(),
        &EncodingKey::from_secret(secret),
        algorithm,
    )
    .unwrap();
    format!("{signed}.{signature}")
}

/// `header.payload`.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// Claims that every check passes, with `changes` put over them (`null` removes).
pub(super) fn claims(changes: Value) -> Value {
    let now = NOW.as_secs();
    let good = json!({
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "iat": now - 10, "nbf": now - 10, "exp": now + 600,
        "scope": "notes:read notes:write",
    });
    merged(good, changes)
}

fn merged(mut base: Value, changes: Value) -> Value {
    let object = base.as_object_mut().unwrap();
    let Value::Object(changes) = changes else {
        panic!("changes are an object")
    };
    for (name, value) in changes {
        match value {
            Value::Null => object.remove(&name),
            value => object.insert(name, value),
        };
    }
    base
}

/// Headers with one bearer token.
pub(super) fn bearer(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

/// A file under `tests/keys/`.
pub(super) fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/keys")
        .join(name)
}

/// A key set with these entries.
pub(super) fn key_set(entries: &[Value]) -> String {
    json!({ "keys": entries }).to_string()
}

/// What a [`KeyServer`] answers.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// An issuer's key set endpoint on a real socket.
pub(super) struct KeyServer {
    pub(super) url: Url,
    answer: Arc<Mutex<Answer>>,
    fetches: Arc<AtomicUsize>,
}

impl KeyServer {
    pub(super) async fn start(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks?policy=x", listener.local_addr().unwrap());
        let answer = Answer {
            status: StatusCode::OK,
            headers: Vec::new(),
            body,
        };
        let server = Self {
            url: url.parse().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            fetches: Arc::default(),
        };
        tokio::spawn(serve(
            listener,
            Arc::clone(&server.answer),
            Arc::clone(&server.fetches),
        ));
        server
    }

    pub(super) fn answer(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap());
    }

    pub(super) fn publish(&self, entries: &[Value]) {
        self.answer(|answer| {
            answer.status = StatusCode::OK;
            answer.body = key_set(entries);
        });
    }

    pub(super) fn fail(&self) {
        self.answer(|answer| answer.status = StatusCode::BAD_GATEWAY);
    }

    pub(super) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<Answer>>, fetches: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answer, fetches) = (Arc::clone(&answer), Arc::clone(&fetches));
        let service = service_fn(move |_: Request<Incoming>| {
            fetches.fetch_add(1, Ordering::SeqCst);
            let Answer {
                status,
                headers,
                body,
            } = answer.lock().unwrap().clone();
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let response = response.body(Full::new(Bytes::from(body)));
            async move { response }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Lets time pass for everything that measures it with tokio's clock, without waiting.
pub(super) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Rules of an issuer that shares [`SECRET`] with us.
pub(super) fn shared_secret_rules() -> IssuerRules {
    let keys = KeySource::SharedSecret(SecretString::from(SECRET));
    IssuerRules::new(ISSUER, [AUDIENCE], keys)
}

/// Rules of an issuer with these keys; every public-key algorithm is pinned.
pub(super) fn public_key_rules(keys: KeySource) -> IssuerRules {
    let families = [
        AlgorithmFamily::Rsa,
        AlgorithmFamily::Ec,
        AlgorithmFamily::Ed,
    ];
    let algorithms = families.iter().flat_map(|family| family.algorithms());
    IssuerRules {
        algorithms: algorithms.copied().collect(),
        ..IssuerRules::new(ISSUER, [AUDIENCE], keys)
    }
}

/// A verifier that shares [`SECRET`] with the issuer.
pub(super) fn sharing_a_secret() -> Verifier {
    Verifier::new(vec![shared_secret_rules()]).unwrap()
}

/// A verifier with a key set of these entries from a file.
pub(super) fn knowing(entries: &[Value]) -> Result<Verifier, KeyError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key_set(entries)).unwrap();
    let keys = KeySource::JwksFile(file.path().to_owned());
    Verifier::new(vec![public_key_rules(keys)])
}

impl Verifier {
    /// Who sent `token`, where no key set has to be fetched.
    pub(super) fn judge(&self, token: &str) -> Result<Caller, AuthError> {
        let (headers, now) = (bearer(token), NOW);
        let caller = self.caller(&headers, now).now_or_never();
        caller.expect("nothing to wait for")
    }
}
