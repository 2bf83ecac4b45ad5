//! `traces.*` → where spans of calls go, and of which calls, or that nobody wants them. The standard variables of
//! OpenTelemetry set the same. The headers may hold a key, so they are a secret.

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret;

use super::{
    Stage, keys, parse,
    problem::{Wrong, shown},
    reader::Reader,
    secrets::Secret,
    tokens::require_https,
};
use crate::observe::{
    TraceSettings,
    traces::{ParentFlag, Protocol, Sampling},
};

/// `traces.*`; the outer `None` where something is wrong with it.
pub(super) fn read(
    reader: &mut Reader,
    stage: Stage,
    headers: Result<Option<Secret>, ()>,
) -> Option<Option<TraceSettings>> {
    let endpoint = reader.text(&keys::TRACES_ENDPOINT, parse::url);
    let protocols = [
        ("grpc", Protocol::Grpc),
        ("http", Protocol::Http),
        ("http/protobuf", Protocol::Http),
    ];
    let protocol = reader.text(&keys::TRACES_PROTOCOL, |text| {
        parse::one_of(text, &protocols)
    });
    let ratio = reader.scalar(&keys::TRACES_SAMPLE, ratio);
    let parent = reader.boolean(&keys::TRACES_TRUST_PARENT);
    if !reader.is_set(&keys::TRACES_ENDPOINT) {
        return (protocol.is_some() && ratio.is_some() && parent.is_some()).then_some(None);
    }
    if let Some(endpoint) = &endpoint {
        require_https(reader, stage, &keys::TRACES_ENDPOINT, endpoint);
    }
    let headers = match headers.ok()? {
        Some(secret) => pairs(reader, &secret)?,
        None => HeaderMap::new(),
    };
    Some(Some(TraceSettings {
        endpoint: endpoint?,
        protocol: protocol?,
        headers,
        sampling: Sampling {
            ratio: ratio?,
            parent: if parent? {
                ParentFlag::Trusted
            } else {
                ParentFlag::Ignored
            },
        },
    }))
}

/// A share of all traces, from 0 to 1.
fn ratio(text: &str) -> Result<f64, Wrong> {
    let number = text.parse().ok();
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| {
        let what = format!("{} is not a number from 0 to 1", shown(text));
        Wrong::new(
            what,
            "write it like `0.1` for one trace in ten, `1` for all, `0` for none",
        )
    })
}

/// `name=value,name=value`, values percent-encoded (OTLP exporter, "Specifying headers via environment variables").
fn pairs(reader: &mut Reader, secret: &Secret) -> Option<HeaderMap> {
    let text = secret.value.expose_secret();
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let headers: Option<HeaderMap> = pairs.map(pair).collect();
    if headers.is_none() {
        let what = "it is no list of headers";
        let hint = "write it like `name=value,name=value`, values percent-encoded";
        reader.problems.push(secret.problem(what, hint));
    }
    headers
}

fn pair(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim().parse().ok()?;
    let value: Vec<u8> = percent_decode_str(value.trim()).collect();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}
