//! Caller → identity: everything a backend request must carry. No backend request exists without one.

pub mod tenant;

pub use tenant::TenantId;
