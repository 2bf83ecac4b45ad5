//! The first request, without a token: does MCP answer here at all, or something in its place?

use super::{
    report::{Finding, Outcome},
    rpc,
    visit::{Answer, Visit},
};

const TRANSPORT: &str = "MCP 2025-11-25 transports (one endpoint that answers POST)";

/// Whether MCP answers: with a challenge, or with a result where it asks nobody.
pub(super) async fn answers(visit: &mut Visit) -> Outcome {
    let Some(url) = visit.facts.url.clone() else {
        return Outcome::skipped("there is no URL");
    };
    let request = rpc::message(&visit.http, url, &rpc::initialize(0));
    let answer = match visit.ask("the server", request).await {
        Ok(answer) => answer,
        Err(why) => {
            let why = visit.quote(&why);
            return Outcome::failed(
                "no HTTP answer",
                Finding::wrong(format!("the port is open, but no HTTP answer came: {why}"))
                    .rule(TRANSPORT)
                    .mend("is another program listening there, or does the port speak https?"),
            );
        }
    };
    let seen = format!("{} {}", answer.status, answer.media_type());
    let outcome = match trouble(visit, &answer) {
        Some(finding) => Outcome::failed(seen, finding),
        None => Outcome::passed(seen),
    };
    visit.facts.first = Some(answer);
    outcome
}

fn trouble(visit: &Visit, answer: &Answer) -> Option<Finding> {
    let status = answer.status;
    let said = said(visit, answer);
    if status == 401 {
        return None;
    }
    if (300..400).contains(&status) {
        let to = answer.headers.get(http::header::LOCATION);
        let to = to.map(|to| visit.quote(&String::from_utf8_lossy(to.as_bytes())));
        let to = to.unwrap_or_else(|| "nowhere".to_owned());
        return Some(
            Finding::wrong(format!("redirected ({status}) to {to}"))
                .rule(
                    "RFC 9110 §15.4, MCP 2026-07-28 authorization (tokens do not follow redirects)",
                )
                .mend(
                    "give people the final URL, and let the proxy forward instead of redirecting",
                ),
        );
    }
    if answer.is_web_page() {
        return Some(
            Finding::wrong(format!("a web page ({status}) came in place of MCP"))
                .rule(TRANSPORT)
                .mend("a proxy or another service answers: forward /mcp and /.well-known/ to toolbridge unchanged, and see that it runs"),
        );
    }
    Some(match status {
        200 => return None,
        403 => Finding::wrong(format!(
            "the server does not answer to this host name (403){said}"
        ))
        .rule("MCP 2025-11-25 transports (Host and Origin are checked against DNS rebinding)")
        .mend(
            "set server.public_url to this URL's origin, or add the host to server.allowed_hosts",
        ),
        404 | 405 => Finding::wrong(format!("no MCP endpoint is at this path ({status}){said}"))
            .rule(TRANSPORT)
            .mend("toolbridge serves /mcp: correct the path, or let the proxy keep it"),
        500.. => Finding::wrong(format!(
            "the server, or a proxy before it, is unwell ({status}){said}"
        ))
        .rule(TRANSPORT)
        .mend("look at its log and at /readyz on the operations port"),
        _ => Finding::wrong(format!(
            "{status} in place of a challenge or an answer{said}"
        ))
        .rule("MCP 2026-07-28 authorization (401 without a token)")
        .mend("see what stands between here and toolbridge; without a token it answers 401"),
    })
}

/// The server's own words, where it has some: `: "…"`.
pub(super) fn said(visit: &Visit, answer: &Answer) -> String {
    let json = answer.json().unwrap_or_default();
    let words = json
        .get("error_description")
        .or_else(|| json.pointer("/error/message"))
        .or_else(|| json.get("message"))
        .and_then(serde_json::Value::as_str);
    words.map_or_else(String::new, |words| format!(": {}", visit.quote(words)))
}
