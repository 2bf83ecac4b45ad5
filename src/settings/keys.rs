//! Every setting there is: its name, its default and the foreign variables that set it too. A key cannot be asked for
//! without standing in this list, and `toolbridge.example.toml` is held to it by a test.

use std::borrow::Cow;

/// One setting: dotted name, default as text (`None`: unset), aliases with the strongest first.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Cow<'static, str>,
    pub(super) default: Option<&'static str>,
    pub(super) aliases: &'static [&'static str],
}

/// What all our variables begin with.
pub(super) const PREFIX: &str = "TOOLBRIDGE_";

/// The two halves of `server.listen` that the Python service has as variables of their own.
pub(super) const LISTEN_HOST: &str = "TOOLBRIDGE_HOST";
/// See [`LISTEN_HOST`].
pub(super) const LISTEN_PORT: &str = "TOOLBRIDGE_PORT";

/// Secrets are no keys: only variables, or files that variables named `…_FILE` point to.
pub(super) const JWT_SECRET: &str = "JWT_HS256_SECRET";
/// The signature's secret, with the name that the original has for it behind it.
pub(super) const SIGNING_SECRET: [&str; 2] =
    ["TENANT_HEADER_SECRET", "TOOLBRIDGE_TENANT_HEADER_SECRET"];
/// Asks WorkOS for memberships.
pub(super) const WORKOS_KEY: &str = "WORKOS_API_KEY";
/// Seals what clients carry for us from one request to the next.
pub(super) const SEAL_SECRET: &str = "SEAL_SECRET";
/// What shall seal next, or sealed before, while the secret is being replaced.
pub(super) const NEXT_SEAL_SECRET: &str = "SEAL_SECRET_NEXT";

/// Opens what is not for everybody on the operations port.
pub(super) const OPS_TOKEN: &str = "OPS_TOKEN";

/// The store of the limits that several machines share; it may hold a password.
pub(super) const LIMITS_REDIS_URL: &str = "LIMITS_REDIS_URL";

/// What each request to the collector of traces carries; it may hold a key.
pub(super) const TRACES_HEADERS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];

/// Who calls where MCP comes by standard input; `serve` does not need it.
pub(super) const LOCAL_TOKEN: &str = "TOOLBRIDGE_TOKEN";

/// What shall sign next, while the secret is being replaced.
pub(super) const NEXT_SIGNING_SECRET: &str = "TENANT_HEADER_SECRET_NEXT";

/// What we are to the token endpoint.
pub(super) const EXCHANGE_CLIENT_SECRET: &str = "IDENTITY_EXCHANGE_CLIENT_SECRET";
/// What signs the backend's tokens, with the name that the original has for it behind it.
pub(super) const MINT_KEY: [&str; 2] = ["IDENTITY_MINT_KEY", "TOOLBRIDGE_JWT_SIGNING_KEY"];

/// The original's audience, for the token it exchanges and for the one it signs.
const BACKEND_AUDIENCE: &str = "TOOLBRIDGE_BACKEND_API_AUDIENCE";

impl Key {
    /// The variable of its own: `server.public_url` is `TOOLBRIDGE_SERVER__PUBLIC_URL`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }
}

macro_rules! keys {
    ($($id:ident = $name:literal, $default:expr, $aliases:expr;)*) => {
        $(pub(super) const $id: Key = Key { name: Cow::Borrowed($name), default: $default, aliases: &$aliases };)*
        /// All of them, in the order of the example file and of the problem list.
        pub(super) const ALL: &[Key] = &[$($id),*];
    };
}

keys! {
    ENVIRONMENT = "environment", Some("production"), [];
    SERVER_LISTEN = "server.listen", Some("127.0.0.1:8001"), [];
    SERVER_PUBLIC_URL = "server.public_url", None, ["TOOLBRIDGE_PUBLIC_BASE_URL"];
    SERVER_DOCUMENTATION_URL = "server.documentation_url", None, [];
    SERVER_ALLOWED_HOSTS = "server.allowed_hosts", Some(""), [];
    SERVER_ALLOWED_ORIGINS = "server.allowed_origins", Some(""), [];
    SERVER_MAX_REQUEST_BYTES = "server.max_request_bytes", Some("4 MiB"), [];
    SERVER_SSE = "server.sse", Some("true"), [];
    SERVER_FAST_PATH = "server.fast_path", Some("true"), [];
    SERVER_HEADER_TIMEOUT = "server.header_timeout", Some("15s"), [];
    SERVER_BODY_TIMEOUT = "server.body_timeout", Some("60s"), [];
    SERVER_WRITE_TIMEOUT = "server.write_timeout", Some("30s"), [];
    SERVER_IDLE_TIMEOUT = "server.idle_timeout", Some("75s"), [];
    SERVER_MAX_HEADERS = "server.max_headers", Some("100"), [];
    SERVER_MAX_CONNECTIONS = "server.max_connections", Some("10000"), [];
    SERVER_MAX_CONNECTIONS_PER_IP = "server.max_connections_per_ip", None, [];
    OPS_LISTEN = "ops.listen", Some("127.0.0.1:9091"), [];
    BACKEND_URL = "backend.url", Some("http://127.0.0.1:8080"), ["TOOLBRIDGE_GO_API_BASE_URL"];
    BACKEND_CONNECT_TIMEOUT = "backend.connect_timeout", Some("2s"), [];
    BACKEND_REQUEST_TIMEOUT = "backend.request_timeout", Some("30s"), [];
    BACKEND_CALL_TIMEOUT = "backend.call_timeout", Some("55s"), [];
    BACKEND_POOL_TIMEOUT = "backend.pool_timeout", Some("10s"), [];
    BACKEND_IDLE_TIMEOUT = "backend.idle_timeout", Some("30s"), [];
    BACKEND_MAX_RESPONSE_BYTES = "backend.max_response_bytes", Some("8 MiB"), [];
    BACKEND_SESSION_REUSE = "backend.session.reuse", Some("off"), [];
    BACKEND_RETRY_BASE = "backend.retry.base", Some("1s"), [];
    WRITES_KEEP = "writes.keep", Some("10m"), [];
    WRITES_JOURNAL = "writes.journal", Some("auto"), [];
    AUDIT_FILE = "audit.file", None, [];
    AUDIT_MAX_SIZE = "audit.max_size", Some("64 MiB"), [];
    AUDIT_KEEP = "audit.keep", Some("10"), [];
    AUDIT_ARGUMENTS = "audit.arguments", Some("false"), [];
    AUDIT_ON_FAILURE = "audit.on_failure", Some("refuse"), [];
    CATALOGUE_FILE = "catalogue.file", None, [];
    CATALOGUE_WATCH = "catalogue.watch", Some("true"), [];
    AUTH_MODE = "auth.mode", Some("jwt"), [];
    AUTH_NONE_ON_PUBLIC_ADDRESS = "auth.none_on_public_address", Some("false"), [];
    AUTH_ISSUER = "auth.issuer", None, ["JWT_ISSUER"];
    AUTH_AUDIENCE = "auth.audience", None, ["JWT_AUDIENCE"];
    AUTH_EXTRA_AUDIENCES = "auth.extra_audiences", Some(""), [];
    AUTH_AUDIENCE_TRAILING_SLASH = "auth.audience_trailing_slash", Some("false"), [];
    AUTH_JWKS_URL = "auth.jwks_url", None, ["JWT_JWKS_URL"];
    AUTH_JWKS_FILE = "auth.jwks_file", None, [];
    AUTH_ALGORITHMS = "auth.algorithms", Some("HS256, RS256, ES256, EdDSA"), [];
    AUTH_LEEWAY = "auth.leeway", Some("30s"), [];
    AUTH_AUTHKIT_DOMAIN = "auth.authkit_domain", None, ["TOOLBRIDGE_AUTHKIT_DOMAIN"];
    AUTH_ACCESS_TOKENS_ONLY = "auth.access_tokens_only", Some("false"), [];
    AUTH_REFUSE_NONCE = "auth.refuse_nonce", Some("true"), [];
    TENANT_MODE = "tenant.mode", Some("fixed"), [];
    TENANT_ID = "tenant.id", None, ["TOOLBRIDGE_TENANT_ID", "DEFAULT_TENANT_ID"];
    TENANT_DEFAULT = "tenant.default", Some(""), ["DEFAULT_TENANT_ID"];
    TENANT_REQUIRE_MEMBERSHIP = "tenant.require_membership", Some("none"), [];
    TENANT_WORKOS_URL = "tenant.workos_url", Some("https://api.workos.com"), [];
    TENANT_CACHE = "tenant.cache", Some("5m"), [];
    TENANT_CHOICE_LIFETIME = "tenant.choice_lifetime", Some("12h"), [];
    SIGNATURE_ACTIVE = "signature.active", Some("current"), [];
    SIGNATURE_KEY_ID = "signature.key_id", None, [];
    SIGNATURE_NEXT_KEY_ID = "signature.next_key_id", None, [];
    IDENTITY_TOKEN = "identity.token", Some("forward"), [];
    IDENTITY_FORWARD_TO_REMOTE = "identity.forward_to_remote", Some("false"), [];
    EXCHANGE_URL = "identity.exchange.url", None, [];
    EXCHANGE_FORM = "identity.exchange.form", Some("rfc8693"), [];
    EXCHANGE_AUDIENCE = "identity.exchange.audience", None, [BACKEND_AUDIENCE];
    EXCHANGE_RESOURCE = "identity.exchange.resource", None, [];
    EXCHANGE_SCOPE = "identity.exchange.scope", Some(""), [];
    EXCHANGE_CLIENT_ID = "identity.exchange.client_id", None, [];
    EXCHANGE_CLIENT_AUTH = "identity.exchange.client_auth", Some("basic"), [];
    MINT_ALGORITHM = "identity.mint.algorithm", Some("RS256"), [];
    MINT_KEY_ID = "identity.mint.key_id", None, [];
    MINT_ISSUER = "identity.mint.issuer", Some("toolbridge-mcp"), [];
    MINT_AUDIENCE = "identity.mint.audience", None, [BACKEND_AUDIENCE];
    MINT_SUBJECT = "identity.mint.subject", None, [];
    MINT_LIFETIME = "identity.mint.lifetime", Some("60s"), [];
    LOG_LEVEL = "log.level", Some("info"), ["TOOLBRIDGE_LOG_LEVEL"];
    LOG_FORMAT = "log.format", Some("auto"), [];
    LOG_PERSON = "log.person", Some("hashed"), [];
    TRACES_ENDPOINT = "traces.endpoint", None, ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    TRACES_PROTOCOL = "traces.protocol", Some("http"), ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    TRACES_SAMPLE = "traces.sample", Some("1"), [];
    TRACES_TRUST_PARENT = "traces.trust_parent", Some("false"), [];
    CONNECTIONS_MAX = "connections.max", Some("1000"), [];
    CONNECTIONS_MAX_PER_PERSON = "connections.max_per_person", Some("50"), [];
    CONNECTIONS_LIFETIME = "connections.lifetime", Some("30d"), [];
    CONNECTIONS_HEAL = "connections.heal", Some("false"), [];
    CONNECTIONS_IDLE_TIMEOUT = "connections.idle_timeout", Some("4h"), [];
    LIMITS_PROFILE = "limits.profile", Some("production"), [];
    LIMITS_STORE = "limits.store", Some("memory"), [];
    LIMITS_REDIS_TIMEOUT = "limits.redis_timeout", Some("100ms"), [];
    LIMITS_CONCURRENCY = "limits.concurrency", Some("64"), [];
    LIMITS_QUEUE = "limits.queue", Some("256"), [];
    LIMITS_PERSON_REQUESTS = "limits.person.requests", None, [];
    LIMITS_PERSON_WINDOW = "limits.person.window", None, [];
    LIMITS_PERSON_BURST = "limits.person.burst", None, [];
    LIMITS_PERSON_BLOCK = "limits.person.block", None, [];
    LIMITS_TOOL_REQUESTS = "limits.tool.requests", None, [];
    LIMITS_TOOL_WINDOW = "limits.tool.window", None, [];
    LIMITS_TOOL_BURST = "limits.tool.burst", None, [];
    LIMITS_TOOL_BLOCK = "limits.tool.block", None, [];
    BREAKER_FAILURES = "breaker.failures", Some("5"), [];
    BREAKER_AFTER = "breaker.after", Some("10s"), [];
    BREAKER_PAUSE = "breaker.pause", Some("5s"), [];
    BREAKER_PROBES = "breaker.probes", Some("3"), [];
    SHUTDOWN_GRACE = "shutdown.grace", Some("7s"), ["TOOLBRIDGE_SHUTDOWN_TIMEOUT_SECONDS"];
    SHUTDOWN_KILL_TIMEOUT = "shutdown.kill_timeout", Some("10s"), [];
    CHILD_HEALTH = "child.health", None, [];
    CHILD_START_TIMEOUT = "child.start_timeout", Some("60s"), [];
    CHILD_ATTEMPTS = "child.attempts", Some("5"), [];
    CHILD_RESTART = "child.restart", Some("true"), [];
    CHILD_BACKOFF = "child.backoff", Some("1s"), [];
    CHILD_BACKOFF_MAX = "child.backoff_max", Some("30s"), [];
    CHILD_FORWARD = "child.forward", Some("HUP, USR1, USR2, QUIT, WINCH"), [];
}

/// What a rule is made of, of the person.
pub(super) const LIMITS_PERSON: [Key; 4] = [
    LIMITS_PERSON_REQUESTS,
    LIMITS_PERSON_WINDOW,
    LIMITS_PERSON_BURST,
    LIMITS_PERSON_BLOCK,
];
/// The same of the person's calls of one tool.
pub(super) const LIMITS_TOOL: [Key; 4] = [
    LIMITS_TOOL_REQUESTS,
    LIMITS_TOOL_WINDOW,
    LIMITS_TOOL_BURST,
    LIMITS_TOOL_BLOCK,
];

/// The key of that name.
pub(super) fn named(name: &str) -> Option<&'static Key> {
    ALL.iter().find(|key| key.name == name)
}

/// Further issuers, each under a name that the operator gives it: `auth.issuers.partner.audience`.
const ISSUERS: &str = "auth.issuers";

/// What can be said of one of them, with defaults.
pub(super) const ISSUER_LEAVES: [(&str, Option<&str>); 7] = [
    ("issuer", None),
    ("audience", None),
    ("jwks_url", None),
    ("jwks_file", None),
    ("secret_env", None),
    ("algorithms", AUTH_ALGORITHMS.default),
    ("leeway", AUTH_LEEWAY.default),
];

/// A setting of the issuer with this name.
pub(super) fn of_issuer(name: &str, leaf: &str) -> Key {
    let known = ISSUER_LEAVES.iter().find(|(known, _)| *known == leaf);
    Key {
        name: Cow::Owned(format!("{ISSUERS}.{name}.{leaf}")),
        default: known.and_then(|(_, default)| *default),
        aliases: &[],
    }
}

/// All settings of the issuer with this name.
pub(super) fn all_of_issuer(name: &str) -> impl Iterator<Item = Key> {
    ISSUER_LEAVES.iter().map(|(leaf, _)| of_issuer(name, leaf))
}

/// The issuer that a setting of this name belongs to, if there is such a setting.
pub(super) fn issuer_in(setting: &str) -> Option<&str> {
    let (section, leaf) = setting.rsplit_once('.')?;
    let issuer = issuer_of_section(section)?;
    let mut leaves = ISSUER_LEAVES.iter();
    leaves.any(|(known, _)| *known == leaf).then_some(issuer)
}

/// The issuer that a section of this name is about: lower-case letters, digits and `_`, so that it can stand in the
/// name of a variable.
pub(super) fn issuer_of_section(section: &str) -> Option<&str> {
    let name = section.strip_prefix(ISSUERS)?.strip_prefix('.')?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let sound = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 32
        && name.bytes().all(allowed)
        && !name.contains("__")
        && !name.ends_with('_');
    sound.then_some(name)
}

/// The issuer that a variable of this name belongs to, if it is the own variable of a setting.
pub(super) fn issuer_in_variable(variable: &str) -> Option<String> {
    let setting = variable.strip_prefix(PREFIX)?.replace("__", ".");
    let is_upper = !variable.bytes().any(|byte| byte.is_ascii_lowercase());
    let issuer = issuer_in(&setting.to_lowercase())?.to_owned();
    is_upper.then_some(issuer)
}

/// Whether there is a setting of this name.
pub(super) fn is_known(name: &str) -> bool {
    named(name).is_some() || issuer_in(name).is_some()
}

/// Whether there is a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    let below = |key: &Key| {
        let rest = key.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    ALL.iter().any(below) || name == ISSUERS || issuer_of_section(name).is_some()
}
