//! The operator's side that needs no backend: settings, addresses, catalogue, the `WorkOS` key. Everything that the
//! other steps want to know of the settings is asked here, so that their shape is known in one place.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::{
    catalogue::{Catalogue, Problems, problem},
    identity::TenantId,
    settings::{
        AuthSettings, CatalogueSource, RequiredRight, Settings, SettingsError, Stage,
        TenantSettings,
    },
};

use super::{
    report::{Finding, Outcome},
    visit::{Visit, is_loopback},
};

/// What is known of the operator's side.
pub enum Operator {
    /// Nothing: why.
    Absent(&'static str),
    /// Settings that `serve` would refuse.
    Refused(SettingsError),
    /// Settings, and the key for `WorkOS` where the tenant is looked up there.
    Settings(Box<Settings>, Option<WorkosKey>),
}

/// The key with which tenants are looked up.
pub struct WorkosKey {
    /// The key itself.
    pub key: SecretString,
    /// `https://api.workos.com` but in tests.
    pub base: Url,
}

/// The key, where the settings say that WorkOS is asked.
#[must_use]
pub fn workos_key(tenant: &TenantSettings) -> Option<WorkosKey> {
    match tenant {
        TenantSettings::WorkOs(workos, _)
        | TenantSettings::Required(_, RequiredRight::WorkOs(workos)) => Some(WorkosKey {
            key: workos.key.clone(),
            base: workos.url.clone(),
        }),
        TenantSettings::Fixed(_) | TenantSettings::Required(..) | TenantSettings::Backend(..) => {
            None
        }
    }
}

/// The tenant, where the settings alone decide it; `None` where somebody is asked for each person.
#[must_use]
pub(super) fn fixed_tenant(tenant: &TenantSettings) -> Option<TenantId> {
    match tenant {
        TenantSettings::Fixed(tenant) | TenantSettings::Required(tenant, _) => Some(tenant.clone()),
        TenantSettings::WorkOs(..) | TenantSettings::Backend(..) => None,
    }
}

impl Operator {
    pub(super) fn settings(&self) -> Option<&Settings> {
        match self {
            Self::Settings(settings, _) => Some(settings),
            Self::Absent(_) | Self::Refused(_) => None,
        }
    }

    /// The issuers whose tokens are accepted.
    pub(super) fn issuers(&self) -> Vec<String> {
        match self.settings().map(|settings| &settings.auth) {
            Some(AuthSettings::Tokens(tokens)) => {
                let issuers = tokens.issuers.iter();
                issuers.map(|issuer| issuer.issuer.clone()).collect()
            }
            Some(AuthSettings::None) | None => Vec::new(),
        }
    }

    /// The audiences that are accepted.
    pub(super) fn audiences(&self) -> Vec<String> {
        match self.settings().map(|settings| &settings.auth) {
            Some(AuthSettings::Tokens(tokens)) => {
                let own = tokens.issuers.iter().flat_map(|issuer| &issuer.audiences);
                own.chain(&tokens.extra_audiences).cloned().collect()
            }
            Some(AuthSettings::None) | None => Vec::new(),
        }
    }
}

/// Why a step has no settings.
pub(super) const NO_SETTINGS: &str = "there are no settings here";

/// The settings, as `serve` would read them.
pub(super) fn settings(visit: &Visit) -> Outcome {
    match &visit.operator {
        Operator::Absent(why) => Outcome::skipped(*why),
        Operator::Refused(error) => {
            let findings: Vec<_> = error
                .problems()
                .iter()
                .map(|problem| {
                    Finding::wrong(format!(
                        "`{}` ({}): {}",
                        problem.setting, problem.origin, problem.what
                    ))
                    .rule("toolbridge.example.toml (settings)")
                    .mend(problem.hint.clone())
                })
                .collect();
            Outcome::of("`toolbridge serve` would not start", findings)
        }
        Operator::Settings(settings, _) => Outcome::passed(match settings.environment {
            Stage::Production => "read; the rules of production hold",
            Stage::Development => "read; environment = development",
        }),
    }
}

/// What we tell clients we are called, and where we listen.
pub(super) fn addresses(visit: &Visit) -> Outcome {
    let Some(settings) = visit.operator.settings() else {
        return Outcome::skipped(NO_SETTINGS);
    };
    let listen = settings.server.listen;
    let mut findings = Vec::new();
    let public = settings.server.public_url.as_ref();
    let resource = public.map(|url| format!("{}/mcp", url.as_str().trim_end_matches('/')));
    match &resource {
        None if !listen.ip().is_loopback() => findings.push(
            Finding::wrong(format!("others can reach {listen}, but `server.public_url` is not set, so clients are told an address that is none"))
                .rule("RFC 9728 §3.3, RFC 8707 §2 (a server knows its own URL)")
                .mend("set server.public_url to the https URL that people type, without /mcp"),
        ),
        Some(resource) if *resource != visit.typed && !visit.facts.url.as_ref().is_some_and(is_loopback) => {
            let (resource, typed) = (visit.quote(resource), visit.quote(&visit.typed));
            findings.push(
                Finding::wrong(format!("`server.public_url` makes this server {resource}, but {typed} is examined"))
                    .rule("RFC 9728 §3.3 (`resource` is the URL the client used)")
                    .mend("set server.public_url to the origin of the URL that people type; or these are another server's settings"),
            );
        }
        _ => {}
    }
    findings.extend(audience(visit, resource.as_deref()));
    let seen = match resource {
        Some(resource) => format!("listens on {listen}, is called {}", visit.quote(&resource)),
        None => format!("listens on {listen}, which is what clients are told"),
    };
    Outcome::of(seen, findings)
}

/// A token asked for our own URL should be accepted.
fn audience(visit: &Visit, resource: Option<&str>) -> Option<Finding> {
    let resource = resource?;
    let audiences = visit.operator.audiences();
    let signs_in = visit
        .operator
        .issuers()
        .iter()
        .any(|issuer| Url::parse(issuer).is_ok_and(|url| url.has_host()));
    let known = audiences
        .iter()
        .any(|it| it.trim_end_matches('/') == resource);
    (signs_in && !audiences.is_empty() && !known).then(|| {
        let (resource, listed) = (visit.quote(resource), visit.quote(&audiences.join(", ")));
        Finding::warning(format!("clients ask for tokens for {resource}, but `auth.audience` accepts only {listed}"))
            .rule("RFC 8707 §2 (the audience is the resource)")
            .mend("add the URL to auth.audience, unless your authorization server stamps one fixed audience")
    })
}

/// The catalogue, with everything `toolbridge check` says.
pub(super) fn catalogue(visit: &mut Visit) -> Outcome {
    let Some(settings) = visit.operator.settings() else {
        return Outcome::skipped(NO_SETTINGS);
    };
    let loaded = match &settings.catalogue {
        CatalogueSource::Shipped => Catalogue::shipped(),
        CatalogueSource::File(path) => Catalogue::load(path),
    };
    match loaded {
        Ok(catalogue) => {
            let findings = findings(catalogue.lints());
            let seen = format!("{} tools", catalogue.tools().len());
            visit.facts.catalogue = Some(catalogue);
            Outcome::of(seen, findings)
        }
        Err(problems) => Outcome::of("it cannot be used", findings(&problems)),
    }
}

fn findings(problems: &Problems) -> Vec<Finding> {
    let problems = problems.list().iter().map(|problem| {
        let what = format!("line {}: {}", problem.at.line, problem.what.escape_debug());
        let finding = match problem.severity {
            problem::Severity::Error => Finding::wrong(what),
            problem::Severity::Lint => Finding::warning(what),
        };
        let mend = problem
            .hint
            .clone()
            .unwrap_or_else(|| "see `toolbridge check`".to_owned());
        finding.rule("toolbridge check (tools.yaml)").mend(mend)
    });
    problems.collect()
}

/// The key opens `WorkOS`, where tenants are looked up there.
pub(super) async fn workos(visit: &mut Visit) -> Outcome {
    let Operator::Settings(_, Some(workos)) = &visit.operator else {
        return Outcome::skipped(
            "tenants are not looked up at WorkOS, or WORKOS_API_KEY is not set",
        );
    };
    let Ok(url) = workos.base.join("/organizations?limit=1") else {
        return Outcome::skipped("the address of WorkOS is no URL");
    };
    let request = visit.http.get(url).bearer_auth(workos.key.expose_secret());
    let answer = visit.ask("WorkOS", request).await;
    let (what, mend) = match answer {
        Ok(answer) if answer.status == 200 => return Outcome::passed("the key is accepted"),
        Ok(answer) if matches!(answer.status, 401 | 403) => (
            format!("WorkOS refuses the key ({})", answer.status),
            "set WORKOS_API_KEY to a key of the right environment (dashboard, API keys)",
        ),
        Ok(answer) => (
            format!("WorkOS answers {}", answer.status),
            "look at status.workos.com, and try again",
        ),
        Err(why) => (
            format!("WorkOS cannot be reached: {}", visit.quote(&why)),
            "let this machine reach api.workos.com over https",
        ),
    };
    Outcome::failed(
        "no organizations",
        Finding::wrong(what)
            .rule("WorkOS API (GET /organizations)")
            .mend(mend),
    )
}
