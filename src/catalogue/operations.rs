//! The operations as data: the built-in eight, changed and extended by what a catalogue says under `operations:`.

use super::{
    problem::{At, Problem},
    raw::{Named, RawAnnotations, RawOperation, RawTool},
    read,
    yaml::{self, Placed},
};

/// The built-in operations, as `toolbridge operations` prints them.
pub const BUILT_IN: &str = include_str!("operations.yaml");

/// Built-in operations first, in their order, then the catalogue's own.
pub(super) fn table(
    changes: Named<RawOperation>,
    problems: &mut Vec<Problem>,
) -> Named<RawOperation> {
    let mut table = built_in(problems);
    for (name, change) in changes {
        match table
            .iter_mut()
            .find(|(known, _)| known.value == name.value)
        {
            Some((_, operation)) => merge(operation, change),
            None => table.push((name, change)),
        }
    }
    table
}

/// The shipped file. Its places are wiped: they would point into another file than the one being checked.
fn built_in(problems: &mut Vec<Problem>) -> Named<RawOperation> {
    let node = yaml::parse(BUILT_IN).map(yaml::Node::without_places);
    match node {
        Ok(node) => read::operations(&node, problems),
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    }
}

/// What the change mentions replaces what was there, key by key; parameters one by one.
fn merge(operation: &mut RawOperation, change: RawOperation) {
    let RawOperation {
        tool,
        fields,
        stanza,
    } = change;
    replace(&mut operation.tool, tool);
    replace(&mut operation.fields, fields);
    let RawTool {
        title,
        description,
        request,
        effect,
        session,
        success,
        result,
        new_uid,
        parameters,
        annotations,
        scopes,
    } = stanza;
    let into = &mut operation.stanza;
    replace(&mut into.title, title);
    replace(&mut into.description, description);
    replace(&mut into.request, request);
    replace(&mut into.effect, effect);
    replace(&mut into.session, session);
    replace(&mut into.success, success);
    replace(&mut into.result, result);
    replace(&mut into.new_uid, new_uid);
    let RawAnnotations {
        destructive,
        idempotent,
        open_world,
    } = annotations;
    replace(&mut into.annotations.destructive, destructive);
    replace(&mut into.annotations.idempotent, idempotent);
    replace(&mut into.annotations.open_world, open_world);
    into.scopes.extend(scopes);
    for (name, parameter) in parameters {
        let known = |(known, _): &&mut (Placed<String>, _)| known.value == name.value;
        match into.parameters.iter_mut().find(known) {
            Some((at, old)) => {
                at.at = name.at;
                *old = parameter;
            }
            None => into.parameters.push((name, parameter)),
        }
    }
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

/// `at`, or the place that stands in for it where it lies in the built-in file.
pub(super) fn in_file(at: At, instead: At) -> At {
    if at.line == 0 { instead } else { at }
}
