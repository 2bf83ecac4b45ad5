//! `traces.*`, under their own names and the standard ones.

use super::*;
use crate::observe::traces::{ParentFlag, Protocol};

const ENDPOINT: (&str, &str) = (
    "TOOLBRIDGE_TRACES__ENDPOINT",
    "https://collector.example.com",
);

#[test]
fn spans_go_nowhere_until_somebody_says_where() {
    let given = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "no list"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    assert!(material(&given).settings().traces.is_none());
}

#[test]
fn the_standard_variables_set_the_same_and_the_one_for_traces_before_the_one_for_all() {
    let traces = material(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:2"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "X-Key=canary%20key, other=2"),
    ])
    .settings()
    .traces
    .unwrap();
    assert_eq!(traces.endpoint.as_str(), "http://127.0.0.1:2/");
    assert_eq!(traces.protocol, Protocol::Grpc);
    assert_eq!(traces.headers["x-key"], "canary key");
    assert!(!format!("{traces:?}").contains("canary"));
    let standard = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let traces = material(&[ENDPOINT, standard]).settings().traces.unwrap();
    assert_eq!(traces.protocol, Protocol::Http);
}

#[test]
fn everything_is_sampled_and_no_client_trusted_unless_it_is_said() {
    let traces = material(&[ENDPOINT]).settings().traces.unwrap();
    assert!((traces.sampling.ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(traces.sampling.parent, ParentFlag::Ignored);
    let file = "[traces]\nsample = 0.25\ntrust_parent = true\n";
    let traces = material(&[ENDPOINT]).file(file).settings().traces.unwrap();
    assert!((traces.sampling.ratio - 0.25).abs() < f64::EPSILON);
    assert_eq!(traces.sampling.parent, ParentFlag::Trusted);
}

#[test]
fn what_cannot_be_used_is_refused_and_no_key_is_shown() {
    for (name, value, part) in [
        (
            "TOOLBRIDGE_TRACES__ENDPOINT",
            "http://collector:4318",
            "is not https",
        ),
        (
            "TOOLBRIDGE_TRACES__SAMPLE",
            "1.5",
            "is not a number from 0 to 1",
        ),
        (
            "TOOLBRIDGE_TRACES__SAMPLE",
            "NaN",
            "is not a number from 0 to 1",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "is not one of its values",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "canary",
            "it is no list of headers",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=canary%0Ab",
            "it is no list of headers",
        ),
    ] {
        let given = material(&[ENDPOINT]).without(name).with(&[(name, value)]);
        let error = given.load().unwrap_err().to_string();
        assert!(error.contains(part), "{name}={value}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
    let development = ("TOOLBRIDGE_ENVIRONMENT", "development");
    let remote = ("TOOLBRIDGE_TRACES__ENDPOINT", "http://collector:4318");
    assert!(material(&[development, remote]).settings().traces.is_some());
}
