//! People with several organizations choose one, in each of MCP's ways, and what happens to those who cheat: end to end,
//! the sandbox saying who belongs where.

mod people;
mod tokens;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rmcp::model::{ElicitResult, ElicitationAction, ProtocolVersion};
use serde_json::{Value, json};

use crate::harness;

use people::{
    Legacy, Person, Reply, Setup, answering, calls, choosing, code, picks, picks_beta, sandbox,
    token,
};

/// A write, so that nothing can run twice or by mistake without being seen.
const TOOL: &str = "create_note";

fn note(title: &str) -> Value {
    json!({ "title": title, "content": "There" })
}

/// The seal of the question that this result is.
#[track_caller]
fn state(result: &Value) -> String {
    assert_eq!(result["resultType"], "input_required", "{result}");
    result["requestState"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_modern_client_is_asked_and_repeats_the_call() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = Person::named(&url, "alice");
    let question = alice.calls(TOOL, &note("Hi")).await;
    let request = &question["inputRequests"]["organization"];
    assert_eq!(request["method"], "elicitation/create");
    assert_eq!(
        request["params"]["requestedSchema"]["properties"]["organization"]["oneOf"],
        json!([
            { "const": "org_acme", "title": "Acme" },
            { "const": "org_beta", "title": "Beta GmbH" },
        ])
    );
    assert!(question["_meta"]["io.modelcontextprotocol/serverInfo"].is_object());

    let state = state(&question);
    let made = alice
        .repeats(TOOL, &note("Hi"), &state, choosing("org_beta"))
        .await;
    assert_eq!(
        made["structuredContent"]["payload"]["title"], "Hi",
        "{made}"
    );
    // The choice is remembered, and the note was made once.
    assert_eq!(alice.notes().await, ["Hi"]);
    let here = alice.calls("current_workspace", &json!({})).await;
    assert_eq!(here["structuredContent"]["current"]["id"], "org_beta");
}

#[tokio::test]
async fn an_answer_is_not_taken_from_another_person_call_or_sidecar() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let other = "seals-elsewhere-in-the-integration-tests-0123456789";
    let elsewhere = Setup::before(&sandbox.url()).secret("SEAL_SECRET", other);
    let elsewhere = elsewhere.start().await;
    let [alice, bob] = ["alice", "bob"].map(|name| Person::named(&url, name));
    let sealed = state(&alice.calls(TOOL, &note("Hi")).await);
    let broken = format!("{}x", &sealed[..sealed.len() - 1]);
    let answer = || choosing("org_beta");
    for refused in [
        bob.repeats(TOOL, &note("Hi"), &sealed, answer()).await,
        alice.repeats(TOOL, &note("Ho"), &sealed, answer()).await,
        alice
            .repeats("create_task", &note("Hi"), &sealed, answer())
            .await,
        alice.repeats(TOOL, &note("Hi"), &broken, answer()).await,
        alice.repeats(TOOL, &note("Hi"), "", answer()).await,
        alice
            .at(&elsewhere)
            .repeats(TOOL, &note("Hi"), &sealed, answer())
            .await,
        alice
            .repeats(TOOL, &note("Hi"), &sealed, json!("org_beta"))
            .await,
    ] {
        assert_eq!(code(&refused), "FORBIDDEN");
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("nothing was done"), "{text}");
    }
    // Nobody's choice was remembered, and nothing was written.
    for person in [alice, bob] {
        let here = person.calls("current_workspace", &json!({})).await;
        assert_eq!(here["structuredContent"]["current"], Value::Null);
        person
            .calls("select_workspace", &json!({ "organization": "org_acme" }))
            .await;
        assert!(person.notes().await.is_empty());
    }
}

#[tokio::test]
async fn an_organization_that_was_not_offered_is_refused() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = Person::named(&url, "alice");
    let sealed = state(&alice.calls(TOOL, &note("Hi")).await);
    for id in [
        "org_evil",
        "tenant_thinkpen_b2c",
        "org_acme:1",
        "../org_acme",
        "Acme",
        "",
    ] {
        let refused = alice
            .repeats(TOOL, &note("Hi"), &sealed, choosing(id))
            .await;
        assert_eq!(code(&refused), "FORBIDDEN", "{id}");
    }
    for no in ["decline", "cancel"] {
        let refused = alice
            .repeats(TOOL, &note("Hi"), &sealed, json!({ "action": no }))
            .await;
        assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED");
    }
    // Nothing chosen: asked again.
    let again = alice
        .repeats(TOOL, &note("Hi"), &sealed, json!({ "action": "accept" }))
        .await;
    let sealed = state(&again);
    let made = alice
        .repeats(TOOL, &note("Hi"), &sealed, choosing("org_acme"))
        .await;
    assert!(made["isError"] != true, "{made}");
    assert_eq!(alice.notes().await, ["Hi"]);
}

#[tokio::test]
async fn sidecars_with_one_secret_take_each_others_answers() {
    let sandbox = sandbox().await;
    let secret = "state-secret-of-the-organization-tests-0123456789";
    let setup = || Setup::before(&sandbox.url()).secret("SEAL_SECRET", secret);
    let (one, other) = (setup().start().await, setup().start().await);
    let alice = Person::named(&one, "alice");
    let sealed = state(&alice.calls(TOOL, &note("Hi")).await);
    let alice = alice.at(&other);
    let made = alice
        .repeats(TOOL, &note("Hi"), &sealed, choosing("org_acme"))
        .await;
    assert!(made["isError"] != true, "{made}");
    assert_eq!(alice.notes().await, ["Hi"]);
}

#[tokio::test]
async fn a_client_without_forms_is_told_the_organizations_and_the_tool() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = Person::named(&url, "alice").without_forms();
    let refused = alice.calls(TOOL, &note("Hi")).await;
    assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED");
    let error = &refused["structuredContent"]["error"];
    assert_eq!(
        error["organizations"],
        json!([{ "id": "org_acme", "name": "Acme" }, { "id": "org_beta", "name": "Beta GmbH" }])
    );
    assert_eq!(error["tool"], "select_workspace");
    assert!(!error["correlation_id"].as_str().unwrap().is_empty());
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("Beta GmbH (org_beta)") && text.contains("select_workspace"),
        "{text}"
    );

    let chosen = alice
        .calls("select_workspace", &json!({ "organization": "Beta GmbH" }))
        .await;
    assert_eq!(
        chosen["structuredContent"],
        json!({ "id": "org_beta", "name": "Beta GmbH" })
    );
    alice.calls(TOOL, &note("Hi")).await;
    assert_eq!(alice.notes().await, ["Hi"]);
}

#[tokio::test]
async fn the_workspace_tools_say_what_is_wrong() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = Person::named(&url, "alice");
    for wrong in [
        json!({}),
        json!({ "organization": 7 }),
        json!({ "organization": "" }),
        json!({ "id": "org_acme" }),
    ] {
        let refused = alice.calls("select_workspace", &wrong).await;
        assert_eq!(code(&refused), "VALIDATION_ERROR", "{wrong}");
        assert_eq!(
            refused["structuredContent"]["error"]["field"],
            "organization"
        );
    }
    let foreign = alice
        .calls("select_workspace", &json!({ "organization": "org_evil" }))
        .await;
    assert_eq!(code(&foreign), "FORBIDDEN");
    let odd = alice.calls("current_workspace", &json!({ "x": 1 })).await;
    assert_eq!(code(&odd), "VALIDATION_ERROR");
    // Somebody in one organization needs no choice; somebody in none is in the backend's default one.
    for (name, id) in [("carol", "org_acme"), ("dave", "tenant_thinkpen_b2c")] {
        let here = Person::named(&url, name)
            .calls("current_workspace", &json!({}))
            .await;
        assert_eq!(here["structuredContent"]["current"]["id"], id);
    }
}

#[tokio::test]
async fn a_token_for_one_organization_decides() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = Person::named(&url, "alice");
    let scoped = alice.in_organization("alice", "org_beta");
    let here = scoped.calls("current_workspace", &json!({})).await;
    assert_eq!(here["structuredContent"]["current"]["id"], "org_beta");
    let other = scoped
        .calls("select_workspace", &json!({ "organization": "org_acme" }))
        .await;
    assert_eq!(code(&other), "FORBIDDEN");
    let foreign = alice.in_organization("alice", "org_evil");
    assert_eq!(
        code(&foreign.calls("list_notes", &json!({})).await),
        "FORBIDDEN"
    );
    // The same person's other token was not chosen for.
    state(&alice.calls("list_notes", &json!({})).await);
}

#[tokio::test]
async fn a_legacy_client_is_asked_while_the_call_waits() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    for (version, subject) in [
        (ProtocolVersion::V_2025_11_25, "alice"),
        (ProtocolVersion::V_2025_06_18, "bob"),
    ] {
        let client = Legacy::answering(picks_beta).of(version);
        let asked = Arc::clone(&client.asked);
        let client = client.connects(&url, subject).await;
        let made = calls(&client, TOOL, note("Hi")).await;
        assert_eq!(
            made["structuredContent"]["payload"]["title"], "Hi",
            "{made}"
        );
        calls(&client, TOOL, note("Ho")).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(Person::named(&url, subject).notes().await, ["Hi", "Ho"]);
    }
}

#[tokio::test]
async fn a_legacy_client_that_chooses_nothing_gets_an_error_and_nothing_is_done() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let answers: [(Reply, &str); 4] = [
        (
            || Some(ElicitResult::new(ElicitationAction::Decline)),
            "TENANT_SELECTION_REQUIRED",
        ),
        (
            || Some(ElicitResult::new(ElicitationAction::Cancel)),
            "TENANT_SELECTION_REQUIRED",
        ),
        (
            || Some(ElicitResult::new(ElicitationAction::Accept)),
            "TENANT_SELECTION_REQUIRED",
        ),
        (|| picks("org_evil"), "FORBIDDEN"),
    ];
    for (answer, expected) in answers {
        let client = Legacy::answering(answer).connects(&url, "alice").await;
        assert_eq!(code(&calls(&client, TOOL, note("Hi")).await), expected);
    }
    let client = Legacy::answering(picks_beta).without_forms();
    let asked = Arc::clone(&client.asked);
    let client = client.connects(&url, "alice").await;
    let refused = calls(&client, TOOL, note("Hi")).await;
    assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    calls(
        &client,
        "select_workspace",
        json!({ "organization": "org_acme" }),
    )
    .await;
    assert!(Person::named(&url, "alice").notes().await.is_empty());
}

#[tokio::test]
async fn a_person_who_does_not_answer_within_a_minute_is_not_waited_for() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let client = Legacy::answering(|| None);
    let has_come = Arc::clone(&client.has_come);
    let client = client.connects(&url, "alice").await;
    let (refused, ()) = tokio::join!(calls(&client, TOOL, note("Hi")), async {
        has_come.notified().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
    });
    assert_eq!(code(&refused), "TENANT_SELECTION_REQUIRED");
    assert!(
        refused
            .to_string()
            .contains("did not choose an organization in time")
    );
}

#[tokio::test]
async fn the_workspace_tools_exist_where_organizations_are_chosen() {
    let sandbox = sandbox().await;
    let choosing = Setup::before(&sandbox.url()).start().await;
    let fixed = Setup::before(&sandbox.url())
        .set("tenant.mode", "fixed")
        .set("tenant.id", "org_acme")
        .start()
        .await;
    let tools = |url: String| async move {
        let carol = Person::named(&url, "carol");
        let listed = carol.asks("tools/list", json!({})).await;
        listed["tools"].as_array().unwrap().clone()
    };
    let (choosing, fixed) = (tools(choosing).await, tools(fixed).await);
    assert_eq!(choosing.len(), fixed.len() + 2);
    let named = |tools: &[Value], name: &str| tools.iter().find(|it| it["name"] == name).cloned();
    for (name, read_only) in [("current_workspace", true), ("select_workspace", false)] {
        assert_eq!(named(&fixed, name), None);
        let tool = named(&choosing, name).unwrap();
        assert_eq!(tool["annotations"]["readOnlyHint"], read_only);
        assert_eq!(tool["inputSchema"]["additionalProperties"], false);
        assert_eq!(tool["outputSchema"]["type"], "object");
    }
}

#[tokio::test]
async fn a_catalogue_cannot_have_our_tools() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let catalogue = "version: 1\nserver: { name: x }\ntools:\n  select_workspace:\n    description: Something else.\n    request: GET /x\n    effect: read\n";
    std::fs::write(file.path(), catalogue).unwrap();
    let setup = || {
        let setup = Setup::before("http://127.0.0.1:1");
        setup.set("catalogue.file", file.path().to_str().unwrap())
    };
    let error = setup().fails().await;
    assert!(
        error.contains("`select_workspace`") && error.contains("rename"),
        "{error}"
    );
    setup()
        .set("tenant.mode", "fixed")
        .set("tenant.id", "x")
        .start()
        .await;
}

#[tokio::test]
async fn a_failing_workos_lets_nobody_in_and_is_no_reason_to_log_in_again() {
    let answers = [
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 59\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 4096\r\nconnection: close\r\n\r\n{\"data\":[",
        "",
    ];
    for answer in answers {
        let (workos, asked_workos) = answering(answer).await;
        let (backend, asked_backend) =
            answering("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n").await;
        let workos = |setup: Setup| {
            setup
                .secret("WORKOS_API_KEY", "sk_canary")
                .set("tenant.workos_url", &workos)
        };
        let choosing = workos(Setup::before(&backend))
            .set("tenant.mode", "workos")
            .set("tenant.default", "org_default");
        let fixed = workos(Setup::before(&backend))
            .set("tenant.mode", "fixed")
            .set("tenant.id", "org_acme")
            .set("tenant.require_membership", "workos");
        for setup in [choosing, fixed] {
            let carol = Person::named(&setup.start().await, "carol");
            let refused = carol.calls("list_notes", &json!({})).await;
            assert_eq!(code(&refused), "BACKEND_UNAVAILABLE");
            assert!(!refused.to_string().contains("canary"), "{refused}");
        }
        assert_eq!(asked_workos.load(Ordering::SeqCst), 2);
        assert_eq!(asked_backend.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_client_of_the_oldest_transport_is_asked_on_its_stream() {
    let sandbox = sandbox().await;
    let url = Setup::before(&sandbox.url()).start().await;
    let alice = harness::Person::at(url.trim_end_matches("/mcp"));
    let alice = alice.with_token(&token("alice", &json!({})));
    let mut connection = alice.opens_sse().await;
    let forms = json!({ "elicitation": {} });
    connection.initializes("2025-06-18", forms).await;
    connection.begins_call(2, TOOL, note("Hi")).await;
    let question = connection.hears().await;
    assert_eq!(question["method"], "elicitation/create");
    let answer = json!({
        "jsonrpc": "2.0", "id": question["id"], "result": choosing("org_beta"),
    });
    assert_eq!(connection.posts(&answer).await.status, 202);
    let made = connection.answer_to(2).await;
    let title = &made["result"]["structuredContent"]["payload"]["title"];
    assert_eq!(title, "Hi", "{made}");
}
