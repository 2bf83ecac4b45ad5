//! The keys with which we seal what clients carry for us: questions, and the ids of connections. In: the operator's
//! secrets. Out: one key for each purpose, so that nothing sealed for one opens as another. The first key seals, all of
//! them open: that is how a secret is replaced without anybody losing a connection.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use sha2::Sha256;
use uuid::Uuid;

type Secret = SecretBox<[u8; 32]>;

/// Secrets that seal.
pub struct SealKeys {
    current: Secret,
    others: Vec<Secret>,
}

/// Keys for one purpose.
pub(super) struct PurposeKeys {
    /// Seals, and opens.
    pub(super) current: [u8; 32],
    /// Only open.
    pub(super) others: Vec<[u8; 32]>,
}

impl SealKeys {
    /// Made of these secrets, the one of now first; of none of them: a key of this process's own, so that what it seals
    /// is opened by no other process, and by none after it.
    #[must_use]
    pub fn of<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let secrets = secrets.into_iter();
        let mut keys = secrets.map(|secret| key(secret.expose_secret().as_bytes()));
        Self {
            current: keys.next().unwrap_or_else(|| {
                let halves = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
                key(halves.as_flattened())
            }),
            others: keys.collect(),
        }
    }

    pub(super) fn made_for(&self, purpose: &[u8]) -> PurposeKeys {
        let made = |key: &Secret| derived(key.expose_secret(), purpose);
        PurposeKeys {
            current: made(&self.current),
            others: self.others.iter().map(made).collect(),
        }
    }
}

fn key(secret: &[u8]) -> Secret {
    SecretBox::new(Box::new(derived(secret, b"toolbridge seal")))
}

fn derived(key: &[u8], purpose: &[u8]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(purpose);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_secret_and_process_has_keys_of_its_own() {
        let secret = SecretString::from("one");
        let (one, same) = (SealKeys::of([&secret]), SealKeys::of([&secret]));
        assert_eq!(one.made_for(b"a").current, same.made_for(b"a").current);
        assert_ne!(one.made_for(b"a").current, one.made_for(b"b").current);
        let other = SecretString::from("other");
        let both = SealKeys::of([&other, &secret]).made_for(b"a");
        assert_eq!(both.others, [one.made_for(b"a").current]);
        assert_ne!(both.current, one.made_for(b"a").current);
        let process = || SealKeys::of([]).made_for(b"a").current;
        assert_ne!(process(), process());
    }
}
