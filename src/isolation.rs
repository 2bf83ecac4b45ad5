//! The proof that nobody reaches what belongs to somebody else: two people each of two tenants create records and then
//! try, with every id, cursor and header trick, to read or change each other's. In: a catalogue and two running
//! sidecars. Out: a [`Report`]. It sees sidecars from outside only, as an attacker does; and it must be able to fail.

mod attempts;
mod judge;
mod kit;
mod people;
mod report;
mod run;
mod wire;

use secrecy::SecretString;
use url::Url;

pub use report::{Finding, Report, TrickReport};

use crate::catalogue::Catalogue;

/// One running sidecar and the people who are its tenant's.
#[derive(Clone, Debug)]
pub struct Target {
    /// The tenant's id, as the backend is told it.
    pub tenant: String,
    /// Its MCP endpoint, `https://acme.example.com/mcp`.
    pub url: Url,
    /// Two people with tokens that this sidecar accepts.
    pub people: [Credentials; 2],
}

/// A person who takes part.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What the report calls them.
    pub name: String,
    /// Their bearer token.
    pub token: SecretString,
}

/// Why nothing could be proved, one way or the other.
#[derive(Debug, thiserror::Error)]
pub enum CannotProve {
    /// No HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The catalogue has no entity whose records can be made and listed.
    #[error(
        "this catalogue has no entity with a create and a list tool, so there is nothing to try with"
    )]
    NothingToTry,
    /// A person cannot do what the proof starts with. Their own records are what it compares with.
    #[error("{person} of {tenant} cannot use {tool}: {why}")]
    Start {
        /// Who.
        person: String,
        /// Of which tenant.
        tenant: String,
        /// Which tool (or method of MCP) was asked.
        tool: String,
        /// What the sidecar answered.
        why: String,
    },
}

/// Tries everything. `progress` is told what comes next.
///
/// # Errors
/// [`CannotProve`] where the people cannot even make and read their own records. Leaks are no errors: they are in the
/// report.
pub async fn prove(
    catalogue: &Catalogue,
    targets: &[Target; 2],
    progress: &(dyn Fn(&str) + Sync),
) -> Result<Report, CannotProve> {
    let stage = people::enter(catalogue, targets).await?;
    progress(&format!(
        "{} people made {} records",
        stage.people.len(),
        stage.people.iter().map(|p| p.records.len()).sum::<usize>()
    ));
    let mut run = run::Run::new(&stage);
    run.compare("at the beginning").await;
    for (family, attempts) in attempts::FAMILIES {
        progress(family);
        run.attempt_all(attempts(&stage)).await;
        run.compare(family).await;
    }
    progress("connections");
    run.connections().await;
    run.compare("connections").await;
    progress("every tool by its owner");
    run.use_everything().await;
    run.clean_up().await;
    Ok(run.report(targets))
}
