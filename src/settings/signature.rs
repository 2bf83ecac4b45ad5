//! `signature.*` and the two secrets → which secret signs the tenant headers, and under which key id. While a secret is
//! being replaced there are two of them, and exactly one signs: the backend accepts both before the other one does.

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Environment, Stage, keys, parse,
    problem::{Wrong, shown},
    reader::Reader,
    secret,
    secrets::Secret,
};

/// What signs.
#[derive(Default)]
pub(super) struct Signature {
    /// `None`: nothing does, and the backend does not ask for signatures.
    pub(super) secret: Option<SecretString>,
    /// Said beside each signature where the operator gave the key a name.
    pub(super) key_id: Option<HeaderValue>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Active {
    Current,
    Next,
}

/// What signs, every problem reported; where there are some, what is returned is of no use.
pub(super) fn read(reader: &mut Reader, environment: &Environment, stage: Stage) -> Signature {
    let active = reader.text(&keys::SIGNATURE_ACTIVE, |text| {
        parse::one_of(
            text,
            &[("current", Active::Current), ("next", Active::Next)],
        )
    });
    let key_id = reader.text(&keys::SIGNATURE_KEY_ID, key_id);
    let next_key_id = reader.text(&keys::SIGNATURE_NEXT_KEY_ID, self::key_id);
    if key_id.is_some() && key_id == next_key_id {
        let hint = "give each secret a key id of its own, or none to either";
        let what = "the same as `signature.key_id`, so it tells nothing";
        reader.refuse(&keys::SIGNATURE_NEXT_KEY_ID, what, hint);
    }
    let current = secret(reader, environment, &keys::SIGNING_SECRET);
    let next = secret(reader, environment, &[keys::NEXT_SIGNING_SECRET]);
    // A secret that cannot be read is a problem already; that it is missing would be a second one.
    let (Some(active), Ok(current), Ok(next)) = (active, current, next) else {
        return Signature::default();
    };
    let each = [current.as_ref(), next.as_ref()].into_iter().flatten();
    let short = each.filter_map(|secret| secret.too_short(stage));
    reader.problems.extend(short);
    check(reader, active, current.as_ref(), next.as_ref());
    let (signs, key_id) = match active {
        Active::Current => (current, key_id),
        Active::Next => (next, next_key_id),
    };
    Signature {
        secret: signs.map(|signs| signs.value),
        key_id,
    }
}

/// The rules between the two secrets and the switch.
fn check(reader: &mut Reader, active: Active, current: Option<&Secret>, next: Option<&Secret>) {
    let [current_name, _] = keys::SIGNING_SECRET;
    let next_name = keys::NEXT_SIGNING_SECRET;
    match (current, next) {
        (Some(current), Some(next))
            if current.value.expose_secret() == next.value.expose_secret() =>
        {
            let what = format!("the same secret as `{current_name}`, so nothing would change");
            let hint = "make a new one with `openssl rand -hex 32`, or unset this one";
            reader.problems.push(next.problem(&what, hint));
        }
        (_, None) if active == Active::Next => {
            let what = format!("`next` signs with `{next_name}`, and that is not set");
            let hint = format!(
                "set `{next_name}` (or `{next_name}_FILE`); after a rotation, when the new secret is \
                 `{current_name}`, set this to `current`"
            );
            reader.refuse(&keys::SIGNATURE_ACTIVE, what, hint);
        }
        (None, Some(next)) if active == Active::Current => {
            let what = format!("there is no `{current_name}`, so nothing would be signed");
            let hint = format!(
                "set `{current_name}` to the secret that signs now, or `signature.active` to `next`"
            );
            reader.problems.push(next.problem(&what, &hint));
        }
        _ => {}
    }
}

/// What names a key in a header: the characters that every verifier takes.
fn key_id(text: &str) -> Result<HeaderValue, Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_sound = !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed);
    let value = HeaderValue::from_str(text).ok().filter(|_| is_sound);
    value.ok_or_else(|| {
        let what = format!("{} is no key id", shown(text));
        Wrong::new(what, "use letters, digits, `_`, `-` and `.`, at most 64")
    })
}
