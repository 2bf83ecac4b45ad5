//! What an answer gives away. In: an attempt and its answer. Out: a [`Verdict`]. An answer leaks when it holds a text or
//! a record of anybody else, when it grants what had to be refused, or when it tells a foreign record from none.

use serde_json::Value;

use super::{
    attempts::{Attempt, Rule},
    people::{Person, Stage},
    wire::{Answer, Ending},
};

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Refused, with this code.
    Refused(String),
    /// Answered with nothing but the attacker's own.
    Harmless,
    /// Something of somebody else's came out, or was accepted.
    Leaked(String),
    /// No answer that says anything.
    Unanswered(String),
}

/// The verdict on an answer.
pub(super) fn judge(stage: &Stage<'_>, attempt: &Attempt, answer: &Answer) -> Verdict {
    let attacker = attempt.attacker;
    if let Some(what) = shown(stage, attacker, answer) {
        return Verdict::Leaked(what);
    }
    match (answer.ending(), attempt.rule) {
        (Ending::Refused { how, .. }, _) => Verdict::Refused(how),
        (Ending::Unanswered(how), _) => Verdict::Unanswered(how),
        (Ending::Success(_), Rule::Refuse) => {
            Verdict::Leaked("it was accepted and had to be refused".to_owned())
        }
        (Ending::Success(_), Rule::OwnOnly) => Verdict::Harmless,
    }
}

/// Whether two refusals differ, so that a caller learns from them that a record of somebody else exists.
pub(super) fn tells_apart(foreign: &Answer, nobodys: &Answer) -> Option<String> {
    match (foreign.ending(), nobodys.ending()) {
        (
            Ending::Refused { how, words },
            Ending::Refused {
                how: other,
                words: others,
            },
        ) if (&how, masked(&words)) != (&other, masked(&others)) => Some(format!(
            "a foreign record is refused as {how}, one that does not exist as {other}"
        )),
        _ => None,
    }
}

/// Words without the uids in them: those differ, of course.
fn masked(words: &str) -> String {
    let is_uid = |word: &&str| word.chars().filter(char::is_ascii_hexdigit).count() >= 32;
    let words = words.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| !is_uid(word))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whatever of anybody else an answer holds.
pub(super) fn shown(stage: &Stage<'_>, attacker: usize, answer: &Answer) -> Option<String> {
    let others = || {
        stage
            .people
            .iter()
            .filter(|person| person.index != attacker)
    };
    if let Some(owner) = others().find(|person| answer.text.contains(&person.marker)) {
        return Some(format!("the answer holds a text of {}", owner.name));
    }
    let Ending::Success(value) = answer.ending() else {
        return None;
    };
    let (owner, uid) = others().find_map(|owner| Some((owner, foreign_item(owner, &value)?)))?;
    Some(format!("the answer shows record {uid} of {}", owner.name))
}

/// A record of this owner among an answer's items.
fn foreign_item<'a>(owner: &'a Person, value: &Value) -> Option<&'a str> {
    let listed = value.get("items").and_then(Value::as_array);
    let items = listed.into_iter().flatten().chain([value]);
    let shown: Vec<&str> = items.filter_map(|item| item.get("uid")?.as_str()).collect();
    let mut uids = owner.records.iter().map(super::people::Record::uid);
    uids.find(|uid| shown.iter().any(|shown| shown.eq_ignore_ascii_case(uid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_the_uids_in_them() {
        let (one, other) = (
            "no note 3f2504e0-4f89-41d3-9a0c-0305e82c3301: list_notes shows them",
            "no note 6ba7b810-9dad-41d1-80b4-00c04fd430c8: list_notes shows them",
        );
        assert_eq!(masked(one), masked(other));
        assert_ne!(masked("not yours"), masked("not found"));
    }
}
