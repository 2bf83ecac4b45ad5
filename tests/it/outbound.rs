//! Which token the backend gets, over real sockets: token endpoints that are strict about what they are asked, and
//! backends that take no token but the one made for them. Whoever sends a caller's own token on fails every test here.

mod backend;
mod calls;
mod endpoint;
mod exchange;
pub(crate) mod http_fake;
mod json_form;
mod minted;
mod process;
