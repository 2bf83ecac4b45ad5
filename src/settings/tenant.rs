//! `tenant.*`: for which tenant calls are made. In: keys and the key for WorkOS. Out: [`TenantSettings`], in which a mode
//! without what it needs cannot be written down; a setting that means nothing in the chosen mode is refused.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::identity::TenantId;

use super::{
    keys::{self, Key},
    parse,
    problem::{Origin, Wrong, shown},
    reader::Reader,
    tokens,
};

/// For which tenant calls are made.
#[derive(Clone, Debug)]
pub enum TenantSettings {
    /// This process serves one tenant, and a token is enough.
    Fixed(TenantId),
    /// This process serves one tenant, and the caller's right to it is checked.
    Required(TenantId, RequiredRight),
    /// WorkOS says whose tenants are whose.
    WorkOs(WorkOsSettings, ChoiceSettings),
    /// The backend says it, and is believed for so long.
    Backend(ChoiceSettings, Duration),
}

/// `tenant.require_membership`.
#[derive(Clone, Debug)]
pub enum RequiredRight {
    /// This claim of the token is the tenant's id.
    Claim(String),
    /// WorkOS knows the caller as an active member.
    WorkOs(WorkOsSettings),
}

/// How WorkOS is asked.
#[derive(Clone, Debug)]
pub struct WorkOsSettings {
    /// The API's root.
    pub url: Url,
    /// Ours.
    pub key: SecretString,
    /// How long an answer lets people in.
    pub cache: Duration,
}

/// What holds where people choose.
#[derive(Clone, Debug)]
pub struct ChoiceSettings {
    /// The tenant of people who are in no organization.
    pub default: Option<TenantId>,
    /// How long a choice is good.
    pub lifetime: Duration,
}

/// Five minutes is what the backend itself believes memberships for.
const CACHES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(300);
const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);

/// The variable that means the tenant where one is fixed, and the default one elsewhere.
const SHARED_ALIAS: &str = "DEFAULT_TENANT_ID";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Fixed,
    WorkOs,
    Backend,
}

enum Membership {
    None,
    Claim(String),
    WorkOs,
}

/// The key for WorkOS as it was read; `Err` stands for a problem that is reported already.
type WorkOsKey = Result<Option<SecretString>, ()>;

impl TenantSettings {
    pub(super) fn read(reader: &mut Reader, key: WorkOsKey) -> Option<Self> {
        let mode = reader.text(&keys::TENANT_MODE, mode);
        let id = reader.text(&keys::TENANT_ID, |text| tenant(text).map(Some));
        let default = reader.text(&keys::TENANT_DEFAULT, |text| match text {
            "" => Ok(None),
            text => tenant(text).map(Some),
        });
        let membership = reader.text(&keys::TENANT_REQUIRE_MEMBERSHIP, membership);
        let url = reader.text(&keys::TENANT_WORKOS_URL, workos_url);
        let cache = reader.duration(&keys::TENANT_CACHE, CACHES);
        let lifetime = reader.duration(&keys::TENANT_CHOICE_LIFETIME, LIFETIMES);
        // Where the mode itself is wrong, what goes with it is not judged; a tenant is missed all the same.
        if mode.is_none_or(|mode| mode == Mode::Fixed) {
            require_id(reader);
        }
        let mode = mode?;
        let asks_workos = mode == Mode::WorkOs || matches!(membership, Some(Membership::WorkOs));
        let workos = asks_workos.then(|| workos(reader, url, cache, key));
        if mode == Mode::Fixed {
            if matches!(default, Some(Some(_))) {
                refuse_unless_shared(reader, &keys::TENANT_DEFAULT, mode);
            }
            let (id, membership) = (id??, membership?);
            let right = match membership {
                Membership::None => return Some(Self::Fixed(id)),
                Membership::Claim(name) => RequiredRight::Claim(name),
                Membership::WorkOs => RequiredRight::WorkOs(workos??),
            };
            refuse_anonymous(reader, &keys::TENANT_REQUIRE_MEMBERSHIP);
            return Some(Self::Required(id, right));
        }
        refuse_unless_shared(reader, &keys::TENANT_ID, mode);
        if !matches!(membership?, Membership::None) {
            let what = "it is for a fixed tenant; here memberships decide in any case";
            let hint = "remove it, or set `tenant.mode = \"fixed\"`";
            reader.refuse(&keys::TENANT_REQUIRE_MEMBERSHIP, what, hint);
        }
        refuse_anonymous(reader, &keys::TENANT_MODE);
        let choice = ChoiceSettings {
            default: default?,
            lifetime: lifetime?,
        };
        match mode {
            Mode::WorkOs => Some(Self::WorkOs(workos??, choice)),
            Mode::Fixed | Mode::Backend => Some(Self::Backend(choice, cache?)),
        }
    }
}

fn mode(text: &str) -> Result<Mode, Wrong> {
    let modes = [
        ("fixed", Mode::Fixed),
        ("workos", Mode::WorkOs),
        ("backend", Mode::Backend),
    ];
    parse::one_of(text, &modes)
}

fn tenant(text: &str) -> Result<TenantId, Wrong> {
    let id = text.parse::<TenantId>();
    id.map_err(|reason| {
        Wrong::new(
            format!("{} is none: {reason}", shown(text)),
            "copy the id that the backend knows",
        )
    })
}

fn membership(text: &str) -> Result<Membership, Wrong> {
    match text.split_once(':') {
        None if text == "none" => Ok(Membership::None),
        None if text == "workos" => Ok(Membership::WorkOs),
        Some(("claim", name)) if !name.trim().is_empty() => Ok(Membership::Claim(name.to_owned())),
        _ => Err(Wrong::new(
            format!("{} is not one of its values", shown(text)),
            "use `none`, `workos` or `claim:` with the name of a claim, such as `claim:org_id`",
        )),
    }
}

/// Our key goes there, so `http` is for this machine alone, in development too.
fn workos_url(text: &str) -> Result<Url, Wrong> {
    let url = parse::root_url(text)?;
    if url.scheme() == "https" || parse::is_loopback(&url) {
        return Ok(url);
    }
    let what = format!("{} is not https, and our key would go there", shown(text));
    Err(Wrong::new(
        what,
        "use `https://`; `http://` is for loopback",
    ))
}

fn workos(
    reader: &mut Reader,
    url: Option<Url>,
    cache: Option<Duration>,
    key: WorkOsKey,
) -> Option<WorkOsSettings> {
    let key = key.ok()?;
    if key.is_none() {
        let by = if reader.is_default(&keys::TENANT_REQUIRE_MEMBERSHIP) {
            &keys::TENANT_MODE
        } else {
            &keys::TENANT_REQUIRE_MEMBERSHIP
        };
        let hint =
            "set `WORKOS_API_KEY` (or `WORKOS_API_KEY_FILE`) to a key of your WorkOS environment";
        reader.refuse(by, "`workos` has no key to ask WorkOS with", hint);
    }
    Some(WorkOsSettings {
        url: url?,
        key: key?,
        cache: cache?,
    })
}

fn require_id(reader: &mut Reader) {
    if reader.is_set(&keys::TENANT_ID) {
        return;
    }
    let hint = "set it (or `TOOLBRIDGE_TENANT_ID`, or `DEFAULT_TENANT_ID`) to the tenant of this deployment";
    let what = "missing, and every call is made for a tenant";
    reader.refuse(&keys::TENANT_ID, what, hint);
}

/// A tenant that this mode would not use is a misunderstanding, unless the variable means something else here.
fn refuse_unless_shared(reader: &mut Reader, key: &Key, mode: Mode) {
    match reader.origin(key) {
        Origin::Default | Origin::Unset => {}
        Origin::Variable(name) if name == SHARED_ALIAS => {}
        Origin::Variable(_) | Origin::File(_) | Origin::CommandLine => {
            let (what, hint) = match mode {
                Mode::Fixed => (
                    "it means nothing where the tenant is fixed",
                    "remove it, or set `tenant.mode` to `workos` or `backend`",
                ),
                Mode::WorkOs | Mode::Backend => (
                    "it means nothing where memberships say the tenant",
                    "remove it, set `tenant.default` for people without an organization, or `tenant.mode = \"fixed\"`",
                ),
            };
            reader.refuse(key, what, hint);
        }
    }
}

fn refuse_anonymous(reader: &mut Reader, key: &Key) {
    if reader.text_again(&keys::AUTH_MODE, tokens::mode) == Some(tokens::Mode::None) {
        let what =
            "with `auth.mode = \"none\"` nobody is recognized, so nobody is a member of anything";
        reader.refuse(
            key,
            what,
            "set `auth.mode = \"jwt\"`, or fix the tenant without a membership",
        );
    }
}
