//! What people chose: issuer and subject together name a person, and each has one choice, for a while. A choice opens
//! nothing by itself: whoever uses it compares it with the memberships of now.

use std::time::Duration;

use tokio::time::Instant;

use super::{TenantId, kept::Kept};
use crate::auth::Caller;

/// So many people's choices are kept; who chose longest ago has to choose again.
const MOST: usize = 10_000;

/// A person; two fields, because joined text could be two people's (`a:b` and `c`, `a` and `b:c`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Person {
    issuer: String,
    subject: String,
}

impl Person {
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            issuer: caller.issuer().to_owned(),
            subject: caller.subject().to_owned(),
        }
    }
}

pub(super) struct Choices {
    lifetime: Duration,
    kept: Kept<Person, TenantId>,
}

impl Choices {
    pub(super) fn lasting(lifetime: Duration) -> Self {
        Self {
            lifetime,
            kept: Kept::at_most(MOST),
        }
    }

    pub(super) fn of(&self, caller: &Caller, now: Instant) -> Option<TenantId> {
        let (tenant, age) = self.kept.get(&Person::of(caller), now)?;
        (age < self.lifetime).then_some(tenant)
    }

    pub(super) fn keep(&self, caller: &Caller, tenant: TenantId, now: Instant) {
        self.kept.keep(Person::of(caller), tenant, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_choice_is_one_persons_for_its_lifetime() {
        let choices = Choices::lasting(Duration::from_secs(60));
        let person = |issuer, subject| Caller::for_tests(issuer, subject, None);
        let now = Instant::now();
        choices.keep(&person("i", "alice"), "org_1".parse().unwrap(), now);
        let of = |issuer, subject, after| {
            let later = now + Duration::from_secs(after);
            let tenant = choices.of(&person(issuer, subject), later);
            tenant.map(|tenant| tenant.to_string())
        };
        assert_eq!(of("i", "alice", 59).as_deref(), Some("org_1"));
        assert_eq!(of("i", "alice", 60), None);
        assert_eq!(of("j", "alice", 0), None);
        assert_eq!(of("i", "bob", 0), None);
    }
}
