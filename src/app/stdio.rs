//! The wiring of `toolbridge stdio`: the same parts without ports, one local client whose token comes from the environment
//! and is checked as HTTP's are, for each request anew.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{Core, StartError, spans::Sending};
use crate::{
    auth::{AuthError, Caller, Verifier},
    catalogue::Catalogue,
    clock,
    mcp::{Handler, NoCaller, SealKeys, StdioService, WhoSends},
    settings::{LocalToken, Settings},
    shutdown::Shutdown,
};

/// A sidecar for one local client.
pub struct Local {
    core: Core,
    sender: Arc<Sender>,
    settings: Settings,
}

/// Who sends what comes by standard input.
struct Sender {
    verifier: Arc<Verifier>,
    token: Option<LocalToken>,
}

/// Why nobody can be said to send it.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// No token where one is needed.
    #[error("no token: set TOOLBRIDGE_TOKEN, or TOOLBRIDGE_TOKEN_FILE to a file with one in it")]
    Missing,
    /// The token's file cannot be read, or what is in it cannot be a token.
    #[error("the token cannot be used: {0}")]
    Unreadable(String),
    /// The token is not accepted.
    #[error("{error}: {mend}")]
    Refused {
        /// Why not.
        error: AuthError,
        /// What to do about it.
        mend: &'static str,
    },
    /// Nobody can tell whether it is good.
    #[error("{0}: try again shortly")]
    Unknown(AuthError),
}

impl Local {
    /// Makes every part; nothing is sent or taken yet.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn build(settings: Settings, token: Option<LocalToken>) -> Result<Self, StartError> {
        let core = Core::of(&settings, &SealKeys::of(&settings.seal_secrets))?;
        let verifier = Arc::clone(&core.verifier);
        Ok(Self {
            core,
            sender: Arc::new(Sender { verifier, token }),
            settings,
        })
    }

    /// The catalogue being served.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.core.calls.catalogue()
    }

    /// Whether the token is good now. An issuer that does not answer is no reason not to start.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check_token(&self) -> Result<(), Unproven> {
        match self.sender.caller().await {
            Ok(_) => Ok(()),
            Err(Unproven::Unknown(error)) => {
                tracing::warn!(%error, "the token is not checked yet");
                Ok(())
            }
            Err(unproven) => Err(unproven),
        }
    }

    /// Answers until the input ends or somebody asks to stop; then what runs may finish. Whether all of it did.
    pub async fn run(
        self,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        shutdown: Shutdown,
    ) -> bool {
        let grace = self.settings.shutdown.grace;
        let reloads = tokio::spawn(self.core.keep_catalogue(&self.settings));
        let spans = Sending::begin(self.core.exporter);
        let leaving = self.core.calls.leaving().clone();
        let calls = Arc::clone(&self.core.calls);
        let handler = Handler::new(self.core.calls, self.core.seal);
        let sender = self.sender;
        let who: WhoSends = Arc::new(move || {
            let sender = Arc::clone(&sender);
            let caller = async move { sender.caller().await };
            Box::pin(async move { caller.await.map_err(|why| NoCaller(why.to_string())) })
        });
        let longest = self.settings.server.max_request_bytes;
        let service = StdioService::new(handler, who, longest, leaving);
        let running = self.core.running;
        let stop = shutdown.clone();
        let orderly = async {
            let stop = async move { stop.requested().await };
            let answered = service.serve(input, output, stop, grace).await;
            running.close();
            // A write that was cancelled still runs.
            let begun = Instant::now();
            let finished = timeout(grace, running.wait()).await.is_ok();
            spans.end(grace.saturating_sub(begun.elapsed())).await;
            finished && answered
        };
        let finished = tokio::select! {
            finished = orderly => finished,
            () = shutdown.forced() => false,
        };
        calls.audit_ends().await;
        reloads.abort();
        finished
    }
}

impl Sender {
    async fn caller(&self) -> Result<Caller, Unproven> {
        let headers = self.headers().await?;
        let caller = self.verifier.caller(&headers, clock::unix_now()).await;
        caller.map_err(|error| match (error, &self.token) {
            (AuthError::Missing, _) | (_, None) => Unproven::Missing,
            (error @ AuthError::KeysUnavailable { .. }, _) => Unproven::Unknown(error),
            (error, Some(token)) => Unproven::Refused {
                error,
                mend: token.renewal(),
            },
        })
    }

    /// The token as HTTP would bring it.
    async fn headers(&self) -> Result<HeaderMap, Unproven> {
        let mut headers = HeaderMap::new();
        let Some(token) = self.token.clone() else {
            return Ok(headers);
        };
        let read = spawn_blocking(move || token.read()).await;
        let token = read
            .unwrap_or_else(|_| Err("it was not read".to_owned()))
            .map_err(Unproven::Unreadable)?;
        let value = format!("Bearer {}", token.expose_secret().trim());
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Unproven::Unreadable("it has odd characters".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }
}
