//! A request while it is being made up: its message as a tree in which everything may stand, also what no JSON library
//! writes (a key twice, an escaped key, any text as a value), and its headers. In: dice. Out: bytes.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{
    prelude::Rng,
    test_runner::{RngAlgorithm, TestRng},
};
use serde_json::Value;

/// Chance that can be repeated: the same case throws the same.
pub(super) struct Dice {
    chance: TestRng,
    /// The number of the case.
    pub(super) case: u64,
}

/// A value, written; or an object whose keys are written, too.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Object(Vec<(String, Self)>),
}

/// What becomes of the answer on its way to the client, as far as anybody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unseen,
    Received,
    Lost,
}

/// How the message is spaced out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spaces {
    None,
    Pretty,
    Odd,
}

#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Whose token comes with it.
    pub(super) person: usize,
    /// Whether it is meant to be of 2026-07-28.
    pub(super) is_modern: bool,
    pub(super) headers: HeaderMap,
    pub(super) message: Node,
    pub(super) spaces: Spaces,
    /// The written message, once it is written.
    pub(super) body: Bytes,
    pub(super) fate: Fate,
}

impl Dice {
    pub(super) fn of(case: u64) -> Self {
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&case.wrapping_add(1).to_le_bytes());
        seed[8..].copy_from_slice(b"fastpath");
        let mut chance = TestRng::from_seed(RngAlgorithm::XorShift, &seed);
        // Seeds that differ in a bit begin alike.
        for _ in 0..32 {
            chance.next_u64();
        }
        Self { chance, case }
    }

    /// Below `most`.
    pub(super) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.chance.next_u64() >> 33).unwrap() % most
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A string, as JSON writes it.
    pub(super) fn string(text: &str) -> Self {
        Self::Text(quoted(text))
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Object(members) => {
                let members = members.iter();
                Self::Object(
                    members
                        .map(|(key, value)| (quoted(key), Self::of(value)))
                        .collect(),
                )
            }
            value => Self::Text(value.to_string()),
        }
    }

    /// The members of the object at the end of this path, where there is one.
    pub(super) fn at(&mut self, path: &[&str]) -> Option<&mut Vec<(String, Self)>> {
        let Self::Object(members) = self else {
            return None;
        };
        let Some((key, rest)) = path.split_first() else {
            return Some(members);
        };
        let key = quoted(key);
        let (_, member) = members.iter_mut().find(|(name, _)| *name == key)?;
        member.at(rest)
    }

    /// Without spaces.
    pub(super) fn written(&self) -> String {
        let mut text = String::new();
        self.write(Spaces::None, 0, &mut text);
        text
    }

    fn write(&self, spaces: Spaces, depth: usize, out: &mut String) {
        let members = match self {
            Self::Text(text) => return out.push_str(text),
            Self::Object(members) => members,
        };
        let (line, colon) = match spaces {
            Spaces::None => (String::new(), ":"),
            Spaces::Pretty => (format!("\n{}", "  ".repeat(depth + 1)), ": "),
            Spaces::Odd => (" \r\t".to_owned(), "\n :\t"),
        };
        out.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&line);
            out.push_str(key);
            out.push_str(colon);
            value.write(spaces, depth + 1, out);
        }
        out.push_str(&line);
        out.push('}');
    }
}

pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl Draft {
    /// Puts a member into the object at this path, in the place of the one of its name.
    pub(super) fn put(&mut self, path: &[&str], key: &str, value: Node) {
        let Some(members) = self.message.at(path) else {
            return;
        };
        let key = quoted(key);
        match members.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => members.push((key, value)),
        }
    }

    pub(super) fn remove(&mut self, path: &[&str], key: &str) {
        let key = quoted(key);
        if let Some(members) = self.message.at(path) {
            members.retain(|(name, _)| *name != key);
        }
    }

    /// Replaces a header; nothing is done where no header can hold the value.
    pub(super) fn header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.headers.insert(named(name), value);
        }
    }

    /// The same beside the one that is there.
    pub(super) fn header_too(&mut self, name: &str, value: impl AsRef<[u8]>) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_ref()) {
            self.headers.append(named(name), value);
        }
    }

    pub(super) fn without_header(&mut self, name: &str) {
        self.headers.remove(named(name));
    }

    pub(super) fn write(&mut self) {
        let mut text = String::new();
        self.message.write(self.spaces, 0, &mut text);
        self.body = text.into();
    }

    /// As it is shown where a comparison fails.
    pub(super) fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let (person, headers) = (self.person, &self.headers);
        format!("person {person}, {headers:#?}\n{body}\n({:?})", self.fate)
    }
}

fn named(name: &str) -> HeaderName {
    HeaderName::from_bytes(name.as_bytes()).unwrap()
}
