//! `dialects.yaml` → dialects, with the reader of `tools.yaml`: unknown keys and missing ones are problems.

use crate::catalogue::{
    keys::{Keys, Read, entries_of, text, texts, whole},
    problem::{At, Problem},
    yaml::{Node, Placed},
};

use super::{Change, Dialect, Evidence, Ground, Rule};

/// The whole file.
pub(super) fn dialects(node: &Node, problems: &mut Vec<Problem>) -> Vec<Dialect> {
    let named = |(name, dialect): (Placed<String>, Dialect)| Dialect {
        name: name.value,
        ..dialect
    };
    let entries = entries_of(node, dialect, problems);
    entries.into_iter().map(named).collect()
}

fn dialect(node: &Node, problems: &mut Vec<Problem>) -> Option<Dialect> {
    let mut keys = Keys::of(node, "a dialect", problems)?;
    let title = keys.required("title", text, problems);
    let clients = keys.required("clients", texts, problems);
    let before = keys.optional("before", text, problems);
    let known = keys.required("known", evidence, problems);
    let rules = keys.required("rules", rules, problems);
    keys.finish(problems);
    Some(Dialect {
        name: String::new(),
        title: title?.value,
        clients: clients?.into_iter().map(|name| name.value).collect(),
        before: before.map(|version| version.value),
        known: Some(known?),
        rules: rules?,
        index: 0,
    })
}

fn rules(node: &Node, problems: &mut Vec<Problem>) -> Option<Vec<Rule>> {
    const PLAIN: [(&str, Change); 11] = [
        ("inline_refs", Change::InlineRefs),
        ("draft_07", Change::Draft07),
        ("plain_root", Change::PlainRoot),
        ("plain", Change::Plain),
        ("single_types", Change::SingleTypes),
        ("integers_as_numbers", Change::IntegersAsNumbers),
        ("no_const", Change::NoConst),
        ("inclusive_bounds", Change::InclusiveBounds),
        ("string_enums", Change::StringEnums),
        ("array_items", Change::ArrayItems),
        ("typed", Change::Typed),
    ];
    const READ: [(&str, Read<Rule>); 4] = [
        ("formats", formats),
        ("without", without),
        ("descriptions", descriptions),
        ("names", names),
    ];
    let mut keys = Keys::of(node, "`rules`", problems)?;
    let mut rules = Vec::new();
    for (key, change) in PLAIN
        .into_iter()
        .chain([("no_output_schema", Change::NoOutputSchema)])
    {
        let evidence = keys.optional(key, evidence, problems);
        rules.extend(evidence.map(|evidence| Rule { change, evidence }));
    }
    for (key, read) in READ {
        rules.extend(keys.optional(key, read, problems));
    }
    keys.finish(problems);
    rules.sort_by(|one, other| one.change.cmp(&other.change));
    Some(rules)
}

fn evidence(node: &Node, problems: &mut Vec<Problem>) -> Option<Evidence> {
    let mut keys = Keys::of(node, "a rule", problems)?;
    let evidence = evidence_in(&mut keys, node.named, problems);
    keys.finish(problems);
    evidence
}

fn formats(node: &Node, problems: &mut Vec<Problem>) -> Option<Rule> {
    let mut keys = Keys::of(node, "`formats`", problems)?;
    let kept = keys.required("keep", texts, problems);
    rule(keys, node.named, problems, move || {
        Some(Change::Formats(words(kept?)))
    })
}

fn without(node: &Node, problems: &mut Vec<Problem>) -> Option<Rule> {
    let mut keys = Keys::of(node, "`without`", problems)?;
    let gone = keys.required("keywords", texts, problems);
    rule(keys, node.named, problems, move || {
        Some(Change::Without(words(gone?)))
    })
}

fn descriptions(node: &Node, problems: &mut Vec<Problem>) -> Option<Rule> {
    let mut keys = Keys::of(node, "`descriptions`", problems)?;
    let most = keys.required("most", whole, problems);
    rule(keys, node.named, problems, move || {
        Some(Change::Descriptions(usize::try_from(most?.value).ok()?))
    })
}

fn names(node: &Node, problems: &mut Vec<Problem>) -> Option<Rule> {
    let mut keys = Keys::of(node, "`names`", problems)?;
    let most = keys.required("most", whole, problems);
    let around = keys.required("around", text, problems);
    rule(keys, node.named, problems, move || {
        Some(Change::Names {
            most: usize::try_from(most?.value).ok()?,
            around: around?.value,
        })
    })
}

fn rule(
    mut keys: Keys<'_>,
    at: At,
    problems: &mut Vec<Problem>,
    change: impl FnOnce() -> Option<Change>,
) -> Option<Rule> {
    let evidence = evidence_in(&mut keys, at, problems);
    keys.finish(problems);
    Some(Rule {
        change: change()?,
        evidence: evidence?,
    })
}

fn evidence_in(keys: &mut Keys<'_>, at: At, problems: &mut Vec<Problem>) -> Option<Evidence> {
    let date = keys.required("date", text, problems);
    let source = keys.optional("source", text, problems);
    let precaution = keys.optional("precaution", text, problems);
    let ground = match (source, precaution) {
        (Some(source), None) => Ground::Source(source.value),
        (None, Some(reason)) => Ground::Precaution(reason.value),
        _ => {
            let what = "a rule has a `source`, or it is a `precaution`";
            problems.push(Problem::error(at, what));
            return None;
        }
    };
    Some(Evidence {
        date: date?.value,
        ground,
    })
}

fn words(list: Vec<Placed<String>>) -> Vec<String> {
    list.into_iter().map(|word| word.value).collect()
}
