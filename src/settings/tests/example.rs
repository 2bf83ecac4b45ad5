//! `toolbridge.example.toml` and the reader say the same.

use super::*;

const EXAMPLE: &str = include_str!("../../../toolbridge.example.toml");

/// A key in the file.
struct Line {
    /// Its full name.
    name: String,
    /// Without the `# ` of an example of something unset.
    text: String,
    unset: bool,
}

impl Line {
    /// Whether it is in the section of an issuer, which is an example as a whole.
    fn is_of_issuer(&self) -> bool {
        keys::issuer_in(&self.name).is_some()
    }
}

fn keys_of_example() -> Vec<Line> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in EXAMPLE.lines() {
        let (text, unset) = line
            .strip_prefix("# ")
            .map_or((line, false), |text| (text, true));
        if let Some(name) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = format!("{name}.");
        }
        let Some((name, _)) = text.split_once(" = ") else {
            continue;
        };
        if name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        {
            found.push(Line {
                name: format!("{section}{name}"),
                text: text.to_owned(),
                unset,
            });
        }
    }
    found
}

/// The key of that name.
fn key(name: &str) -> keys::Key {
    let issuer = keys::issuer_in(name);
    let mut keys = issuer.into_iter().flat_map(keys::all_of_issuer);
    let found = keys.find(|key| key.name == name);
    found.unwrap_or_else(|| keys::named(name).unwrap().clone())
}

#[test]
fn the_example_lists_every_key_and_no_other_in_the_same_order() {
    let (of_issuer, listed): (Vec<_>, Vec<_>) =
        keys_of_example().into_iter().partition(Line::is_of_issuer);
    let names = |lines: Vec<Line>| lines.into_iter().map(|line| line.name).collect::<Vec<_>>();
    let known: Vec<_> = keys::ALL.iter().map(|key| &*key.name).collect();
    assert_eq!(names(listed), known);
    let known: Vec<_> = keys::all_of_issuer("partner").collect();
    let known: Vec<_> = known.iter().map(|key| &*key.name).collect();
    assert_eq!(names(of_issuer), known);
}

#[test]
fn the_example_names_the_variables_of_every_key_beside_it() {
    for line in keys_of_example() {
        let (name, text) = (&line.name, &line.text);
        let key = key(name);
        assert!(text.contains(&key.variable()), "{name}: own variable");
        assert!(
            key.aliases.iter().all(|alias| text.contains(alias)),
            "{name}: aliases"
        );
        let unset = key.default.is_none() || line.is_of_issuer();
        assert_eq!(line.unset, unset, "{name}: commented out");
    }
    for name in [keys::LISTEN_HOST, keys::LISTEN_PORT, keys::JWT_SECRET]
        .into_iter()
        .chain(keys::SIGNING_SECRET)
        .chain(keys::MINT_KEY)
        .chain(keys::TRACES_HEADERS)
        .chain([keys::EXCHANGE_CLIENT_SECRET, keys::NEXT_SIGNING_SECRET])
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
    let examples = keys_of_example();
    for line in examples
        .iter()
        .filter(|line| line.unset && !line.is_of_issuer())
    {
        let key = key(&line.name);
        let start = where_it_counts(&line.name).without(&key.variable());
        let unchanged = format!("{:?}", start.clone().load().ok());
        let section = line
            .name
            .rsplit_once('.')
            .map_or("", |(section, _)| section);
        let file = used(section, &line.text);
        let given = key
            .aliases
            .iter()
            .fold(start.file(&file), |given, alias| given.without(alias));
        assert_ne!(
            format!("{:?}", Some(given.settings())),
            unchanged,
            "{}",
            line.name
        );
    }
}

#[test]
fn the_example_of_a_further_issuer_is_accepted_and_used() {
    let secret = ("PARTNER_JWT_SECRET", SECRET);
    let section = "[auth.issuers.partner]";
    let begun = EXAMPLE.replace(&format!("# {section}"), section);
    let examples = keys_of_example();
    let used = |leaves: &[&str]| {
        let lines = examples.iter().filter(|line| {
            let leaf = line.name.strip_prefix("auth.issuers.partner.");
            leaf.is_some_and(|leaf| leaves.contains(&leaf))
        });
        let file = lines.fold(begun.clone(), |file, line| {
            file.replace(&format!("# {}", line.text), &line.text)
        });
        format!(
            "{:?}",
            tokens(material(&[secret]).file(&file).settings()).issuers[1]
        )
    };
    let bare = used(&["issuer", "audience"]);
    for leaf in [
        "jwks_url",
        "jwks_file",
        "algorithms",
        "leeway",
        "secret_env",
    ] {
        assert_ne!(used(&["issuer", "audience", leaf]), bare, "{leaf}");
    }
}

/// The example file with the example on `line` in that section made a setting.
fn used(section: &str, line: &str) -> String {
    let header = format!("[{section}]\n");
    let (before, after) = EXAMPLE.split_once(&header).unwrap();
    let after = after.replacen(&format!("# {line}"), line, 1);
    format!("{before}{header}{after}")
}

/// The least that makes a process start in which the key means something.
fn where_it_counts(name: &str) -> Given {
    if name.starts_with("identity.exchange.") {
        material(&[
            ("TOOLBRIDGE_IDENTITY__TOKEN", "exchange"),
            (
                "TOOLBRIDGE_IDENTITY__EXCHANGE__URL",
                "https://t.example.com",
            ),
            ("TOOLBRIDGE_IDENTITY__EXCHANGE__AUDIENCE", "b"),
        ])
    } else if name.starts_with("identity.mint.") {
        material(&[
            ("TOOLBRIDGE_IDENTITY__TOKEN", "mint"),
            ("TOOLBRIDGE_IDENTITY__MINT__ALGORITHM", "HS256"),
            ("TOOLBRIDGE_IDENTITY__MINT__AUDIENCE", "b"),
            ("IDENTITY_MINT_KEY", SECRET),
        ])
    } else if name == "signature.next_key_id" {
        material(&[
            ("TENANT_HEADER_SECRET_NEXT", SECRET),
            ("TOOLBRIDGE_SIGNATURE__ACTIVE", "next"),
        ])
    } else {
        material(&[])
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
