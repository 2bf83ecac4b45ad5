//! MCP over standard input and output, for a client that starts this process itself: one message a line, in both eras. In:
//! lines, and who sends them, asked anew for each request. Out: lines, and nothing else on that stream. Whoever closes the
//! input wants no more: what runs is answered, then it ends.

use std::{
    io::{BufRead, BufReader, Read, Write},
    pin::Pin,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, request::Parts};
use rmcp::model::{ErrorCode, ErrorData, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    HandlesMcp,
    outcome::{Code, Failure, Outcome},
    pipe::{self, NotTaken, Pipe},
    present,
};
use crate::{auth::Caller, backend::CorrelationId};

/// After the last answer its bytes may take this long to leave.
const FLUSH: Duration = Duration::from_secs(2);

/// Who sends what comes by this input, now.
pub type WhoSends =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Caller, NoCaller>> + Send>> + Send + Sync>;

/// Why nobody can be said to have sent a message, in words for the person and the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoCaller(pub String);

/// MCP for one local client, answered by `H`.
pub struct StdioService<H: HandlesMcp> {
    handler: H,
    who: WhoSends,
    max_request_bytes: usize,
    leaving: CancellationToken,
}

/// What came by the input.
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl<H: HandlesMcp> StdioService<H> {
    /// `max_request_bytes` is the longest line; `leaving` is cancelled when nothing more is taken, for streams that wait
    /// for news.
    #[must_use]
    pub fn new(
        handler: H,
        who: WhoSends,
        max_request_bytes: usize,
        leaving: CancellationToken,
    ) -> Self {
        Self {
            handler,
            who,
            max_request_bytes,
            leaving,
        }
    }

    /// Answers until the input ends, nobody reads the output, or `stop`; then running requests have `grace` to be
    /// answered. Whether all of them were. Reading and writing have threads of their own: either may block forever, and
    /// a process that ends must not wait for it.
    pub async fn serve(
        self,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) -> bool {
        let ended = CancellationToken::new();
        // A local client that does not read harms nobody but itself.
        let (pipe, answers) = Pipe::open(self.handler.clone(), ended.clone(), Duration::MAX);
        let (lines_in, mut lines) = mpsc::channel(1);
        let most = self.max_request_bytes;
        thread::spawn(move || read(input, most, &lines_in));
        let written = writing(output, answers, ended.clone());
        let stop = std::pin::pin!(stop);
        tokio::select! {
            () = self.answer(&mut lines, &pipe) => {}
            () = ended.cancelled() => {}
            () = stop => {}
        }
        self.leaving.cancel();
        let finished = timeout(grace, pipe.answered()).await.is_ok();
        ended.cancel();
        drop(pipe);
        // Whoever does not read the last answer does not hold up the end.
        let _ = timeout(FLUSH, written).await;
        finished
    }

    /// Takes lines until there are no more.
    async fn answer(&self, lines: &mut mpsc::Receiver<Line>, pipe: &Pipe) {
        while let Some(line) = lines.recv().await {
            if let Err(refused) = self.take(line, pipe).await {
                pipe.says(refused).await;
            }
        }
    }

    async fn take(&self, line: Line, pipe: &Pipe) -> Result<(), ServerJsonRpcMessage> {
        let Line::Whole(line) = line else {
            let why = "the message is longer than this server takes";
            return Err(error(ErrorCode::INVALID_REQUEST, why, None));
        };
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let message = pipe::decoded(&line)
            .map_err(|why| error(ErrorCode(why.code()), &why.to_string(), None))?;
        let id = match &message {
            JsonRpcMessage::Request(request) => Some(request.id.clone()),
            JsonRpcMessage::Response(_)
            | JsonRpcMessage::Notification(_)
            | JsonRpcMessage::Error(_) => None,
        };
        let parts = if id.is_some() {
            self.parts().await
        } else {
            no_parts()
        };
        match pipe.take(message, parts).await {
            Ok(()) | Err(NotTaken::Ended) => Ok(()),
            Err(why @ (NotTaken::Twice | NotTaken::TooMany)) => {
                Err(error(ErrorCode::INVALID_REQUEST, &why.to_string(), id))
            }
        }
    }

    /// What an HTTP request would bring along: its caller, or why there is none.
    async fn parts(&self) -> Parts {
        let mut parts = no_parts();
        match (self.who)().await {
            Ok(caller) => drop(parts.extensions.insert(caller)),
            Err(nobody) => drop(parts.extensions.insert(nobody)),
        }
        parts
    }
}

fn no_parts() -> Parts {
    Request::new(()).into_parts().0
}

fn error(code: ErrorCode, why: &str, id: Option<RequestId>) -> ServerJsonRpcMessage {
    ServerJsonRpcMessage::error(ErrorData::new(code, why.to_owned(), None), id)
}

/// A call that nobody can be said to have made, with its line in the log.
pub(super) fn refused(tool: &str, nobody: &NoCaller) -> Outcome {
    let correlation = CorrelationId::random();
    let failure = present::plain(Code::Unauthenticated, format!("nothing was done: {nobody}"));
    tracing::info!(
        tool.name = tool,
        request.id = %correlation,
        outcome = failure.code.as_str(),
        error = %nobody,
        "tool call"
    );
    Outcome::Failure(Failure {
        correlation_id: correlation.to_string(),
        ..failure
    })
}

/// Reads lines to the end of the input; of one that is too long only that it was.
fn read(input: impl Read, most: usize, lines: &mpsc::Sender<Line>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        // One byte more shows that there is more.
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) | Err(_) => return,
            Ok(read) if read > most && !line.ends_with(b"\n") => {
                if skip_line(&mut input).is_err() {
                    return;
                }
                Line::TooLong
            }
            Ok(_) => Line::Whole(line),
        };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let there = input.fill_buf()?;
        let end = there.iter().position(|byte| *byte == b'\n');
        let is_last = end.is_some() || there.is_empty();
        let length = end.map_or(there.len(), |end| end + 1);
        input.consume(length);
        if is_last {
            return Ok(());
        }
    }
}

/// Writes the answers, each at once; the receiver hears when the last one is out.
fn writing(
    mut output: impl Write + Send + 'static,
    mut answers: mpsc::Receiver<Bytes>,
    ended: CancellationToken,
) -> oneshot::Receiver<()> {
    let (done, written) = oneshot::channel();
    thread::spawn(move || {
        while let Some(answer) = answers.blocking_recv() {
            let line = [&answer, b"\n".as_slice()].concat();
            if output
                .write_all(&line)
                .and_then(|()| output.flush())
                .is_err()
            {
                break;
            }
        }
        ended.cancel();
        // Nobody waits any more where this fails.
        let _ = done.send(());
    });
    written
}
