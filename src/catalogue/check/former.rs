//! Names that tools had: `aliases` (the tool has another name now) and `removed` (it is gone). In: both maps, and the names
//! of the tools there are. Out: what each name leads to, in one step, and a problem for each that leads nowhere or
//! stands in the way of a tool.

use std::collections::{BTreeSet, HashMap};

use crate::catalogue::{
    expand,
    problem::{At, Problem},
    raw::{Named, RawCatalogue},
    yaml::Placed,
};

/// Former names, each with what it leads to.
#[derive(Debug, Default)]
pub(in crate::catalogue) struct FormerNames {
    /// Old name → the tool's name.
    pub(in crate::catalogue) aliases: Vec<(String, String)>,
    /// Old name → what to do instead.
    pub(in crate::catalogue) removed: Vec<(String, String)>,
}

pub(super) fn names(
    raw: &RawCatalogue,
    tools: &HashMap<String, At>,
    problems: &mut Vec<Problem>,
) -> FormerNames {
    for (name, _) in raw.aliases.iter().chain(&raw.removed) {
        free(name, tools, problems);
    }
    for (name, _) in &raw.removed {
        if let Some((alias, _)) = entry(&raw.aliases, &name.value) {
            let what = format!("`{}` is in `aliases` too", name.value);
            let hint = format!(
                "line {} says which tool it is now: keep one of them",
                alias.at.line
            );
            problems.push(Problem::error(name.at, what).hint(hint));
        }
    }
    for (name, target) in &raw.aliases {
        leads_to_a_tool(name, target, raw, tools, problems);
    }
    for (name, instead) in &raw.removed {
        if instead.value.trim().is_empty() {
            let what = format!("`{}` does not say what to do instead", name.value);
            let hint = "a sentence for the model: `use list_notes instead`";
            problems.push(Problem::error(instead.at, what).hint(hint));
        }
    }
    let texts = |entries: &Named<Placed<String>>| {
        let texts = entries.iter();
        let texts = texts.map(|(name, text)| (name.value.clone(), text.value.trim().to_owned()));
        texts.collect()
    };
    FormerNames {
        aliases: texts(&raw.aliases),
        removed: texts(&raw.removed),
    }
}

/// A former name can be a tool's name, and is none today.
fn free(name: &Placed<String>, tools: &HashMap<String, At>, problems: &mut Vec<Problem>) {
    if let Some(tool) = tools.get(&name.value) {
        let what = format!("`{}` is a tool, so it is no former name", name.value);
        let hint = format!(
            "the tool comes from line {}: rename it, or leave this out",
            tool.line
        );
        problems.push(Problem::error(name.at, what).hint(hint));
    } else if !expand::is_tool_name(&name.value) {
        let what = format!("`{}` is no tool name", name.value);
        let hint = "1 to 64 lower-case letters, digits and `_`";
        problems.push(Problem::error(name.at, what).hint(hint));
    }
}

fn leads_to_a_tool(
    name: &Placed<String>,
    target: &Placed<String>,
    raw: &RawCatalogue,
    tools: &HashMap<String, At>,
    problems: &mut Vec<Problem>,
) {
    if tools.contains_key(&target.value) {
        return;
    }
    let problem = |what: String| Problem::error(target.at, what);
    // In one order, so that the same file gets the same hint every time.
    let known: BTreeSet<&str> = tools.keys().map(String::as_str).collect();
    problems.push(if target.value == name.value {
        problem(format!("`{}` is an alias of itself", name.value))
            .hint("the tool's name today belongs here")
    } else if let Some((_, end)) = entry(&raw.aliases, &target.value) {
        problem(format!("`{}` is an alias itself", target.value))
            .hint(format!("name the tool: `{}`", end.value))
    } else if entry(&raw.removed, &target.value).is_some() {
        problem(format!("`{}` was removed", target.value))
            .hint(format!("put `{}` under `removed` as well", name.value))
    } else {
        problem(format!("there is no tool `{}`", target.value))
            .suggest(&target.value, known)
            .or_hint("`toolbridge check` lists the tools once the file has no problems")
    });
}

fn entry<'r>(
    entries: &'r Named<Placed<String>>,
    name: &str,
) -> Option<&'r (Placed<String>, Placed<String>)> {
    entries.iter().find(|(known, _)| known.value == name)
}
