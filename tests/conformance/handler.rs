//! The handler of the profile: answers for the fixtures, and hands everything else to the product's own handler, which it
//! is put around. In: rmcp's requests. Out: what the suite expects, by way of the product's whole front.

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams,
        CompleteResult, CompletionInfo, CustomRequest, CustomResult, GetPromptRequestParams,
        GetPromptResponse, GetPromptResult, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerConfig,
        ServerNotification, ServerRequest, SetLevelRequestMethod, SetLevelRequestParams,
        SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::broadcast, time::sleep};
use toolbridge::mcp::HandlesMcp;

use crate::{
    fixtures::{Data, List, ToolFixture, Words, filled, words},
    rounds::{Brought, Next, States},
};

/// The suite wants to see that notifications arrive one by one.
const BETWEEN_NOTIFICATIONS: Duration = Duration::from_millis(50);

/// Fixtures around `H`.
#[derive(Clone)]
pub(crate) struct Fixtures<H> {
    product: H,
    shared: Arc<Shared>,
}

struct Shared {
    data: Data,
    states: States,
    changes: broadcast::Sender<List>,
}

impl<H: ServerHandler> Fixtures<H> {
    pub(crate) fn around(product: H) -> Self {
        let shared = Shared {
            data: Data::read(),
            states: States::new(),
            changes: broadcast::channel(16).0,
        };
        Self {
            product,
            shared: Arc::new(shared),
        }
    }

    fn data(&self) -> &Data {
        &self.shared.data
    }

    async fn run(
        &self,
        fixture: &ToolFixture,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let can = context.client_capabilities().unwrap_or_default();
        if let Some(needed) = &fixture.needs
            && needed.sampling.is_some()
            && can.sampling.is_none()
        {
            return Err(ErrorData::missing_required_client_capability(
                needed.clone(),
            ));
        }
        if let Some(list) = fixture.changes {
            // Nobody listens, nobody is told.
            let _ = self.shared.changes.send(list);
        }
        let mut words = words(request.arguments.as_ref());
        tell(&fixture.tells, &mut words, context).await;
        if let Some(rounds) = &fixture.rounds {
            let brought = Brought {
                name: &request.name,
                state: request.request_state.as_deref(),
                responses: request.input_responses.as_ref(),
                can: &can,
            };
            match self.shared.states.next(rounds, &brought)? {
                Next::Ask(question) => return Ok(question.into()),
                Next::Answer(answers) => words.insert("answer".to_owned(), answers),
            };
        }
        if let Some(asked) = &fixture.asks {
            let answer = ask(&filled(asked, &words), context).await?;
            words.insert("answer".to_owned(), answer);
        }
        complete::<CallToolResult>(filled(&fixture.answer, &words)).map(Into::into)
    }
}

/// Sends notifications: about progress where the client wants to know, log messages where it may get them.
async fn tell(notifications: &[Value], words: &mut Words, context: &RequestContext<RoleServer>) {
    let progress = context.meta.get_progress_token();
    let progress = progress.and_then(|token| serde_json::to_value(token).ok());
    let wants_log = !is_modern(context) || context.meta.log_level().is_some();
    let wants_progress = progress.is_some();
    if let Some(token) = progress {
        words.insert("progressToken".to_owned(), token);
    }
    for notification in notifications {
        let is_log = notification["method"] == "notifications/message";
        if if is_log { wants_log } else { wants_progress } {
            let notification = read::<ServerNotification>(filled(notification, words));
            let notification = notification.expect("a notification in fixtures.json");
            // A client that is gone misses nothing.
            let _ = context.peer.send_notification(notification).await;
        }
        sleep(BETWEEN_NOTIFICATIONS).await;
    }
}

/// Sends a request to the client and waits for its answer.
async fn ask(request: &Value, context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    let request = read::<ServerRequest>(request.clone())?;
    let answer = context.peer.send_request(request).await;
    let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let answer = serde_json::to_value(answer).unwrap_or_default();
    // What a model said is shown as it said it, what a person entered with whether they did.
    let text = answer.pointer("/content/text").cloned();
    Ok(text.unwrap_or(answer))
}

// rmcp has to ask: the list has the fixtures in it.
impl<H: ServerHandler + Clone> HandlesMcp for Fixtures<H> {}

impl<H: ServerHandler + Clone> ServerHandler for Fixtures<H> {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.product.get_info();
        info.capabilities = self.data().capabilities.clone();
        info
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = self.product.list_tools(request, context).await?;
        let fixtures = self.data().tools.iter();
        list.tools
            .extend(fixtures.map(|fixture| fixture.tool.clone()));
        Ok(list)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let fixture = self.data().tool(name);
        fixture.map_or_else(|| self.product.get_tool(name), |it| Some(it.tool.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match self.data().tool(&request.name) {
            Some(fixture) => self.run(fixture, &request, &context).await,
            None => self.product.call_tool(request, context).await,
        }
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompts = self.data().prompts.iter();
        let prompts = prompts.map(|fixture| fixture.prompt.clone());
        Ok(ListPromptsResult::with_all_items(prompts.collect()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let fixture = self.data().prompt(&request.name);
        let fixture = fixture.ok_or_else(|| ErrorData::invalid_params("unknown prompt", None))?;
        let mut words = words(request.arguments.as_ref());
        if let Some(rounds) = &fixture.rounds {
            let brought = Brought {
                name: &request.name,
                state: request.request_state.as_deref(),
                responses: request.input_responses.as_ref(),
                can: &context.client_capabilities().unwrap_or_default(),
            };
            match self.shared.states.next(rounds, &brought)? {
                Next::Ask(question) => return Ok(question.into()),
                Next::Answer(answers) => words.insert("answer".to_owned(), answers),
            };
        }
        let answer = complete::<GetPromptResult>(filled(&fixture.answer, &words));
        answer.map(GetPromptResponse::Complete)
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let resources = self.data().resources.iter();
        let resources = resources.map(|fixture| fixture.resource.clone());
        Ok(ListResourcesResult::with_all_items(resources.collect()))
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let templates = self.data().templates.clone();
        Ok(ListResourceTemplatesResult::with_all_items(templates))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(contents) = self.data().contents(&request.uri) else {
            let which = json!({ "uri": request.uri });
            return Err(ErrorData::invalid_params("resource not found", Some(which)));
        };
        complete::<ReadResourceResult>(json!({ "contents": [contents] })).map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let begun = &request.argument.value;
        let words = ["paris", "park", "party"].map(str::to_owned);
        let fitting = words.into_iter().filter(|word| word.starts_with(begun));
        let completion = CompletionInfo::new(fitting.collect());
        completion
            .map(CompleteResult::new)
            .map_err(|error| ErrorData::internal_error(error, None))
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_modern(&context) {
            return Err(ErrorData::method_not_found::<SetLevelRequestMethod>());
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.shared.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            let sink = context.sink();
            let told = match change {
                Ok(List::Tools) => sink.notify_tool_list_changed().await,
                Ok(List::Prompts) => sink.notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
            if let Err(error) = told {
                tracing::debug!(%error, "not told of a change");
            }
        }
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.product.on_custom_request(request, context).await
    }
}

fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    let version = context.protocol_version();
    version.is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

/// A result; rmcp takes the member out again where the revision does not know it.
fn complete<T: DeserializeOwned>(mut result: Value) -> Result<T, ErrorData> {
    result["resultType"] = json!("complete");
    read(result)
}

/// Data of ours as rmcp's type.
fn read<T: DeserializeOwned>(data: Value) -> Result<T, ErrorData> {
    serde_json::from_value(data)
        .map_err(|error| ErrorData::internal_error(format!("fixtures.json: {error}"), None))
}
