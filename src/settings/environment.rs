//! The process's variables as a value: read once, here and nowhere else, and handed in. Out: the values that belong to
//! settings, and problems for variables that look like ours and are not. No value of an unknown variable is shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::nearest::nearest;

use super::{
    keys::{self, Key, LISTEN_HOST, LISTEN_PORT, PREFIX},
    layers::Entry,
    problem::{Origin, Problem},
};

/// Variables and their values. An empty value counts as unset. It has no `Debug`: secrets are among the values.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<String, String>,
    not_text: BTreeSet<String>,
}

impl Environment {
    /// The variables of this process: the only place that reads them.
    #[must_use]
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => drop(environment.values.insert(name, value)),
                Err(_) => drop(environment.not_text.insert(name)),
            }
        }
        environment
    }

    /// Sets a variable that is not set: how a command brings defaults of its own, weaker than what the person set.
    pub fn insert_if_unset(&mut self, name: &str, value: impl Into<String>) {
        if self.get(name).is_none() {
            self.values.insert(name.to_owned(), value.into());
        }
    }

    /// The value, if there is one and it is not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// `(name, value)` of the variables that set the key, the strongest last.
    pub(super) fn of_key(&self, key: &Key) -> Vec<Entry> {
        let aliases = key.aliases.iter().rev().map(|name| (*name).to_owned());
        aliases
            .chain([key.variable()])
            .filter_map(|name| {
                let value = self.get(&name)?.to_owned();
                Some(Entry::new(&key.name, value, Origin::Variable(name)))
            })
            .collect()
    }

    /// Names of the issuers that variables speak of.
    pub(super) fn issuers(&self) -> impl Iterator<Item = String> {
        let set = self.values.iter().filter(|(_, value)| !value.is_empty());
        set.filter_map(|(name, _)| keys::issuer_in_variable(name))
    }

    /// `address` (`host:port`) with the halves that `TOOLBRIDGE_HOST` and `TOOLBRIDGE_PORT` replace, if they do.
    pub(super) fn listen_alias(&self, key: &Key, address: &str) -> Option<Entry> {
        let host = self.get(LISTEN_HOST);
        let port = self
            .get(LISTEN_PORT)
            .filter(|port| !is_service_link(LISTEN_PORT, port));
        let names: Vec<_> = [host.map(|_| LISTEN_HOST), port.map(|_| LISTEN_PORT)]
            .into_iter()
            .flatten()
            .collect();
        if names.is_empty() {
            return None;
        }
        let (old_host, old_port) = address.rsplit_once(':').unwrap_or((address, ""));
        let host = match host {
            Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]"),
            Some(host) => host.to_owned(),
            None => old_host.to_owned(),
        };
        let address = format!("{host}:{}", port.unwrap_or(old_port));
        let origin = Origin::Variable(names.join(" and "));
        Some(Entry::new(&key.name, address, origin))
    }

    /// Variables that begin like ours and are none, and ours that are not text.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let known = known_variables();
        let garbled = self
            .not_text
            .iter()
            .filter(|name| name.starts_with(PREFIX) || known.contains(*name))
            .map(|name| {
                problem(
                    name,
                    "its value is not UTF-8 text",
                    "set it again, as text".to_owned(),
                )
            });
        let unknown = self
            .values
            .iter()
            .filter(|(name, value)| {
                name.starts_with(PREFIX) && !value.is_empty() && !known.contains(*name)
            })
            .filter(|(name, _)| keys::issuer_in_variable(name).is_none())
            .filter(|(name, value)| !is_service_link(name, value))
            .map(|(name, _)| problem(name, "there is no such setting", hint_for(name, &known)));
        garbled.chain(unknown).collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let values = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            values,
            not_text: BTreeSet::new(),
        }
    }
}

/// Variables of the Python service that have no counterpart here.
const RETIRED: &[&str] = &[
    "TOOLBRIDGE_JWT_TOKEN",
    "TOOLBRIDGE_MAX_TIMESTAMP_SKEW_SECONDS",
    "TOOLBRIDGE_UI_HTML_MIME_TYPE",
    "TOOLBRIDGE_UVICORN_ACCESS_LOG",
];

fn problem(name: &str, what: &str, hint: String) -> Problem {
    Problem {
        setting: name.to_owned(),
        origin: Origin::Variable(name.to_owned()),
        what: what.to_owned(),
        hint,
    }
}

fn hint_for(name: &str, known: &BTreeSet<String>) -> String {
    if RETIRED.contains(&name) {
        return "the Python service had it, nothing here needs it; unset it".to_owned();
    }
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    if known.contains(rest) {
        return format!("`{rest}` has no prefix; set that one instead");
    }
    let candidates = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    match nearest(rest, candidates) {
        Some(near) => format!("did you mean `{PREFIX}{near}`?"),
        None => "unset it; `toolbridge.example.toml` lists what there is".to_owned(),
    }
}

fn known_variables() -> BTreeSet<String> {
    let own = keys::ALL.iter().map(Key::variable);
    let aliases = keys::ALL.iter().flat_map(|key| key.aliases).copied();
    let others = [
        keys::JWT_SECRET,
        keys::NEXT_SIGNING_SECRET,
        keys::WORKOS_KEY,
        keys::SEAL_SECRET,
        keys::NEXT_SEAL_SECRET,
        keys::OPS_TOKEN,
        keys::LIMITS_REDIS_URL,
        keys::EXCHANGE_CLIENT_SECRET,
        keys::LOCAL_TOKEN,
    ];
    let secrets = keys::SIGNING_SECRET
        .into_iter()
        .chain(keys::MINT_KEY)
        .chain(others);
    let secrets = secrets.flat_map(|name| [name.to_owned(), format!("{name}_FILE")]);
    let plain = aliases.chain([LISTEN_HOST, LISTEN_PORT]).map(str::to_owned);
    own.chain(plain).chain(secrets).collect()
}

/// Kubernetes puts variables for each service into every pod, and a service called `toolbridge` gets our prefix:
/// `TOOLBRIDGE_PORT=tcp://10.0.0.1:8001`, `TOOLBRIDGE_SERVICE_HOST=…`. They say nothing about us.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    let is_port_detail = || {
        let Some((_, detail)) = name.split_once("_PORT_") else {
            return false;
        };
        let mut words = detail.split('_');
        let number = words.next().unwrap_or_default();
        number.parse::<u16>().is_ok() && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    !name.contains("__")
        && ((name.ends_with("_PORT") && is_address)
            || name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || is_port_detail())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_unset() {
        let mut environment: Environment = [("A", ""), ("B", "b")].into_iter().collect();
        assert_eq!(environment.get("A"), None);
        environment.insert_if_unset("A", "a");
        environment.insert_if_unset("B", "other");
        assert_eq!(
            (environment.get("A"), environment.get("B")),
            (Some("a"), Some("b"))
        );
    }

    #[test]
    fn what_kubernetes_adds_for_a_service_of_our_name_is_nobodys_setting() {
        let environment: Environment = [
            ("TOOLBRIDGE_SERVICE_HOST", "10.0.0.1"),
            ("TOOLBRIDGE_SERVICE_PORT", "8001"),
            ("TOOLBRIDGE_SERVICE_PORT_MCP", "8001"),
            ("TOOLBRIDGE_PORT", "tcp://10.0.0.1:8001"),
            ("TOOLBRIDGE_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
            ("TOOLBRIDGE_PORT_8001_TCP_ADDR", "10.0.0.1"),
            ("TOOLBRIDGE_MCP_SERVICE_HOST", "10.0.0.1"),
        ]
        .into_iter()
        .collect();
        assert_eq!(environment.problems(), []);
        assert!(
            environment
                .listen_alias(&keys::SERVER_LISTEN, "127.0.0.1:8001")
                .is_none()
        );
    }

    #[test]
    fn a_variable_that_is_not_text_is_a_problem_only_if_it_is_ours() {
        let environment = Environment {
            not_text: ["PATH_OF_SOMEBODY", "JWT_HS256_SECRET"]
                .map(str::to_owned)
                .into(),
            ..Environment::default()
        };
        let problems = environment.problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].setting, "JWT_HS256_SECRET");
    }
}
