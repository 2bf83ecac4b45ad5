//! Settings → the parts they describe, one function a part. In: `Settings`, checked. Out: what `app` puts together, or why
//! it cannot be made.

use std::sync::Arc;

use super::StartError;
use crate::{
    backend::{BackendSettings, BackendUrl, InvalidBackendUrl, RetrySettings, retry},
    catalogue::{Catalogue, Problems},
    clock,
    guard::{GuardSettings, SlotSettings, Slots},
    identity::{
        CannotAsk, InvalidSecret, Members, Outbound, Right, Signer, TenantSource,
        outbound::{Exchange, Mint},
    },
    mcp::{Journal, WriteRules},
    observe::{
        Exporter, Observer, People, Traces,
        audit::{Audit, CannotAudit},
    },
    outgoing::Timeouts,
    server::connection::{self, Limits},
    settings::{
        AuthSettings, CatalogueSource, ChoiceSettings, JournalPlace, LogPerson, OutboundSettings,
        RequiredRight, Settings, TcpSettings, TenantSettings, WorkOsSettings, WriteSettings,
    },
};

/// The catalogue that is meant.
///
/// # Errors
/// Every problem it has.
pub fn catalogue(source: &CatalogueSource) -> Result<Catalogue, Problems> {
    match source {
        CatalogueSource::Shipped => Catalogue::shipped(),
        CatalogueSource::File(path) => Catalogue::load(path),
    }
}

pub(super) fn warn_of_foreign_audiences(settings: &AuthSettings) {
    if let AuthSettings::Tokens(tokens) = settings
        && !tokens.extra_audiences.is_empty()
    {
        let audiences = tokens.extra_audiences.join(", ");
        tracing::warn!(
            audiences,
            "auth.extra_audiences: tokens made for other services are accepted here"
        );
    }
}

pub(super) fn tenant(
    settings: &Settings,
    outbound: &Arc<Outbound>,
    observer: &Arc<Observer>,
) -> Result<TenantSource, CannotAsk> {
    let workos = |it: &WorkOsSettings| {
        let members = Members::of_workos(&it.url, &it.key, it.cache)?;
        Ok::<_, CannotAsk>(members.observed_by(Arc::clone(observer)))
    };
    let chosen = |members, choice: &ChoiceSettings| TenantSource::Memberships {
        members,
        default: choice.default.clone(),
        choice_lifetime: choice.lifetime,
    };
    Ok(match &settings.tenant {
        TenantSettings::Fixed(tenant) => TenantSource::Fixed(tenant.clone()),
        TenantSettings::Required(tenant, right) => {
            let right = match right {
                RequiredRight::Claim(name) => Right::Claim(name.clone()),
                RequiredRight::WorkOs(it) => Right::Membership(workos(it)?),
            };
            TenantSource::Required(tenant.clone(), right)
        }
        TenantSettings::WorkOs(it, choice) => chosen(workos(it)?, choice),
        TenantSettings::Backend(choice, cache) => {
            let outbound = Arc::clone(outbound);
            let members =
                Members::of_backend(&settings.backend.url, outbound, clock::unix_now, *cache);
            chosen(members?, choice)
        }
    })
}

pub(super) fn limits(tcp: &TcpSettings) -> Limits {
    let limits = Limits {
        header_timeout: tcp.header_timeout,
        body_timeout: tcp.body_timeout,
        write_timeout: tcp.write_timeout,
        idle_timeout: tcp.idle_timeout,
        max_headers: tcp.max_headers,
        max_connections: tcp.max_connections,
        max_connections_per_ip: tcp.max_connections_per_ip,
    };
    limits.within(connection::most_open_files())
}

/// How many requests ask the backend at once.
pub(super) fn slots(settings: &Settings) -> Slots {
    Slots::new(SlotSettings {
        slots: settings.limits.concurrency,
        queue: settings.limits.queue,
        wait: settings.backend.pool_timeout,
    })
}

pub(super) fn guard(settings: &Settings) -> GuardSettings {
    let limits = &settings.limits;
    GuardSettings {
        rules: limits.rules,
        shared: limits.shared.clone(),
        // Tenants that share a store do not share their people's limits.
        scope: fixed_tenant(settings).to_owned(),
        breaker: settings.breaker,
    }
}

/// The tenant of this process; empty where memberships say it.
fn fixed_tenant(settings: &Settings) -> &str {
    match &settings.tenant {
        TenantSettings::Fixed(tenant) | TenantSettings::Required(tenant, _) => tenant.as_str(),
        TenantSettings::WorkOs(..) | TenantSettings::Backend(..) => "",
    }
}

pub(super) fn backend(
    settings: &Settings,
    slots: Slots,
) -> Result<BackendSettings, InvalidBackendUrl> {
    let backend = &settings.backend;
    let base: BackendUrl = backend.url.as_str().parse()?;
    Ok(BackendSettings {
        base,
        timeouts: Timeouts {
            connect: backend.connect_timeout,
            request: backend.request_timeout,
        },
        idle_timeout: backend.idle_timeout,
        slots,
        call_timeout: backend.call_timeout,
        retry: RetrySettings {
            base: backend.retry_base,
            dice: retry::dice,
        },
        session_reuse: backend.session_reuse,
        max_response_bytes: backend.max_response_bytes,
        now: clock::unix_now,
    })
}

/// How writes happen once. A folder that nobody asked for is used if it can be.
pub(super) fn writes(settings: &Settings) -> Result<WriteRules, StartError> {
    let WriteSettings { keep, journal } = &settings.writes;
    let whose = [settings.backend.url.as_str(), fixed_tenant(settings)];
    let journal = match journal {
        JournalPlace::Off => None,
        JournalPlace::Folder(folder) => Some(Journal::open(folder, whose)?),
        JournalPlace::IfPossible(folder) => Journal::open(folder, whose)
            .inspect_err(|error| tracing::warn!(%error, "no folder for writes.journal: a write under way would be forgotten with this process"))
            .ok(),
    };
    Ok(WriteRules {
        keep: *keep,
        journal,
        now: clock::unix_now,
    })
}

/// Who is told of everything, and what sends the spans of it.
pub(super) fn observer(
    settings: &Settings,
) -> Result<(Arc<Observer>, Option<Exporter>), reqwest::Error> {
    let people = match settings.log.person {
        LogPerson::Hashed => People::Hashed,
        LogPerson::Plain => People::Plain,
        LogPerson::Off => People::Unsaid,
    };
    let mut observer = Observer {
        people,
        ..Observer::default()
    };
    let Some(traces) = &settings.traces else {
        return Ok((Arc::new(observer), None));
    };
    let (traces, exporter) = Traces::new(traces, observer.metrics.spans())?;
    observer.traces = Some(traces);
    Ok((Arc::new(observer), Some(exporter)))
}

/// Where each write leaves a line, if anywhere.
pub(super) fn audit(settings: &Settings) -> Result<Option<Arc<Audit>>, CannotAudit> {
    let audit = settings.audit.as_ref();
    let audit = audit.map(|it| Audit::open(it, clock::unix_now));
    let audit = audit.transpose()?;
    Ok(audit.map(Arc::new))
}

/// Signs tenant headers, where the backend wants that.
pub(super) fn signer(settings: &Settings) -> Result<Option<Signer>, InvalidSecret> {
    let signer = settings.signing_secret.as_ref().map(Signer::new);
    let key_id = || settings.signing_key_id.clone();
    Ok(signer
        .transpose()?
        .map(|signer| signer.with_key_id(key_id())))
}

pub(super) fn outbound(settings: &Settings) -> Result<Outbound, StartError> {
    Ok(match &settings.outbound {
        OutboundSettings::Forward => Outbound::Forward,
        OutboundSettings::Exchange(exchange) => {
            Outbound::Exchange(Exchange::new(exchange.clone(), signer(settings)?)?)
        }
        OutboundSettings::Mint(mint) => Outbound::Mint(Mint::new(mint.clone())),
    })
}
