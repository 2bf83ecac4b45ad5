//! Which organizations a person belongs to, asked of WorkOS or of the backend and remembered for a while. In: a verified
//! caller. Out: all active memberships, or why they are not known; never a part of them. Many calls of one person at
//! once ask once; an answer is never older than asked for, however often it is used.

use std::{fmt, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};
use url::Url;
use uuid::Uuid;

use super::{Organization, backend::BackendSource, choices::Person, kept::Kept, workos::WorkOs};
use crate::{
    auth::Caller,
    identity::{Denial, IdentityError, Outbound, OutboundError},
    observe::{Observer, metrics::LookUp},
};

/// An answer lets people in for at most so long, whatever the settings say (contract T3).
pub(super) const POSITIVE: Duration = Duration::from_secs(300);
/// And keeps them out for at most so long.
pub(super) const NEGATIVE: Duration = Duration::from_secs(10);
/// Many sidecars share one key: their answers do not all end in the same second, but up to this part of their time
/// earlier.
const SPREAD: u32 = 5;
/// After a failure nobody is asked for so long.
const FAILED: Duration = Duration::from_secs(1);
/// What a caller waits, look-ups of others included; and what one look-up takes, a little less, so that its answer is
/// kept before those who wait give up.
const PATIENCE: Duration = Duration::from_millis(3_000);
const LOOK_UP: Duration = Duration::from_millis(2_800);
/// So many people's memberships are kept.
const MOST: usize = 10_000;

/// Everything an answer depends on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    person: Person,
    organization: Option<String>,
}

/// A look-up under way or done. Whoever comes while it is under way waits for it; should the one who asked leave, the
/// next one asks.
type Flight = Arc<OnceCell<Found>>;

struct Found {
    at: Instant,
    good_for: Duration,
    answer: Result<Arc<[Organization]>, LookUpError>,
}

/// Why memberships are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LookUpError {
    /// Later it may work.
    Unavailable {
        what: &'static str,
        retry_after: Option<Duration>,
    },
    /// Only the operator can mend it.
    Misconfigured(&'static str),
    /// The backend does not take the caller's token.
    TokenRefused,
    /// There is no token to ask the backend with.
    NoToken(OutboundError),
    /// Whoever is asked knows no such person.
    UnknownPerson,
}

impl LookUpError {
    pub(super) fn unavailable(what: &'static str) -> Self {
        Self::Unavailable {
            what,
            retry_after: None,
        }
    }
}

impl From<LookUpError> for IdentityError {
    fn from(error: LookUpError) -> Self {
        match error {
            LookUpError::Unavailable { what, retry_after } => {
                Self::Unavailable { what, retry_after }
            }
            LookUpError::Misconfigured(what) => Self::Misconfigured(what),
            LookUpError::TokenRefused => Self::TokenRefused,
            LookUpError::NoToken(error) => Self::Outbound(error),
            LookUpError::UnknownPerson => Self::Denied(Denial::NoMembership),
        }
    }
}

impl From<OutboundError> for LookUpError {
    fn from(error: OutboundError) -> Self {
        Self::NoToken(error)
    }
}

enum Source {
    WorkOs(WorkOs),
    Backend(BackendSource),
}

/// Asks for memberships, and remembers the answers.
pub struct Members {
    source: Source,
    observer: Arc<Observer>,
    /// Answers let people in for at most so long.
    positive: Duration,
    kept: Kept<Question, Flight>,
}

impl Members {
    /// Asks WorkOS at `url` (the API's root) with our key. Answers let people in for at most `cache`, and never longer than
    /// five minutes.
    ///
    /// # Errors
    /// When the key cannot stand in a header, or no HTTP client can be set up.
    pub fn of_workos(url: &Url, key: &SecretString, cache: Duration) -> Result<Self, CannotAsk> {
        let workos = WorkOs::new(url, key)?;
        Ok(Self::asking(Source::WorkOs(workos), cache))
    }

    /// Asks the backend at `url` (where its paths begin): `GET /v1/auth/tenant`, with a token of `outbound` at the Unix
    /// time `now`.
    ///
    /// # Errors
    /// When no HTTP client can be set up.
    pub fn of_backend(
        url: &Url,
        outbound: Arc<Outbound>,
        now: fn() -> Duration,
        cache: Duration,
    ) -> Result<Self, CannotAsk> {
        let backend = BackendSource::new(url, outbound, now)?;
        Ok(Self::asking(Source::Backend(backend), cache))
    }

    fn asking(source: Source, cache: Duration) -> Self {
        Self {
            source,
            observer: Arc::default(),
            positive: cache.min(POSITIVE),
            kept: Kept::at_most(MOST),
        }
    }

    /// The same, with somebody who is told how long `WorkOS` takes.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// All active memberships of this person as they were at most `max_age` ago.
    pub(super) async fn of(
        &self,
        caller: &Caller,
        max_age: Duration,
    ) -> Result<Arc<[Organization]>, LookUpError> {
        // Nobody's name is no person's, also where it is somebody's subject.
        caller.token().ok_or(LookUpError::UnknownPerson)?;
        let question = Question {
            person: Person::of(caller),
            organization: caller.organization().map(ToOwned::to_owned),
        };
        let now = Instant::now();
        let is_good = |flight: &Flight| flight.get().is_none_or(|found| found.serves(max_age, now));
        let flight = self
            .kept
            .get_or_keep(question, now, is_good, Flight::default);
        let found = timeout(PATIENCE, flight.get_or_init(|| self.ask(caller))).await;
        match found {
            Ok(found) => found.answer.clone(),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Drops what is known of this person: the backend did not let it in where its memberships say that it may.
    pub(super) fn forget(&self, caller: &Caller) {
        let person = Person::of(caller);
        self.kept.forget(|question| question.person == person);
    }

    async fn ask(&self, caller: &Caller) -> Found {
        let begun = Instant::now();
        let asking = async {
            match &self.source {
                Source::WorkOs(workos) => workos.organizations(caller.subject()).await,
                Source::Backend(backend) => backend.organizations(caller).await,
            }
        };
        let answer = timeout(LOOK_UP, asking).await;
        let answer = answer.unwrap_or_else(|_| Err(self.too_slow()));
        if let Source::WorkOs(_) = self.source {
            let metrics = &self.observer.metrics;
            metrics.looked_up(look_up(&answer), begun.elapsed());
        }
        if let Err(LookUpError::Misconfigured(what)) = &answer {
            tracing::error!(error = what, "nobody's tenant can be found");
        }
        let good_for = match &answer {
            Ok(_) => self.positive.saturating_sub(spread(self.positive)),
            Err(LookUpError::Unavailable { retry_after, .. }) => {
                retry_after.unwrap_or_default().clamp(FAILED, NEGATIVE)
            }
            Err(LookUpError::Misconfigured(_)) => NEGATIVE,
            Err(
                LookUpError::TokenRefused | LookUpError::NoToken(_) | LookUpError::UnknownPerson,
            ) => FAILED,
        };
        Found {
            at: Instant::now(),
            good_for,
            answer: answer.map(Arc::from),
        }
    }

    fn too_slow(&self) -> LookUpError {
        LookUpError::unavailable(match self.source {
            Source::WorkOs(_) => "WorkOS did not answer in time",
            Source::Backend(_) => "the backend did not say the tenant in time",
        })
    }
}

impl Found {
    fn serves(&self, max_age: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < self.good_for.min(max_age)
    }
}

/// How it ended, as metrics tell it.
fn look_up<T>(answer: &Result<T, LookUpError>) -> LookUp {
    match answer {
        Ok(_) => LookUp::Ok,
        Err(
            LookUpError::Misconfigured(_)
            | LookUpError::TokenRefused
            | LookUpError::NoToken(_)
            | LookUpError::UnknownPerson,
        ) => LookUp::Refused,
        Err(LookUpError::Unavailable { .. }) => LookUp::Failed,
    }
}

/// From nothing to a [`SPREAD`]th of it.
fn spread(of: Duration) -> Duration {
    let [byte, ..] = Uuid::new_v4().into_bytes();
    of / SPREAD * u32::from(byte) / u32::from(u8::MAX)
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.source {
            Source::WorkOs(_) => "Members(WorkOS)",
            Source::Backend(_) => "Members(backend)",
        })
    }
}

/// Why nobody can be asked for memberships.
#[derive(Debug, thiserror::Error)]
pub enum CannotAsk {
    /// Odd characters in `WORKOS_API_KEY`.
    #[error("WORKOS_API_KEY cannot stand in a header: it has a character that no key has")]
    Key,
    /// No HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
}
