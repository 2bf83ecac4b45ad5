//! The operations port: health for whoever runs us. No token; bound to loopback unless the operator says otherwise.

use http::{Method, Request, Response, StatusCode};

use super::{
    Body,
    connection::RequestBytes,
    health::{self, Checks, Detail},
    reply,
};

/// Answers a request to the operations port.
pub async fn answer(request: Request<RequestBytes>, checks: Checks) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "use GET");
    }
    let path = request.uri().path();
    let answer = health::answer(path, request.headers(), &checks, Detail::Full).await;
    answer.unwrap_or_else(|| {
        let why = "here are /healthz, /readyz and /health";
        reply::refusal(StatusCode::NOT_FOUND, "not_found", why)
    })
}
