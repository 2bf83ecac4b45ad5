//! Tokens where they do not belong: at the other tenant's sidecar, cut and glued together, without a signature, absent.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;

use super::{Attempt, Rule, Trick, attempt};
use crate::isolation::{
    kit::{Kit, Operation},
    people::{Person, Stage},
    wire::bearer,
};

const fn trick(name: &'static str) -> Trick {
    Trick {
        family: "tokens",
        name,
    }
}

/// Everybody, reading every kind of record of everybody else.
pub(super) fn attempts(stage: &Stage<'_>) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for pair in stage.pairs() {
        for kit in &stage.kits {
            attempts.extend(without_a_right_token(pair, (kit, Operation::Get)));
            for operation in [Operation::Get, Operation::List, Operation::Delete] {
                attempts.extend(at_the_other_sidecar(pair, (kit, operation)));
            }
        }
    }
    attempts
}

/// The victim's own call, with every token but the victim's.
fn without_a_right_token(pair: (&Person, &Person), tool: (&Kit<'_>, Operation)) -> Vec<Attempt> {
    let (attacker, victim) = pair;
    let (own, foreign) = (attacker.token.expose_secret(), victim.token.expose_secret());
    let tokens = [
        ("no token", None),
        (
            "the owner's claims under one's own signature",
            glued(own, foreign),
        ),
        ("the owner's claims without a signature", unsigned(foreign)),
        (
            "the owner's token cut short",
            foreign
                .get(..foreign.len().saturating_sub(8))
                .map(str::to_owned),
        ),
    ];
    tokens
        .into_iter()
        // A token that is no JWT cannot be glued.
        .filter(|(name, token)| token.is_some() || *name == "no token")
        .filter_map(|(name, token)| {
            let mut attempt = aimed(trick(name), pair, tool)?;
            attempt.message.url = victim.door.url.clone();
            attempt.message.headers.remove(AUTHORIZATION);
            if let Some(token) = token {
                attempt
                    .message
                    .headers
                    .insert(AUTHORIZATION, bearer(&token));
            }
            Some(attempt)
        })
        .collect()
}

/// One's own good token where another tenant is served. Where both sidecars take the same audience, an answer with
/// one's own records is no leak.
fn at_the_other_sidecar(pair: (&Person, &Person), tool: (&Kit<'_>, Operation)) -> Option<Attempt> {
    let (attacker, victim) = pair;
    if attacker.door.url == victim.door.url {
        return None;
    }
    let mut attempt = aimed(trick("one's own token at the other sidecar"), pair, tool)?;
    attempt.message.url = victim.door.url.clone();
    let is_apart = attacker.audience.is_some() && attacker.audience != victim.audience;
    if tool.1 == Operation::List && !is_apart {
        attempt.rule = Rule::OwnOnly;
    }
    Some(attempt)
}

fn aimed(trick: Trick, pair: (&Person, &Person), tool: (&Kit<'_>, Operation)) -> Option<Attempt> {
    let uid = pair.1.living(&tool.0.entity.name)?.uid();
    attempt(trick, pair, tool, pair.0.arguments(tool.0, tool.1, uid))
}

/// Header and signature of one JWT around the claims of another.
fn glued(own: &str, foreign: &str) -> Option<String> {
    let mut own = own.split('.');
    let (header, _, signature) = (own.next()?, own.next()?, own.next()?);
    Some(format!(
        "{header}.{}.{signature}",
        foreign.split('.').nth(1)?
    ))
}

fn unsigned(foreign: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    Some(format!("{header}.{}.", foreign.split('.').nth(1)?))
}
