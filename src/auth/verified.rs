//! Tokens whose signature was checked a while ago, known again by their digest. In: a token that passed every check, with
//! the key that signed it. Out: its owner, as long as the token is good and its issuer still has that very key. No token
//! is kept, only its SHA-256; how many are known is bounded. The one thing not to break: whoever asks has to ask the
//! issuer for the key first, so that a key that was taken out or replaced takes its tokens along.

use std::{fmt, sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::auth::{bearer::SentToken, caller::Person, key_set::Key};

/// So many tokens are known at once; an entry is some hundred bytes.
const MOST: usize = 4096;

/// Stands for a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: SentToken<'_>) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What a token proved.
pub(super) struct Proof {
    /// Which of the issuers signed it.
    pub(super) issuer: usize,
    /// The key's name, as the token has it.
    pub(super) kid: Option<String>,
    pub(super) key: Arc<Key>,
    pub(super) owner: Arc<Person>,
}

impl Proof {
    /// Whether it is good now, `key` being the issuer's key of that name now.
    pub(super) fn holds(&self, key: &Arc<Key>, now: Duration) -> bool {
        Arc::ptr_eq(&self.key, key)
            && now.as_secs() < self.owner.expires_at
            && now >= self.owner.begins
    }
}

/// The tokens that are known.
pub(super) struct VerifiedTokens(Cache<TokenDigest, Arc<Proof>>);

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl VerifiedTokens {
    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Arc<Proof>> {
        self.0.get(digest)
    }

    pub(super) fn keep(&self, digest: TokenDigest, proof: Proof) {
        self.0.insert(digest, Arc::new(proof));
    }

    pub(super) fn forget(&self, digest: &TokenDigest) {
        self.0.remove(digest);
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedTokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::fixtures::{NOW, SECRET};

    #[test]
    fn a_key_that_was_replaced_under_the_same_name_takes_its_tokens_along() {
        let key = Arc::new(Key::shared_secret(SECRET.as_bytes()));
        let again = Arc::new(Key::shared_secret(SECRET.as_bytes()));
        let owner = Person {
            issuer: String::new(),
            subject: String::new(),
            scopes: std::collections::BTreeSet::new(),
            begins: NOW,
            expires_at: NOW.as_secs() + 1,
            organization: None,
        };
        let proof = Proof {
            issuer: 0,
            kid: None,
            key: Arc::clone(&key),
            owner: Arc::new(owner),
        };
        assert!(proof.holds(&key, NOW));
        assert!(!proof.holds(&again, NOW));
        assert!(!proof.holds(&key, NOW + Duration::from_secs(1)));
        assert!(!proof.holds(&key, NOW - Duration::from_nanos(1)));
    }

    #[test]
    fn however_many_tokens_come_only_so_many_are_known() {
        let known = VerifiedTokens::default();
        let key = Arc::new(Key::shared_secret(SECRET.as_bytes()));
        let owner = Arc::new(Person {
            issuer: String::new(),
            subject: String::new(),
            scopes: std::collections::BTreeSet::new(),
            begins: Duration::ZERO,
            expires_at: u64::MAX,
            organization: None,
        });
        for number in 0..3 * MOST {
            let digest = TokenDigest(Sha256::digest(number.to_be_bytes()).into());
            let proof = Proof {
                issuer: 0,
                kid: None,
                key: Arc::clone(&key),
                owner: Arc::clone(&owner),
            };
            known.keep(digest, proof);
        }
        assert!(known.0.len() <= MOST, "{known:?}");
    }
}
