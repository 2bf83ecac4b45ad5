//! Which secret signs while it is being replaced.

use super::*;

const NEXT: &str = "fedcba9876543210fedcba9876543210";
const CURRENT: (&str, &str) = ("TENANT_HEADER_SECRET", SECRET);
const SUCCESSOR: (&str, &str) = ("TENANT_HEADER_SECRET_NEXT", NEXT);
const ACTIVE_NEXT: (&str, &str) = ("TOOLBRIDGE_SIGNATURE__ACTIVE", "next");

/// Secret and key id of what signs.
fn signs(variables: &[(&str, &str)]) -> (Option<String>, Option<String>) {
    let named = [
        ("TOOLBRIDGE_SIGNATURE__KEY_ID", "a"),
        ("TOOLBRIDGE_SIGNATURE__NEXT_KEY_ID", "b"),
    ];
    let settings = material(variables).with(&named).settings();
    let secret = settings.signing_secret;
    let id = settings.signing_key_id;
    (
        secret.map(|secret| secret.expose_secret().to_owned()),
        id.map(|id| id.to_str().unwrap().to_owned()),
    )
}

fn some(secret: &str, id: &str) -> (Option<String>, Option<String>) {
    (Some(secret.to_owned()), Some(id.to_owned()))
}

#[test]
fn the_current_secret_signs_until_the_next_one_is_told_to() {
    assert_eq!(signs(&[CURRENT]), some(SECRET, "a"));
    assert_eq!(signs(&[CURRENT, SUCCESSOR]), some(SECRET, "a"));
    assert_eq!(signs(&[CURRENT, SUCCESSOR, ACTIVE_NEXT]), some(NEXT, "b"));
    assert_eq!(signs(&[SUCCESSOR, ACTIVE_NEXT]), some(NEXT, "b"));
    assert_eq!(material(&[CURRENT]).settings().signing_key_id, None);
}

#[test]
fn the_next_secret_may_come_from_a_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("next");
    fs::write(&path, format!("{NEXT}\n")).unwrap();
    let file = ("TENANT_HEADER_SECRET_NEXT_FILE", path.to_str().unwrap());
    assert_eq!(signs(&[CURRENT, file, ACTIVE_NEXT]), some(NEXT, "b"));
}

#[test]
fn a_rotation_that_would_change_nothing_or_stop_signing_is_refused() {
    insta::assert_snapshot!(material(&[CURRENT, ("TENANT_HEADER_SECRET_NEXT", SECRET)]).refused(), @r#"
        1 problem in the settings

        `TENANT_HEADER_SECRET_NEXT` (environment): the same secret as `TENANT_HEADER_SECRET`, so nothing would change
          hint: make a new one with `openssl rand -hex 32`, or unset this one
        "#);
    insta::assert_snapshot!(material(&[CURRENT, ACTIVE_NEXT]).refused(), @r#"
        1 problem in the settings

        `signature.active` (environment TOOLBRIDGE_SIGNATURE__ACTIVE): `next` signs with `TENANT_HEADER_SECRET_NEXT`, and that is not set
          hint: set `TENANT_HEADER_SECRET_NEXT` (or `TENANT_HEADER_SECRET_NEXT_FILE`); after a rotation, when the new secret is `TENANT_HEADER_SECRET`, set this to `current`
        "#);
    insta::assert_snapshot!(material(&[SUCCESSOR]).refused(), @r#"
        1 problem in the settings

        `TENANT_HEADER_SECRET_NEXT` (environment): there is no `TENANT_HEADER_SECRET`, so nothing would be signed
          hint: set `TENANT_HEADER_SECRET` to the secret that signs now, or `signature.active` to `next`
        "#);
    insta::assert_snapshot!(material(&[CURRENT, ("TENANT_HEADER_SECRET_NEXT", "short")]).refused(), @r#"
        1 problem in the settings

        `TENANT_HEADER_SECRET_NEXT` (environment): shorter than 32 characters, so it could be guessed
          hint: make one with `openssl rand -hex 32` and give it to the backend too
        "#);
}

#[test]
fn a_key_id_names_one_secret_in_characters_that_a_header_takes() {
    insta::assert_snapshot!(material(&[
        CURRENT,
        ("TOOLBRIDGE_SIGNATURE__KEY_ID", "a"),
        ("TOOLBRIDGE_SIGNATURE__NEXT_KEY_ID", "a"),
    ]).refused(), @r#"
        1 problem in the settings

        `signature.next_key_id` (environment TOOLBRIDGE_SIGNATURE__NEXT_KEY_ID): the same as `signature.key_id`, so it tells nothing
          hint: give each secret a key id of its own, or none to either
        "#);
    insta::assert_snapshot!(material(&[CURRENT, ("TOOLBRIDGE_SIGNATURE__KEY_ID", "a\r\nb: c")]).refused(), @r#"
        1 problem in the settings

        `signature.key_id` (environment TOOLBRIDGE_SIGNATURE__KEY_ID): `a\r\nb: c` is no key id
          hint: use letters, digits, `_`, `-` and `.`, at most 64
        "#);
    insta::assert_snapshot!(material(&[CURRENT, ("TOOLBRIDGE_SIGNATURE__ACTIVE", "both")]).refused(), @r#"
        1 problem in the settings

        `signature.active` (environment TOOLBRIDGE_SIGNATURE__ACTIVE): `both` is not one of its values
          hint: use `current`, `next`
        "#);
}
