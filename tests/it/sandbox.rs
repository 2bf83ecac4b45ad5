//! The sandbox against the backend contract, over real sockets. `support` holds the vocabulary; each other file is
//! one part of the contract.

mod checks;
mod errors;
mod faults;
mod lists;
mod parents;
mod persistence;
mod sessions;
pub(crate) mod support;
mod tenants;
mod tokens;
mod versions;
mod writes;
