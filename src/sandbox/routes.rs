//! Which endpoint a path and a method name: the first of the checks of contract §1.2, before any authentication.

use std::sync::Arc;

use http::{HeaderValue, Method, header::ALLOW};

use super::{faults::Requests, kinds::Kind, reply::Reply};

/// An endpoint that exists, with the method it was called with.
pub(super) enum Route {
    Health,
    Info,
    Behind(Endpoint),
}

/// Endpoints behind authentication.
pub(super) enum Endpoint {
    Exchange,
    Tenant,
    OpenSession,
    ReadSession(String),
    CloseSession(String),
    Wipe,
    State,
    Entity(Arc<Kind>, Operation),
}

/// The eight operations; a path uid is still text.
pub(super) enum Operation {
    List,
    Create,
    Get(String),
    Update(String),
    Patch(String),
    Delete(String),
    Archive(String),
    Process(String),
}

/// Which checks an endpoint is behind (contract §1.2, "Group membership").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Authentication and the auth bucket.
    Auth,
    /// Tenant and session, no bucket, no epoch.
    Sync,
    /// Everything.
    Entities,
}

impl Endpoint {
    /// Its group.
    pub(super) fn group(&self) -> Group {
        match self {
            Self::Exchange
            | Self::Tenant
            | Self::OpenSession
            | Self::ReadSession(_)
            | Self::CloseSession(_) => Group::Auth,
            Self::Wipe | Self::State => Group::Sync,
            Self::Entity(..) => Group::Entities,
        }
    }
}

/// What a path names, whatever the method.
enum Place {
    Health,
    Info,
    Exchange,
    Tenant,
    Sessions,
    Session(String),
    Wipe,
    State,
    Collection(Arc<Kind>),
    Record(Arc<Kind>, String),
    Archive(Arc<Kind>, String),
    Process(Arc<Kind>, String),
}

/// The paths of one sandbox.
pub(super) struct Routes {
    kinds: Vec<Arc<Kind>>,
    /// Tenant resolution came with the second generation.
    resolves_tenants: bool,
}

impl Routes {
    /// Routes for these collections.
    pub(super) fn new(kinds: Vec<Arc<Kind>>, resolves_tenants: bool) -> Self {
        Self {
            kinds,
            resolves_tenants,
        }
    }

    /// Every collection.
    pub(super) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// The route, or 404, or 405 with `Allow`.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Route, Reply> {
        let place = self
            .place(path)
            .ok_or_else(|| Reply::text(404, "404 page not found"))?;
        let allowed = place.allowed();
        place
            .route(method)
            .ok_or_else(|| Reply::empty(405).with(ALLOW, &HeaderValue::from_static(allowed)))
    }

    /// Which fault switches a path answers to.
    pub(super) fn requests_to(&self, path: &str) -> Requests {
        match self.place(path) {
            Some(Place::Sessions | Place::Session(_)) => Requests::Sessions,
            Some(Place::Exchange | Place::Tenant) => Requests::Identity,
            Some(
                Place::Collection(_) | Place::Record(..) | Place::Archive(..) | Place::Process(..),
            ) => Requests::Entities,
            Some(Place::Health | Place::Info | Place::Wipe | Place::State) | None => Requests::All,
        }
    }

    fn place(&self, path: &str) -> Option<Place> {
        match path {
            "/healthz" => Some(Place::Health),
            "/v1/sync/info" => Some(Place::Info),
            "/auth/token-exchange" => Some(Place::Exchange),
            "/v1/auth/tenant" if self.resolves_tenants => Some(Place::Tenant),
            "/v1/sync/sessions" => Some(Place::Sessions),
            "/v1/sync/wipe" => Some(Place::Wipe),
            "/v1/sync/state" => Some(Place::State),
            _ => match path.strip_prefix("/v1/sync/sessions/") {
                Some(id) => segment(id).map(Place::Session),
                None => self.kinds.iter().find_map(|kind| in_collection(kind, path)),
            },
        }
    }
}

fn in_collection(kind: &Arc<Kind>, path: &str) -> Option<Place> {
    let rest = path.strip_prefix(kind.entity.path.as_str())?;
    if rest.is_empty() {
        return Some(Place::Collection(Arc::clone(kind)));
    }
    let rest = rest.strip_prefix('/')?;
    match rest.split_once('/') {
        None => segment(rest).map(|uid| Place::Record(Arc::clone(kind), uid)),
        Some((uid, "archive")) => segment(uid).map(|uid| Place::Archive(Arc::clone(kind), uid)),
        Some((uid, "process")) => segment(uid).map(|uid| Place::Process(Arc::clone(kind), uid)),
        Some(_) => None,
    }
}

/// One non-empty path segment, decoded.
fn segment(text: &str) -> Option<String> {
    let is_one = !text.is_empty() && !text.contains('/');
    is_one.then(|| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    })
}

impl Place {
    fn allowed(&self) -> &'static str {
        match self {
            Self::Health | Self::Info | Self::Tenant | Self::State => "GET",
            Self::Exchange
            | Self::Sessions
            | Self::Wipe
            | Self::Archive(..)
            | Self::Process(..) => "POST",
            Self::Session(_) => "GET, DELETE",
            Self::Collection(_) => "GET, POST",
            Self::Record(..) => "GET, PUT, PATCH, DELETE",
        }
    }

    fn route(self, method: &Method) -> Option<Route> {
        let endpoint = match (self, method.as_str()) {
            (Self::Health, "GET") => return Some(Route::Health),
            (Self::Info, "GET") => return Some(Route::Info),
            (Self::Exchange, "POST") => Endpoint::Exchange,
            (Self::Tenant, "GET") => Endpoint::Tenant,
            (Self::Sessions, "POST") => Endpoint::OpenSession,
            (Self::Session(id), "GET") => Endpoint::ReadSession(id),
            (Self::Session(id), "DELETE") => Endpoint::CloseSession(id),
            (Self::Wipe, "POST") => Endpoint::Wipe,
            (Self::State, "GET") => Endpoint::State,
            (Self::Collection(kind), "GET") => Endpoint::Entity(kind, Operation::List),
            (Self::Collection(kind), "POST") => Endpoint::Entity(kind, Operation::Create),
            (Self::Record(kind, uid), "GET") => Endpoint::Entity(kind, Operation::Get(uid)),
            (Self::Record(kind, uid), "PUT") => Endpoint::Entity(kind, Operation::Update(uid)),
            (Self::Record(kind, uid), "PATCH") => Endpoint::Entity(kind, Operation::Patch(uid)),
            (Self::Record(kind, uid), "DELETE") => Endpoint::Entity(kind, Operation::Delete(uid)),
            (Self::Archive(kind, uid), "POST") => Endpoint::Entity(kind, Operation::Archive(uid)),
            (Self::Process(kind, uid), "POST") => Endpoint::Entity(kind, Operation::Process(uid)),
            _ => return None,
        };
        Some(Route::Behind(endpoint))
    }
}
