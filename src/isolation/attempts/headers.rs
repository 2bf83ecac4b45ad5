//! Headers, queries and members of `_meta` that claim another tenant, another person or another session. Every tool
//! with every trick; the pairs take turns. Tools with a uid ask for the foreign record; lists and creates ask for one's
//! own, which the trick must not turn into somebody else's.

use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{Attempt, Rule, Trick, attempt};
use crate::isolation::{
    kit::{Kit, Operation},
    people::{Person, Stage},
    wire::{Message, bearer},
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "headers",
        name,
    }
}

type Dress = fn(Message, &Person, &Person) -> Message;

/// Every tool with every trick.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let tools = stage.kits.iter().flat_map(|kit| {
        Operation::ALL
            .into_iter()
            .map(move |operation| (kit, operation))
    });
    let mut attempts = Vec::new();
    for (place, tool) in tools.enumerate() {
        for (turn, (name, rule, dress)) in TRICKS.into_iter().enumerate() {
            // One more each round, so that a tool does not meet the same pair with every trick.
            let Some(pair) = stage.pair(place * (TRICKS.len() + 1) + turn) else {
                continue;
            };
            let Some(mut attempt) = dressed(trick(name), pair, tool, rule) else {
                continue;
            };
            attempt.message = dress(attempt.message, pair.0, pair.1);
            attempts.push(attempt);
        }
    }
    attempts
}

/// A call whose answer may be one's own records only where nothing foreign is named.
fn dressed(
    trick: Trick,
    pair: (&Person, &Person),
    tool: (&Kit<'_>, Operation),
    rule: Rule,
) -> Option<Attempt> {
    let (kit, operation) = tool;
    let foreign = pair.1.living(&kit.entity.name)?.uid();
    let mut attempt = attempt(trick, pair, tool, pair.0.arguments(kit, operation, foreign))?;
    if matches!(operation, Operation::List | Operation::Create) {
        attempt.rule = rule;
    }
    Some(attempt)
}

/// Whether a list or a create under the trick has to be refused, and what the trick does to a request.
const TRICKS: [(&str, Rule, Dress); 24] = [
    ("X-TB-Tenant-ID", Rule::OwnOnly, |m, _, v| {
        m.with("x-tb-tenant-id", &v.tenant)
    }),
    ("X-TB-Tenant-ID twice", Rule::OwnOnly, |m, a, v| {
        m.and("x-tb-tenant-id", &a.tenant)
            .and("x-tb-tenant-id", &v.tenant)
    }),
    ("X-TB-Tenant-ID as a list", Rule::OwnOnly, |m, a, v| {
        m.with("x-tb-tenant-id", &format!("{}, {}", v.tenant, a.tenant))
    }),
    ("X_TB_Tenant_ID and mixtures", Rule::OwnOnly, |m, _, v| {
        m.with("x_tb_tenant_id", &v.tenant)
            .with("x-tb-tenant_id", &v.tenant)
            .with("x_tb-tenant-id", &v.tenant)
    }),
    ("other names for a tenant", Rule::OwnOnly, |m, _, v| {
        [
            "x-tenant-id",
            "x-tenant",
            "x-org-id",
            "x-organization-id",
            "tenant",
        ]
        .into_iter()
        .fold(m, |m, name| m.with(name, &v.tenant))
    }),
    (
        "X-TB-Tenant-ID with a signature",
        Rule::OwnOnly,
        |m, _, v| {
            m.with("x-tb-tenant-id", &v.tenant)
                .with("x-tb-timestamp", "1735689600000")
                .with("x-tb-signature", &"0f".repeat(32))
        },
    ),
    (
        "X-TB-Tenant-ID named in Connection",
        Rule::OwnOnly,
        |m, _, v| {
            m.with("x-tb-tenant-id", &v.tenant)
                .with("connection", "keep-alive, x-tb-tenant-id, authorization")
        },
    ),
    ("X-Debug-Sub", Rule::OwnOnly, |m, _, v| {
        m.with("x-debug-sub", &v.subject)
    }),
    ("X-Debug-Sub instead of a token", Rule::Refuse, |m, _, v| {
        let mut m = m
            .with("x-debug-sub", &v.subject)
            .with("x_debug_sub", &v.subject);
        m.headers.remove(AUTHORIZATION);
        m
    }),
    (
        "X-Sync-Session and X-Sync-Epoch",
        Rule::OwnOnly,
        |m, _, _| {
            m.with("x-sync-session", super::NOBODYS)
                .with("x-sync-epoch", "999999")
                .with("x_sync_session", super::NOBODYS)
        },
    ),
    ("X-Forwarded-User and its kind", Rule::OwnOnly, |m, _, v| {
        [
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-preferred-username",
            "x-remote-user",
            "remote-user",
            "x-user-id",
            "x-auth-request-user",
            "x-authenticated-userid",
            "x-ms-client-principal-name",
        ]
        .into_iter()
        .fold(m, |m, name| m.with(name, &v.subject))
    }),
    ("Forwarded and X-Forwarded-For", Rule::OwnOnly, |m, _, v| {
        m.with("forwarded", "for=127.0.0.1;proto=https;host=localhost")
            .with("x-forwarded-for", "127.0.0.1")
            .with("x-real-ip", "127.0.0.1")
            .with("x-forwarded-prefix", &v.tenant)
    }),
    ("the owner's token in a cookie", Rule::OwnOnly, |m, _, v| {
        let token = v.token.expose_secret();
        m.with(
            "cookie",
            &format!("access_token={token}; session={token}; tenant={}", v.tenant),
        )
    }),
    (
        "the owner's token in other headers",
        Rule::OwnOnly,
        |m, _, v| {
            let token = format!("Bearer {}", v.token.expose_secret());
            [
                "proxy-authorization",
                "x-authorization",
                "x-forwarded-access-token",
                "x-original-authorization",
            ]
            .into_iter()
            .fold(m, |m, name| m.with(name, &token))
        },
    ),
    (
        "Authorization twice, the owner's last",
        Rule::Refuse,
        |mut m, _, v| {
            m.headers
                .append(AUTHORIZATION, v.door.authorization.clone());
            m
        },
    ),
    (
        "Authorization twice, the owner's first",
        Rule::Refuse,
        |mut m, a, v| {
            m.headers
                .insert(AUTHORIZATION, v.door.authorization.clone());
            m.headers
                .append(AUTHORIZATION, a.door.authorization.clone());
            m
        },
    ),
    (
        "two tokens in one Authorization",
        Rule::Refuse,
        |mut m, a, v| {
            let (own, foreign) = (a.token.expose_secret(), v.token.expose_secret());
            m.headers
                .insert(AUTHORIZATION, bearer(&format!("{own}, Bearer {foreign}")));
            m
        },
    ),
    (
        "the owner's token in the query",
        Rule::OwnOnly,
        |mut m, _, v| {
            let token = v.token.expose_secret();
            m.url
                .query_pairs_mut()
                .append_pair("access_token", token)
                .append_pair("token", token);
            m
        },
    ),
    ("the tenant in the query", Rule::OwnOnly, |mut m, _, v| {
        m.url
            .query_pairs_mut()
            .append_pair("tenant", &v.tenant)
            .append_pair("tenant_id", &v.tenant)
            .append_pair("sub", &v.subject)
            .append_pair("includeDeleted", "true");
        m
    }),
    ("another method or address", Rule::OwnOnly, |m, _, v| {
        m.with("x-http-method-override", "DELETE")
            .with("x-http-method", "GET")
            .with(
                "x-original-url",
                &format!("/v1/sync/state?sub={}", v.subject),
            )
            .with("x-rewrite-url", "/v1/sync/state")
    }),
    ("Mcp-Param-* and If-Match", Rule::OwnOnly, |m, _, v| {
        let uid = v
            .records
            .first()
            .map(|record| record.uid().to_owned())
            .unwrap_or_default();
        m.with("mcp-param-uid", &uid)
            .with("mcp-param-tenant", &v.tenant)
            .with("if-match", "*")
    }),
    ("Mcp-Name of another tool", Rule::Refuse, |m, _, _| {
        m.with("mcp-name", "list_everything")
    }),
    ("claims in _meta", Rule::OwnOnly, |mut m, _, v| {
        let meta = m
            .body
            .as_mut()
            .and_then(|body| body.pointer_mut("/params/_meta"));
        if let Some(meta) = meta.and_then(serde_json::Value::as_object_mut) {
            meta.insert("tenant_id".to_owned(), json!(v.tenant));
            meta.insert("io.modelcontextprotocol/tenant".to_owned(), json!(v.tenant));
            meta.insert("sub".to_owned(), json!(v.subject));
            meta.insert(
                "io.modelcontextprotocol/clientInfo".to_owned(),
                json!({ "name": v.subject, "version": "1" }),
            );
        }
        m
    }),
    (
        "trace context and correlation id",
        Rule::OwnOnly,
        |m, _, v| {
            m.with("baggage", &format!("tenant={},sub={}", v.tenant, v.subject))
                .with(
                    "traceparent",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                )
                .with("x-correlation-id", &v.subject)
        },
    ),
];
