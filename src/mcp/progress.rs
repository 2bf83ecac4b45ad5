//! Signs of life for a client that asked for them (`progressToken`): while its call runs, a notification every ten
//! seconds, so that clients with idle limits do not give up. None after the answer, none after a cancellation. It uses
//! nothing but the peer, so that it is the same in every transport.

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use rmcp::{
    Peer, RoleServer,
    model::{ProgressNotificationParam, ProgressToken, ProtocolVersion},
    service::RequestContext,
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How often.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// What is said while a call runs; nothing where nobody asked.
pub(super) struct Heartbeat(Option<Beat>);

struct Beat {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    tool: String,
    /// The oldest revision has numbers only.
    has_words: bool,
    cancelled: CancellationToken,
    interval: Duration,
}

impl Heartbeat {
    pub(super) fn of(context: &RequestContext<RoleServer>, tool: &str, interval: Duration) -> Self {
        let version = context.protocol_version();
        let beat = |token| Beat {
            peer: context.peer.clone(),
            token,
            tool: tool.to_owned(),
            has_words: version >= Some(ProtocolVersion::V_2025_03_26),
            cancelled: context.ct.clone(),
            interval,
        };
        Self(context.meta.get_progress_token().map(beat))
    }

    /// Runs the call, speaking now and then.
    pub(super) async fn during<F: Future>(self, call: F) -> F::Output {
        match self.0 {
            Some(beat) => beat.during(call).await,
            None => call.await,
        }
    }
}

impl Beat {
    async fn during<F: Future>(self, call: F) -> F::Output {
        let mut call = pin!(call);
        let begun = Instant::now();
        for beats in 1_u32.. {
            tokio::select! {
                biased;
                ended = &mut call => return ended,
                () = self.cancelled.cancelled() => break,
                () = sleep_until(begun + self.interval * beats) => {}
            }
            // Whoever does not take the last one does not want another.
            let beat = pin!(timeout(self.interval, self.beat(self.interval * beats)));
            match select(&mut call, beat).await {
                Either::Left((ended, beat)) => {
                    // Cut in the middle it could still be sent, and arrive after the answer.
                    let _ = beat.await;
                    return ended;
                }
                Either::Right((Ok(Ok(())), _)) => {}
                Either::Right((Ok(Err(_)) | Err(_), _)) => break,
            }
        }
        call.await
    }

    async fn beat(&self, waited: Duration) -> Result<(), rmcp::ServiceError> {
        let mut progress = ProgressNotificationParam::new(self.token.clone(), waited.as_secs_f64());
        if self.has_words {
            let (tool, seconds) = (&self.tool, waited.as_secs());
            progress =
                progress.with_message(format!("{tool}: waiting for the backend, {seconds} s"));
        }
        self.peer.notify_progress(progress).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use rmcp::{
        ErrorData, ServerHandler,
        model::{CallToolRequestParams, CallToolResponse, CallToolResult, RequestId},
    };
    use serde_json::{Value, json};
    use tokio::{sync::mpsc, time::sleep};

    use super::*;
    use crate::mcp::{
        HandlesMcp,
        pipe::{Pipe, decoded},
    };

    /// Takes 35 s for a call, cancelled or not.
    #[derive(Clone)]
    struct Slow;

    impl HandlesMcp for Slow {}

    impl ServerHandler for Slow {
        async fn call_tool(
            &self,
            request: CallToolRequestParams,
            context: RequestContext<RoleServer>,
        ) -> Result<CallToolResponse, ErrorData> {
            let heartbeat = Heartbeat::of(&context, &request.name, INTERVAL);
            heartbeat.during(sleep(Duration::from_secs(35))).await;
            Ok(CallToolResult::success(Vec::new()).into())
        }
    }

    struct Client {
        pipe: Pipe,
        answers: mpsc::Receiver<Bytes>,
        begun: Instant,
    }

    impl Client {
        async fn of(version: &str) -> Self {
            let (pipe, answers) = Pipe::open(Slow, CancellationToken::new(), Duration::MAX);
            let begun = Instant::now();
            let mut client = Self {
                pipe,
                answers,
                begun,
            };
            let params = json!({
                "protocolVersion": version,
                "capabilities": {},
                "clientInfo": { "name": "unit", "version": "1" },
            });
            client
                .sends(&json!({ "id": 0, "method": "initialize", "params": params }))
                .await;
            client.hears().await.unwrap();
            client
                .sends(&json!({ "method": "notifications/initialized" }))
                .await;
            client
        }

        async fn sends(&self, message: &Value) {
            let mut message = message.clone();
            message["jsonrpc"] = json!("2.0");
            let message = decoded(message.to_string().as_bytes()).unwrap();
            let parts = Request::new(()).into_parts().0;
            self.pipe.take(message, parts).await.unwrap();
        }

        async fn calls(&self, meta: Value) {
            let params = json!({ "name": "create_note", "arguments": {}, "_meta": meta });
            self.sends(&json!({ "id": 1, "method": "tools/call", "params": params }))
                .await;
        }

        /// The next message and when it came; nothing where none comes for a minute.
        async fn hears(&mut self) -> Option<(u64, Value)> {
            let line = timeout(Duration::from_secs(60), self.answers.recv()).await;
            let message = serde_json::from_slice(&line.ok()??).unwrap();
            Some((self.begun.elapsed().as_secs(), message))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_ten_seconds_until_the_answer_and_never_after_it() {
        let mut client = Client::of("2025-11-25").await;
        client.calls(json!({ "progressToken": "t" })).await;
        for seconds in [10, 20, 30] {
            let (at, said) = client.hears().await.unwrap();
            assert_eq!(at, seconds);
            assert_eq!(said["method"], "notifications/progress");
            let message = format!("create_note: waiting for the backend, {seconds} s");
            assert_eq!(
                said["params"],
                json!({ "progressToken": "t", "progress": f64::from(u32::try_from(seconds).unwrap()), "message": message })
            );
        }
        let (at, answer) = client.hears().await.unwrap();
        assert_eq!((at, &answer["id"]), (35, &json!(1)));
        assert!(client.hears().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_revision_gets_numbers_only() {
        let mut client = Client::of("2024-11-05").await;
        client.calls(json!({ "progressToken": 7 })).await;
        let (_, said) = client.hears().await.unwrap();
        assert_eq!(
            said["params"],
            json!({ "progressToken": 7, "progress": 10.0 })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_did_not_ask_hears_anything() {
        let mut client = Client::of("2025-11-25").await;
        client.calls(json!({})).await;
        let (at, answer) = client.hears().await.unwrap();
        assert_eq!((at, &answer["id"]), (35, &json!(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_says_nothing_more() {
        let mut client = Client::of("2025-11-25").await;
        client.calls(json!({ "progressToken": "t" })).await;
        assert_eq!(client.hears().await.unwrap().0, 10);
        let params = json!({ "requestId": RequestId::Number(1) });
        client
            .sends(&json!({ "method": "notifications/cancelled", "params": params }))
            .await;
        assert!(client.hears().await.is_none());
    }
}
