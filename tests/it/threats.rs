//! The threat table, row by row, each with the tests that hold it; names under `toolbridge::` are unit tests in `src`, the
//! others are in this binary. [`every_test_of_the_table_exists`] keeps the list honest.
//!
//! 1. Identity headers of the client: `tenancy::a_tenant_header_of_the_client_is_ignored_in_any_spelling`,
//!    `tenancy::every_header_of_ours_is_ignored_in_every_spelling`, `tenancy::forwarding_headers_of_the_client_are_ignored`,
//!    `threats::framing::no_odd_way_to_write_a_header_makes_it_ours`
//! 2. Hop-by-hop smuggling: `tenancy::a_connection_header_cannot_take_the_tenant_away`,
//!    `threats::framing::a_request_with_two_lengths_brings_no_second_one_along`,
//!    `threats::framing::what_follows_a_chunked_body_is_no_header`
//! 3. One caller's answer for another: `outbound::exchange::two_people_never_share_a_token_however_they_interleave`,
//!    `outbound::exchange::two_tenants_of_one_person_do_not_share`,
//!    `toolbridge::identity::outbound::cache::other_tokens_and_other_tenants_have_entries_of_their_own`,
//!    `tenancy::concurrent_calls_share_neither_sessions_nor_tokens`,
//!    `toolbridge::identity::tenant::tests::memory::the_same_subject_at_two_issuers_is_two_people`
//! 4. Removed members: `toolbridge::identity::tenant::tests::memory::a_removal_is_noticed_within_five_minutes_however_often_one_asks`
//! 5. Foreign tokens: `resource_server::tokens::every_wrong_token_is_refused_with_what_is_wrong_with_it`,
//!    `resource_server::tokens::a_token_for_somebody_else_is_refused_with_both_audiences`,
//!    `toolbridge::auth::rules::tests::an_id_token_is_no_access_token`
//! 6. Confused algorithms: `resource_server::tokens::a_signature_by_anything_but_the_named_key_is_refused`,
//!    `resource_server::discovery::a_symmetric_key_in_the_set_is_never_used`,
//!    `resource_server::tokens::keys_and_addresses_that_a_token_brings_along_are_not_looked_at`,
//!    `toolbridge::auth::verify::extensions_that_must_be_understood_are_refused`,
//!    `toolbridge::auth::verify::a_token_signed_with_the_public_key_as_secret_is_refused`
//! 7. Stolen tokens: `bearer::a_token_that_is_not_good_here_is_told_why`, `bearer::a_token_in_the_query_is_no_token`,
//!    `resource_server::tokens::a_token_in_the_query_is_no_token`
//! 8. Redirects: `outages::a_redirect_is_not_followed`, `toolbridge::backend::tests::answers::a_redirect_goes_nowhere`
//! 9. Proxies: `commands::no_proxy_of_the_environment_sees_a_token`,
//!    `toolbridge::backend::tests::failures::proxies_of_the_environment_are_not_asked`
//! 10. Secrets in logs: `secrets::nothing_secret_or_private_is_logged_or_told`
//! 11. Configured addresses: `threats::configured::no_configured_address_leads_inside_a_network_or_away_from_it`,
//!     `toolbridge::settings::tests::refusals::urls_carry_no_user_query_or_fragment`,
//!     `toolbridge::backend::address::loopback_is_not_what_merely_looks_like_it`
//! 12. Paths: `threats::values::an_identifier_that_climbs_reaches_no_backend`,
//!     `arguments::nothing_but_a_uuid_becomes_part_of_a_path`,
//!     `toolbridge::catalogue::path_template::filling_with_any_text_keeps_the_number_of_segments`
//! 13. Header values: `threats::framing::no_bytes_in_a_header_change_what_the_backend_is_sent`,
//!     `arguments::free_form_tools::a_header_value_cannot_start_another_header`, `tenancy::arguments_cannot_become_headers`
//! 14. Queries: `threats::values::a_value_of_a_query_arrives_as_one_parameter`,
//!     `arguments::a_value_stays_one_parameter_whatever_is_in_it`
//! 15. Floods of key look-ups: `resource_server::discovery::a_flood_of_unknown_keys_makes_no_flood_at_the_issuer`,
//!     `toolbridge::auth::jwks::a_flood_of_unknown_keys_makes_one_fetch_per_cool_down`,
//!     `toolbridge::auth::jwks::an_answer_that_is_no_key_set_leaves_the_old_keys`,
//!     `toolbridge::auth::jwks::an_issuer_that_never_answers_is_given_up_after_the_timeout`
//! 16. Floods of membership look-ups: `toolbridge::identity::tenant::tests::memory::a_hundred_calls_of_one_person_at_once_ask_once`,
//!     `toolbridge::identity::tenant::tests::failures::a_long_retry_after_is_reported_and_never_slept`
//! 17. Large requests: `threats::framing::five_megabytes_that_do_not_say_how_many_they_are_are_refused`,
//!     `bearer::a_token_that_is_too_long_is_refused_and_harms_nothing`
//! 18. Large answers: `threats::values::a_bomb_is_not_unpacked_whether_it_says_what_it_is_or_not`,
//!     `threats::values::no_encoding_is_asked_for`, `outages::two_hundred_megabytes_are_refused_after_the_first_few`
//! 19. Deep JSON, names that are there twice: `threats::values::ten_thousand_levels_of_a_request_reach_no_backend`,
//!     `threats::values::ten_thousand_levels_of_an_answer_are_unusable`,
//!     `threats::tokens::a_token_that_says_something_twice_is_refused`
//! 20. Rebound names, foreign pages: `bearer::a_rebound_name_and_a_foreign_page_are_refused`
//! 21. Other people's connections: `tenancy::a_connection_id_of_somebody_else_is_unknown`,
//!     `tenancy::a_connection_without_a_token_is_nobodys`
//! 22. Tokens that end under a stream: `threats::tokens::an_open_stream_does_not_carry_a_token_beyond_its_end`
//! 23. Timing: `threats::source::nothing_compares_a_signature_but_the_functions_made_for_it`,
//!     `tenancy::a_connection_id_of_somebody_else_is_unknown`
//! 24. Configured header text: `threats::configured::what_is_configured_cannot_end_a_header`,
//!     `threats::configured::the_challenge_is_one_header_of_one_parameter`,
//!     `toolbridge::settings::tests::refusals::what_ends_in_a_challenge_cannot_break_out_of_it`,
//!     `toolbridge::catalogue::read::a_scope_that_could_break_out_of_a_challenge_is_refused`
//! 25. Around the sidecar: `threats::backend_door::a_request_around_the_sidecar_is_refused_without_its_signature`,
//!     `threats::backend_door::the_switches_of_the_sandbox_are_for_this_machine_alone`
//! 26. Failing open: `threats::backend_door::whoever_cannot_be_judged_does_not_get_through`,
//!     `outbound::calls::without_a_token_nothing_is_sent_and_the_model_reads_what_to_do`,
//!     `toolbridge::identity::tenant::tests::failures::whatever_goes_wrong_lets_nobody_in`,
//!     `toolbridge::identity::tenant::tests::failures::when_workos_dies_nobody_gets_in_once_the_answers_are_old`
//! 27. Two cryptographies: `threats::source::one_cryptography_is_compiled_in`,
//!     `threats::tokens::a_sidecar_signs_and_verifies_a_token_from_its_first_request_on`,
//!     `toolbridge::auth::signing_key::what_each_kind_of_key_signs_its_key_set_verifies`
//! 28. Clocks: `threats::tokens::a_clock_that_jumps_ten_minutes_believes_no_token_too_early_or_too_late`,
//!     `threats::source::the_wall_clock_is_read_in_one_place`

mod backend_door;
mod configured;
mod framing;
mod source;
mod tokens;
mod values;

use std::{collections::BTreeSet, fs, path::Path};

/// Row and test, as the header lists them.
fn listed() -> Vec<(usize, String)> {
    let mut row = 0;
    let mut listed = Vec::new();
    let header = include_str!("threats.rs").lines();
    for line in header.take_while(|line| line.starts_with("//!")) {
        let line = line.trim_start_matches("//!").trim_start();
        let number = line.split_once(". ").map(|(number, _)| number.parse());
        match number {
            Some(Ok(number)) => row = number,
            _ if line.is_empty() => row = 0,
            _ => {}
        }
        if row > 0 {
            let names = line.split('`').skip(1).step_by(2);
            listed.extend(names.map(|name| (row, name.to_owned())));
        }
    }
    listed
}

/// The file of a test and its function.
fn place(test: &str) -> (String, &str) {
    let (module, name) = test.rsplit_once("::").unwrap();
    let folder = match module.strip_prefix("toolbridge::") {
        Some(module) => format!("src/{module}"),
        None => format!("tests/it/{module}"),
    };
    (format!("{}.rs", folder.replace("::", "/")), name)
}

/// Whether this text has a function of this name with a test attribute on the line above it.
fn has_test(text: &str, name: &str) -> bool {
    let mut above = "";
    for line in text.lines().map(str::trim) {
        let code = line.trim_start_matches("async ");
        if code.starts_with(&format!("fn {name}(")) {
            return above.starts_with("#[test]") || above.starts_with("#[tokio::test");
        }
        above = line;
    }
    false
}

#[test]
fn every_test_of_the_table_exists() {
    assert!(has_test("#[test]\nfn a_b() {", "a_b"));
    assert!(!has_test("#[test]\nfn a_b() {", "a_"));
    assert!(!has_test("fn a_b() {", "a_b"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (row, test) in listed() {
        let (file, name) = place(&test);
        let text = fs::read_to_string(root.join(&file));
        let text = text.unwrap_or_else(|_| panic!("row {row}: there is no {file}"));
        assert!(
            has_test(&text, name),
            "row {row}: {file} has no test {name}"
        );
    }
}

#[test]
fn every_row_of_the_table_is_held() {
    let rows: BTreeSet<usize> = listed().into_iter().map(|(row, _)| row).collect();
    assert_eq!(rows, (1..=28).collect());
}
