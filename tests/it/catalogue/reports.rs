//! The reports of bad files: exact, in file order, inside the file, harmless to a terminal.

use proptest::prelude::*;

use super::*;

#[test]
fn every_fixture_is_reported_as_the_golden_file_beside_it_says() {
    for path in fixtures() {
        let problems = problems_of(name_of(&path), &std::fs::read(&path).unwrap());
        let name = path.file_stem().unwrap().to_str().unwrap();
        golden("../fixtures/catalogues", name, &problems.to_string());
    }
}

#[test]
fn no_golden_report_has_lost_its_fixture() {
    let known = fixtures();
    for entry in std::fs::read_dir(known[0].parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "snap")
        {
            let fixture = path.with_extension("yaml");
            assert!(known.contains(&fixture), "{} is missing", fixture.display());
        }
    }
}

/// Every problem lies inside the text and none comes before the one above it.
#[track_caller]
fn check_places(name: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    let mut last = (0, 0);
    for problem in problems_of(name, bytes).list() {
        let (line, column) = (problem.at.line, problem.at.column);
        assert!((line, column) >= last, "{name} is out of order");
        last = (line, column);
        if line == 0 {
            continue; // about the file as a whole
        }
        assert!(
            line <= lines.len(),
            "{name}:{line}:{column} is outside: {}",
            problem.what
        );
        let length = lines[line - 1].chars().count();
        let inside = column >= 1 && column <= length + 1;
        assert!(
            inside,
            "{name}:{line}:{column} is outside: {}",
            problem.what
        );
    }
}

#[test]
fn every_problem_points_inside_its_file_and_comes_in_file_order() {
    for path in fixtures() {
        check_places(name_of(&path), &std::fs::read(&path).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_damage_to_a_good_catalogue_is_harmless_or_reported_inside_the_file(
        place in any::<prop::sample::Index>(),
        length in 0_usize..40,
        instead in prop_oneof![
            prop::sample::select(vec![
                "", " ", "\n", "\t", "{", "}", "[", "]", ":", "- ", "&a ", "*a", "<<: *a", "!t ", "|", ">", "\"", "'", "#",
                "\n---\n", "\u{feff}", "\0", "\r", "~", "1e999", "{uid}", "note", "type: array", "? ",
            ]).prop_map(str::to_owned),
            ".{0,10}",
        ],
    ) {
        let mut text: Vec<char> = toolbridge::catalogue::SHIPPED.chars().collect();
        let start = place.index(text.len());
        let end = (start + length).min(text.len());
        text.splice(start..end, instead.chars());
        let text: String = text.into_iter().collect();
        check_places("damaged.yaml", text.as_bytes());
        let _ = problems_of("damaged.yaml", text.as_bytes()).to_string();
    }
}

#[test]
fn all_fifteen_mistakes_of_a_first_catalogue_are_told_at_once() {
    let path = fixtures()
        .into_iter()
        .find(|path| name_of(path) == "fifteen.yaml")
        .unwrap();
    let problems = Catalogue::load(&path).unwrap_err();
    assert_eq!(problems.list().len(), 15);
}

#[test]
fn a_file_with_a_byte_order_mark_or_windows_line_ends_loads_like_any_other() {
    let text =
        "version: 1\ntools:\n  info: { description: Info., request: GET /v1/info, effect: read }\n";
    for variant in [
        text.to_owned(),
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
    ] {
        assert_eq!(loaded(&variant).tools().len(), 1);
    }
}

#[test]
fn nothing_in_a_report_can_command_a_terminal() {
    for path in fixtures() {
        let report = problems_of(
            "evil\u{1b}]0;owned\u{7}.yaml",
            &std::fs::read(&path).unwrap(),
        );
        for c in report.to_string().chars().filter(|c| *c != '\n') {
            assert!(
                !c.is_control() && c != '\u{202e}',
                "{} shows {c:?}",
                path.display()
            );
        }
    }
}
