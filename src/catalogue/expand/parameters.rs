//! The parameters of a tool: its own and the entity's fields, each with its place in the request.

use std::collections::HashMap;

use http::Method;
use serde_json::json;

use super::Scene;
use crate::catalogue::{
    headers,
    path_template::PathTemplate,
    problem::{At, Problem},
    raw::{PLACES, RawParameter, RawTool},
    shape::{self, Kind, Property, Shape},
    tool::{Parameter, Place, has_body},
    yaml::Placed,
};

impl Scene<'_> {
    /// Path parameters first, then the entity's fields, then the rest.
    pub(super) fn parameters(
        &self,
        raw: &RawTool,
        method: &Method,
        path: &PathTemplate,
        problems: &mut Vec<Problem>,
    ) -> Vec<Parameter> {
        let mut own = Vec::new();
        for (name, definition) in &raw.parameters {
            own.extend(self.parameter(name, definition, (method, path), problems));
        }
        for hole in path.placeholders() {
            if !raw.parameters.iter().any(|(name, _)| name.value == hole) {
                let at = raw
                    .request
                    .as_ref()
                    .map(|request| request.at)
                    .unwrap_or_default();
                let what = format!("placeholder `{{{hole}}}` has no parameter");
                let known = raw.parameters.iter().map(|(name, _)| name.value.as_str());
                problems.push(
                    Problem::error(self.at(at), what)
                        .suggest(hole, known)
                        .or_hint(format!("add `{hole}` under `parameters`")),
                );
            }
        }
        let fields = self
            .fields
            .iter()
            .filter(|_| self.takes_fields)
            .map(|field| Parameter {
                property: field.clone(),
                place: Place::Body,
                omit: None,
                keeps_null: true,
            });
        self.same_names(&own, raw, problems);
        self.same_mcp_headers(&own, raw, problems);
        let (mut parameters, rest): (Vec<_>, Vec<_>) = own
            .into_iter()
            .partition(|parameter| parameter.place == Place::Path);
        parameters.extend(fields);
        parameters.extend(rest);
        parameters
    }

    /// Two values under one name in one place: the backend would see one of them.
    fn same_names(&self, own: &[Parameter], raw: &RawTool, problems: &mut Vec<Problem>) {
        let fields = self.fields.iter().filter(|_| self.takes_fields);
        let mut seen: HashMap<(&'static str, String), &str> = fields
            .map(|field| (("body", field.wire.clone()), field.name.as_str()))
            .collect();
        for parameter in own {
            let property = &parameter.property;
            let key = match &parameter.place {
                Place::Path | Place::Merged => continue,
                Place::Query => ("query", property.wire.clone()),
                Place::Header(name) => ("header", name.to_string()),
                Place::Body => ("body", property.wire.clone()),
            };
            let place = key.0;
            if let Some(other) = seen.insert(key, &property.name) {
                let written = raw
                    .parameters
                    .iter()
                    .find(|(name, _)| name.value == property.name);
                let at = written.map_or(self.name.at, |(name, raw)| {
                    self.at(raw.wire.as_ref().map_or(name.at, |wire| wire.at))
                });
                let what = format!(
                    "`{}` is already the wire name of `{other}` in the {place}",
                    property.wire
                );
                problems.push(Problem::error(at, what));
            }
        }
    }

    /// Two arguments repeated in one header; header names have no case.
    fn same_mcp_headers(&self, own: &[Parameter], raw: &RawTool, problems: &mut Vec<Problem>) {
        let mut seen: HashMap<String, &str> = HashMap::new();
        for Parameter { property, .. } in own {
            let Some(header) = &property.shape.mcp_header else {
                continue;
            };
            let Some(other) = seen.insert(header.to_ascii_lowercase(), &property.name) else {
                continue;
            };
            let written = raw
                .parameters
                .iter()
                .find(|(name, _)| name.value == property.name);
            let at = written.and_then(|(_, raw)| raw.mcp_header.as_ref());
            let at = at.map_or(self.name.at, |header| self.at(header.at));
            let what = format!("`{header}` is already the header of `{other}`");
            problems.push(Problem::error(at, what).hint("one header repeats one argument"));
        }
    }

    fn parameter(
        &self,
        name: &Placed<String>,
        raw: &RawParameter,
        (method, path): (&Method, &PathTemplate),
        problems: &mut Vec<Problem>,
    ) -> Option<Parameter> {
        let at = self.at(name.at);
        let named = vec![(Placed::new(name.value.clone(), at), raw.clone())];
        let mut property = shape::properties(&named, problems).pop()?;
        let in_path = path.placeholders().any(|hole| hole == name.value);
        let place = self.place(name, raw, (method, in_path), problems)?;
        if self.takes_fields && self.fields.iter().any(|field| field.name == property.name) {
            return None; // reported where the field is declared
        }
        if raw.fields {
            self.offer_fields(&mut property);
        }
        if raw.actions {
            self.offer_actions(&mut property);
        }
        placeable(at, &property, &place, problems);
        let omit = raw.omit.as_ref();
        Some(Parameter {
            omit: omit.and_then(|omit| shape::fitting(&property.shape, "omit", omit, problems)),
            keeps_null: self.subject.is_none() && place == Place::Body,
            property,
            place,
        })
    }

    /// The entity's fields inside an object, none required, no defaults: what is left out is not touched.
    fn offer_fields(&self, property: &mut Property) {
        if let Kind::Object { properties, .. } = &mut property.shape.kind {
            properties.extend(self.fields.iter().map(|field| Property {
                required: false,
                shape: Shape {
                    default: None,
                    ..field.shape.clone()
                },
                ..field.clone()
            }));
        }
    }

    fn offer_actions(&self, property: &mut Property) {
        property.shape.choices = self.actions.iter().map(|(name, _)| json!(name)).collect();
        let told: Vec<_> = self
            .actions
            .iter()
            .filter(|(_, description)| !description.is_empty())
            .map(|(name, description)| format!("{name}: {description}"))
            .collect();
        if !told.is_empty() {
            property.shape.description = Some(told.join("; "));
        }
    }

    fn place(
        &self,
        name: &Placed<String>,
        raw: &RawParameter,
        (method, in_path): (&Method, bool),
        problems: &mut Vec<Problem>,
    ) -> Option<Place> {
        let at = self.at(raw.place.as_ref().map_or(name.at, |place| place.at));
        let name = &name.value;
        let mut refuse = |what: &str, hint: &str| {
            problems.push(Problem::error(at, what).hint(hint));
            None
        };
        match raw.place.as_ref().map(|place| place.value.as_str()) {
            Some("path" | "query" | "header") if raw.merge => refuse(
                "`merge` makes keys of the body",
                "leave `in` out, or say `in: body`",
            ),
            None | Some("path") if in_path => Some(Place::Path),
            Some("path") => refuse(
                &format!("`{name}` is not used: the request has no such placeholder"),
                "name it in the request's path, or say `in: query`",
            ),
            Some(_) if in_path => refuse(
                &format!("`{name}` is a placeholder of the path"),
                "in: path, or leave `in` out",
            ),
            None if !has_body(method) => refuse(
                &format!(
                    "`{name}` is not used: it is not in the path, and the request has no body"
                ),
                "say `in: query` or `in: header`, or name it in the path",
            ),
            Some("body") if !has_body(method) => refuse(
                &format!("a {method} request has no body"),
                "use POST, PUT or PATCH, or say `in: query`",
            ),
            None | Some("body") if raw.merge => Some(Place::Merged),
            None | Some("body") => Some(Place::Body),
            Some("query") => Some(Place::Query),
            Some("header") => self.header(at, raw, problems),
            Some(unknown) => {
                problems.push(
                    Problem::error(at, format!("unknown place `{unknown}`"))
                        .suggest(unknown, PLACES.iter().copied())
                        .or_hint(format!("places: {}", PLACES.join(", "))),
                );
                None
            }
        }
    }

    fn header(&self, at: At, raw: &RawParameter, problems: &mut Vec<Problem>) -> Option<Place> {
        let Some(wire) = &raw.wire else {
            problems.push(
                Problem::error(at, "a header parameter has no `wire` name").hint("wire: If-Match"),
            );
            return None;
        };
        match headers::of_parameter(&wire.value, self.session_headers) {
            Some(name) => Some(Place::Header(name)),
            None => {
                let what = format!("`{}` cannot be a parameter's header", wire.value);
                problems.push(
                    Problem::error(self.at(wire.at), what).hint(
                        "identity, session, tracing and framing headers are the sidecar's own",
                    ),
                );
                None
            }
        }
    }
}

/// Only one-line values fit into a path or header; a query repeats a list, and has no form for objects.
fn placeable(at: At, property: &Property, place: &Place, problems: &mut Vec<Problem>) {
    let kind = &property.shape.kind;
    let fits = match place {
        Place::Path | Place::Header(_) => !matches!(kind, Kind::Array(_) | Kind::Object { .. }),
        Place::Query => match kind {
            Kind::Object { .. } => false,
            Kind::Array(items) => !matches!(items.kind, Kind::Array(_) | Kind::Object { .. }),
            _ => true,
        },
        Place::Merged => matches!(kind, Kind::Object { .. }),
        Place::Body => true,
    };
    let name = &property.name;
    if !fits {
        let (a, there) = match place {
            Place::Path => (kind.a(), "in a path"),
            Place::Query => (kind.a(), "in a query"),
            Place::Header(_) => (kind.a(), "in a header"),
            Place::Body | Place::Merged => (kind.a(), "where the keys of an object are merged"),
        };
        let what = format!("`{name}` is {a} and has no place {there}");
        problems.push(Problem::error(at, what));
    }
    if *place == Place::Path && !property.required {
        let what = format!("`{name}` is in the path, so it must be required");
        problems.push(Problem::error(at, what).hint("required: true"));
    }
}
