//! Which of several values wins, and what each alias sets.

use tracing::level_filters::LevelFilter;

use super::*;
use crate::auth::Algorithm;

fn listen(given: Given) -> String {
    given.settings().server.listen.to_string()
}

#[test]
fn flags_beat_variables_beat_the_file_beats_defaults() {
    let given = material(&[]);
    assert_eq!(listen(given.clone()), "127.0.0.1:8001");
    let given = given.file("server.listen = '127.0.0.1:1'");
    assert_eq!(listen(given.clone()), "127.0.0.1:1");
    let given = given.with(&[("TOOLBRIDGE_SERVER__LISTEN", "127.0.0.1:2")]);
    assert_eq!(listen(given.clone()), "127.0.0.1:2");
    let given = given.flag("server.listen", "127.0.0.1:3");
    assert_eq!(listen(given.clone()), "127.0.0.1:3");
    assert_eq!(
        listen(given.flag("server.listen", "127.0.0.1:4")),
        "127.0.0.1:4"
    );
}

#[test]
fn setting_one_key_of_a_section_leaves_its_neighbours_alone() {
    let given = material(&[("TOOLBRIDGE_BACKEND__CONNECT_TIMEOUT", "1s")])
        .file("[backend]\nrequest_timeout = 5\n")
        .flag("backend.max_response_bytes", "1 MiB");
    let backend = given.settings().backend;
    assert_eq!(backend.connect_timeout, Duration::from_secs(1));
    assert_eq!(backend.request_timeout, Duration::from_secs(5));
    assert_eq!(backend.max_response_bytes, 1 << 20);
    assert_eq!(backend.url.as_str(), "http://127.0.0.1:8080/");
}

#[test]
fn every_alias_sets_its_key() {
    let settings = environment(&[
        ("JWT_ISSUER", "https://login.example.com"),
        ("JWT_AUDIENCE", "one, two"),
        ("JWT_JWKS_URL", "https://login.example.com/jwks"),
        ("DEFAULT_TENANT_ID", "org_1"),
        ("TOOLBRIDGE_GO_API_BASE_URL", "http://localhost:8081"),
        ("TOOLBRIDGE_PUBLIC_BASE_URL", "https://mcp.example.com"),
        ("TOOLBRIDGE_LOG_LEVEL", "WARNING"),
        ("TOOLBRIDGE_SHUTDOWN_TIMEOUT_SECONDS", "5"),
        ("TOOLBRIDGE_HOST", "0.0.0.0"),
        ("TOOLBRIDGE_PORT", "9000"),
        ("TOOLBRIDGE_TENANT_HEADER_SECRET", SECRET),
    ])
    .settings();
    assert_eq!(settings.server.listen.to_string(), "0.0.0.0:9000");
    assert_eq!(
        settings.server.public_url.as_ref().unwrap().as_str(),
        "https://mcp.example.com/"
    );
    assert_eq!(settings.backend.url.as_str(), "http://localhost:8081/");
    assert_eq!(fixed_tenant(&settings), "org_1");
    assert_eq!(settings.log.level, LevelFilter::WARN);
    assert_eq!(settings.shutdown.grace, Duration::from_secs(5));
    assert_eq!(
        settings.signing_secret.as_ref().unwrap().expose_secret(),
        SECRET
    );
    let tokens = first_issuer(settings);
    assert_eq!(tokens.issuer, "https://login.example.com");
    assert_eq!(tokens.audiences, ["one", "two"]);
    let VerificationKeys::KeySet(key_set) = tokens.keys else {
        panic!("{:?}", tokens.keys)
    };
    assert_eq!(
        key_set.source,
        KeySetSource::Url("https://login.example.com/jwks".parse().unwrap())
    );
    assert_eq!(
        key_set.algorithms,
        [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
    );
}

#[test]
fn the_own_variable_beats_every_alias() {
    let tenant = |given: Given| fixed_tenant(&given.settings());
    let given = material(&[("DEFAULT_TENANT_ID", "weakest")]);
    assert_eq!(tenant(given.clone()), "acme");
    assert_eq!(
        tenant(given.with(&[("TOOLBRIDGE_TENANT__ID", "strongest")])),
        "strongest"
    );
    let given = material(&[
        ("TOOLBRIDGE_PORT", "1"),
        ("TOOLBRIDGE_SERVER__LISTEN", "127.0.0.1:2"),
    ]);
    assert_eq!(listen(given), "127.0.0.1:2");
    let given = material(&[
        ("TENANT_HEADER_SECRET", SECRET),
        ("TOOLBRIDGE_TENANT_HEADER_SECRET", "other"),
    ]);
    assert_eq!(
        given.settings().signing_secret.unwrap().expose_secret(),
        SECRET
    );
}

#[test]
fn host_and_port_replace_their_half_of_the_address_below() {
    let file = "server.listen = '127.0.0.2:7000'";
    assert_eq!(
        listen(material(&[("TOOLBRIDGE_PORT", "1")]).file(file)),
        "127.0.0.2:1"
    );
    assert_eq!(
        listen(material(&[("TOOLBRIDGE_HOST", "0.0.0.0")]).file(file)),
        "0.0.0.0:7000"
    );
    assert_eq!(listen(material(&[("TOOLBRIDGE_HOST", "::")])), "[::]:8001");
    assert_eq!(
        listen(material(&[("TOOLBRIDGE_HOST", "localhost")])),
        "127.0.0.1:8001"
    );
    assert_eq!(
        listen(material(&[("TOOLBRIDGE_HOST", "0.0.0.0")]).flag("server.listen", "127.0.0.1:5")),
        "127.0.0.1:5"
    );
}

#[test]
fn an_empty_variable_does_not_hide_the_file() {
    let given = material(&[
        ("TOOLBRIDGE_SERVER__LISTEN", ""),
        ("TOOLBRIDGE_PORT", ""),
        ("TOOLBRIDGE_NONSENSE", ""),
    ]);
    assert_eq!(
        listen(given.file("server.listen = '127.0.0.1:1'")),
        "127.0.0.1:1"
    );
}

#[test]
fn an_authkit_domain_stands_for_issuer_and_key_set() {
    let base = environment(&[("JWT_AUDIENCE", "a"), ("TOOLBRIDGE_TENANT_ID", "acme")]);
    for domain in [
        "team.authkit.app",
        "https://team.authkit.app",
        "https://team.authkit.app/",
    ] {
        let tokens = first_issuer(
            base.clone()
                .with(&[("TOOLBRIDGE_AUTHKIT_DOMAIN", domain)])
                .settings(),
        );
        assert_eq!(tokens.issuer, "https://team.authkit.app");
        let keys = format!("{:?}", tokens.keys);
        assert!(
            keys.contains("team.authkit.app") && keys.contains("/oauth2/jwks"),
            "{keys}"
        );
    }
    let given = base.with(&[
        ("TOOLBRIDGE_AUTHKIT_DOMAIN", "team.authkit.app"),
        ("JWT_ISSUER", "https://other.example.com"),
        ("TOOLBRIDGE_AUTH__JWKS_FILE", "keys.json"),
    ]);
    let tokens = first_issuer(given.settings());
    assert_eq!(tokens.issuer, "https://other.example.com");
    let VerificationKeys::KeySet(key_set) = tokens.keys else {
        panic!("{:?}", tokens.keys)
    };
    assert_eq!(key_set.source, KeySetSource::File("keys.json".into()));
}

#[test]
fn algorithms_choose_among_the_keys_there_are() {
    let both = material(&[("JWT_JWKS_URL", "https://login.example.com/jwks")]);
    assert!(matches!(
        first_issuer(both.clone().settings()).keys,
        VerificationKeys::Both(..)
    ));
    let only = |algorithms| {
        both.clone()
            .with(&[("TOOLBRIDGE_AUTH__ALGORITHMS", algorithms)])
    };
    assert!(matches!(
        first_issuer(only("HS256").settings()).keys,
        VerificationKeys::Secret(_)
    ));
    let bare = only("RS256").with(&[("JWT_ISSUER", "https://login.example.com")]);
    assert!(matches!(
        first_issuer(bare.settings()).keys,
        VerificationKeys::KeySet(_)
    ));
}

#[test]
fn an_identifier_of_digits_stays_text() {
    for id in ["007", "12345678", "1e5", "true"] {
        let settings = material(&[("TOOLBRIDGE_TENANT_ID", id)]).settings();
        assert_eq!(fixed_tenant(&settings), id);
    }
}

#[test]
fn the_file_of_the_working_directory_need_not_be_there_and_a_named_one_must() {
    assert_eq!(
        SettingsFile::of_flag(None),
        SettingsFile::IfPresent("toolbridge.toml".into())
    );
    let load = |file| {
        let environment = MATERIAL.into_iter().collect();
        Settings::load(
            &Sources {
                file,
                environment,
                flags: Vec::new(),
            },
            |_| false,
        )
    };
    let missing = TempDir::new().unwrap().path().join("none.toml");
    assert!(load(SettingsFile::IfPresent(missing.clone())).is_ok());
    let error = load(SettingsFile::of_flag(Some(missing)))
        .unwrap_err()
        .to_string();
    assert!(error.contains("none.toml): cannot be read: "), "{error}");
}
