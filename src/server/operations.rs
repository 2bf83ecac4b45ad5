//! The operations port: health for whoever runs us. No token; bound to loopback unless the operator says otherwise.

use http::{Method, Request, Response, StatusCode};

use super::{
    Body,
    connection::RequestBytes,
    health::{self, Checks},
    reply,
};

/// Answers a request to the operations port.
pub async fn answer(request: Request<RequestBytes>, checks: Checks) -> Response<Body> {
    if request.method() != Method::GET {
        return reply::refusal(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "use GET");
    }
    match request.uri().path() {
        "/healthz" => health::live(),
        "/readyz" => health::ready(&checks).await,
        _ => reply::refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            "here are /healthz and /readyz",
        ),
    }
}
