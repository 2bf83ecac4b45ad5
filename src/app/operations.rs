//! The wiring of the operations port: health, metrics, the console and the log's filter, each with the parts it looks at.

use std::sync::Arc;

use super::{App, PUBLIC_LOOKS, console, standing::Looks};
use crate::{
    clock,
    server::{
        Answer,
        console::Console,
        health::{self, Checks},
        operations::Operations,
        ops_door::OpsDoor,
    },
};

impl App {
    /// What answers on the operations port.
    pub(super) fn operations(&self, checks: Checks) -> Answer {
        let looks = Looks {
            checks: Arc::clone(&checks),
            verifier: Arc::clone(&self.core.verifier),
            calls: Arc::clone(&self.core.calls),
            clock_skew: Arc::clone(&self.core.clock_skew),
            door: Arc::clone(&self.door),
            reload: self.core.reload.record(),
            started_at: clock::unix_now(),
        };
        // What the page asks for every second opens a connection to the backend no oftener than probes do.
        let checks_of_page = health::seldom(Arc::clone(&checks), PUBLIC_LOOKS);
        let view = console::View::new(looks.clone().checking(checks_of_page), self.address());
        let ops_token = self.settings.ops_token.clone();
        let operations = Arc::new(Operations {
            checks,
            door: OpsDoor::new(self.ops.addr, ops_token),
            console: Console {
                insight: Arc::new(view),
                max_request_bytes: self.settings.server.max_request_bytes,
            },
            metrics: looks.metrics(),
            log: self.log.clone(),
        });
        Arc::new(move |request| {
            let operations = Arc::clone(&operations);
            Box::pin(async move { operations.answer(request).await })
        })
    }

    /// Where clients find MCP.
    fn address(&self) -> String {
        let public = self.settings.server.public_url.as_ref();
        let public = public.map(|url| format!("{}/mcp", url.as_str().trim_end_matches('/')));
        public.unwrap_or_else(|| self.mcp_url())
    }
}
