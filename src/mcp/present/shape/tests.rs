//! Shapes: by example, and against the same made by serde.

mod by_serde;

use bytes::Bytes;
use proptest::prelude::*;

use super::{any, item, list};
use crate::json_text::JsonText;

fn shaped(shape: fn(&JsonText) -> Option<JsonText>, text: &str) -> Option<String> {
    let text = JsonText::read(Bytes::copy_from_slice(text.as_bytes())).unwrap();
    let shaped = shape(&text)?;
    // What was put together is JSON text that needs no further look.
    let again = JsonText::read(Bytes::copy_from_slice(shaped.as_bytes()));
    assert_eq!(again.as_ref(), Ok(&shaped));
    Some(String::from_utf8(shaped.as_bytes().to_vec()).unwrap())
}

#[test]
fn a_record_has_its_five_keys_as_they_were_written() {
    let text = r#"{"payload":{"n":1.50,"big":12345678901234567890123},"more":[1],"version":3,"uid":"a\u0062"}"#;
    let expected = r#"{"uid":"a\u0062","version":3,"updatedAt":null,"deletedAt":null,"payload":{"n":1.50,"big":12345678901234567890123}}"#;
    assert_eq!(shaped(item, text).as_deref(), Some(expected));
    let twice = r#"{"uid":"a","uid":"b","version":1,"payload":1,"payload":{}}"#;
    let last = r#"{"uid":"b","version":1,"updatedAt":null,"deletedAt":null,"payload":{}}"#;
    assert_eq!(shaped(item, twice).as_deref(), Some(last));
}

#[test]
fn what_has_no_uid_or_version_is_no_record() {
    for text in [
        "[]",
        "{}",
        "null",
        r#"{"uid":"a"}"#,
        r#"{"version":1}"#,
        r#"{"uid":7,"version":1}"#,
        r#"{"uid":"a","version":"1"}"#,
        r#"{"uid":"a","version":null}"#,
    ] {
        assert_eq!(shaped(item, text), None, "{text}");
    }
}

#[test]
fn a_page_has_records_and_a_cursor() {
    let text = r#"{"total":2,"nextCursor":"c","items":[{"uid":"a","version":1},{"version":2,"uid":"b","payload":{}}]}"#;
    let expected = r#"{"items":[{"uid":"a","version":1,"updatedAt":null,"deletedAt":null,"payload":null},{"uid":"b","version":2,"updatedAt":null,"deletedAt":null,"payload":{}}],"nextCursor":"c"}"#;
    assert_eq!(shaped(list, text).as_deref(), Some(expected));
    let empty = r#"{"items":[],"nextCursor":null}"#;
    assert_eq!(shaped(list, r#"{"items":[]}"#).as_deref(), Some(empty));
    for text in [
        "[]",
        "{}",
        r#"{"items":{}}"#,
        r#"{"items":[1]}"#,
        r#"{"items":[{}]}"#,
    ] {
        assert_eq!(shaped(list, text), None, "{text}");
    }
}

#[test]
fn anything_is_an_object_or_becomes_one() {
    let any = |text: &JsonText| any(text.clone());
    assert_eq!(shaped(any, r#"{"a":1}"#).as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(shaped(any, "[1]").as_deref(), Some(r#"{"result":[1]}"#));
    assert_eq!(shaped(any, "null").as_deref(), Some(r#"{"result":null}"#));
}

#[test]
fn what_would_be_too_deep_in_an_object_is_not_put_into_one() {
    let any = |text: &JsonText| any(text.clone());
    let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deepest = shaped(any, &deep(126)).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
    assert_eq!(shaped(any, &deep(127)), None);
    assert!(shaped(any, &format!("{{\"a\":{}}}", deep(126))).is_some());
}

#[test]
fn what_is_in_its_shape_already_is_not_copied() {
    let record =
        r#"{"uid":"a","version":1,"updatedAt":null,"deletedAt":null,"payload":{"a":"\\"}}"#;
    let page = format!(r#"{{"items":[{record},{record}],"nextCursor":"c"}}"#);
    let with_more = format!(r#"{},"total":2}}"#, &page[..page.len() - 1]);
    for (shape, text, is_same) in [
        (item as fn(&JsonText) -> _, record, true),
        (list, &page, true),
        (list, &with_more, false),
    ] {
        let text = JsonText::read(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let shaped = shape(&text).unwrap();
        let is_shared = shaped.as_bytes().as_ptr() == text.as_bytes().as_ptr();
        assert_eq!((shaped == text, is_shared), (is_same, is_same));
    }
}

/// Records and pages as backends send them, and as none would.
fn any_answer() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => prop::sample::select(vec!["uid", "version", "updatedAt", "deletedAt", "payload"]),
        1 => prop::sample::select(vec!["items", "nextCursor", "more", "", "\\u0075id", "\\ud800", "uid\\\"", "\\u0069tems"]),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec!["1", "-1.50", "12345678901234567890123", "\"a\"", "\"\\\"}],{[\"", "\"\\udead\""]),
        1 => prop::sample::select(vec!["null", "true", "[]", "{}", "[1,[\"]\"],{\"a\":{}}]", "{\"uid\":\"b\",\"items\":[{}]}", "{\"\\ud800\":1}"]),
    ];
    let members = prop::collection::vec((name, value), 0..7).prop_map(|members| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        members.join(",")
    });
    let whole = prop::sample::select(vec![
        r#""uid":"a","version":1"#,
        r#""uid":"a","version":1,"updatedAt":"t","deletedAt":null,"payload":{"text":"x"}"#,
        r#""uid":"a","version":1,"updatedAt":"t","payload":{"text":"x"},"deletedAt":null"#,
    ]);
    let record = prop_oneof![
        1 => members.prop_map(|members| format!("{{{members}}}")),
        4 => whole.prop_map(|members| format!("{{{members}}}")),
        1 => prop::sample::select(vec!["1", "[]", "null"]).prop_map(str::to_owned),
    ];
    let records = prop::collection::vec(record.clone(), 0..4)
        .prop_map(|records| format!("[{}]", records.join(",")));
    let names = prop::sample::select(vec![
        "items",
        "items",
        "nextCursor",
        "\\u0069tems",
        "\\ud800",
        "total",
    ]);
    let page = prop::collection::vec((names, records), 0..4).prop_map(|members| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![record, page]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_shape_is_the_one_that_serde_makes(answer in any_answer()) {
        let text = JsonText::read(Bytes::from(answer)).unwrap();
        prop_assert!(item(&text) == by_serde::item(&text));
        prop_assert!(list(&text) == by_serde::list(&text));
    }
}
