//! The rules: which of a person's organizations a call is for (contract §4.2, auth page §5). Pure: memberships and wishes
//! go in, an organization or a refusal comes out. "The first one wins" is not among them.

use super::{Organization, TenantId};
use crate::identity::{Denial, IdentityError};

/// What else is known of a call.
#[derive(Clone, Copy, Default)]
pub(super) struct Wish<'a> {
    /// The organization that the token was issued for.
    pub(super) claimed: Option<&'a str>,
    /// What the person chose earlier.
    pub(super) chosen: Option<&'a TenantId>,
    /// For people who are in no organization, and for them alone.
    pub(super) default: Option<&'a TenantId>,
}

/// Of `organizations`, the active memberships, all of them.
pub(super) fn decide(
    organizations: &[Organization],
    wish: Wish<'_>,
) -> Result<Organization, IdentityError> {
    let organization = match (wish.claimed, organizations) {
        // The person chose when the token was issued; another tenant than that is never meant.
        (Some(claimed), organizations) => among(organizations, claimed)
            .cloned()
            .or_else(|| default_of(organizations, wish).filter(|it| it.id().as_str() == claimed))
            .ok_or(Denial::ForeignOrganization)?,
        (None, []) => default_of(organizations, wish).ok_or(Denial::NoMembership)?,
        (None, [one]) => one.clone(),
        (None, several) => {
            let chosen = wish.chosen.and_then(|id| among(several, id.as_str()));
            let all = || IdentityError::SelectionRequired(several.to_vec());
            chosen.cloned().ok_or_else(all)?
        }
    };
    Ok(organization)
}

/// The one a person names: by its id, or by a name that only one of them has.
pub(super) fn named<'a>(
    organizations: &'a [Organization],
    wanted: &str,
) -> Result<&'a Organization, Denial> {
    if let Some(organization) = among(organizations, wanted) {
        return Ok(organization);
    }
    let mut named = organizations.iter().filter(|it| it.name() == wanted);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Denial::AmbiguousName),
        (None, _) => Err(Denial::NotYours),
    }
}

pub(super) fn among<'a>(organizations: &'a [Organization], id: &str) -> Option<&'a Organization> {
    organizations.iter().find(|it| it.id().as_str() == id)
}

fn default_of(organizations: &[Organization], wish: Wish<'_>) -> Option<Organization> {
    let default = wish.default.filter(|_| organizations.is_empty())?;
    Some(Organization::unnamed(default.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organizations(ids: &[&str]) -> Vec<Organization> {
        let named = |id: &&str| Organization::new(id, Some(&format!("Team {id}"))).unwrap();
        ids.iter().map(named).collect()
    }

    fn tenant(id: &str) -> TenantId {
        id.parse().unwrap()
    }

    /// `claimed`, `chosen`, `default`; each empty for none.
    fn outcome(ids: &[&str], [claimed, chosen, default]: [&str; 3]) -> String {
        let some = |id: &str| (!id.is_empty()).then(|| tenant(id));
        let (chosen, default) = (some(chosen), some(default));
        let wish = Wish {
            claimed: (!claimed.is_empty()).then_some(claimed),
            chosen: chosen.as_ref(),
            default: default.as_ref(),
        };
        match decide(&organizations(ids), wish) {
            Ok(organization) => organization.id().to_string(),
            Err(IdentityError::SelectionRequired(all)) => format!("choose of {}", all.len()),
            Err(IdentityError::Denied(denial)) => format!("{denial:?}"),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn memberships_token_choice_and_default_decide_in_this_way() {
        let cases: [(&[&str], [&str; 3], &str); 19] = [
            // Nobody's member.
            (&[], ["", "", ""], "NoMembership"),
            (&[], ["", "", "d"], "d"),
            (&[], ["", "a", "d"], "d"),
            (&[], ["", "a", ""], "NoMembership"),
            (&[], ["d", "", "d"], "d"),
            (&[], ["a", "", "d"], "ForeignOrganization"),
            (&[], ["d", "", ""], "ForeignOrganization"),
            // Member of one: the default tenant is not theirs.
            (&["a"], ["", "", "d"], "a"),
            (&["a"], ["a", "", "d"], "a"),
            (&["a"], ["", "b", ""], "a"),
            (&["a"], ["b", "", ""], "ForeignOrganization"),
            (&["a"], ["d", "", "d"], "ForeignOrganization"),
            // Member of several.
            (&["a", "b"], ["", "", "d"], "choose of 2"),
            (&["a", "b"], ["b", "", ""], "b"),
            (&["a", "b"], ["", "b", ""], "b"),
            (&["a", "b"], ["a", "b", ""], "a"),
            // A choice that is no longer a membership is none.
            (&["a", "b"], ["", "c", "d"], "choose of 2"),
            (&["a", "b"], ["c", "a", "d"], "ForeignOrganization"),
            (&["a", "b"], ["d", "", "d"], "ForeignOrganization"),
        ];
        for (ids, wish, expected) in cases {
            assert_eq!(outcome(ids, wish), expected, "{ids:?} {wish:?}");
        }
    }

    #[test]
    fn an_organization_is_named_by_id_or_by_an_unambiguous_name() {
        let mut all = organizations(&["a", "b"]);
        all.push(Organization::new("c", Some("Team b")).unwrap());
        // Somebody gave an organization the id of another as its name.
        all.push(Organization::new("d", Some("a")).unwrap());
        let id = |wanted| named(&all, wanted).map(|it| it.id().to_string());
        assert_eq!(id("a").as_deref(), Ok("a"));
        assert_eq!(id("Team a").as_deref(), Ok("a"));
        assert_eq!(id("Team b"), Err(Denial::AmbiguousName));
        assert_eq!(id("team a"), Err(Denial::NotYours));
        assert_eq!(id(""), Err(Denial::NotYours));
    }
}
