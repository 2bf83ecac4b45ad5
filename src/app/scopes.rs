//! The scopes that the tools of the moment ask for, as the gate before MCP wants to know them. Each question is answered
//! from one catalogue; MCP checks every call again with its own.

use std::sync::Arc;

use crate::{catalogue::Called, mcp::Calls, server::scopes::ToolScopes};

/// What the tools of the catalogue ask of their callers.
pub(super) struct CatalogueScopes(Arc<Calls>);

impl CatalogueScopes {
    pub(super) fn of(calls: Arc<Calls>) -> Self {
        Self(calls)
    }
}

impl ToolScopes for CatalogueScopes {
    fn of(&self, tool: &str) -> Vec<String> {
        let catalogue = self.0.catalogue();
        let tool = catalogue.called(tool).and_then(Called::tool);
        tool.map(|tool| tool.scopes.clone()).unwrap_or_default()
    }

    fn all(&self) -> Vec<String> {
        let catalogue = self.0.catalogue();
        let tools = catalogue.tools().iter();
        let mut all: Vec<String> = Vec::new();
        for scope in tools.flat_map(|tool| &tool.scopes) {
            if !all.contains(scope) {
                all.push(scope.clone());
            }
        }
        all
    }

    fn any(&self) -> bool {
        let catalogue = self.0.catalogue();
        let mut tools = catalogue.tools().iter();
        tools.any(|tool| !tool.scopes.is_empty())
    }

    fn argument_headers(&self) -> Vec<String> {
        self.0.catalogue().argument_headers()
    }
}
