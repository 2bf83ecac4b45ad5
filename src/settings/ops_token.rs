//! `OPS_TOKEN` → what opens console and log filter on the operations port from other machines. Without it they are for
//! this machine alone. In every environment it is long, because whoever guesses it sees what everybody does here.

use secrecy::{ExposeSecret, SecretString};

use super::{Environment, keys, reader::Reader, secret};

const SHORTEST: usize = 32;

/// The token, every problem reported.
pub(super) fn read(reader: &mut Reader, environment: &Environment) -> Option<SecretString> {
    let token = secret(reader, environment, &[keys::OPS_TOKEN]).ok()??;
    let text = token.value.expose_secret();
    let what = if text.chars().count() < SHORTEST {
        format!("shorter than {SHORTEST} characters, so it could be guessed")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it has spaces or other characters that no `Authorization` header can carry".to_owned()
    } else {
        return Some(token.value);
    };
    let hint = "make one with `openssl rand -hex 32`, or unset it: console and log filter are for this machine alone then";
    reader.problems.push(token.problem(&what, hint));
    None
}
