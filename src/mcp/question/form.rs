//! The form that a person sees: one field, one of the organizations. In: the organizations. Out: rmcp's form, in which
//! every option is an id and shows a name.

use rmcp::model::{
    ConstTitle, ElicitRequestParams, ElicitationSchema, EnumSchema, LegacyEnumSchema,
    SingleSelectEnumSchema, TitledSingleSelectEnumSchema,
};

use super::FIELD;
use crate::identity::Organization;

pub(super) fn form(tool: &str, choice: EnumSchema) -> ElicitRequestParams {
    let fields = ElicitationSchema::builder().required_enum_schema(FIELD, choice);
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: format!(
            "You belong to several organizations. Which one is {tool} for? Later calls use the same one."
        ),
        requested_schema: fields.build_unchecked(),
    }
}

/// Ids with titles, as revisions from 2025-11-25 on have them.
pub(super) fn titled(organizations: &[Organization]) -> EnumSchema {
    let options = organizations
        .iter()
        .map(|it| ConstTitle::new(it.id().to_string(), title(it, organizations)));
    let choice = TitledSingleSelectEnumSchema::new(options.collect());
    EnumSchema::Single(SingleSelectEnumSchema::Titled(choice))
}

/// The same as 2025-06-18 has it.
pub(super) fn named(organizations: &[Organization]) -> EnumSchema {
    let ids = organizations.iter().map(|it| it.id().to_string());
    let titles = organizations.iter().map(|it| title(it, organizations));
    let mut choice = LegacyEnumSchema::new(ids.collect());
    choice.enum_names = Some(titles.collect());
    EnumSchema::Legacy(choice)
}

/// The name; with the id where another organization has the same.
fn title(organization: &Organization, all: &[Organization]) -> String {
    let (name, id) = (organization.name(), organization.id());
    let is_double = all.iter().any(|it| it.name() == name && it.id() != id);
    if is_double {
        format!("{name} ({id})")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn organizations() -> Vec<Organization> {
        let names = [("org_1", "Acme"), ("org_2", "Beta"), ("org_3", "Acme")];
        let of = |(id, name)| Organization::new(id, Some(name)).unwrap();
        names.map(of).into()
    }

    #[test]
    fn the_form_offers_ids_with_titles() {
        let form = form("list_notes", titled(&organizations()));
        let form = serde_json::to_value(form).unwrap();
        assert_eq!(form["mode"], "form");
        let schema = &form["requestedSchema"];
        assert_eq!(schema["required"], json!([FIELD]));
        assert_eq!(
            schema["properties"][FIELD],
            json!({ "type": "string", "oneOf": [
                { "const": "org_1", "title": "Acme (org_1)" },
                { "const": "org_2", "title": "Beta" },
                { "const": "org_3", "title": "Acme (org_3)" },
            ] })
        );
        let old = serde_json::to_value(named(&organizations()[1..])).unwrap();
        assert_eq!(
            old,
            json!({ "type": "string", "enum": ["org_2", "org_3"], "enumNames": ["Beta", "Acme"] })
        );
    }
}
