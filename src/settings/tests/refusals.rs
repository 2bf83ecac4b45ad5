//! The whole message for each way to be wrong.

use super::*;

#[test]
fn nothing_set_lists_everything_that_is_missing() {
    insta::assert_snapshot!(environment(&[]).refused(), @r#"
        4 problems in the settings

        `auth.issuer` (not set): missing, and tokens are only accepted from a known issuer
          hint: set it (or `JWT_ISSUER`, or `auth.authkit_domain`) to the `iss` of the tokens

        `auth.audience` (not set): missing, and tokens are only accepted if made for this server
          hint: set it (or `JWT_AUDIENCE`) to the `aud` of the tokens, or set `server.public_url`, whose `…/mcp` is the `aud` then

        `auth.mode` (default): `jwt` has no key to check tokens with
          hint: set `JWT_HS256_SECRET` (or `JWT_HS256_SECRET_FILE`), `auth.jwks_url`, `auth.jwks_file` or `auth.authkit_domain`, with its algorithm in `auth.algorithms`; or `auth.mode` to `none`

        `tenant.id` (not set): missing, and every call is made for a tenant
          hint: set it (or `TOOLBRIDGE_TENANT_ID`, or `DEFAULT_TENANT_ID`) to the tenant of this deployment
        "#);
}

const WRONG_FILE: &str = "\
environment = 'production'
listen = 'x'
[server]
max_request_bytes = '4 MB'
allowed_origins = ['*', 'https://ok.example.com', 'null']
[backend]
url = 'http://10.0.0.9:8080'
connect_timeout = -1
[sever]
listen = 'x'
[log]
level = 1
format = 'xml'
[connections]
max = 0
max_per_person = 2.5
[shutdown]
grace = 10
[tenant]
mode = 'many'
";

const WRONG_VARIABLES: &[(&str, &str)] = &[
    ("TOOLBRIDGE_SERVER__LISTN", "127.0.0.1:1"),
    ("TOOLBRIDGE_JWT_TOKEN", "eyJ"),
    ("TOOLBRIDGE_COLOUR", "red"),
    ("TOOLBRIDGE_PORT", "http"),
    ("TOOLBRIDGE_TENANT_ID", "acme:1"),
    ("JWT_HS256_SECRET", "short"),
    ("TENANT_HEADER_SECRET", "short"),
    ("TOOLBRIDGE_AUTH__ALGORITHMS", "HS256, none"),
    ("TOOLBRIDGE_AUTH__NONE_ON_PUBLIC_ADDRESS", "yes"),
];

/// Two dozen mistakes in file, environment and flags.
fn everything_wrong() -> String {
    let given = environment(WRONG_VARIABLES).file(WRONG_FILE);
    given
        .flag("auth.issuer", "http://login.example.com")
        .flag("auth.mod", "jwt")
        .refused()
}

#[test]
fn everything_wrong_is_one_message() {
    insta::assert_snapshot!(everything_wrong(), @r#"
    25 problems in the settings

    `listen` (toolbridge.toml:2): there is no such setting
      hint: did you mean `server.listen`?

    `sever` (toolbridge.toml:9): there is no such setting
      hint: did you mean `[server]`?

    `TOOLBRIDGE_COLOUR` (environment): there is no such setting
      hint: unset it; `toolbridge.example.toml` lists what there is

    `TOOLBRIDGE_JWT_TOKEN` (environment): there is no such setting
      hint: the Python service had it, nothing here needs it; unset it

    `TOOLBRIDGE_SERVER__LISTN` (environment): there is no such setting
      hint: did you mean `TOOLBRIDGE_SERVER__LISTEN`?

    `auth.mod` (command line): there is no such setting
      hint: did you mean `auth.mode`?

    `server.listen` (environment TOOLBRIDGE_PORT): `127.0.0.1:http` is not an IP address with a port
      hint: write it like `127.0.0.1:8001`, `0.0.0.0:8001` or `[::]:8001`

    `server.allowed_origins` (toolbridge.toml:5): `*` would let every web page call the tools in a person's name
      hint: list each origin like `https://app.example.com`

    `server.allowed_origins` (toolbridge.toml:5): `null` is not an origin
      hint: list each origin like `https://app.example.com`

    `server.max_request_bytes` (toolbridge.toml:4): `4 MB` is not a size from 1 KiB to 1 GiB
      hint: write it like `4 MiB`, `512 KiB` or in bytes

    `backend.connect_timeout` (toolbridge.toml:8): `-1` is not a duration from 1ms to 10m
      hint: write it like `30s`, `500ms` or `4h`; digits alone are seconds

    `auth.algorithms` (environment TOOLBRIDGE_AUTH__ALGORITHMS): `none` is not one of its values
      hint: use `HS256`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`

    `auth.audience` (not set): missing, and tokens are only accepted if made for this server
      hint: set it (or `JWT_AUDIENCE`) to the `aud` of the tokens, or set `server.public_url`, whose `…/mcp` is the `aud` then

    `JWT_HS256_SECRET` (environment): shorter than 32 characters, so it could be guessed
      hint: make one with `openssl rand -hex 32` and give it to the backend too

    `auth.issuer` (command line): `http://login.example.com/` is not https
      hint: use `https://`; `http://` is for loopback and for `environment = "development"`

    `tenant.mode` (toolbridge.toml:20): `many` is not one of its values
      hint: use `fixed`, `workos`, `backend`

    `tenant.id` (environment TOOLBRIDGE_TENANT_ID): `acme:1` is none: a tenant id is 1 to 64 letters, digits, `_`, `-` or `.`
      hint: copy the id that the backend knows

    `auth.none_on_public_address` (environment TOOLBRIDGE_AUTH__NONE_ON_PUBLIC_ADDRESS): `yes` is neither true nor false
      hint: write `true` or `false`

    `backend.url` (toolbridge.toml:7): `http://10.0.0.9:8080/` is another machine; the caller's token would go there, and whoever reads it could act as the person
      hint: put toolbridge beside the backend, give it a token of its own (`identity.token`), or set `identity.forward_to_remote = true` if both are one service of one operator

    `TENANT_HEADER_SECRET` (environment): shorter than 32 characters, so it could be guessed
      hint: make one with `openssl rand -hex 32` and give it to the backend too

    `log.level` (toolbridge.toml:12): it is not text
      hint: put it in double quotes

    `log.format` (toolbridge.toml:13): `xml` is not one of its values
      hint: use `auto`, `json`, `pretty`

    `connections.max` (toolbridge.toml:15): `0` is not a whole number from 1 to 1000000
      hint: write it in digits, such as `100`

    `connections.max_per_person` (toolbridge.toml:16): `2.5` is not a whole number from 1 to 1000000
      hint: write it in digits, such as `100`

    `shutdown.grace` (toolbridge.toml:18): 10s is not below `shutdown.kill_timeout` (10s): running calls would be killed
      hint: shorten it, or raise `shutdown.kill_timeout` to what the platform really allows
    "#);
}

#[test]
fn a_file_that_is_not_toml_is_named_with_line_and_column() {
    insta::assert_snapshot!(material(&[])
            .file("[server]\nlisten = 127.0.0.1:8001\n")
            .refused(), @r#"
        1 problem in the settings

        `settings file` (toolbridge.toml:2:15): not valid TOML: expected newline, `#`
          hint: write `key = value` under `[section]`, text in double quotes
        "#);
}

#[test]
fn a_value_where_a_section_belongs_is_explained() {
    insta::assert_snapshot!(material(&[]).file("server = '127.0.0.1:8001'\n").refused(), @r#"
        1 problem in the settings

        `server` (toolbridge.toml:1): a section, not a value
          hint: write `[server]` and its keys below
        "#);
}

#[test]
fn short_secrets_are_refused_outside_development_only() {
    let given = material(&[
        ("JWT_HS256_SECRET", "short"),
        ("TENANT_HEADER_SECRET", "short"),
    ]);
    insta::assert_snapshot!(given.clone().refused(), @r#"
        2 problems in the settings

        `JWT_HS256_SECRET` (environment): shorter than 32 characters, so it could be guessed
          hint: make one with `openssl rand -hex 32` and give it to the backend too

        `TENANT_HEADER_SECRET` (environment): shorter than 32 characters, so it could be guessed
          hint: make one with `openssl rand -hex 32` and give it to the backend too
        "#);
    let settings = given
        .with(&[("TOOLBRIDGE_ENVIRONMENT", "development")])
        .settings();
    assert_eq!(settings.environment, Stage::Development);
}

#[test]
fn the_development_secret_is_refused_outside_development_only() {
    let given = material(&[("JWT_HS256_SECRET", DEVELOPMENT_SECRET)]);
    insta::assert_snapshot!(given.clone().refused(), @r#"
        1 problem in the settings

        `JWT_HS256_SECRET` (environment): it is the published secret of development, with which anybody can sign tokens
          hint: give it the secret that the backend has in production
        "#);
    given
        .with(&[("TOOLBRIDGE_ENVIRONMENT", "development")])
        .settings();
}

#[test]
fn no_check_of_tokens_on_a_public_address_has_to_be_said_twice() {
    let open = environment(&[
        ("TOOLBRIDGE_TENANT_ID", "acme"),
        ("TOOLBRIDGE_AUTH__MODE", "none"),
    ]);
    assert!(matches!(open.clone().settings().auth, AuthSettings::None));
    let public = open.with(&[("TOOLBRIDGE_HOST", "0.0.0.0")]);
    insta::assert_snapshot!(public.clone().refused(), @r#"
        1 problem in the settings

        `auth.mode` (environment TOOLBRIDGE_AUTH__MODE): `none` lets everybody in who can reach `0.0.0.0:8001`
          hint: use `jwt`, listen on 127.0.0.1, or say it twice with `auth.none_on_public_address = true`
        "#);
    public
        .with(&[("TOOLBRIDGE_AUTH__NONE_ON_PUBLIC_ADDRESS", "true")])
        .settings();
}

#[test]
fn a_token_does_not_leave_the_machine_unasked() {
    let remote = material(&[("TOOLBRIDGE_BACKEND__URL", "http://backend.internal:8080")]);
    insta::assert_snapshot!(remote.clone().refused(), @r#"
        1 problem in the settings

        `backend.url` (environment TOOLBRIDGE_BACKEND__URL): `http://backend.internal:8080/` is another machine; the caller's token would go there, and whoever reads it could act as the person
          hint: put toolbridge beside the backend, give it a token of its own (`identity.token`), or set `identity.forward_to_remote = true` if both are one service of one operator
        "#);
    remote
        .clone()
        .with(&[("TOOLBRIDGE_IDENTITY__FORWARD_TO_REMOTE", "true")])
        .settings();
    remote.with(&[("TOOLBRIDGE_AUTH__MODE", "none")]).settings();
}

#[test]
fn plain_http_is_for_loopback_and_development() {
    let with = |host: &str| {
        material(&[
            ("JWT_ISSUER", &format!("http://{host}")),
            ("JWT_JWKS_URL", &format!("http://{host}/jwks")),
            ("TOOLBRIDGE_PUBLIC_BASE_URL", &format!("http://{host}:8001")),
            ("TOOLBRIDGE_AUTHKIT_DOMAIN", &format!("http://{host}")),
        ])
    };
    insta::assert_snapshot!(with("login.example.com").refused(), @r#"
        4 problems in the settings

        `server.public_url` (environment TOOLBRIDGE_PUBLIC_BASE_URL): `http://login.example.com:8001/` is not https
          hint: use `https://`; `http://` is for loopback and for `environment = "development"`

        `auth.jwks_url` (environment JWT_JWKS_URL): `http://login.example.com/jwks` is not https
          hint: use `https://`; `http://` is for loopback and for `environment = "development"`

        `auth.authkit_domain` (environment TOOLBRIDGE_AUTHKIT_DOMAIN): `http://login.example.com/` is not https
          hint: use `https://`; `http://` is for loopback and for `environment = "development"`

        `auth.issuer` (environment JWT_ISSUER): `http://login.example.com/` is not https
          hint: use `https://`; `http://` is for loopback and for `environment = "development"`
        "#);
    with("localhost").settings();
    with("login.example.com")
        .with(&[("TOOLBRIDGE_ENVIRONMENT", "development")])
        .settings();
}

#[test]
fn a_bare_issuer_needs_the_secret() {
    let given = material(&[("JWT_JWKS_URL", "https://login.example.com/jwks")]);
    given.clone().settings();
    insta::assert_snapshot!(given.without("JWT_HS256_SECRET").refused(), @r#"
        1 problem in the settings

        `auth.issuer` (environment JWT_ISSUER): `toolbridge-api` is not a URL, so nobody could look up its keys
          hint: write the issuer's URL with `https://`; a bare name needs `JWT_HS256_SECRET`
        "#);
}

#[test]
fn a_key_without_an_allowed_algorithm_is_no_key() {
    insta::assert_snapshot!(material(&[("TOOLBRIDGE_AUTH__ALGORITHMS", "RS256")]).refused(), @r#"
        1 problem in the settings

        `auth.mode` (default): `jwt` has no key to check tokens with
          hint: set `JWT_HS256_SECRET` (or `JWT_HS256_SECRET_FILE`), `auth.jwks_url`, `auth.jwks_file` or `auth.authkit_domain`, with its algorithm in `auth.algorithms`; or `auth.mode` to `none`
        "#);
}

#[test]
fn a_key_source_that_is_wrong_is_reported_once() {
    let given = material(&[("JWT_JWKS_URL", "login.example.com/jwks")]).without("JWT_HS256_SECRET");
    let problems = given
        .with(&[("JWT_ISSUER", "https://login.example.com")])
        .load()
        .unwrap_err();
    assert_eq!(problems.problems().len(), 1, "{problems}");
}

#[test]
fn urls_carry_no_user_query_or_fragment() {
    let given = material(&[
        (
            "TOOLBRIDGE_PUBLIC_BASE_URL",
            "https://user:hidden@mcp.example.com",
        ),
        (
            "TOOLBRIDGE_GO_API_BASE_URL",
            "http://127.0.0.1:8080?key=hidden",
        ),
        ("JWT_JWKS_URL", "https://login.example.com/jwks#hidden"),
        ("JWT_ISSUER", "https://user:hidden@login.example.com"),
    ]);
    let message = given.refused();
    assert!(!message.contains("hidden"));
    insta::assert_snapshot!(message, @r#"
        4 problems in the settings

        `server.public_url` (environment TOOLBRIDGE_PUBLIC_BASE_URL): the URL has a user or a password
          hint: write it like `https://host.example.com`, without user, query or fragment

        `backend.url` (environment TOOLBRIDGE_GO_API_BASE_URL): the URL has a query
          hint: write it like `https://host.example.com`, without user, query or fragment

        `auth.issuer` (environment JWT_ISSUER): the URL has a user or a password
          hint: write it like `https://host.example.com`, without user, query or fragment

        `auth.jwks_url` (environment JWT_JWKS_URL): the URL has a fragment
          hint: write it like `https://host.example.com`, without user, query or fragment
        "#);
}

#[test]
fn the_public_url_is_a_root() {
    insta::assert_snapshot!(material(&[("TOOLBRIDGE_PUBLIC_BASE_URL", "https://mcp.example.com/mcp")]).refused(), @r#"
        1 problem in the settings

        `server.public_url` (environment TOOLBRIDGE_PUBLIC_BASE_URL): `https://mcp.example.com/mcp` has a path
          hint: give the root URL, without `/mcp`
        "#);
}

#[test]
fn what_ends_in_a_challenge_cannot_break_out_of_it() {
    for text in ["a\"b", "a\\b", "a\r\nSet-Cookie: x", "a\u{7f}", "ä", " "] {
        for name in ["JWT_ISSUER", "JWT_AUDIENCE"] {
            let message = material(&[(name, text)]).refused();
            assert!(message.starts_with("1 problem"), "{message}");
            assert!(!message.contains('\r'), "{message}");
        }
    }
}

#[test]
fn two_listeners_need_two_addresses() {
    insta::assert_snapshot!(material(&[("TOOLBRIDGE_SERVER__LISTEN", "0.0.0.0:9091")]).refused(), @r#"
        1 problem in the settings

        `ops.listen` (default): `127.0.0.1:9091` is taken by `server.listen`
          hint: give it another port
        "#);
    material(&[
        ("TOOLBRIDGE_SERVER__LISTEN", "127.0.0.1:0"),
        ("TOOLBRIDGE_OPS__LISTEN", "127.0.0.1:0"),
    ])
    .settings();
}

proptest::proptest! {
    #[test]
    fn no_text_anywhere_makes_the_reader_panic(file in ".*", value in ".*", name in "[a-z._]*") {
        let wrong = keys::ALL.iter().map(|key| (key.variable(), value.clone()));
        let mut given = Given { variables: wrong.collect(), ..Given::default() };
        let _ = given.clone().file(&file).flag(&name, &value).load();
        given.variables.clear();
        let _ = given.file(&format!("{name} = {value}")).load();
    }
}
