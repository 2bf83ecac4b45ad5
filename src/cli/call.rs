//! `toolbridge call`: a real MCP client for one call. Arguments are `name=value`; the tool's own schema says which
//! values are texts and which are JSON. The result goes to standard output, pretty where a person looks.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, Tool},
    service::{ClientInitializeError, RunningService, ServiceError},
    transport::{
        DynamicTransportError, StreamableHttpClientTransport,
        streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError},
    },
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{Failed, in_runtime, say, token};
use crate::{
    nearest::nearest,
    outgoing::{self, Timeouts},
};

/// The person `dev` seeds its records for.
pub(super) const DEVELOPER: &str = "dev";

/// Longer than any call a sidecar lets run.
const PATIENCE: Duration = Duration::from_secs(120);

/// Call one tool of a running sidecar.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  toolbridge call list_notes\n  toolbridge call create_note title=Hi content=There tags='[\"a\",\"b\"]'\n  toolbridge call patch_task uid=… updates='{\"priority\":\"high\"}'\n  toolbridge call get_note uid=… --url https://acme.example.com/mcp --token \"$TOKEN\"\n\nExit code 1 where the tool reports an error. Without --token it uses a development token for user `dev`."
)]
pub(super) struct Call {
    /// The tool
    tool: String,
    /// Its arguments, NAME=VALUE; values of parameters that are no texts are JSON
    #[arg(value_name = "NAME=VALUE", value_parser = super::serve::assignment)]
    arguments: Vec<(String, String)>,
    /// The sidecar's MCP endpoint
    #[arg(long, default_value = "http://127.0.0.1:8001/mcp")]
    url: String,
    /// Who calls: a bearer token
    #[arg(long, value_parser = secret)]
    token: Option<SecretString>,
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

impl Call {
    pub(super) fn run(self) -> Result<ExitCode, Failed> {
        let result = in_runtime(self.ask())?;
        let value = shown(&result);
        let text = if io::stdout().is_terminal() {
            format!("{value:#}\n")
        } else {
            format!("{value}\n")
        };
        say(&text)?;
        Ok(match result.is_error {
            Some(true) => ExitCode::FAILURE,
            Some(false) | None => ExitCode::SUCCESS,
        })
    }

    async fn ask(self) -> Result<CallToolResult, Failed> {
        let client = self.connect().await?;
        let unanswered = |error| unanswered(&self.url, error);
        let tools = client.list_all_tools().await.map_err(&unanswered)?;
        let Some(tool) = tools.iter().find(|tool| tool.name == self.tool) else {
            let names = tools.iter().map(|tool| tool.name.as_ref());
            let hint = match nearest(&self.tool, names) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            return Err(Failed::new(format!(
                "there is no tool `{}`{hint}",
                self.tool
            )));
        };
        let arguments = arguments(tool, self.arguments);
        let params = CallToolRequestParams::new(self.tool).with_arguments(arguments);
        let result = client.call_tool(params).await.map_err(unanswered);
        if let Err(error) = client.cancel().await {
            tracing::debug!(%error, "the connection was not closed cleanly");
        }
        result
    }

    async fn connect(&self) -> Result<RunningService<RoleClient, ()>, Failed> {
        let token = match &self.token {
            Some(token) => token.clone(),
            None => token::development_token(DEVELOPER, Duration::from_secs(300))?,
        };
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            request: PATIENCE,
        };
        let http = outgoing::client(timeouts).map_err(Failed::new)?;
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str())
            .auth_header(token.expose_secret());
        let transport = || StreamableHttpClientTransport::with_client(http.clone(), config.clone());
        let connected = match ().serve(transport()).await {
            // Where the second message of a handshake is refused, the client forgets why; the next one is told.
            Err(error) if is_closed(&error) => ().serve(transport()).await,
            connected => connected,
        };
        connected.map_err(|error| {
            let refused = match &error {
                ClientInitializeError::TransportError { error, .. } => refused(&self.url, error),
                _ => None,
            };
            let said = || format!("no MCP connection to {}: {error}", self.url);
            Failed::new(refused.unwrap_or_else(said))
        })
    }
}

fn is_closed(error: &ClientInitializeError) -> bool {
    let ClientInitializeError::TransportError { error, .. } = error else {
        return false;
    };
    let error = error.error.downcast_ref();
    matches!(
        error,
        Some(StreamableHttpError::<reqwest::Error>::TransportChannelClosed)
    )
}

fn unanswered(url: &str, error: ServiceError) -> Failed {
    let refused = match &error {
        ServiceError::TransportSend(error) => refused(url, error),
        _ => None,
    };
    refused.map_or_else(|| Failed::new(error), Failed::new)
}

/// Of a server that is there and says no, what there is to do. The client drops the words of its answer, and keeps the wait
/// and the scopes.
fn refused(url: &str, error: &DynamicTransportError) -> Option<String> {
    let error = error.error.downcast_ref();
    match error? {
        StreamableHttpError::<reqwest::Error>::HttpStatus(no) if no.status == 429 => {
            let seconds = no
                .retry_after
                .as_ref()
                .and_then(|it| it.parse::<u64>().ok());
            let when = seconds.map_or("later".to_owned(), |seconds| format!("in {seconds} s"));
            Some(format!(
                "you call too often: try again {when} (429 from {url})"
            ))
        }
        StreamableHttpError::AuthRequired(_) => Some(format!(
            "the token is not accepted (401 from {url}): `toolbridge doctor {url} --token-file FILE` says why"
        )),
        StreamableHttpError::InsufficientScope(no) => {
            let scopes = no.required_scope.as_deref().unwrap_or("another scope");
            Some(format!("the token lacks {scopes} (403 from {url})"))
        }
        _ => None,
    }
}

/// Values as the tool's schema wants them: texts stay as they are, everything else is read as JSON. What is no JSON is
/// sent as the text it is, so that the sidecar's own message explains it.
fn arguments(tool: &Tool, given: Vec<(String, String)>) -> Map<String, Value> {
    let is_text = |name: &str| {
        let property = tool.input_schema.get("properties")?.get(name)?;
        Some(property.get("type")? == "string")
    };
    given
        .into_iter()
        .map(|(name, text)| {
            let value = match is_text(&name) {
                Some(true) => Value::String(text),
                Some(false) | None => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            };
            (name, value)
        })
        .collect()
}

/// The structured result, or what there is of text.
fn shown(result: &CallToolResult) -> Value {
    match &result.structured_content {
        Some(value) => value.clone(),
        None => result
            .content
            .iter()
            .filter_map(|block| Some(block.as_text()?.text.clone()))
            .collect::<Vec<_>>()
            .join("\n")
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use rmcp::transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError,
    };

    use super::*;

    const URL: &str = "https://acme.example.com/mcp";

    fn said(error: StreamableHttpError<reqwest::Error>) -> Option<String> {
        let id = TypeId::of::<()>();
        refused(
            URL,
            &DynamicTransportError::from_parts("a transport", id, Box::new(error)),
        )
    }

    fn of_status(status: u16, retry_after: Option<&str>) -> Option<String> {
        said(HttpStatusError::new(status, retry_after.map(str::to_owned)).into())
    }

    #[test]
    fn a_server_that_says_no_is_no_broken_connection() {
        insta::assert_snapshot!(of_status(429, Some("7")).unwrap(), @"you call too often: try again in 7 s (429 from https://acme.example.com/mcp)");
        for unusable in [
            None,
            Some("Thu, 26 Nov 2026 12:00:00 GMT"),
            Some("\u{1b}[2J"),
        ] {
            let said = of_status(429, unusable).unwrap();
            assert_eq!(
                said,
                format!("you call too often: try again later (429 from {URL})")
            );
        }
        assert_eq!(of_status(503, Some("7")), None);
        let challenge = "Bearer error_description=\"x\"".to_owned();
        let unknown = StreamableHttpError::AuthRequired(AuthRequiredError::new(challenge.clone()));
        insta::assert_snapshot!(said(unknown).unwrap(), @"the token is not accepted (401 from https://acme.example.com/mcp): `toolbridge doctor https://acme.example.com/mcp --token-file FILE` says why");
        let scope = Some("notes:read".to_owned());
        let poor = InsufficientScopeError::new(challenge, scope);
        insta::assert_snapshot!(said(StreamableHttpError::InsufficientScope(poor)).unwrap(), @"the token lacks notes:read (403 from https://acme.example.com/mcp)");
    }
}
