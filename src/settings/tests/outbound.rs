//! Which token the backend gets: each mode with its material, and what is said where some is missing.

use super::*;
use crate::{
    auth::Algorithm,
    identity::outbound::{ClientAuth, ExchangeForm, ExchangeSettings, SubjectForm},
};

const RSA: &str = include_str!("../../../tests/keys/rsa.pem");

fn exchanging(variables: &[(&str, &str)]) -> Given {
    material(&[
        ("TOOLBRIDGE_IDENTITY__TOKEN", "exchange"),
        (
            "TOOLBRIDGE_IDENTITY__EXCHANGE__URL",
            "https://login.example.com/token",
        ),
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__AUDIENCE", "notes-backend"),
    ])
    .with(variables)
}

fn minting(variables: &[(&str, &str)]) -> Given {
    material(&[
        ("TOOLBRIDGE_IDENTITY__TOKEN", "mint"),
        ("TOOLBRIDGE_IDENTITY__MINT__AUDIENCE", "notes-backend"),
    ])
    .with(variables)
}

#[track_caller]
fn exchange(given: Given) -> ExchangeSettings {
    match given.settings().outbound {
        OutboundSettings::Exchange(exchange) => exchange,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn client(given: Given) -> ClientAuth {
    match exchange(given).form {
        ExchangeForm::Rfc8693 { client, .. } => client,
        other @ ExchangeForm::Json { .. } => panic!("{other:?}"),
    }
}

#[test]
fn the_callers_own_token_is_forwarded_unless_something_else_is_said() {
    let settings = material(&[("TOOLBRIDGE_BACKEND_API_AUDIENCE", "unused")]).settings();
    assert!(matches!(settings.outbound, OutboundSettings::Forward));
}

#[test]
fn an_exchange_knows_endpoint_audience_and_client() {
    assert!(matches!(client(exchanging(&[])), ClientAuth::None));
    let id = ("TOOLBRIDGE_IDENTITY__EXCHANGE__CLIENT_ID", "toolbridge");
    let secret = ("IDENTITY_EXCHANGE_CLIENT_SECRET", "s");
    let post = ("TOOLBRIDGE_IDENTITY__EXCHANGE__CLIENT_AUTH", "post");
    let public = client(exchanging(&[id]));
    assert!(matches!(public, ClientAuth::Public { id } if id == "toolbridge"));
    assert!(matches!(
        client(exchanging(&[id, secret])),
        ClientAuth::Basic { .. }
    ));
    assert!(matches!(
        client(exchanging(&[id, secret, post])),
        ClientAuth::Post { .. }
    ));
}

#[test]
fn the_json_form_is_the_backends_own() {
    let given = material(&[
        ("TOOLBRIDGE_IDENTITY__TOKEN", "exchange"),
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__FORM", "json"),
        ("TOOLBRIDGE_BACKEND_API_AUDIENCE", "notes-backend"),
        ("TOOLBRIDGE_BACKEND__URL", "http://127.0.0.1:8080/api/"),
    ]);
    let exchange = exchange(given);
    assert_eq!(
        exchange.url.as_str(),
        "http://127.0.0.1:8080/api/auth/token-exchange"
    );
    assert!(
        matches!(exchange.form, ExchangeForm::Json { audience } if audience == "notes-backend")
    );
}

#[test]
fn an_exchange_without_its_material_is_refused() {
    let message = material(&[("TOOLBRIDGE_IDENTITY__TOKEN", "exchange")]).refused();
    insta::assert_snapshot!(message, @r#"
    2 problems in the settings

    `identity.exchange.url` (not set): missing, and nobody can be asked
      hint: set it to the token endpoint of the authorization server

    `identity.exchange.audience` (not set): missing, and a token is for somebody
      hint: set it (or `TOOLBRIDGE_BACKEND_API_AUDIENCE`), or `identity.exchange.resource`, to what the authorization server calls the backend
    "#);
    let message = material(&[
        ("TOOLBRIDGE_IDENTITY__TOKEN", "exchange"),
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__FORM", "json"),
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__SCOPE", "notes:read"),
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__CLIENT_ID", "toolbridge"),
        ("IDENTITY_EXCHANGE_CLIENT_SECRET", "canary"),
    ])
    .refused();
    insta::assert_snapshot!(message, @r#"
    4 problems in the settings

    `identity.exchange.scope` (environment TOOLBRIDGE_IDENTITY__EXCHANGE__SCOPE): the form `json` does not send it
      hint: unset it, or use `identity.exchange.form = "rfc8693"`

    `identity.exchange.client_id` (environment TOOLBRIDGE_IDENTITY__EXCHANGE__CLIENT_ID): the form `json` does not send it
      hint: unset it, or use `identity.exchange.form = "rfc8693"`

    `IDENTITY_EXCHANGE_CLIENT_SECRET` (environment): the form `json` does not send it
      hint: unset it

    `identity.exchange.audience` (not set): missing, and the backend asks for it
      hint: set it, or `TOOLBRIDGE_BACKEND_API_AUDIENCE`; the backend only copies it into the token
    "#);
    let message = exchanging(&[
        ("IDENTITY_EXCHANGE_CLIENT_SECRET", "canary"),
        (
            "TOOLBRIDGE_IDENTITY__EXCHANGE__URL",
            "http://login.example.com/token",
        ),
        (
            "TOOLBRIDGE_IDENTITY__EXCHANGE__SCOPE",
            "notes:read notes:write",
        ),
    ])
    .refused();
    insta::assert_snapshot!(message, @r#"
    3 problems in the settings

    `identity.exchange.scope` (environment TOOLBRIDGE_IDENTITY__EXCHANGE__SCOPE): `notes:read notes:write` has a space in it
      hint: write each by itself, without spaces

    `identity.exchange.url` (environment TOOLBRIDGE_IDENTITY__EXCHANGE__URL): `http://login.example.com/token` is not https
      hint: use `https://`; `http://` is for loopback and for `environment = "development"`

    `IDENTITY_EXCHANGE_CLIENT_SECRET` (environment): a secret without an id proves nothing
      hint: set `identity.exchange.client_id` too
    "#);
}

#[test]
fn a_mint_has_a_key_that_signs() {
    let folded = RSA.replace('\n', "\\n");
    for key in [RSA, &folded] {
        for name in ["IDENTITY_MINT_KEY", "TOOLBRIDGE_JWT_SIGNING_KEY"] {
            let settings = minting(&[(name, key)]).settings();
            let OutboundSettings::Mint(mint) = settings.outbound else {
                panic!("{:?}", settings.outbound)
            };
            assert!(mint.key.key_set().is_some());
            assert_eq!(mint.lifetime, Duration::from_secs(60));
        }
    }
    let secret = minting(&[
        ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256"),
        ("IDENTITY_MINT_KEY", SECRET),
    ]);
    let OutboundSettings::Mint(mint) = secret.settings().outbound else {
        panic!("no mint")
    };
    assert!(mint.key.key_set().is_none());
}

#[test]
fn a_mint_without_its_material_is_refused() {
    let message = material(&[("TOOLBRIDGE_IDENTITY__TOKEN", "mint")]).refused();
    insta::assert_snapshot!(message, @r#"
    2 problems in the settings

    `identity.mint.audience` (not set): missing, and a token is for somebody
      hint: set it (or `TOOLBRIDGE_BACKEND_API_AUDIENCE`) to the audience that the backend checks

    `identity.token` (environment TOOLBRIDGE_IDENTITY__TOKEN): `mint` has no key to sign with
      hint: set `IDENTITY_MINT_KEY_FILE` to a private key in PEM (or `IDENTITY_MINT_KEY` to the key itself), or `IDENTITY_MINT_KEY` to a secret and `identity.mint.algorithm` to `HS256`
    "#);
}

#[test]
fn a_mint_for_several_issuers_has_to_say_how_it_names_people() {
    let two = minting(&[
        ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256"),
        ("IDENTITY_MINT_KEY", SECRET),
        ("TOOLBRIDGE_AUTH__ISSUERS__PARTNER__ISSUER", "partner"),
        ("TOOLBRIDGE_AUTH__ISSUERS__PARTNER__AUDIENCE", "us"),
        ("TOOLBRIDGE_AUTH__ISSUERS__PARTNER__SECRET_ENV", "PARTNER"),
        ("PARTNER", "secret-of-the-partner-0123456789-0123456789"),
    ]);
    insta::assert_snapshot!(two.clone().refused(), @r#"
    1 problem in the settings

    `identity.mint.subject` (not set): missing, and there are several issuers: people of two of them who have the same `sub` would be one person to the backend
      hint: set it to `issuer|sub`, or to `sub` if no two issuers ever give one `sub` to two people
    "#);
    for (text, form) in [
        ("sub", SubjectForm::Own),
        ("issuer|sub", SubjectForm::WithIssuer),
    ] {
        let settings = two.clone().flag("identity.mint.subject", text).settings();
        let OutboundSettings::Mint(mint) = settings.outbound else {
            panic!("no mint")
        };
        assert_eq!(mint.subject, form);
    }
    two.clone().flag("identity.mint.subject", "iss").refused();
    // Whoever forwards or exchanges sends a token that says its issuer.
    two.flag("identity.token", "forward").settings();
}

#[test]
fn a_key_that_does_not_fit_its_algorithm_is_refused_and_not_shown() {
    let body: String = RSA.lines().skip(1).take(1).collect();
    let hs256 = ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256");
    let es256 = ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "ES256");
    let secret_as_pem = minting(&[("IDENTITY_MINT_KEY", SECRET)]).refused();
    let pem_as_secret = minting(&[hs256, ("IDENTITY_MINT_KEY", RSA)]).refused();
    let other_kind = minting(&[es256, ("IDENTITY_MINT_KEY", RSA)]).refused();
    let short = minting(&[hs256, ("IDENTITY_MINT_KEY", "canary")]).refused();
    let published = minting(&[hs256, ("IDENTITY_MINT_KEY", DEVELOPMENT_SECRET)]).refused();
    assert!(published.contains("the published secret of development"));
    for message in [&secret_as_pem, &pem_as_secret, &other_kind, &short] {
        assert!(
            !message.contains(SECRET) && !message.contains(&body) && !message.contains("canary")
        );
    }
    insta::assert_snapshot!(secret_as_pem, @r#"
    1 problem in the settings

    `IDENTITY_MINT_KEY` (environment): not a private key of this algorithm in PEM
      hint: give it a private key in PEM for RS256; `openssl pkcs8 -topk8 -nocrypt` makes one of other forms
    "#);
    insta::assert_snapshot!(pem_as_secret, @r#"
    1 problem in the settings

    `IDENTITY_MINT_KEY` (environment): a key in PEM is no secret for `HS256`
      hint: set `identity.mint.algorithm` to the key's own, or give it a secret
    "#);
    insta::assert_snapshot!(other_kind, @r#"
    1 problem in the settings

    `IDENTITY_MINT_KEY` (environment): not a private key of this algorithm in PEM
      hint: give it a private key in PEM for ES256; `openssl pkcs8 -topk8 -nocrypt` makes one of other forms
    "#);
    insta::assert_snapshot!(short, @r#"
    1 problem in the settings

    `IDENTITY_MINT_KEY` (environment): shorter than 32 characters, so it could be guessed
      hint: make one with `openssl rand -hex 32` and give it to the backend too
    "#);
}

#[test]
fn a_token_for_the_backend_may_travel_but_not_in_clear() {
    let remote = ("TOOLBRIDGE_BACKEND__URL", "http://backend.internal:8080");
    let message = exchanging(&[remote]).refused();
    insta::assert_snapshot!(message, @r#"
    1 problem in the settings

    `backend.url` (environment TOOLBRIDGE_BACKEND__URL): `http://backend.internal:8080/` is another machine without https; whoever reads the token on its way could act as the person
      hint: use `https://`, or set `identity.forward_to_remote = true` if nobody else can read that network
    "#);
    exchanging(&[("TOOLBRIDGE_BACKEND__URL", "https://backend.example.com")]).settings();
    exchanging(&[remote, ("TOOLBRIDGE_IDENTITY__FORWARD_TO_REMOTE", "true")]).settings();
}

#[test]
fn nobody_has_a_name_where_no_token_is_checked() {
    let message = minting(&[
        ("TOOLBRIDGE_AUTH__MODE", "none"),
        ("IDENTITY_MINT_KEY", RSA),
    ])
    .refused();
    insta::assert_snapshot!(message, @r#"
    1 problem in the settings

    `identity.token` (environment TOOLBRIDGE_IDENTITY__TOKEN): `auth.mode` is `none`, so nobody has a name to ask a token for
      hint: use `forward`, or `auth.mode = "jwt"`
    "#);
}

#[test]
fn a_secret_of_this_section_in_the_file_is_told_its_variable() {
    let message = material(&[])
        .file("[identity.exchange]\nclient_secret = 'canary'\n[identity.mint]\nkey = 'canary'\n")
        .refused();
    assert!(!message.contains("canary"));
    insta::assert_snapshot!(message, @r#"
    2 problems in the settings

    `identity.exchange.client_secret` (toolbridge.toml:2): there is no such setting
      hint: secrets are only read from variables: `IDENTITY_EXCHANGE_CLIENT_SECRET`, or `IDENTITY_EXCHANGE_CLIENT_SECRET_FILE`

    `identity.mint.key` (toolbridge.toml:4): there is no such setting
      hint: secrets are only read from variables: `IDENTITY_MINT_KEY`, or `IDENTITY_MINT_KEY_FILE`
    "#);
}

#[test]
fn no_secret_of_this_section_can_be_printed() {
    let exchange = exchanging(&[
        ("TOOLBRIDGE_IDENTITY__EXCHANGE__CLIENT_ID", "toolbridge"),
        ("IDENTITY_EXCHANGE_CLIENT_SECRET", "canary"),
    ]);
    let mint = minting(&[
        ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256"),
        ("IDENTITY_MINT_KEY", SECRET),
    ]);
    let bytes = format!("{:?}", SECRET.as_bytes());
    let shown = format!(
        "{:?} {:?}",
        exchange.settings().outbound,
        mint.settings().outbound
    );
    assert!(!shown.contains("canary") && !shown.contains(SECRET) && !shown.contains(&bytes));
    assert!(shown.contains(&format!("{:?}", Algorithm::HS256)));
}
