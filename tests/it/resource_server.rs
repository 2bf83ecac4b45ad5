//! The sidecar as an OAuth resource server, over real sockets: who is let in, what clients and browsers are told, and
//! what a hostile or broken issuer can do. `support` holds the vocabulary.

mod cors;
mod discovery;
mod metadata;
mod relay;
mod scopes;
pub(crate) mod support;
mod tokens;
