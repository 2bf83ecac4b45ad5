//! The reports of bad files: exact, in file order, inside the file, harmless to a terminal.

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

#[test]
fn every_problem_points_inside_its_file_and_comes_in_file_order() {
    for path in fixtures() {
        let bytes = std::fs::read(&path).unwrap();
        let problems = problems_of(name_of(&path), &bytes);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
        let lines: Vec<&str> = text.split(['\n', '\r']).collect();
        let mut last = (0, 0);
        for problem in problems.list() {
            let (line, column) = (problem.at.line, problem.at.column);
            assert!((line, column) >= last, "{} is out of order", path.display());
            last = (line, column);
            if line == 0 {
                continue; // about the file as a whole
            }
            let place = format!("{}:{line}:{column}", path.display());
            assert!(line <= lines.len(), "{place} is outside");
            let length = lines[line - 1].chars().count();
            assert!(column >= 1 && column <= length + 1, "{place} is outside");
        }
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
