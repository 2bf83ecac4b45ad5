//! `toolbridge prove-isolation`: the proof of `isolation`, against sidecars of its own or running ones. The table goes
//! to standard output, JSON to `--report`; exit code 1 where anything leaked, was damaged or was not answered.

mod own;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use secrecy::SecretString;
use tracing::level_filters::LevelFilter;
use url::Url;

use super::{Failed, in_runtime, say, start, tools};
use crate::{
    catalogue::Catalogue,
    isolation::{self, Credentials, Report, Target},
};

const HELP: &str = "\
Two people of each of two tenants create records of every entity; then each tries to read and change
the others' records with every tool: foreign uids, parents, cursors, fields, headers, paths, tokens
and connections. After each kind of trick all owners read their records again. Every trick, how often
it was tried and what came of it is in the report.

What is proved without --target:
  It starts one embedded backend for both tenants (the worst case: nothing but the person keeps
  records apart) and two sidecars of this binary in front of it, with audiences of their own. It
  proves that this version of toolbridge, with this catalogue, never lets a caller act as somebody
  else or in another tenant, whatever is sent.
What is proved with --target, given twice:
  The same attacks on sidecars that run, with their settings and their backend. It proves that this
  deployment keeps these four people apart. Records are made in their names and deleted at the end
  (tombstones stay). Some thousand calls are made, and what is RATE_LIMITED is waited for: at one
  call a second and person, half an hour.
What is not proved:
  That a person of both tenants sees different records in each. Where both share a backend that
  scopes by person only, they are the same records.

Examples:
  toolbridge prove-isolation
  toolbridge prove-isolation --report isolation.json
  toolbridge prove-isolation --with-leak       # the proof can fail: exit code 1
  toolbridge prove-isolation --target acme=https://acme.example.com/mcp,@alice.jwt,@bob.jwt \\
                             --target blue=https://blue.example.com/mcp,@carol.jwt,@dave.jwt";

/// Try to cross tenants and people with every tool, and report what came of it.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct ProveIsolation {
    /// A running sidecar and the tokens of two of its people (@FILE reads one); twice
    #[arg(long, value_name = "TENANT=URL,TOKEN,TOKEN", value_parser = target)]
    target: Vec<Target>,
    /// The catalogue that is served; without it, tools.yaml here, else the shipped one
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Let the embedded backend show foreign records, to see that it is found
    #[arg(long, conflicts_with = "target")]
    with_leak: bool,
}

impl ProveIsolation {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        start::plain_logging(LevelFilter::ERROR)?;
        let catalogue = tools::catalogue(self.catalogue.clone())?;
        let report = in_runtime(self.prove(&catalogue))?;
        if let Some(file) = &self.report {
            let json = serde_json::to_string_pretty(&report).map_err(Failed::new)?;
            std::fs::write(file, json + "\n").map_err(|error| {
                Failed::new(format!("{} cannot be written: {error}", file.display()))
            })?;
        }
        say(&report.to_string())?;
        Ok(if report.proved {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn prove(&self, catalogue: &Catalogue) -> Result<Report, Failed> {
        match self.target.as_slice() {
            [] => {
                let own = own::start(self.catalogue.clone(), catalogue, self.with_leak).await?;
                let report = isolation::prove(catalogue, &own.targets, &progress).await;
                own.stop().await;
                report.map_err(Failed::new)
            }
            [one, other] => {
                let targets = [one.clone(), other.clone()];
                let report = isolation::prove(catalogue, &targets, &progress).await;
                report.map_err(Failed::new)
            }
            _ => Err(Failed::configuration(
                "--target is given twice, once for each tenant, or not at all",
            )),
        }
    }
}

/// What is going on; standard output is for the report.
fn progress(what: &str) {
    let _ = writeln!(io::stderr(), "… {what}");
}

/// `TENANT=URL,TOKEN,TOKEN`. No token is in an error.
fn target(text: &str) -> Result<Target, String> {
    let (tenant, rest) = text.split_once('=').ok_or("TENANT= is missing")?;
    let parts: Vec<&str> = rest.split(',').collect();
    let [url, one, other] = parts.as_slice() else {
        return Err("a URL and two tokens are wanted after TENANT=, with commas".to_owned());
    };
    let url = Url::parse(url).map_err(|error| format!("no URL: {error}"))?;
    let person = |number: u8, token: &str| {
        Ok::<_, String>(Credentials {
            name: format!("person {number}"),
            token: secret(token)?,
        })
    };
    Ok(Target {
        tenant: tenant.to_owned(),
        url,
        people: [person(1, one)?, person(2, other)?],
    })
}

fn secret(text: &str) -> Result<SecretString, String> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(text.into());
    };
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("{file} cannot be read: {error}"))?;
    Ok(text.trim().into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_target_is_a_tenant_an_address_and_two_tokens() {
        let read = target("acme=https://acme.test/mcp,one,other").unwrap();
        assert_eq!((read.tenant.as_str(), read.url.path()), ("acme", "/mcp"));
        let tokens = read
            .people
            .each_ref()
            .map(|person| person.token.expose_secret());
        assert_eq!(tokens, ["one", "other"]);
    }

    #[test]
    fn a_wrong_target_is_refused_without_showing_its_tokens() {
        for text in [
            "acme",
            "acme=https://a.test,s3cret",
            "acme=nowhere,s3cret,s3cret",
            "acme=https://a.test,@/nonexistent,s3cret",
        ] {
            let refused = target(text).unwrap_err();
            assert!(!refused.contains("s3cret"), "{refused}");
        }
    }
}
