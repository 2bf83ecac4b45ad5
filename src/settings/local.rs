//! `TOOLBRIDGE_TOKEN`, or the file that `TOOLBRIDGE_TOKEN_FILE` points to: who calls where MCP comes by standard input. It
//! is no setting of `serve`, so nothing but `toolbridge stdio` asks for it. No message contains any part of it.

use std::{fmt, path::PathBuf};

use secrecy::SecretString;

use super::{environment::Environment, keys, problem::SettingsError, secrets};

/// Where the token is.
#[derive(Clone)]
pub struct LocalToken(Source);

#[derive(Clone)]
enum Source {
    Variable(SecretString),
    /// Read again each time, so that it can be renewed.
    File(PathBuf),
}

impl LocalToken {
    /// The token of these variables; `None` where neither is set.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read.
    pub fn of(environment: &Environment) -> Result<Option<Self>, SettingsError> {
        let secret = secrets::read(environment, &[keys::LOCAL_TOKEN]);
        let secret = secret.map_err(|problem| SettingsError::new(vec![problem]))?;
        Ok(secret.map(
            |secret| match environment.get(&format!("{}_FILE", keys::LOCAL_TOKEN)) {
                Some(path) => Self(Source::File(path.into())),
                None => Self(Source::Variable(secret.value)),
            },
        ))
    }

    /// The token of now.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn read(&self) -> Result<SecretString, String> {
        match &self.0 {
            Source::Variable(token) => Ok(token.clone()),
            Source::File(path) => secrets::from_file(path).map(SecretString::from),
        }
    }

    /// What to do about a token that is no longer good.
    #[must_use]
    pub fn renewal(&self) -> &'static str {
        match self.0 {
            Source::Variable(_) => {
                "start this server again with a new token in TOOLBRIDGE_TOKEN, or use TOOLBRIDGE_TOKEN_FILE, which is read for each call"
            }
            Source::File(_) => "put a new token into the file that TOOLBRIDGE_TOKEN_FILE names",
        }
    }
}

impl fmt::Debug for LocalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use secrecy::ExposeSecret;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Option<LocalToken>, SettingsError> {
        LocalToken::of(&variables.iter().copied().collect())
    }

    #[test]
    fn a_file_is_read_again_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one\n").unwrap();
        let path = file.path().to_str().unwrap();
        let token = of(&[("TOOLBRIDGE_TOKEN_FILE", path)]).unwrap().unwrap();
        let read = || token.read().map(|token| token.expose_secret().to_owned());
        assert_eq!(read().as_deref(), Ok("one"));
        fs::write(file.path(), "two").unwrap();
        assert_eq!(read().as_deref(), Ok("two"));
        fs::write(file.path(), "").unwrap();
        assert_eq!(read(), Err("its file is empty".to_owned()));
    }

    #[test]
    fn a_token_comes_from_one_place_and_cannot_be_printed() {
        assert!(of(&[]).unwrap().is_none());
        let token = of(&[("TOOLBRIDGE_TOKEN", "canary")]).unwrap().unwrap();
        assert!(!format!("{token:?}").contains("canary"));
        let both = of(&[
            ("TOOLBRIDGE_TOKEN", "canary"),
            ("TOOLBRIDGE_TOKEN_FILE", "/x"),
        ]);
        let both = both.unwrap_err().to_string();
        assert!(
            both.contains("`TOOLBRIDGE_TOKEN_FILE` is set as well"),
            "{both}"
        );
        assert!(!both.contains("canary"));
    }
}
