//! The configured way from a caller to a tenant. In: a verified caller. Out: the organization its calls are for, or who
//! has to do what. A look-up that fails is a refusal, also where a tenant is fixed: that one is never a way out.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Members, Organization, TenantId,
    choices::Choices,
    decide::{Wish, among, decide, named},
    members::{NEGATIVE, POSITIVE},
};
use crate::{
    auth::Caller,
    identity::{Denial, IdentityError},
};

/// Where the tenant of a call comes from.
#[derive(Debug)]
pub enum TenantSource {
    /// This process serves one tenant: whoever has a token for it works in that tenant.
    Fixed(TenantId),
    /// This process serves one tenant, and a token is not enough: the caller must have a right to it.
    Required(TenantId, Right),
    /// The caller's memberships say it; those who have several choose.
    Memberships {
        /// Who knows them.
        members: Members,
        /// For people who are in no organization, and for them alone; without it they are refused.
        default: Option<TenantId>,
        /// How long a choice is good.
        choice_lifetime: Duration,
    },
}

/// What shows a caller's right to a fixed tenant.
#[derive(Debug)]
pub enum Right {
    /// A text claim of this name in the token is the tenant's id.
    Claim(String),
    /// The caller is an active member of it.
    Membership(Members),
}

/// Where a caller is, and where it could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// The organization that calls are made for; `None`: it has to be chosen.
    pub current: Option<Organization>,
    /// Those the caller may choose from; empty where there is no choice.
    pub organizations: Vec<Organization>,
}

/// A source with what it remembers.
pub(in crate::identity) struct Tenants {
    source: TenantSource,
    choices: Choices,
}

impl Tenants {
    pub(in crate::identity) fn new(source: TenantSource) -> Arc<Self> {
        let lifetime = match &source {
            TenantSource::Fixed(_) | TenantSource::Required(..) => Duration::ZERO,
            TenantSource::Memberships {
                choice_lifetime, ..
            } => *choice_lifetime,
        };
        Arc::new(Self {
            source,
            choices: Choices::lasting(lifetime),
        })
    }

    /// Whether callers may have to choose an organization.
    pub(in crate::identity) fn offer_selection(&self) -> bool {
        match &self.source {
            TenantSource::Fixed(_) | TenantSource::Required(..) => false,
            TenantSource::Memberships { .. } => true,
        }
    }

    /// The organization that a call of this caller is for.
    pub(in crate::identity) async fn of(
        &self,
        caller: &Caller,
    ) -> Result<Organization, IdentityError> {
        match &self.source {
            TenantSource::Fixed(tenant) => Ok(Organization::unnamed(tenant.clone())),
            TenantSource::Required(tenant, Right::Claim(name)) => {
                let claim = caller.text_claim(name);
                let is_theirs = claim.is_some_and(|claim| claim == tenant.as_str());
                is_theirs.then_some(()).ok_or(Denial::NotAMember)?;
                Ok(Organization::unnamed(tenant.clone()))
            }
            TenantSource::Required(tenant, Right::Membership(members)) => {
                let right = |all: &[Organization]| entitled(all, caller, tenant);
                // In a box: where the tenant is fixed nobody carries the state of asking for it.
                Box::pin(asked(members, caller, right)).await
            }
            TenantSource::Memberships {
                members, default, ..
            } => {
                let chosen = self.choices.of(caller, Instant::now());
                let wish = Wish {
                    claimed: caller.organization(),
                    chosen: chosen.as_ref(),
                    default: default.as_ref(),
                };
                Box::pin(asked(members, caller, |all| decide(all, wish))).await
            }
        }
    }

    /// Remembers the organization that a person names by id or name, if it is one of theirs.
    pub(in crate::identity) async fn choose(
        &self,
        caller: &Caller,
        wanted: &str,
    ) -> Result<Organization, IdentityError> {
        let TenantSource::Memberships { members, .. } = &self.source else {
            return Err(Denial::NoChoice.into());
        };
        let choice = |all: &[Organization]| {
            let chosen = named(all, wanted)?;
            match caller.organization() {
                Some(claimed) if claimed != chosen.id().as_str() => Err(Denial::TokenDecides),
                _ => Ok(chosen.clone()),
            }
        };
        let chosen = asked(members, caller, |all| Ok(choice(all)?)).await?;
        self.choices
            .keep(caller, chosen.id().clone(), Instant::now());
        Ok(chosen)
    }

    /// Where the caller is, and where it could be.
    pub(in crate::identity) async fn workspace(
        &self,
        caller: &Caller,
    ) -> Result<Workspace, IdentityError> {
        let current = match self.of(caller).await {
            Ok(current) => Some(current),
            Err(IdentityError::SelectionRequired(_)) => None,
            Err(error) => return Err(error),
        };
        let organizations = match &self.source {
            TenantSource::Memberships { members, .. } => members.of(caller, POSITIVE).await?,
            TenantSource::Fixed(_) | TenantSource::Required(..) => Arc::default(),
        };
        Ok(Workspace {
            current,
            organizations: organizations.to_vec(),
        })
    }

    /// What is known of the caller's memberships is wrong, or may be.
    pub(in crate::identity) fn forget(&self, caller: &Caller) {
        match &self.source {
            TenantSource::Required(_, Right::Membership(members))
            | TenantSource::Memberships { members, .. } => members.forget(caller),
            TenantSource::Fixed(_) | TenantSource::Required(_, Right::Claim(_)) => {}
        }
    }
}

/// Judges by the memberships that are known, and refuses only by such that are fresh: whoever just became a member does
/// not wait for an old answer to end.
async fn asked(
    members: &Members,
    caller: &Caller,
    judge: impl Fn(&[Organization]) -> Result<Organization, IdentityError>,
) -> Result<Organization, IdentityError> {
    match judge(&members.of(caller, POSITIVE).await?) {
        Err(IdentityError::Denied(_)) => judge(&members.of(caller, NEGATIVE).await?),
        judged => judged,
    }
}

/// A member of the fixed tenant whose token was issued for no other one.
fn entitled(
    organizations: &[Organization],
    caller: &Caller,
    tenant: &TenantId,
) -> Result<Organization, IdentityError> {
    let elsewhere = |claimed: &str| claimed != tenant.as_str();
    if caller.organization().is_some_and(elsewhere) {
        return Err(Denial::ForeignOrganization.into());
    }
    let organization = among(organizations, tenant.as_str()).cloned();
    Ok(organization.ok_or(Denial::NotAMember)?)
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}
