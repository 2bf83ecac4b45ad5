//! `toolbridge.example.toml` and the reader say the same.

use super::*;

const EXAMPLE: &str = include_str!("../../../toolbridge.example.toml");

/// `(full name, line, is an example of something unset)` of each key in the file.
fn keys_of_example() -> Vec<(String, String, bool)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = format!("{name}.");
        }
        let (text, unset) = line
            .strip_prefix("# ")
            .map_or((line, false), |text| (text, true));
        let Some((name, _)) = text.split_once(" = ") else {
            continue;
        };
        if name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            found.push((format!("{section}{name}"), text.to_owned(), unset));
        }
    }
    found
}

#[test]
fn the_example_lists_every_key_and_no_other_in_the_same_order() {
    let listed: Vec<_> = keys_of_example()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    let known: Vec<_> = keys::ALL.iter().map(|key| key.name).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_example_names_the_variables_of_every_key_beside_it() {
    for (name, line, unset) in keys_of_example() {
        let key = keys::named(&name).unwrap();
        assert!(line.contains(&key.variable()), "{name}: own variable");
        assert!(
            key.aliases.iter().all(|alias| line.contains(alias)),
            "{name}: aliases"
        );
        assert_eq!(unset, key.default.is_none(), "{name}: commented out");
    }
    for name in [keys::LISTEN_HOST, keys::LISTEN_PORT, keys::JWT_SECRET]
        .into_iter()
        .chain(keys::SIGNING_SECRET)
    {
        assert!(EXAMPLE.contains(name), "{name}");
    }
}

#[test]
fn the_example_changes_nothing() {
    let without = material(&[]).settings();
    let with = material(&[]).file(EXAMPLE).settings();
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

#[test]
fn every_example_of_something_unset_is_accepted_and_used() {
    let unchanged = format!("{:?}", material(&[]).settings());
    for (name, line, _) in keys_of_example().into_iter().filter(|(.., unset)| *unset) {
        let key = keys::named(&name).unwrap();
        let file = EXAMPLE.replace(&format!("# {line}"), &line);
        let given = key
            .aliases
            .iter()
            .fold(material(&[]).file(&file), |given, alias| {
                given.without(alias)
            });
        assert_ne!(format!("{:?}", given.settings()), unchanged, "{name}");
    }
}

#[test]
fn every_key_is_read_and_none_takes_a_table() {
    let top = keys::ALL
        .iter()
        .map(|key| format!("{} = {{ a = 1 }}\n", key.name))
        .collect::<String>();
    let error = environment(&[]).file(&top).load().unwrap_err();
    for key in keys::ALL {
        let told = error
            .problems()
            .iter()
            .any(|problem| problem.setting == key.name);
        assert!(told, "{} is not read", key.name);
    }
}
