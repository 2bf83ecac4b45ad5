//! Secrets: from the variable `NAME`, or from the file that `NAME_FILE` points to, never from the settings file and
//! never through figment (it guesses types and echoes values). No message here contains any part of one.

use std::{fs, path::Path};

use secrecy::{ExposeSecret, SecretString};

use super::{
    Stage,
    environment::Environment,
    problem::{Origin, Problem},
};

/// A secret and the variable it came from.
#[derive(Clone)]
pub(super) struct Secret {
    pub(super) variable: String,
    pub(super) value: SecretString,
}

impl Secret {
    /// A problem with this secret.
    pub(super) fn problem(&self, what: &str, hint: &str) -> Problem {
        problem(&self.variable, what, hint)
    }

    /// The problem of a secret that could be guessed, in production.
    pub(super) fn too_short(&self, stage: Stage) -> Option<Problem> {
        let length = self.value.expose_secret().chars().count();
        (stage == Stage::Production && length < SHORTEST).then(|| {
            let what = format!("shorter than {SHORTEST} characters, so it could be guessed");
            self.problem(
                &what,
                "make one with `openssl rand -hex 32` and give it to the backend too",
            )
        })
    }
}

const SHORTEST: usize = 32;

/// The first of the names that is set, `Ok(None)` if none is.
///
/// # Errors
/// The problem, if a variable and its file are both set or the file cannot be read.
pub(super) fn read(environment: &Environment, names: &[&str]) -> Result<Option<Secret>, Problem> {
    for name in names {
        let file_name = format!("{name}_FILE");
        let value = match (environment.get(name), environment.get(&file_name)) {
            (None, None) => continue,
            (Some(value), None) => Ok((*name, value.to_owned())),
            (None, Some(path)) => match from_file(Path::new(path)) {
                Ok(value) => Ok((file_name.as_str(), value)),
                Err(what) => Err(problem(
                    &file_name,
                    &what,
                    "point it to a readable file with the secret alone in it",
                )),
            },
            (Some(_), Some(_)) => {
                let what = format!("`{file_name}` is set as well");
                Err(problem(name, &what, "unset one of the two"))
            }
        };
        return value.map(|(variable, value)| {
            let (variable, value) = (variable.to_owned(), value.into());
            Some(Secret { variable, value })
        });
    }
    Ok(None)
}

/// The file's content without the newline that editors and `echo` put at its end.
pub(super) fn from_file(path: &Path) -> Result<String, String> {
    let mut text =
        fs::read_to_string(path).map_err(|error| format!("its file cannot be read: {error}"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        Err("its file is empty".to_owned())
    } else {
        Ok(text)
    }
}

fn problem(variable: &str, what: &str, hint: &str) -> Problem {
    Problem {
        setting: variable.to_owned(),
        origin: Origin::Variable(variable.to_owned()),
        what: what.to_owned(),
        hint: hint.to_owned(),
    }
}
