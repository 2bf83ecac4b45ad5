//! The backend, as the sidecar meets it: is it there, does it take the signature, does it open a session? One session
//! is opened, with the token that the sidecar would send, and closed where the catalogue says how; nothing is read or written.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use crate::{
    backend::BackendUrl,
    catalogue::SessionRecipe,
    identity::{
        Outbound, Signer, TenantId,
        outbound::{Exchange, Mint},
    },
    settings::{OutboundSettings, Settings},
};

use super::{
    clock::TOO_MUCH,
    operator::{NO_SETTINGS, fixed_tenant},
    report::{Finding, Outcome},
    visit::{Answer, Visit},
};

const OUTBOUND: &str = "identity.token (README, which token the backend gets)";
const SIGNATURES: &str = "backend contract §4.1 (signed tenant headers)";
const SESSIONS: &str = "backend contract §2.1 (a session before each request)";

/// The backend answers HTTP.
pub(super) async fn reach(visit: &mut Visit) -> Outcome {
    let Some(settings) = visit.operator.settings() else {
        return Outcome::skipped(NO_SETTINGS);
    };
    let base = settings.backend.url.clone();
    let Some(url) = at(&base, "/healthz") else {
        return Outcome::skipped("backend.url cannot be used");
    };
    let shown = visit.quote(base.as_str());
    match visit.get("the backend", url).await {
        Ok(answer) if answer.status < 500 => {
            Outcome::passed(format!("{shown} answers {} to /healthz", answer.status))
        }
        Ok(answer) => Outcome::failed(
            answer.status.to_string(),
            Finding::wrong(format!(
                "the backend at {shown} is unwell ({})",
                answer.status
            ))
            .rule("backend contract (GET /healthz answers 200)")
            .mend("look at the backend's log"),
        ),
        Err(why) => Outcome::failed(
            "no answer",
            Finding::wrong(format!(
                "the backend at {shown} cannot be reached: {}",
                visit.quote(&why)
            ))
            .rule("backend contract (GET /healthz answers 200)")
            .mend("start the backend, or correct backend.url"),
        ),
    }
}

/// The backend takes our signature; it also opens the session that the next step judges.
pub(super) async fn signature(visit: &mut Visit) -> Outcome {
    let (tenant, recipe) = match opening(visit) {
        Ok(opening) => opening,
        Err(skipped) => return skipped,
    };
    visit.facts.authorization = match authorization(visit, &tenant).await {
        Ok(authorization) => Some(authorization),
        Err(failed) => return failed,
    };
    let request = visit.operator.settings().and_then(|settings| {
        let url = at(&settings.backend.url, &recipe.target)?;
        let headers = headers(visit, settings, &tenant)?;
        let request = visit.http.request(recipe.method.clone(), url);
        Some((request.headers(headers), settings.signing_secret.is_some()))
    });
    let Some((request, is_signed)) = request else {
        return Outcome::skipped("the settings make no request");
    };
    let answer = match visit.ask("the backend", request).await {
        Ok(answer) => answer,
        Err(why) => {
            return Outcome::failed(
                "no answer",
                Finding::wrong(format!(
                    "no whole answer to the opening of a session: {}",
                    visit.quote(&why)
                ))
                .rule(SESSIONS)
                .mend("look at the backend's log"),
            );
        }
    };
    let body = String::from_utf8_lossy(&answer.body).to_lowercase();
    let is_refused = answer.status == 401 && body.contains("tenant header");
    visit.facts.opening = Some(answer);
    if is_refused {
        return refusal(visit, is_signed);
    }
    if is_signed {
        Outcome::passed("accepted")
    } else {
        Outcome::skipped("TENANT_HEADER_SECRET is not set, so tenant headers go unsigned")
    }
}

/// Which of the three reasons it is.
fn refusal(visit: &Visit, is_signed: bool) -> Outcome {
    let clocks = visit.facts.clocks.iter();
    let off = clocks
        .filter(|(who, _)| *who == "the backend")
        .map(|(_, ahead)| ahead.unsigned_abs())
        .max();
    let (what, mend) = match (is_signed, off) {
        (false, _) => (
            "the backend wants signed tenant headers, and there is no secret to sign with"
                .to_owned(),
            "set TENANT_HEADER_SECRET to the secret that the backend has",
        ),
        (true, Some(off)) if off > TOO_MUCH => (
            format!(
                "the backend refuses the signature: its clock is {off} s away, and it allows {TOO_MUCH}"
            ),
            "synchronize the clocks (NTP); the secret may be right",
        ),
        (true, _) => (
            "the backend refuses the signature: its secret is another one".to_owned(),
            "give both the same TENANT_HEADER_SECRET; mind newlines and quotes",
        ),
    };
    Outcome::failed(
        "401 invalid tenant headers",
        Finding::wrong(what).rule(SIGNATURES).mend(mend),
    )
}

/// The backend opened a session that the catalogue's recipe can use.
pub(super) async fn session(visit: &mut Visit) -> Outcome {
    let (_, recipe) = match opening(visit) {
        Ok(opening) => opening,
        Err(skipped) => return skipped,
    };
    let Some(answer) = visit.facts.opening.take() else {
        return Outcome::skipped("no session was asked for");
    };
    if !recipe.success.contains(&answer.status) {
        return refused(visit, &answer);
    }
    let body = answer.json().unwrap_or_default();
    let lacking = recipe
        .headers
        .iter()
        .find(|(_, pointer)| pointer.text_in(&body).is_none());
    close(visit, &recipe, &body).await;
    match lacking {
        None => Outcome::passed(format!("opened ({})", answer.status)),
        Some((header, pointer)) => Outcome::failed(
            format!("opened ({})", answer.status),
            Finding::wrong(format!(
                "the answer has nothing at `{pointer}` for the header `{header}`"
            ))
            .rule("tools.yaml, backend.session.headers")
            .mend("correct the JSON Pointer in the catalogue"),
        ),
    }
}

fn refused(visit: &Visit, answer: &Answer) -> Outcome {
    let said = super::answers::said(visit, answer);
    let (what, mend) = match answer.status {
        401 => (
            "the backend refuses the token",
            "give backend and sidecar the same issuer, audience and keys; JWT_ISSUER and JWT_AUDIENCE of the backend count too",
        ),
        403 => (
            "the backend refuses this person for this tenant",
            "correct tenant.id, or make the person a member",
        ),
        404 | 405 => (
            "the backend has no such endpoint",
            "correct backend.session.open in the catalogue, or backend.url",
        ),
        429 => (
            "the backend has had too many sessions of this person",
            "wait a minute",
        ),
        _ => ("the backend opens no session", "look at the backend's log"),
    };
    Outcome::failed(
        answer.status.to_string(),
        Finding::wrong(format!("{what} ({}){said}", answer.status))
            .rule(SESSIONS)
            .mend(mend),
    )
}

/// For whom and how a session is opened here, or why it is not.
fn opening(visit: &Visit) -> Result<(TenantId, SessionRecipe), Outcome> {
    let settings = visit
        .operator
        .settings()
        .ok_or_else(|| Outcome::skipped(NO_SETTINGS))?;
    if visit.token.is_none() {
        return Err(Outcome::skipped(
            "no token was given (--token or --token-file)",
        ));
    }
    let tenant = fixed_tenant(&settings.tenant)
        .ok_or_else(|| Outcome::skipped("the tenant is looked up for each person"))?;
    let recipe = visit
        .facts
        .catalogue
        .as_ref()
        .and_then(|catalogue| catalogue.session());
    let recipe = recipe.ok_or_else(|| Outcome::skipped("the catalogue opens no sessions"))?;
    Ok((tenant, recipe.clone()))
}

/// What the sidecar would send with this caller's calls: its own token, an exchanged one or a minted one.
async fn authorization(visit: &Visit, tenant: &TenantId) -> Result<HeaderValue, Outcome> {
    let unusable = |what: String, mend: &str| {
        let finding = Finding::wrong(what).rule(OUTBOUND).mend(mend);
        Outcome::failed("no token for the backend", finding)
    };
    let own = own_authorization(visit).ok_or_else(|| {
        let what = "the token cannot stand in a header".to_owned();
        unusable(what, "copy it again")
    })?;
    let Some(settings) = visit.operator.settings() else {
        return Ok(own);
    };
    let outbound = match &settings.outbound {
        OutboundSettings::Forward => return Ok(own),
        OutboundSettings::Exchange(exchange) => {
            let signer = settings.signing_secret.as_ref().map(Signer::new);
            let signer = signer.transpose().ok().flatten();
            Exchange::new(exchange.clone(), signer).map(Outbound::Exchange)
        }
        OutboundSettings::Mint(mint) => Ok(Outbound::Mint(Mint::new(mint.clone()))),
    };
    let outbound = outbound.map_err(|_| {
        let what = "no HTTP client can be set up".to_owned();
        unusable(what, "look at the machine's certificates")
    })?;
    let verifier = settings.auth.verifier();
    let verifier =
        verifier.map_err(|error| unusable(error.to_string(), "correct the keys of auth.*"))?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, own)]);
    let caller = verifier.caller(&headers, (visit.now)()).await;
    let caller = caller.map_err(|error| {
        let what = format!("the sidecar itself would refuse this token: {error}");
        unusable(what, "give a token that the steps above accept")
    })?;
    let token = outbound
        .token_for(&caller, Some(tenant), (visit.now)())
        .await;
    let token = token.map_err(|error| {
        let mend = "compare identity.exchange.* or identity.mint.* with who issues and who takes the token";
        unusable(error.to_string(), mend)
    })?;
    let token =
        token.ok_or_else(|| Outcome::skipped("nobody is recognized, so nobody has a token"))?;
    Ok(token.authorization())
}

fn own_authorization(visit: &Visit) -> Option<HeaderValue> {
    let token = visit.token.as_ref()?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn headers(visit: &Visit, settings: &Settings, tenant: &TenantId) -> Option<HeaderMap> {
    let mut headers = tenant_headers(settings, tenant, (visit.now)())?;
    headers.insert(AUTHORIZATION, visit.facts.authorization.clone()?);
    Some(headers)
}

/// The headers with which the sidecar names the tenant, fresh for this moment.
fn tenant_headers(settings: &Settings, tenant: &TenantId, now: Duration) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert("x-tb-tenant-id", tenant.header());
    if let Some(secret) = &settings.signing_secret {
        let signer = Signer::new(secret).ok()?;
        let timestamp = HeaderValue::from(u64::try_from(now.as_millis()).ok()?);
        headers.insert("x-tb-signature", signer.sign(tenant, &timestamp));
        headers.insert("x-tb-timestamp", timestamp);
        if let Some(key_id) = &settings.signing_key_id {
            headers.insert("x-tb-key-id", key_id.clone());
        }
    }
    Some(headers)
}

/// A backend that forgets sessions by itself needs no closing, and a failed one harms nobody.
async fn close(visit: &Visit, recipe: &SessionRecipe, opened: &Value) {
    let request = visit.operator.settings().and_then(|settings| {
        let close = recipe.close.as_ref()?;
        let url = at(&settings.backend.url, &close.target.fill(opened)?)?;
        let tenant = fixed_tenant(&settings.tenant)?;
        let headers = headers(visit, settings, &tenant)?;
        let request = visit.http.request(close.method.clone(), url);
        Some(request.headers(headers))
    });
    if let Some(request) = request {
        let _ = request.send().await;
    }
}

/// A target below the backend's URL.
fn at(base: &Url, target: &str) -> Option<Url> {
    base.as_str().parse::<BackendUrl>().ok()?.at(target)
}
