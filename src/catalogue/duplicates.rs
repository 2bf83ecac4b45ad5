//! Keys given twice in one map, all of them: YAML's readers either stop at the first or keep quiet.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, Span};

use super::problem::{At, Problem};

enum Frame {
    List,
    Map {
        seen: HashMap<String, usize>,
        key_next: bool,
    },
}

/// A problem for every repeated key of a document that parses.
pub(super) fn duplicate_keys(text: &str) -> Vec<Problem> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut problems = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        match event {
            Event::Scalar(name, ..) => {
                if let Some(Frame::Map {
                    seen,
                    key_next: true,
                }) = frames.last_mut()
                {
                    problems.extend(repeated(seen, name.into_owned(), span));
                }
                node_ended(&mut frames);
            }
            Event::Alias(..) => node_ended(&mut frames),
            Event::SequenceStart(..) => frames.push(Frame::List),
            Event::MappingStart(..) => frames.push(Frame::Map {
                seen: HashMap::new(),
                key_next: true,
            }),
            Event::SequenceEnd | Event::MappingEnd => {
                frames.pop();
                node_ended(&mut frames);
            }
            _ => {}
        }
    }
    problems
}

fn repeated(seen: &mut HashMap<String, usize>, name: String, span: Span) -> Option<Problem> {
    let at = At {
        line: span.start.line(),
        column: span.start.col() + 1,
        width: name.chars().count(),
    };
    match seen.get(&name) {
        Some(first) => Some(
            Problem::error(at, format!("`{name}` is given twice"))
                .hint(format!("the first one is on line {first}")),
        ),
        None => {
            seen.insert(name, at.line);
            None
        }
    }
}

/// In a map, keys and values take turns.
fn node_ended(frames: &mut [Frame]) {
    if let Some(Frame::Map { key_next, .. }) = frames.last_mut() {
        *key_next = !*key_next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repetition_is_found_and_only_within_its_map() {
        let text = "a: 1\nb: {a: 1, c: 2, a: 3}\nlist: [{a: 1}, {a: 1}]\na: 4\n";
        let found: Vec<_> = duplicate_keys(text)
            .iter()
            .map(|problem| (problem.at.line, problem.at.column))
            .collect();
        assert_eq!(found, [(2, 17), (4, 1)]);
    }
}
