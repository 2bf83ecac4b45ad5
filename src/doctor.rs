//! `toolbridge doctor`: plays a client against an MCP URL step by step and, where settings are at hand, looks at the
//! operator's side. In: a [`Patient`]. Out: a [`Report`] that names what was seen, which rule it breaks and how to mend
//! it. It talks plain HTTP, because a library would hide what is wrong. The token goes to the examined URL and, in the
//! sidecar's place, to the backend of the settings: nowhere else, and into no word of the report.

mod answers;
mod backend;
mod challenge;
mod clock;
mod issuer;
mod jwks;
mod metadata;
mod network;
mod operator;
mod protocol;
mod report;
mod rpc;
mod token;
mod tools;
mod visit;

use std::{
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};

use secrecy::SecretString;
use tokio::time::{Instant, timeout};

use crate::outgoing;

pub use operator::{Operator, WorkosKey, workos_key};
pub use report::{Finding, Report, Severity, Step, Verdict};

use report::Outcome;
use visit::Visit;

/// What is examined.
pub struct Patient {
    /// The MCP URL exactly as a person would type it into a client.
    pub url: String,
    /// A token for it; without one the steps behind the door are skipped.
    pub token: Option<SecretString>,
    /// What the operator's settings say.
    pub operator: Operator,
    /// The Unix time: `clock::unix_now` but in tests.
    pub now: fn() -> Duration,
    /// How long things may take.
    pub patience: Patience,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// One request, connecting included.
    pub request: Duration,
    /// One step.
    pub step: Duration,
    /// Everything.
    pub overall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            step: Duration::from_secs(15),
            overall: Duration::from_secs(60),
        }
    }
}

/// A step on its way.
type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One thing to look at: `needs` names the steps without whose success it could only repeat their complaint.
struct Plan {
    name: &'static str,
    needs: &'static [&'static str],
    run: for<'a> fn(&'a mut Visit) -> Running<'a>,
}

/// A step that asks the network.
macro_rules! waits {
    ($run:path) => {
        |visit| Box::pin($run(visit))
    };
}

/// A step that only looks at what is there.
macro_rules! looks {
    ($run:path) => {
        |visit| Box::pin(ready($run(visit)))
    };
}

macro_rules! steps {
    ($($name:literal after [$($need:literal),*] $kind:ident $run:path;)*) => {
        &[$(Plan { name: $name, needs: &[$($need),*], run: $kind!($run) }),*]
    };
}

/// What a client goes through, in its order.
const CLIENT: &[Plan] = steps! {
    "url" after [] looks network::url;
    "dns" after ["url"] waits network::dns;
    "tcp" after ["dns"] waits network::tcp;
    "tls" after ["tcp"] waits network::tls;
    "answers" after ["tls"] waits answers::answers;
    "challenge" after ["answers"] waits challenge::challenge;
    "metadata" after ["answers"] waits metadata::metadata;
    "issuer" after ["answers"] waits issuer::issuer;
    "jwks" after ["issuer"] waits jwks::jwks;
    "registration" after ["issuer"] looks issuer::registration;
    "token" after [] looks token::token;
    "audience" after ["token"] looks token::audience;
    "initialize" after ["answers", "token", "audience"] waits protocol::initialize;
    "stream" after ["initialize"] waits protocol::stream;
    "discover" after ["initialize"] waits protocol::discover;
    "tools" after ["initialize"] waits tools::tools;
    "read" after ["tools"] waits tools::read;
};

/// What only the operator can look at.
const OPERATOR: &[Plan] = steps! {
    "settings" after [] looks operator::settings;
    "addresses" after ["settings"] looks operator::addresses;
    "catalogue" after ["settings"] looks operator::catalogue;
    "backend" after ["settings"] waits backend::reach;
    "clock" after [] looks clock::clock;
    "signature" after ["backend", "catalogue", "token"] waits backend::signature;
    "session" after ["signature"] waits backend::session;
    "workos" after ["settings"] waits operator::workos;
};

/// Looks at everything, in order; takes no longer than the patient's patience.
///
/// # Errors
/// When no HTTP client can be set up.
pub async fn examine(patient: Patient) -> Result<Report, reqwest::Error> {
    let patience = patient.patience;
    let client = outgoing::client(outgoing::Timeouts {
        connect: patience.request,
        request: patience.request,
    })?;
    let deadline = Instant::now() + patience.overall;
    let mut report = Report::new(&patient.url);
    let mut visit = Visit::new(patient, client);
    for (side, plans) in [("client", CLIENT), ("operator", OPERATOR)] {
        for plan in plans {
            let outcome = match report.obstacle(plan.needs) {
                Some(root) => Outcome::blocked(root),
                None => {
                    run(
                        plan,
                        &mut visit,
                        deadline.min(Instant::now() + patience.step),
                    )
                    .await
                }
            };
            report.add(side, plan.name, outcome);
        }
    }
    // Whatever happened, the server need not keep our connection.
    let _ = timeout(patience.request, protocol::leave(&mut visit)).await;
    Ok(report)
}

async fn run(plan: &Plan, visit: &mut Visit, until: Instant) -> Outcome {
    let limit = until.saturating_duration_since(Instant::now());
    if limit.is_zero() {
        return Outcome::skipped("the time for the whole examination is up");
    }
    match timeout(limit, (plan.run)(visit)).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::failed(
            "nothing in time",
            Finding::wrong(format!("the step was not over within {limit:?}"))
                .rule("doctor's own patience")
                .mend("look at what stands between here and the server; --timeout gives it longer"),
        ),
    }
}
