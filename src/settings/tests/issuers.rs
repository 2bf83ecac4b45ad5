//! Who may issue tokens, and for whom: what little is enough, several issuers, and what is refused of them.

use super::*;

/// A tenant, and nothing that says who may call.
fn bare(variables: &[(&str, &str)]) -> Given {
    environment(&[("TOOLBRIDGE_TENANT_ID", "acme")]).with(variables)
}

const PUBLIC: (&str, &str) = ("TOOLBRIDGE_PUBLIC_BASE_URL", "https://acme.example.com");
const ISSUER: (&str, &str) = ("JWT_ISSUER", "https://login.example.com/tenant");

fn key_set_of(issuer: &IssuerSettings) -> &KeySetSettings {
    match &issuer.keys {
        VerificationKeys::KeySet(key_set) | VerificationKeys::Both(_, key_set) => key_set,
        VerificationKeys::Secret(_) => panic!("no key set"),
    }
}

#[test]
fn an_authkit_domain_and_a_public_url_are_enough() {
    let domain = ("TOOLBRIDGE_AUTHKIT_DOMAIN", "team.authkit.app");
    let issuer = first_issuer(bare(&[PUBLIC, domain]).settings());
    assert_eq!(issuer.issuer, "https://team.authkit.app");
    let url = "https://team.authkit.app/oauth2/jwks".parse().unwrap();
    assert_eq!(key_set_of(&issuer).source, KeySetSource::Url(url));
    assert_eq!(
        issuer.audiences,
        [
            "https://acme.example.com/mcp",
            "https://acme.example.com/sse"
        ]
    );
}

#[test]
fn an_issuer_that_can_be_asked_and_a_public_url_are_enough() {
    let issuer = first_issuer(bare(&[PUBLIC, ISSUER]).settings());
    assert_eq!(key_set_of(&issuer).source, KeySetSource::Discovered);
    let only_secrets = bare(&[PUBLIC, ISSUER, ("TOOLBRIDGE_AUTH__ALGORITHMS", "HS256")]);
    assert!(only_secrets.refused().contains("no key"));
}

#[test]
fn a_secret_a_file_or_an_address_leaves_nothing_to_discover() {
    let secret = first_issuer(bare(&[PUBLIC, ISSUER, ("JWT_HS256_SECRET", SECRET)]).settings());
    assert!(matches!(secret.keys, VerificationKeys::Secret(_)));
    let file = ("TOOLBRIDGE_AUTH__JWKS_FILE", "keys.json");
    let file = first_issuer(bare(&[PUBLIC, ISSUER, file]).settings());
    assert!(matches!(key_set_of(&file).source, KeySetSource::File(_)));
}

#[test]
fn what_is_written_as_audience_replaces_the_public_url() {
    let audiences = |variables: &[(&str, &str)]| {
        let given = bare(&[PUBLIC, ISSUER]).with(variables);
        first_issuer(given.settings()).audiences
    };
    assert_eq!(audiences(&[("JWT_AUDIENCE", "client_1")]), ["client_1"]);
    let slash = ("TOOLBRIDGE_AUTH__AUDIENCE_TRAILING_SLASH", "true");
    let both = audiences(&[
        ("JWT_AUDIENCE", "https://a/mcp, https://b/, client_1"),
        slash,
    ]);
    assert_eq!(
        both,
        [
            "https://a/mcp",
            "https://b/",
            "client_1",
            "https://a/mcp/",
            "https://b"
        ]
    );
    let extra = ("TOOLBRIDGE_AUTH__EXTRA_AUDIENCES", "client_1");
    assert_eq!(
        audiences(&[extra]),
        [
            "https://acme.example.com/mcp",
            "https://acme.example.com/sse",
            "client_1"
        ]
    );
}

#[test]
fn further_issuers_have_names_and_the_first_may_be_left_out() {
    let file = "
        [auth.issuers.partner]
        issuer = 'https://login.partner.example'
        audience = ['partner-api']
        algorithms = ['ES256']
        leeway = '5s'
        [auth.issuers.legacy]
        issuer = 'old-backend'
        secret_env = 'LEGACY_SECRET'
    ";
    let given = bare(&[PUBLIC, ("LEGACY_SECRET", SECRET)]).file(file);
    let issuers = tokens(given.clone().settings()).issuers;
    let names: Vec<_> = issuers.iter().map(|issuer| &*issuer.issuer).collect();
    assert_eq!(names, ["old-backend", "https://login.partner.example"]);
    assert!(matches!(issuers[0].keys, VerificationKeys::Secret(_)));
    assert_eq!(issuers[0].audiences[0], "https://acme.example.com/mcp");
    assert_eq!(issuers[0].leeway, Duration::from_secs(30));
    assert_eq!(issuers[1].audiences, ["partner-api"]);
    assert_eq!(issuers[1].leeway, Duration::from_secs(5));
    assert_eq!(key_set_of(&issuers[1]).source, KeySetSource::Discovered);
    let three = tokens(given.with(&[ISSUER]).settings()).issuers;
    assert_eq!(three[0].issuer, ISSUER.1);
    assert_eq!(three.len(), 3);
}

#[test]
fn a_further_issuer_can_be_written_with_variables_and_flags() {
    let variable = "TOOLBRIDGE_AUTH__ISSUERS__OUR_PARTNER__ISSUER";
    let given = bare(&[PUBLIC, (variable, "https://one.example")])
        .flag("auth.issuers.our_partner.audience", "two");
    let issuer = first_issuer(given.settings());
    assert_eq!(issuer.issuer, "https://one.example");
    assert_eq!(issuer.audiences, ["two"]);
}

#[test]
fn what_is_wrong_with_a_further_issuer_names_its_keys() {
    let file = "
        [auth.issuers.partner]
        isuer = 'https://login.partner.example'
        secret_env = 'hunter2-is-the-secret'
        [auth.issuers.Second]
        issuer = 'x'
        [auth.issuers.third]
        issuer = 'bare-name'
        [auth.issuers.fourth]
        issuer = 'http://login.example.com'
        secret_env = 'NOT_THERE'
    ";
    let given = bare(&[("TOOLBRIDGE_AUTH__ISSUERS__PARTNER__JWKS", "x"), PUBLIC]).file(file);
    let message = given.refused();
    assert!(!message.contains("hunter2"));
    insta::assert_snapshot!(message, @r#"
    8 problems in the settings

    `auth.issuers.Second` (toolbridge.toml:5): there is no such setting
      hint: name an issuer with lower-case letters, digits and `_`

    `auth.issuers.partner.isuer` (toolbridge.toml:3): there is no such setting
      hint: did you mean `auth.issuers.partner.issuer`?

    `TOOLBRIDGE_AUTH__ISSUERS__PARTNER__JWKS` (environment): there is no such setting
      hint: unset it; `toolbridge.example.toml` lists what there is

    `auth.issuers.partner.secret_env` (toolbridge.toml:4): it is not the name of a variable
      hint: write a name like `PARTNER_JWT_SECRET`, not one that begins with `TOOLBRIDGE_`, and put the secret into that variable

    `auth.issuers.fourth.secret_env` (toolbridge.toml:11): neither `NOT_THERE` nor `NOT_THERE_FILE` is set
      hint: set one of them to the secret that the issuer signs with

    `auth.issuers.fourth.issuer` (toolbridge.toml:10): `http://login.example.com/` is not https
      hint: use `https://`; `http://` is for loopback and for `environment = "development"`

    `auth.issuers.partner.issuer` (not set): missing, and tokens are only accepted from a known issuer
      hint: set it to the `iss` of the tokens

    `auth.issuers.third.issuer` (toolbridge.toml:8): there is no key to check its tokens with
      hint: set `jwks_url`, `jwks_file` or `secret_env` beside it, with its algorithm in `algorithms`
    "#);
}

#[test]
fn a_documentation_link_is_an_address() {
    let documentation = "TOOLBRIDGE_SERVER__DOCUMENTATION_URL";
    let refused = material(&[(documentation, "javascript:alert(1)")]).refused();
    assert!(refused.contains("not an http or https URL"), "{refused}");
}
