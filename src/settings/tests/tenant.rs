//! Where the tenant comes from: what each mode needs, and what means nothing in it.

use super::*;

const KEY: (&str, &str) = ("WORKOS_API_KEY", "sk_canary");
const WORKOS: (&str, &str) = ("TOOLBRIDGE_TENANT__MODE", "workos");
const BACKEND: (&str, &str) = ("TOOLBRIDGE_TENANT__MODE", "backend");

/// The least, without a tenant.
fn homeless(variables: &[(&str, &str)]) -> Given {
    material(variables).without("TOOLBRIDGE_TENANT_ID")
}

#[test]
fn each_mode_starts_with_what_it_needs() {
    let TenantSettings::WorkOs(workos, choice) = homeless(&[WORKOS, KEY]).settings().tenant else {
        panic!("another mode")
    };
    assert_eq!(workos.url.as_str(), "https://api.workos.com/");
    assert_eq!(workos.key.expose_secret(), "sk_canary");
    assert_eq!(choice.lifetime, Duration::from_secs(12 * 3600));
    assert_eq!(workos.cache, Duration::from_secs(300));
    assert!(choice.default.is_none());

    let given = homeless(&[BACKEND, ("DEFAULT_TENANT_ID", "b2c")]);
    let given = given.flag("tenant.choice_lifetime", "30m");
    let given = given.flag("tenant.cache", "1s");
    let TenantSettings::Backend(choice, cache) = given.clone().settings().tenant else {
        panic!("another mode")
    };
    assert_eq!(choice.default.unwrap().as_str(), "b2c");
    assert_eq!(choice.lifetime, Duration::from_secs(1800));
    assert_eq!(cache, Duration::from_secs(1));
    for wrong in ["0", "999ms", "301s", "-1s"] {
        given.clone().flag("tenant.cache", wrong).refused();
    }
}

#[test]
fn the_default_tenants_variable_is_the_tenant_where_one_is_fixed() {
    let given = homeless(&[("DEFAULT_TENANT_ID", "b2c")]);
    assert_eq!(fixed_tenant(&given.settings()), "b2c");
}

#[test]
fn a_fixed_tenant_can_require_a_right_to_it() {
    let requiring = |right| material(&[KEY]).flag("tenant.require_membership", right);
    let right = |right| match requiring(right).settings().tenant {
        TenantSettings::Required(tenant, right) => (tenant.to_string(), right),
        tenant => panic!("{tenant:?}"),
    };
    let (tenant, claim) = right("claim:https://example.com/org");
    assert_eq!(tenant, "acme");
    assert!(matches!(claim, RequiredRight::Claim(name) if name == "https://example.com/org"));
    assert!(matches!(right("workos").1, RequiredRight::WorkOs(_)));
    assert_eq!(fixed_tenant(&requiring("none").settings()), "acme");
    for wrong in [
        "Claim:x", "claim:", "claim: ", "claim", "yes", "workos:x", "",
    ] {
        requiring(wrong).refused();
    }
}

#[test]
fn the_key_can_be_in_a_file_and_is_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "sk_canary\n").unwrap();
    let path = file.path().to_str().unwrap();
    let settings = homeless(&[WORKOS, ("WORKOS_API_KEY_FILE", path)]).settings();
    assert!(!format!("{settings:?}").contains("canary"));
    let TenantSettings::WorkOs(workos, _) = settings.tenant else {
        panic!("another mode")
    };
    assert_eq!(workos.key.expose_secret(), "sk_canary");
}

#[test]
fn a_mode_without_its_material_does_not_start() {
    insta::assert_snapshot!(homeless(&[WORKOS]).refused(), @r#"
        1 problem in the settings

        `tenant.mode` (environment TOOLBRIDGE_TENANT__MODE): `workos` has no key to ask WorkOS with
          hint: set `WORKOS_API_KEY` (or `WORKOS_API_KEY_FILE`) to a key of your WorkOS environment
        "#);
    insta::assert_snapshot!(material(&[]).flag("tenant.require_membership", "workos").refused(), @r#"
        1 problem in the settings

        `tenant.require_membership` (command line): `workos` has no key to ask WorkOS with
          hint: set `WORKOS_API_KEY` (or `WORKOS_API_KEY_FILE`) to a key of your WorkOS environment
        "#);
}

#[test]
fn what_means_nothing_in_a_mode_is_refused() {
    insta::assert_snapshot!(material(&[BACKEND]).flag("tenant.require_membership", "claim:org").refused(), @r#"
        2 problems in the settings

        `tenant.id` (environment TOOLBRIDGE_TENANT_ID): it means nothing where memberships say the tenant
          hint: remove it, set `tenant.default` for people without an organization, or `tenant.mode = "fixed"`

        `tenant.require_membership` (command line): it is for a fixed tenant; here memberships decide in any case
          hint: remove it, or set `tenant.mode = "fixed"`
        "#);
    insta::assert_snapshot!(material(&[]).flag("tenant.default", "b2c").refused(), @r#"
        1 problem in the settings

        `tenant.default` (command line): it means nothing where the tenant is fixed
          hint: remove it, or set `tenant.mode` to `workos` or `backend`
        "#);
}

#[test]
fn memberships_of_nobody_are_refused() {
    let anonymous = |given: Given| given.flag("auth.mode", "none").refused();
    insta::assert_snapshot!(anonymous(homeless(&[WORKOS, KEY])), @r#"
        1 problem in the settings

        `tenant.mode` (environment TOOLBRIDGE_TENANT__MODE): with `auth.mode = "none"` nobody is recognized, so nobody is a member of anything
          hint: set `auth.mode = "jwt"`, or fix the tenant without a membership
        "#);
    for given in [
        homeless(&[BACKEND]),
        material(&[]).flag("tenant.require_membership", "claim:org"),
    ] {
        assert!(anonymous(given).contains("nobody is recognized"));
    }
}

#[test]
fn the_key_goes_to_https_or_stays_on_this_machine() {
    let asking = |url| homeless(&[WORKOS, KEY]).flag("tenant.workos_url", url);
    for url in [
        "http://127.0.0.1:4000",
        "http://localhost:4000",
        "https://workos.example.com",
    ] {
        asking(url).settings();
    }
    let development = [("TOOLBRIDGE_ENVIRONMENT", "development")];
    for url in [
        "http://169.254.169.254",
        "http://127.0.0.1.evil.test",
        "http://[::ffff:10.0.0.1]",
        "file:///etc/passwd",
        "https://u:canary@api.workos.com",
        "https://api.workos.com/v2",
        "https://api.workos.com?canary",
    ] {
        let refused = asking(url).with(&development).refused();
        assert!(
            refused.contains("`tenant.workos_url`") && !refused.contains("canary"),
            "{refused}"
        );
    }
}

#[test]
fn a_short_secret_that_seals_is_refused() {
    let refused = material(&[("SEAL_SECRET", "short")]).refused();
    assert!(refused.contains("`SEAL_SECRET` (environment): shorter than 32"));
    let settings = material(&[("SEAL_SECRET", SECRET)]).settings();
    let secrets = settings
        .seal_secrets
        .iter()
        .map(ExposeSecret::expose_secret);
    assert_eq!(secrets.collect::<Vec<_>>(), [SECRET]);
}

#[test]
fn the_question_for_the_tenant_carries_what_calls_carry_and_travels_like_them() {
    let far = homeless(&[
        BACKEND,
        ("TOOLBRIDGE_BACKEND__URL", "https://backend.example.com"),
        ("TOOLBRIDGE_IDENTITY__TOKEN", "mint"),
        ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256"),
        ("TOOLBRIDGE_IDENTITY__MINT__AUDIENCE", "b"),
        ("IDENTITY_MINT_KEY", SECRET),
    ]);
    far.clone().settings();
    let message = far
        .with(&[("TOOLBRIDGE_IDENTITY__TOKEN", "forward")])
        .refused();
    assert!(
        message.contains("the caller's token would go there"),
        "{message}"
    );
}
