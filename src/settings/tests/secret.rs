//! Secrets come from variables or files, and never go anywhere.

use super::*;

const DIGITS: &str = "31415926535897932384626433832795";

fn in_file(directory: &TempDir, content: &str) -> String {
    let path = directory.path().join("secret");
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_secret_file_loses_one_newline_at_its_end_and_nothing_else() {
    let directory = TempDir::new().unwrap();
    for (content, expected) in [
        ("\n", ""),
        ("\r\n", ""),
        ("\n\n", "\n"),
        (" ", " "),
        ("", ""),
    ] {
        let path = in_file(&directory, &format!("{SECRET}{content}"));
        for variable in [
            "TENANT_HEADER_SECRET_FILE",
            "TOOLBRIDGE_TENANT_HEADER_SECRET_FILE",
        ] {
            let settings = material(&[(variable, &path)]).settings();
            let secret = settings.signing_secret.unwrap();
            assert_eq!(secret.expose_secret(), format!("{SECRET}{expected}"));
        }
        let given = material(&[("JWT_HS256_SECRET_FILE", &path)]).without("JWT_HS256_SECRET");
        assert!(matches!(
            first_issuer(given.settings()).keys,
            VerificationKeys::Secret(_)
        ));
    }
}

#[test]
fn a_secret_of_digits_is_a_secret_and_is_shown_nowhere() {
    let given = environment(&[
        ("JWT_HS256_SECRET", DIGITS),
        ("TENANT_HEADER_SECRET", DIGITS),
    ]);
    let settings = given.with(&MATERIAL[1..]).settings();
    assert!(!format!("{settings:?}").contains(DIGITS));
    assert_eq!(settings.signing_secret.unwrap().expose_secret(), DIGITS);
    let short = &DIGITS[..31];
    let error = environment(&[("JWT_HS256_SECRET", short), ("TENANT_HEADER_SECRET", short)])
        .load()
        .unwrap_err();
    assert!(!error.to_string().contains(short) && !format!("{error:?}").contains(short));
}

#[test]
fn an_operators_token_that_could_be_guessed_or_not_be_sent_is_refused_in_every_environment() {
    for stage in ["production", "development"] {
        let given = |token: &str| {
            let stage = ("TOOLBRIDGE_ENVIRONMENT", stage);
            material(&[stage, ("OPS_TOKEN", token)])
        };
        let refused = given(&DIGITS[..31]).refused();
        assert!(refused.contains("`OPS_TOKEN` (environment): shorter than 32"));
        assert!(!refused.contains(&DIGITS[..31]));
        let refused = given("0123456789 0123456789 0123456789 01").refused();
        assert!(refused.contains("`OPS_TOKEN` (environment): it has spaces"));
        let settings = given(DIGITS).settings();
        assert!(!format!("{settings:?}").contains(DIGITS));
        assert_eq!(settings.ops_token.unwrap().expose_secret(), DIGITS);
    }
    assert!(material(&[]).settings().ops_token.is_none());
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_and_not_shown() {
    let given = material(&[
        ("TOOLBRIDGE_JWT_HS256_SECRET", DIGITS),
        ("TOOLBRIDGE_SECRET", DIGITS),
    ])
    .file(&format!(
        "tenant_header_secret = '{DIGITS}'\n[auth]\nsecret = '{DIGITS}'\n"
    ));
    let message = given.refused();
    assert!(!message.contains(DIGITS));
    insta::assert_snapshot!(message, @r#"
        4 problems in the settings

        `auth.secret` (toolbridge.toml:3): there is no such setting
          hint: secrets are only read from variables: `TENANT_HEADER_SECRET`, `JWT_HS256_SECRET`, or these names with `_FILE`

        `tenant_header_secret` (toolbridge.toml:1): there is no such setting
          hint: secrets are only read from variables: `TENANT_HEADER_SECRET`, `JWT_HS256_SECRET`, or these names with `_FILE`

        `TOOLBRIDGE_JWT_HS256_SECRET` (environment): there is no such setting
          hint: `JWT_HS256_SECRET` has no prefix; set that one instead

        `TOOLBRIDGE_SECRET` (environment): there is no such setting
          hint: unset it; `toolbridge.example.toml` lists what there is
        "#);
}

#[test]
fn a_secret_in_a_broken_line_is_not_shown() {
    let message = material(&[])
        .file(&format!("[auth]\nsecret = {DIGITS} {DIGITS}\n"))
        .refused();
    assert!(!message.contains(DIGITS), "{message}");
    let message = material(&[("JWT_JWKS_URL", &format!("https://user:{DIGITS}@host"))]).refused();
    assert!(!message.contains(DIGITS), "{message}");
}

#[test]
fn a_variable_and_its_file_exclude_each_other() {
    let message = material(&[("JWT_HS256_SECRET_FILE", "/run/secrets/jwt")]).refused();
    insta::assert_snapshot!(message, @r#"
        1 problem in the settings

        `JWT_HS256_SECRET` (environment): `JWT_HS256_SECRET_FILE` is set as well
          hint: unset one of the two
        "#);
}

#[test]
fn a_secret_file_must_be_readable_and_not_empty() {
    let directory = TempDir::new().unwrap();
    let path = in_file(&directory, "\n");
    let message = material(&[("TENANT_HEADER_SECRET_FILE", &path)]).refused();
    insta::assert_snapshot!(message, @r#"
        1 problem in the settings

        `TENANT_HEADER_SECRET_FILE` (environment): its file is empty
          hint: point it to a readable file with the secret alone in it
        "#);
    let message = material(&[("TENANT_HEADER_SECRET_FILE", "/nonexistent/secret")]).refused();
    insta::assert_snapshot!(message, @r#"
        1 problem in the settings

        `TENANT_HEADER_SECRET_FILE` (environment): its file cannot be read: No such file or directory (os error 2)
          hint: point it to a readable file with the secret alone in it
        "#);
}
