//! The two tools of a caller with several organizations: where am I, and go there. They exist only where organizations
//! are chosen (`tenant.mode` is "workos" or "backend"), beside the catalogue's tools, whose names they keep.

/// Chooses an organization.
pub const SELECT: &str = "select_workspace";
/// Says where the caller is.
pub const CURRENT: &str = "current_workspace";
