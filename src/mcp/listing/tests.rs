//! Pages, cursors, scopes and eras of lists, against what the catalogue says.

use std::{fmt::Write, sync::Barrier};

use serde_json::{Value, json};

use super::*;
use crate::mcp::workspace::WorkspaceTool;

fn server() -> Implementation {
    Implementation::new("toolbridge", "1")
}

fn listing(catalogue: &Arc<Catalogue>) -> Listing {
    Listing::of(Arc::clone(catalogue), [], &server())
}

fn shipped() -> Arc<Catalogue> {
    Arc::new(Catalogue::shipped().unwrap())
}

fn catalogue(tools: &str) -> Arc<Catalogue> {
    let text = format!("version: 1\ntools:\n{tools}");
    let catalogue = Catalogue::parse("tools.yaml", text.as_bytes());
    Arc::new(catalogue.unwrap_or_else(|problems| panic!("{problems}")))
}

/// Every second tool asks for a scope.
fn many(tools: usize) -> Arc<Catalogue> {
    let mut text = String::new();
    for index in 0..tools {
        let scopes = if index % 2 == 1 {
            ", scopes: [odd]"
        } else {
            ""
        };
        writeln!(
            text,
            "  tool_{index:04}: {{ description: About., request: GET /a, effect: read{scopes} }}"
        )
        .unwrap();
    }
    catalogue(&text)
}

fn caller(scopes: &[&str]) -> Caller {
    Caller::for_tests("https://issuer.test", "alice", Some("token")).granted_until(u64::MAX, scopes)
}

fn page(listing: &Listing, era: Era, cursor: Option<&str>) -> Value {
    page_for(listing, dialect::default(), era, &caller(&["odd"]), cursor)
}

fn page_for(
    listing: &Listing,
    dialect: &Dialect,
    era: Era,
    caller: &Caller,
    cursor: Option<&str>,
) -> Value {
    let page = listing.page(dialect, era, caller, cursor).unwrap();
    serde_json::from_slice(&page).unwrap()
}

/// The names on every page, and the pages.
fn walked(listing: &Listing, era: Era, caller: &Caller) -> (Vec<String>, Vec<Value>) {
    let (mut names, mut pages) = (Vec::new(), Vec::new());
    let mut cursor: Option<String> = None;
    loop {
        let page = page_for(listing, dialect::default(), era, caller, cursor.as_deref());
        let tools = page["tools"].as_array().unwrap().iter();
        names.extend(tools.map(|tool| tool["name"].as_str().unwrap().to_owned()));
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        pages.push(page);
        if cursor.is_none() {
            return (names, pages);
        }
    }
}

#[test]
fn the_default_list_is_the_catalogues_and_tells_each_era_what_it_knows() {
    let catalogue = shipped();
    let listing = listing(&catalogue);
    let expected: Vec<_> = catalogue.tools().iter().map(tokens::listed).collect();
    assert_eq!(
        page(&listing, Era::Legacy, None),
        json!({ "tools": expected })
    );
    let modern = page(&listing, Era::Modern, None);
    assert_eq!(
        modern,
        json!({
            "resultType": "complete",
            "_meta": { SERVER_INFO: { "name": "toolbridge", "version": "1" } },
            "ttlMs": 60_000,
            "cacheScope": "public",
            "tools": expected,
        })
    );
}

#[test]
fn what_rmcp_sends_is_the_same_json() {
    let catalogue = shipped();
    let own = WorkspaceTool::listed();
    let listing = Listing::of(catalogue, own, &server());
    for dialect in dialect::built_in() {
        for era in [Era::Legacy, Era::Modern] {
            let bytes = page_for(&listing, dialect, era, &caller(&[]), None);
            let typed = listing
                .typed_page(dialect, era, &caller(&[]), None)
                .unwrap();
            assert_eq!(json!(typed), bytes, "{}", dialect.name);
            assert_eq!(bytes["tools"].as_array().unwrap().len(), 42);
        }
    }
    assert_eq!(
        page(&listing, Era::Legacy, None)["tools"]
            .as_array()
            .unwrap()[40..],
        WorkspaceTool::listed().map(|tool| json!(tool))
    );
}

#[test]
fn two_thousand_tools_come_in_pages_and_each_tool_once() {
    let catalogue = many(2_000);
    let listing = listing(&catalogue);
    let all: Vec<_> = catalogue
        .tools()
        .iter()
        .map(|tool| tool.name.clone())
        .collect();
    for era in [Era::Legacy, Era::Modern] {
        let (names, pages) = walked(&listing, era, &caller(&["odd"]));
        assert_eq!(names, all);
        assert_eq!(pages.len(), 10);
        for page in pages {
            let scope = page.get("cacheScope").and_then(Value::as_str);
            assert_eq!(scope, (era == Era::Modern).then_some("private"));
        }
    }
}

#[test]
fn a_caller_sees_what_it_may_call_in_full_pages() {
    let listing = listing(&many(900));
    let (names, pages) = walked(&listing, Era::Modern, &caller(&[]));
    assert_eq!(names.len(), 450);
    assert!(
        names
            .iter()
            .all(|name| name.ends_with(['0', '2', '4', '6', '8']))
    );
    let lengths: Vec<_> = pages
        .iter()
        .map(|page| page["tools"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths, [200, 200, 50]);
}

#[test]
fn a_cursor_of_another_list_or_of_nobody_leads_nowhere() {
    let (one, two) = (many(300), many(301));
    let first = listing(&one);
    let cursor = page(&first, Era::Modern, None)["nextCursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let leads = |listing: &Listing, dialect: &str, era, cursor: &str| {
        let dialect = dialect::named(dialect).unwrap();
        listing
            .page(dialect, era, &caller(&[]), Some(cursor))
            .is_ok()
    };
    assert!(leads(&first, "default", Era::Modern, &cursor));
    // The same list for another client and another era is the same list.
    assert!(leads(&first, "vscode", Era::Legacy, &cursor));
    assert!(!leads(&first, "gemini-cli", Era::Modern, &cursor));
    // After a restart, and on another machine.
    assert!(leads(&listing(&one), "default", Era::Modern, &cursor));
    assert!(!leads(&listing(&two), "default", Era::Modern, &cursor));
    let mut tampered = cursor.clone();
    let last = if tampered.pop() == Some('A') {
        'E'
    } else {
        'A'
    };
    tampered.push(last);
    for foreign in [
        "abc",
        "\u{0}",
        "é",
        &tampered,
        &format!("{cursor}AA"),
        &"A".repeat(10_000),
    ] {
        assert!(!leads(&first, "default", Era::Modern, foreign), "{foreign}");
    }
    let message = ErrorData::from(BadCursor);
    assert_eq!(message.code.0, -32602);
    assert!(message.message.contains("again without"));
}

#[test]
fn a_fingerprint_is_that_of_the_list_and_of_who_sees_what() {
    let of = |catalogue: &Arc<Catalogue>| listing(catalogue).fingerprint();
    assert_eq!(of(&many(3)), of(&many(3)));
    assert_ne!(of(&many(3)), of(&many(4)));
    let tool = "  a: { description: About., request: GET /a, effect: read";
    let (open, scoped) = (format!("{tool} }}\n"), format!("{tool}, scopes: [s] }}\n"));
    assert_ne!(of(&catalogue(&open)), of(&catalogue(&scoped)));
}

#[test]
fn an_empty_cursor_is_none() {
    let listing = listing(&many(300));
    assert_eq!(
        page(&listing, Era::Legacy, Some("")),
        page(&listing, Era::Legacy, None)
    );
}

#[test]
fn a_list_that_was_made_for_one_client_is_not_everybodys_and_others_are_kept_once() {
    let listing = listing(&shipped());
    let shown = |name: &str| {
        let dialect = dialect::named(name).unwrap();
        let page = listing
            .page(dialect, Era::Modern, &caller(&[]), None)
            .unwrap();
        let scope = serde_json::from_slice::<Value>(&page).unwrap()["cacheScope"].clone();
        (page, scope)
    };
    let (default, scope) = shown("default");
    assert_eq!(scope, "public");
    let (vscode, scope) = shown("vscode");
    assert_eq!(
        (vscode.as_ptr(), scope),
        (default.as_ptr(), json!("public"))
    );
    let (gemini, scope) = shown("gemini-cli");
    assert_ne!(gemini, default);
    assert_eq!(scope, "private");
}

#[test]
fn headers_of_arguments_are_for_the_revisions_that_know_them() {
    let listing = listing(&catalogue(
        "  find: { description: Finds., request: GET /a, effect: read, parameters: { region: { type: string, in: query, mcp_header: Region } } }\n  ping: { description: Pings., request: GET /b, effect: read }\n",
    ));
    for dialect in dialect::built_in() {
        let schema = |era| {
            let page = page_for(&listing, dialect, era, &caller(&[]), None);
            page["tools"][0]["inputSchema"]["properties"]["region"].clone()
        };
        assert_eq!(
            schema(Era::Modern)["x-mcp-header"],
            "Region",
            "{}",
            dialect.name
        );
        assert_eq!(
            schema(Era::Legacy).get("x-mcp-header"),
            None,
            "{}",
            dialect.name
        );
    }
    let known = listing.annotated("find").unwrap();
    assert_eq!(
        known.input_schema["properties"]["region"]["x-mcp-header"],
        "Region"
    );
    assert!(listing.annotated("ping").is_none());
}

#[test]
fn a_list_is_made_when_it_is_asked_for_and_whoever_asks_first_gets_the_same() {
    let catalogue = shipped();
    let expected: Vec<_> = dialect::built_in()
        .iter()
        .map(|dialect| {
            page_for(
                &listing(&catalogue),
                dialect,
                Era::Modern,
                &caller(&[]),
                None,
            )
        })
        .collect();
    let fresh = listing(&catalogue);
    assert!(fresh.lists.iter().all(|lists| lists.get().is_none()));
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (fresh, start, expected) = (&fresh, &start, &expected);
            scope.spawn(move || {
                start.wait();
                for step in 0..expected.len() {
                    let index = (step + thread) % expected.len();
                    let dialect = &dialect::built_in()[index];
                    let page = page_for(fresh, dialect, Era::Modern, &caller(&[]), None);
                    assert_eq!(page, expected[index], "{}", dialect.name);
                }
            });
        }
    });
}

#[test]
fn what_takes_the_place_of_a_list_has_what_was_asked_of_it() {
    let (before, after) = (listing(&many(3)), listing(&many(4)));
    let gemini = dialect::named("gemini-cli").unwrap();
    page_for(&before, gemini, Era::Legacy, &caller(&[]), None);
    after.prepare_as(&before);
    let made = |listing: &Listing| {
        let lists = listing.lists.iter();
        lists.map(|it| it.get().is_some()).collect::<Vec<_>>()
    };
    assert_eq!(made(&after), made(&before));
    assert!(made(&after)[gemini.index]);
    let all = dialect::built_in().len();
    assert!(made(&after).iter().filter(|is_made| **is_made).count() < all);
}
