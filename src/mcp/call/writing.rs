//! How a write of a call begins and ends, so that it happens once: sent under a name, joined where it runs, found where it
//! was done. In: a plan with its identity. Out: what there is to do, and what became of it (`writes`).

use serde_json::{Map, json};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::{
    super::writes::{Begun, Earlier, Fate, Who, Write, WriteDigest},
    CallError, Calls, Incoming, Told,
};
use crate::{
    backend::{BackendError, Deadline, Errand, Reply},
    catalogue::{Catalogue, Plan, Tool},
    identity::Identity,
};

/// What a write begins with.
pub(super) enum Beginning {
    /// It is sent under this name.
    Send(Uuid),
    /// It runs already, or its answer waits.
    Joined(Earlier),
    /// Its record is there.
    Made(Reply),
}

/// The request that reads the record of this name, where the tool makes records under names of ours.
fn looks_for(tool: &Tool, catalogue: &Catalogue, name: Uuid) -> Option<Plan> {
    let get = tool.subject.as_ref()?.get.as_ref()?;
    let uid = json!(name.to_string());
    let arguments = Map::from_iter([("uid".to_owned(), uid)]);
    let looking = catalogue.find(get)?.plan(arguments).ok()?;
    tool.names_records().then_some(looking)
}

impl Calls {
    /// How a write begins. One that may have made its record before is looked for, so that what has become of the record
    /// since is not undone.
    pub(super) async fn begun(
        &self,
        digest: WriteDigest,
        (tool, catalogue): (&Tool, &Catalogue),
        (identity, errand, deadline): (&Identity, &Errand, Deadline),
        write: &mut Option<Write>,
    ) -> Result<Beginning, CallError> {
        loop {
            let first = match self.writes.begin(digest) {
                Begun::First(first) => first,
                Begun::Repeats(earlier) => return Ok(Beginning::Joined(earlier)),
                Begun::OtherName => return Err(CallError::NameInUse),
            };
            let (name, in_doubt) = (first.name, first.in_doubt);
            let first = write.insert(first);
            let looking = in_doubt
                .then(|| looks_for(tool, catalogue, first.name))
                .flatten();
            let Some(looking) = looking else {
                return Ok(Beginning::Send(name));
            };
            // Rare, so its state is no part of every call's.
            match Box::pin(self.sent(identity, &looking, errand, deadline)).await {
                Ok(reply) => return Ok(Beginning::Made(reply)),
                Err(error) => match error.refused_with() {
                    Some(404) => return Ok(Beginning::Send(name)),
                    Some(410) => write.take().into_iter().for_each(Write::spend),
                    _ => return Err(error),
                },
            }
        }
    }
}

impl CallError {
    /// The status with which the backend refused the request itself.
    fn refused_with(&self) -> Option<u16> {
        match self {
            Self::Backend { source, .. } => match &**source {
                BackendError::Rejected(rejection) => Some(rejection.status),
                _ => None,
            },
            _ => None,
        }
    }

    /// What became of a write that ended so.
    pub(super) fn fate(&self) -> Fate {
        match self {
            Self::Backend {
                may_have_written: true,
                ..
            }
            | Self::Misshapen(_) => Fate::InDoubt,
            Self::Backend { .. }
            | Self::Arguments(_)
            | Self::MissingScopes(_)
            | Self::Identity(_)
            | Self::OutOfTime(_)
            | Self::Late(_)
            | Self::NameInUse
            | Self::Refused(_)
            | Self::Unaudited(_)
            | Self::StillRunning => Fate::Undone,
        }
    }
}

pub(super) fn digest(
    identity: &Identity,
    tool: &Tool,
    plan: &Plan,
    incoming: &Incoming,
) -> WriteDigest {
    let caller = identity.caller();
    let who = Who {
        issuer: caller.issuer(),
        subject: caller.subject(),
        tenant: identity.tenant(),
    };
    WriteDigest::of(who, &tool.name, plan, incoming.write_name.as_deref())
}

/// The end of the same write that was begun before.
pub(super) async fn joined(earlier: Earlier, deadline: Deadline) -> Result<Told, CallError> {
    let ended = timeout_at(deadline.patience(), earlier.outcome()).await;
    match ended {
        Ok(Some((outcome, answered))) => Ok(Told { outcome, answered }),
        Ok(None) | Err(_) => Err(CallError::StillRunning),
    }
}
