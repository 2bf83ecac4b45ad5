//! Tools that a catalogue declares one by one: every place, type and depth an argument can have.

use super::*;

const TOOLS: &str = r#"
version: 1
tools:
  report:
    description: Every place a parameter can have.
    request: POST /v1/reports/{year}/{kind}
    effect: write
    parameters:
      year: { type: integer, min: 2000, required: true }
      kind: { type: string, enum: [sales, stock], required: true, in: path }
      columns: { type: array, items: { type: string }, in: query, wire: col }
      dry_run: { type: boolean, in: query, wire: dryRun, default: false }
      language: { type: string, in: header, wire: Accept-Language }
      recipient:
        type: object
        properties:
          display_name: { type: string, required: true, wire: displayName }
          address:
            type: object
            additional: true
            properties:
              zip_code: { type: string, wire: zipCode }
              country: { type: string, default: DE, wire: countryCode }
      lines:
        type: array
        max: 2
        items:
          type: object
          properties:
            item_id: { type: string, format: uuid, required: true, wire: itemId }
            amount: { type: number, min: 0 }
      day: { type: string, format: date }
      at: { type: string, format: date-time }
      mail: { type: string, format: email }
      link: { type: string, format: uri }
      extra: { type: object, merge: true }
  file:
    description: A text in the path.
    request: GET /v1/files/{name}
    effect: read
    parameters:
      name: { type: string, required: true }
      note: { type: string, in: header, wire: X-Note }
"#;

fn report(more: Value) -> Value {
    let mut arguments = json!({ "year": 2026, "kind": "sales" });
    arguments
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    arguments
}

#[track_caller]
fn sent(more: Value) -> String {
    sent_by(&catalogue(TOOLS), "report", &report(more))
}

#[track_caller]
fn refused(more: Value) -> String {
    refused_by(&catalogue(TOOLS), "report", &report(more))
}

#[test]
fn each_parameter_goes_where_it_belongs() {
    assert_snapshot!(sent(json!({ "columns": ["a&b", "c"], "dry_run": true, "language": "de", "day": "2026-02-28" })), @r#"POST /v1/reports/2026/sales?col=a%26b&col=c&dryRun=true [accept-language: de] {"day":"2026-02-28"}"#);
    assert_snapshot!(sent(json!({ "columns": [], "language": null, "day": null, "extra": { "k": [1] } })), @r#"POST /v1/reports/2026/sales?dryRun=false {"day":null,"k":[1]}"#);
}

#[test]
fn names_are_those_of_the_backend_at_every_depth() {
    assert_snapshot!(sent(json!({
        "recipient": { "display_name": "Ada", "address": { "zip_code": "1", "street": "x" } },
        "lines": [{ "item_id": NOTE, "amount": 1.5 }, { "itemId": NOTE }]
    })), @r#"POST /v1/reports/2026/sales?dryRun=false {"recipient":{"displayName":"Ada","address":{"zipCode":"1","street":"x","countryCode":"DE"}},"lines":[{"itemId":"<uid>","amount":1.5},{"itemId":"<uid>"}]}"#);
    assert_snapshot!(sent(json!({ "recipient": "{\"displayName\": \"Ada\", \"address\": \"{}\"}" })), @r#"POST /v1/reports/2026/sales?dryRun=false {"recipient":{"address":{"countryCode":"DE"},"displayName":"Ada"}}"#);
}

#[test]
fn mistakes_are_told_with_their_place_at_every_depth() {
    assert_snapshot!(refused(json!({ "recipient": { "display_nam": "Ada" } })), @r"
    recipient.display_nam: `recipient.display_nam` is not an argument; did you mean `display_name`?
    recipient.display_name: `recipient.display_name` is missing; report needs it
    ");
    assert_snapshot!(refused(json!({ "lines": [{ "item_id": "x" }, { "item_id": NOTE, "amount": -1, "colour": 1 }] })), @r#"
    lines[0].item_id: `lines[0].item_id` must be a UUID such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301, not the text "x"
    lines[1].amount: `lines[1].amount` must be 0 or more, not -1
    lines[1].colour: `lines[1].colour` is not an argument; known: item_id, amount
    "#);
    assert_snapshot!(refused(json!({ "lines": [{ "item_id": NOTE }, { "item_id": NOTE }, {}] })), @r"
    lines: `lines` must be a list of at most 2, not a list of 3
    lines[2].item_id: `lines[2].item_id` is missing; report needs it
    ");
    assert_snapshot!(refused(json!({ "recipient": { "display_name": "a", "displayName": "b" } })), @"recipient.displayName: `recipient.displayName` and `recipient.display_name` are the same field: give one");
}

#[test]
fn formats_are_checked() {
    assert_snapshot!(refused(json!({ "day": "2026-02-30", "at": "yesterday", "mail": "ada", "link": "not a link" })), @r#"
    day: `day` must be a date such as 2026-01-31, not the text "2026-02-30"
    at: `at` must be a time with its zone such as 2026-01-31T12:00:00Z, not the text "yesterday"
    mail: `mail` must be an e-mail address, not the text "ada"
    link: `link` must be a URI such as https://example.com/page, not the text "not a link"
    "#);
    assert_snapshot!(sent(json!({
        "day": "2026-02-28", "at": "2026-02-28T12:00:00Z", "mail": "ada@example.com", "link": "https://example.com/?a=b"
    })), @r#"POST /v1/reports/2026/sales?dryRun=false {"day":"2026-02-28","at":"2026-02-28T12:00:00Z","mail":"ada@example.com","link":"https://example.com/?a=b"}"#);
}

#[test]
fn path_parameters_of_other_types_are_checked_and_encoded() {
    let tools = catalogue(TOOLS);
    assert_snapshot!(refused_by(&tools, "report", &json!({ "year": "../..", "kind": "other" })), @r#"
    year: `year` must be an integer, not the text "../.."
    kind: `kind` must be one of "sales", "stock", not the text "other" ["sales","stock"]
    "#);
    assert_snapshot!(sent_by(&tools, "file", &json!({ "name": "../a?b#c%2f\u{0}é" })), @"GET /v1/files/..%2Fa%3Fb%23c%252f%00%C3%A9");
    let dots = ["", ".", ".."].map(|name| refused_by(&tools, "file", &json!({ "name": name })));
    assert_snapshot!(dots.join("\n"), @r"
    name: `name` cannot be used: it cannot stand in a path
    name: `name` cannot be used: it cannot stand in a path
    name: `name` cannot be used: it cannot stand in a path
    ");
}

#[test]
fn a_header_value_cannot_start_another_header() {
    let tools = catalogue(TOOLS);
    let note = json!({ "name": "a", "note": "x\r\nX-TB-Tenant-ID: other" });
    assert_snapshot!(refused_by(&tools, "file", &note), @"note: `note` cannot be used: it has characters that cannot stand in a header");
}

#[test]
fn a_merged_object_cannot_replace_a_named_parameter() {
    assert_snapshot!(refused(json!({ "extra": { "day": "x", "recipient": {} } })), @r"
    extra.day: `extra.day` has an argument of its own: use `day`
    extra.recipient: `extra.recipient` has an argument of its own: use `recipient`
    ");
}
