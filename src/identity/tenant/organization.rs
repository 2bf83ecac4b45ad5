//! An organization as people know it. In: what WorkOS or the backend call it. Out: an id that is a tenant's, and a name
//! that can be shown: the name is foreign text and ends up before a person and a model.

use super::{InvalidTenantId, TenantId};

const LONGEST_NAME: usize = 100;

/// One organization that a person may act for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    id: TenantId,
    name: String,
}

impl Organization {
    /// The name is shortened and stripped of control characters; without one, the id is the name.
    ///
    /// # Errors
    /// When the id is no tenant's.
    pub fn new(id: &str, name: Option<&str>) -> Result<Self, InvalidTenantId> {
        let id: TenantId = id.parse()?;
        let name = name.map(cleaned).filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| id.to_string());
        Ok(Self { id, name })
    }

    /// One that is known by its id alone.
    #[must_use]
    pub fn unnamed(id: TenantId) -> Self {
        let name = id.to_string();
        Self { id, name }
    }

    /// What the tenant header carries.
    #[must_use]
    pub fn id(&self) -> &TenantId {
        &self.id
    }

    /// For people; not unique.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One line, without what cannot be seen or turns the direction of text.
fn cleaned(name: &str) -> String {
    let seen = name.chars().filter(|c| !is_invisible(*c));
    let spaced: String = seen.map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<_> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_NAME).collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        let name = |text| Organization::new("org_1", Some(text)).unwrap().name;
        assert_eq!(name("  Zürich\r\n Team\t1 "), "Zürich Team 1");
        assert_eq!(name("A\u{202e}cme\u{200b}"), "Acme");
        assert_eq!(name("\u{7}"), "org_1");
        assert_eq!(name(&"x".repeat(500)).len(), LONGEST_NAME);
        assert_eq!(Organization::new("org_1", None).unwrap().name, "org_1");
        assert!(Organization::new("a:b", Some("Acme")).is_err());
    }
}
