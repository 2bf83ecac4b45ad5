//! `SEAL_SECRET` and its next one → what seals that clients carry for us: connection ids, and questions to a person. The
//! first secret seals, all of them open. Where the operator names none, the strongest other secret of the deployment
//! does it, each purpose with a key of its own, so that connections outlive a restart without anybody having to ask.

use secrecy::{ExposeSecret, SecretString};

use super::{Environment, Stage, keys, reader::Reader, secret, secrets};

/// The secrets, the one of now first; empty: nothing here is known to another process.
pub(super) fn read(
    reader: &mut Reader,
    environment: &Environment,
    stage: Stage,
) -> Vec<SecretString> {
    let current = secret(reader, environment, &[keys::SEAL_SECRET]);
    let next = secret(reader, environment, &[keys::NEXT_SEAL_SECRET]);
    // A secret that cannot be read is a problem already.
    let (Ok(current), Ok(next)) = (current, next) else {
        return Vec::new();
    };
    let each = [current.as_ref(), next.as_ref()].into_iter().flatten();
    let short = each.filter_map(|secret| secret.too_short(stage));
    reader.problems.extend(short);
    if let Some(next) = &next {
        let name = keys::SEAL_SECRET;
        let trouble = match &current {
            None => Some((
                format!("there is no `{name}`, so there is nothing to follow"),
                format!("set `{name}` to the secret that seals now"),
            )),
            Some(current) if current.value.expose_secret() == next.value.expose_secret() => Some((
                format!("the same secret as `{name}`, so nothing would change"),
                "make a new one with `openssl rand -hex 32`, or unset this one".to_owned(),
            )),
            Some(_) => None,
        };
        let trouble = trouble.map(|(what, hint)| next.problem(&what, &hint));
        reader.problems.extend(trouble);
    }
    let named: Vec<_> = [current, next]
        .into_iter()
        .flatten()
        .map(|secret| secret.value)
        .collect();
    if !named.is_empty() {
        return named;
    }
    let signing: &[&str] = &keys::SIGNING_SECRET;
    let others = [signing, &[keys::NEXT_SIGNING_SECRET], &[keys::JWT_SECRET]];
    // What is wrong with these is said where they are read for themselves.
    let others = others.map(|names| secrets::read(environment, names).ok().flatten());
    others
        .into_iter()
        .flatten()
        .map(|secret| secret.value)
        .collect()
}
