//! What `tools.yaml` declares, checked and expanded: immutable, complete, replaced as a whole.
//! In: a file. Out: a [`Catalogue`] whose tools are finished, or every problem of the file at once.
//! text → `yaml` (places, bounds) → `read` (shape) → `check` (meaning) → `expand` (tools).

pub mod arguments;
pub mod dialect;
pub mod entity;
pub mod operations;
pub mod path_template;
pub mod plan;
pub mod problem;
pub mod session;
pub mod tokens;
pub mod tool;

mod check;
mod duplicates;
#[cfg(test)]
mod editor;
mod expand;
mod headers;
mod keys;
mod named;
mod raw;
mod read;
mod shape;
mod validator;
mod yaml;

use std::{collections::HashMap, path::Path, sync::Arc};

use serde_json::{Map, Value};

pub use self::{
    arguments::{ArgumentError, ArgumentErrors},
    dialect::Dialect,
    entity::{Action, Entity, Reference, ReferenceTarget},
    path_template::PathTemplate,
    plan::{Effect, IDEMPOTENCY_KEY, Plan},
    problem::{Problem, Problems},
    session::{CloseTarget, JsonPointer, SessionClose, SessionRecipe},
    tool::{ResultShape, Tool},
};
use self::{check::FormerNames, dialect::Names};

/// The catalogue this binary ships: five entities, forty tools.
pub const SHIPPED: &str = include_str!("../tools.yaml");

/// The JSON Schema of `tools.yaml`, for editors. Made when the source changes and not when it is asked for: what makes it
/// would be a tenth of a megabyte.
pub const SCHEMA: &str = include_str!("../tools.schema.json");

/// How the server introduces itself.
#[derive(Clone, Debug)]
pub struct Server {
    /// For programs.
    pub name: String,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub instructions: Option<String>,
}

/// What a checked catalogue holds.
struct Contents {
    server: Server,
    session: Option<Arc<SessionRecipe>>,
    former: FormerNames,
    entities: Vec<Entity>,
    tools: Vec<Tool>,
}

impl Contents {
    /// The names of the tools, and those they had: some clients may have been shown these in a shorter form.
    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        let tools = self.tools.iter().map(|tool| tool.name.as_str());
        let former = self.former.aliases.iter().chain(&self.former.removed);
        tools.chain(former.map(|(name, _)| name.as_str()))
    }

    /// Every name that means something.
    fn index(&self) -> HashMap<String, Known> {
        let tools = self.tools.iter().enumerate();
        let mut index: HashMap<_, _> = tools
            .map(|(at, tool)| (tool.name.clone(), Known::Tool(at)))
            .collect();
        for (name, target) in &self.former.aliases {
            if let Some(Known::Tool(at)) = index.get(target) {
                let renamed = Known::Renamed(*at);
                index.insert(name.clone(), renamed);
            }
        }
        let removed = self.former.removed.iter().enumerate();
        index.extend(removed.map(|(at, (name, _))| (name.clone(), Known::Removed(at))));
        index
    }
}

/// What a name is, by its place in the contents.
#[derive(Clone, Copy)]
enum Known {
    Tool(usize),
    Renamed(usize),
    Removed(usize),
}

/// What is behind the name that somebody calls.
#[derive(Clone, Copy, Debug)]
pub enum Called<'c> {
    /// A tool, under its name.
    Tool(&'c Tool),
    /// A tool, under a name that it had.
    Renamed(&'c Tool),
    /// No tool any more; what to do instead.
    Removed(&'c str),
}

impl<'c> Called<'c> {
    /// The tool that is run.
    #[must_use]
    pub fn tool(self) -> Option<&'c Tool> {
        match self {
            Self::Tool(tool) | Self::Renamed(tool) => Some(tool),
            Self::Removed(_) => None,
        }
    }
}

/// Everything a backend offers, ready to be listed and called.
pub struct Catalogue {
    contents: Contents,
    index: HashMap<String, Known>,
    names: Names,
    lints: Problems,
}

impl Catalogue {
    /// Reads and expands a file.
    ///
    /// # Errors
    /// Every problem of the file, in file order; one problem where it cannot be read at all.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text = Self::text_at(path)?;
        Self::of_text(&path.display().to_string(), &text)
    }

    /// The text of a file, which [`Catalogue::parse`] takes.
    ///
    /// # Errors
    /// The one problem where it cannot be read.
    pub fn text_at(path: &Path) -> Result<String, Problems> {
        yaml::read_text(path).map_err(|problem| {
            let name = path.display().to_string();
            Problems::new(&name, "", vec![problem])
        })
    }

    /// The same from bytes; `name` is what problems call the file.
    ///
    /// # Errors
    /// As [`Catalogue::load`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Problems> {
        let text = yaml::text_of(bytes.to_vec());
        let text = text.map_err(|problem| Problems::new(name, "", vec![problem]))?;
        Self::of_text(name, &text)
    }

    /// The shipped catalogue.
    ///
    /// # Errors
    /// Never in a build whose tests passed.
    pub fn shipped() -> Result<Self, Problems> {
        Self::of_text("tools.yaml", SHIPPED)
    }

    fn of_text(name: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let contents = Self::contents(text, &mut problems);
        let problems = Problems::new(name, text, problems);
        match contents {
            Some(contents) if !problems.has_errors() => Ok(Self {
                index: contents.index(),
                names: Names::of(&contents.server.name, contents.names()),
                contents,
                lints: problems,
            }),
            _ => Err(problems),
        }
    }

    fn contents(text: &str, problems: &mut Vec<Problem>) -> Option<Contents> {
        let node = yaml::parse(text)
            .map_err(|problem| problems.push(problem))
            .ok()?;
        problems.extend(duplicates::duplicate_keys(text));
        let raw = read::catalogue(&node, problems)?;
        Some(check::catalogue(raw, problems))
    }

    /// How the server introduces itself.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.contents.server
    }

    /// How a backend session is opened, where the backend has sessions.
    #[must_use]
    pub fn session(&self) -> Option<&SessionRecipe> {
        self.contents.session.as_deref()
    }

    /// The entities, in catalogue order.
    #[must_use]
    pub fn entities(&self) -> &[Entity] {
        &self.contents.entities
    }

    /// The tools, in catalogue order: the same order in every list.
    #[must_use]
    pub fn tools(&self) -> &[Tool] {
        &self.contents.tools
    }

    /// The tool that has this name today, or one that some client is shown instead of it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Tool> {
        match self.called(name)? {
            Called::Tool(tool) => Some(tool),
            Called::Renamed(_) | Called::Removed(_) => None,
        }
    }

    /// What a call of this name means; nothing where no tool has or had it.
    #[must_use]
    pub fn called(&self, name: &str) -> Option<Called<'_>> {
        let known = self.index.get(name);
        let known = known.or_else(|| self.index.get(self.names.meant(name)?))?;
        let tool = |at: usize| self.contents.tools.get(at);
        match *known {
            Known::Tool(at) => tool(at).map(Called::Tool),
            Known::Renamed(at) => tool(at).map(Called::Renamed),
            Known::Removed(at) => {
                let (_, instead) = self.contents.former.removed.get(at)?;
                Some(Called::Removed(instead))
            }
        }
    }

    /// Former names and the tools that have others now, in catalogue order.
    #[must_use]
    pub fn aliases(&self) -> &[(String, String)] {
        &self.contents.former.aliases
    }

    /// Names of tools that are gone and what to do instead, in catalogue order.
    #[must_use]
    pub fn removed(&self) -> &[(String, String)] {
        &self.contents.former.removed
    }

    /// A tool (an entry of `tools/list`) as a client of this dialect is sent it; `None` where that is what it was.
    #[must_use]
    pub fn shown(
        &self,
        dialect: &Dialect,
        listed: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let name = listed.get("name")?.as_str()?;
        let name = self.names.shown(dialect.index, name).unwrap_or(name);
        dialect.shown(name, listed)
    }

    /// The headers in which clients repeat arguments, each once, in the order of the alphabet.
    #[must_use]
    pub fn argument_headers(&self) -> Vec<String> {
        let parameters = self.tools().iter().flat_map(|tool| &tool.parameters);
        let headers = parameters.filter_map(|it| it.property.shape.mcp_header.as_deref());
        let mut headers: Vec<_> = headers.map(headers::of_argument).collect();
        headers.sort_unstable_by_key(|header| header.to_ascii_lowercase());
        headers.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        headers
    }

    /// The text it was made of.
    #[must_use]
    pub fn text(&self) -> &str {
        self.lints.text()
    }

    /// What could be better without being wrong.
    #[must_use]
    pub fn lints(&self) -> &Problems {
        &self.lints
    }
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Catalogue({} tools)", self.contents.tools.len())
    }
}
