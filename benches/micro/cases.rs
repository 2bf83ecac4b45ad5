//! The steps of a call, each ready to be run by itself. In: the name of a case. Out: a maker, whose every product is one
//! run with its input made ready outside of what is measured. Nothing here may depend on the time of day, on other
//! threads or on an order that changes: valgrind has to count the same again.

use std::{hint::black_box, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use secrecy::SecretString;
use serde_json::{Value, json, value::RawValue};
use toolbridge::{
    auth::{IssuerRules, KeySource, Verifier},
    catalogue::{Catalogue, SHIPPED},
    identity::{Signer, TenantId},
    mcp::presented::Presenter,
};

use crate::{NOTE, answers, catalogue};

/// One run.
pub(crate) type Run = Box<dyn FnOnce()>;

/// Makes runs.
pub(crate) type Maker = Box<dyn FnMut() -> Run>;

/// What is measured.
pub(crate) struct Case {
    /// As it is asked for, and recorded.
    pub(crate) name: &'static str,
    /// How many runs are counted together.
    pub(crate) runs: usize,
    make: fn() -> Maker,
}

impl Case {
    /// Everything that all runs share, made ready.
    pub(crate) fn maker(&self) -> Maker {
        (self.make)()
    }
}

/// All of them, in the order of a call.
pub(crate) const CASES: &[Case] = &[
    case("token check, first", 20, || token_check(true)),
    case("token check, again", 100, || token_check(false)),
    case("plan of get_note", 100, || {
        planned(SHIPPED, "get_note", json!({ "uid": NOTE }))
    }),
    case("plan of get_note, one of 2000 tools", 100, || {
        planned(
            &catalogue::of_2000_tools(),
            "get_note",
            json!({ "uid": NOTE }),
        )
    }),
    case("plan of list_notes", 100, || {
        planned(SHIPPED, "list_notes", json!({ "limit": 10 }))
    }),
    case("plan of create_note", 100, || {
        let note =
            json!({ "title": "Shopping", "content": "Milk, *bread* and käse", "tags": ["home"] });
        planned(SHIPPED, "create_note", note)
    }),
    case("signature", 100, signature),
    case("present 0.5 KB", 50, || shown("get_note", answers::note())),
    case("present 10 KB", 20, || {
        shown("list_notes", answers::page(answers::SHORT_LIST))
    }),
    case("present 1 MB", 2, || {
        shown("list_notes", answers::page(answers::LONG_LIST))
    }),
    case("load 40 tools", 2, || loaded(SHIPPED.to_owned())),
    case("load 2000 tools", 1, || loaded(catalogue::of_2000_tools())),
];

const fn case(name: &'static str, runs: usize, make: fn() -> Maker) -> Case {
    Case { name, runs, make }
}

/// An RS256 token in a request's headers, checked against a key set that is at hand: for the first time, or known already.
fn token_check(is_first: bool) -> Maker {
    const ISSUER: &str = "https://issuer.bench.example";
    const AUDIENCE: &str = "https://bench.example/mcp";
    const NOW: u64 = 1_800_000_000;
    let key = EncodingKey::from_rsa_pem(include_bytes!("../../tests/keys/rsa.pem")).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some("bench".to_owned());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, json!({ "keys": [jwk] }).to_string()).unwrap();
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("bench".to_owned());
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user_bench", "iat": NOW - 60, "exp": NOW + 3600,
        "sid": "session_bench", "scope": "openid profile email",
    });
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();

    let verifier = move || {
        let keys = KeySource::JwksFile(file.path().to_owned());
        let rules = IssuerRules::new(ISSUER, [AUDIENCE], keys);
        Rc::new(Verifier::new(vec![rules]).unwrap())
    };
    let known = verifier();
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    let headers = Rc::new(HeaderMap::from_iter([(AUTHORIZATION, bearer)]));
    Box::new(move || {
        let headers = Rc::clone(&headers);
        let verifier = if is_first {
            verifier()
        } else {
            Rc::clone(&known)
        };
        Box::new(move || {
            let caller = verifier.caller(black_box(&headers), Duration::from_secs(NOW));
            black_box(caller.now_or_never().unwrap().unwrap());
        })
    })
}

/// The tool found, its arguments checked and made a plan.
fn planned(catalogue: &str, tool: &'static str, arguments: Value) -> Maker {
    let catalogue = Rc::new(Catalogue::parse("tools.yaml", catalogue.as_bytes()).unwrap());
    let arguments = arguments.as_object().unwrap().clone();
    Box::new(move || {
        let (catalogue, arguments) = (Rc::clone(&catalogue), arguments.clone());
        Box::new(move || {
            let tool = catalogue.find(black_box(tool)).unwrap();
            black_box(tool.plan(arguments).unwrap());
        })
    })
}

/// The signature of a request's tenant headers.
fn signature() -> Maker {
    let secret = SecretString::from("the-bench-signs-with-this-secret");
    let signer = Rc::new(Signer::new(&secret).unwrap());
    let tenant: TenantId = "org_bench".parse().unwrap();
    let timestamp = HeaderValue::from_static("1800000000000");
    Box::new(move || {
        let (signer, tenant, timestamp) = (Rc::clone(&signer), tenant.clone(), timestamp.clone());
        Box::new(move || {
            black_box(signer.sign(black_box(&tenant), black_box(&timestamp)));
        })
    })
}

/// A backend's answer made the answer to a client.
fn shown(tool: &'static str, body: String) -> Maker {
    let catalogue = Rc::new(Catalogue::shipped().unwrap());
    let presenter = Rc::new(Presenter::new(&catalogue));
    let id: Rc<RawValue> = RawValue::from_string("1".to_owned()).unwrap().into();
    let body = Bytes::from(body);
    Box::new(move || {
        let (catalogue, presenter) = (Rc::clone(&catalogue), Rc::clone(&presenter));
        let (id, body) = (Rc::clone(&id), body.clone());
        Box::new(move || {
            let tool = catalogue.find(tool).unwrap();
            black_box(presenter.present(tool, &id, black_box(body)).unwrap());
        })
    })
}

/// A catalogue read, checked and expanded.
fn loaded(text: String) -> Maker {
    let text = Rc::new(text);
    Box::new(move || {
        let text = Rc::clone(&text);
        Box::new(move || {
            let catalogue = Catalogue::parse("tools.yaml", black_box(text.as_bytes()));
            black_box(catalogue.unwrap());
        })
    })
}
