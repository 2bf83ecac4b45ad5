//! Files made to hurt: each costs one clear refusal, little time and little memory.

use super::*;

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// The one problem of a file, without the file's name.
#[track_caller]
fn refusal(path: &Path) -> String {
    let problems = Catalogue::load(path).unwrap_err();
    assert_eq!(problems.list().len(), 1, "{problems}");
    problems.list()[0].what.clone()
}

#[test]
fn fifty_megabytes_are_refused_unread() {
    let file = file(b"");
    file.as_file().set_len(50 << 20).unwrap();
    assert_eq!(
        refusal(file.path()),
        "is larger than 4 MiB, which no catalogue needs"
    );
}

#[test]
fn an_endless_device_is_refused() {
    let zero = Path::new("/dev/zero");
    if zero.exists() {
        assert_eq!(
            refusal(zero),
            "is larger than 4 MiB, which no catalogue needs"
        );
    }
}

#[test]
fn a_directory_and_a_missing_file_are_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(refusal(folder.path()), "is a directory, not a catalogue");
    let missing = refusal(&folder.path().join("tools.yaml"));
    assert!(
        missing.starts_with("cannot be opened: No such file"),
        "{missing}"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let file = file(b"version: 1\nserver:\n  name: \xff\xfe\n");
    assert_eq!(
        refusal(file.path()),
        "is not UTF-8 (first bad byte on line 3)"
    );
}

#[test]
fn ten_thousand_nested_levels_are_refused_in_every_style() {
    let block: String = (0..2_500)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    for text in [
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
        block,
    ] {
        assert!(!refusal(file(text.as_bytes()).path()).is_empty());
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("version: 1\nx: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for (from, to) in ('a'..'l').zip('b'..='l') {
        let ten = format!("*{from}, ").repeat(10);
        bomb.push_str(&format!("x{to}: &{to} [{ten}]\n"));
    }
    assert!(!refusal(file(bomb.as_bytes()).path()).is_empty());
}

#[test]
fn a_merge_key_bomb_is_refused() {
    let mut bomb = String::from("version: 1\na0: &a0 { k: 1 }\n");
    for level in 1..30 {
        let below = level - 1;
        bomb.push_str(&format!(
            "a{level}: &a{level} {{ <<: [*a{below}, *a{below}], k{level}: 1 }}\n"
        ));
    }
    assert!(Catalogue::parse("tools.yaml", bomb.as_bytes()).is_err());
}

#[test]
fn a_mistake_at_the_end_of_a_line_of_a_megabyte_makes_a_short_report() {
    let words = "x, ".repeat(100_000);
    let text = format!(
        "version: 1\ntools: {{ info: {{ description: Info., request: GET /v1/info, effect: read, \
         scopes: [{words}y], {}colour: red }} }}\n",
        " ".repeat(700_000)
    );
    let report = report(&text);
    assert!(
        report.contains("unknown key `colour` in a tool"),
        "{report:.500}"
    );
    assert!(report.len() < 1_000, "{} bytes", report.len());
}

#[test]
fn a_name_of_a_megabyte_is_reported_in_short() {
    let report = report(&format!("version: 1\n{}: 1\n", "x".repeat(1 << 20)));
    assert!(report.len() < 2_000, "{} bytes", report.len());
}

#[test]
fn ninety_thousand_mistakes_are_told_in_bounded_length() {
    let lines: String = (0..90_000)
        .map(|number| format!("wrong{number}: 1\n"))
        .collect();
    let problems = problems_of("tools.yaml", format!("version: 1\n{lines}").as_bytes());
    assert!(problems.list().len() >= 90_000);
    let report = problems.to_string();
    assert!(report.len() < 100_000, "{} bytes", report.len());
    assert!(report.ends_with("more\n"), "{report}");
}

#[test]
fn more_tools_than_any_model_could_read_are_refused_before_they_are_made() {
    let entities: String = (0..15_000)
        .map(|number| {
            format!("  e{number}: {{ path: /p, description: x, actions: {{ a: {{}} }} }}\n")
        })
        .collect();
    let report = report(&format!("version: 1\nentities:\n{entities}"));
    assert!(report.contains("more than 2000 tools"), "{report:.500}");
}
