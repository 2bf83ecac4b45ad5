//! For whom is counted: issuer and subject, two fields that are never joined, so that nobody can be made to look like
//! somebody else. Neither of them leaves here: what others may see is a digest.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

use crate::auth::Caller;

/// One person, whatever their token, connection or client.
#[derive(PartialEq, Eq, Hash)]
pub struct Person {
    issuer: String,
    subject: String,
}

impl Person {
    /// Who sent it.
    #[must_use]
    pub fn of(caller: &Caller) -> Arc<Self> {
        Arc::new(Self {
            issuer: caller.issuer().to_owned(),
            subject: caller.subject().to_owned(),
        })
    }

    /// The person within `scope`, in 64 hexadecimal digits. Each part is told from the next by its length.
    pub(super) fn digest(&self, scope: &str) -> String {
        let mut digest = Sha256::new();
        for part in [scope, &self.issuer, &self.subject] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        hex::encode(digest.finalize())
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(issuer: &str, subject: &str) -> Arc<Person> {
        Person::of(&Caller::for_tests(issuer, subject, None))
    }

    #[test]
    fn nobody_can_look_like_somebody_else_by_moving_letters_between_the_fields() {
        let (one, other) = (person("ab", "c"), person("a", "bc"));
        assert_ne!(one, other);
        assert_ne!(one.digest("s"), other.digest("s"));
        assert_ne!(person("b", "c").digest("a"), person("", "c").digest("ab"));
    }

    #[test]
    fn neither_its_debug_form_nor_its_digest_shows_the_person() {
        let alice = person("issuer", "alice@example.com");
        for shown in [format!("{alice:?}"), alice.digest("acme")] {
            assert!(
                !shown.contains("alice") && !shown.contains("issuer"),
                "{shown}"
            );
        }
    }
}
