//! What a team is told about its `tools.yaml`: every mistake, in file order, in bounded time and memory; and what the
//! shipped catalogue becomes: the golden list of tools and the golden requests.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use toolbridge::catalogue::{Catalogue, Plan, Problems, tokens};

use crate::canonical_calls::canonical_calls;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalogues");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(files.len() > 40, "the fixtures are missing");
    files
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Problems of a text, or what could be better where there is none.
fn problems_of(name: &str, bytes: &[u8]) -> Problems {
    match Catalogue::parse(name, bytes) {
        Ok(catalogue) => catalogue.lints().clone(),
        Err(problems) => problems,
    }
}

fn report(text: &str) -> String {
    problems_of("tools.yaml", text.as_bytes()).to_string()
}

#[track_caller]
fn loaded(text: &str) -> Catalogue {
    match Catalogue::parse("tools.yaml", text.as_bytes()) {
        Ok(catalogue) => catalogue,
        Err(problems) => panic!("{problems}"),
    }
}

#[track_caller]
fn plan(catalogue: &Catalogue, tool: &str, arguments: &Value) -> Plan {
    let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
    let tool = catalogue.find(tool).unwrap();
    tool.plan(arguments).unwrap()
}

/// Golden files lie in `folder`, seen from this one, under their plain names.
fn golden(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

mod reports {
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
        let text = "version: 1\ntools:\n  info: { description: Info., request: GET /v1/info, effect: read }\n";
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
}

mod hostile_files {
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
}

mod golden_files {
    use super::*;

    #[test]
    fn the_forty_tools_are_listed_as_the_golden_file_says() {
        let catalogue = Catalogue::shipped().unwrap();
        let listed: Vec<_> = catalogue.tools().iter().map(tokens::listed).collect();
        assert_eq!(listed.len(), 40);
        let tokens = tokens::count(&Value::from(listed.clone()).to_string());
        assert!(tokens <= 6_000, "{tokens} tokens");
        golden(
            "../snapshots",
            "tools_list",
            &serde_json::to_string_pretty(&listed).unwrap(),
        );
    }

    #[test]
    fn the_forty_canonical_calls_become_the_requests_of_the_golden_file() {
        let catalogue = Catalogue::shipped().unwrap();
        let requests: Vec<_> = canonical_calls()
            .iter()
            .map(|(tool, arguments)| written(tool, &plan(&catalogue, tool, arguments)))
            .collect();
        golden("../snapshots", "planned_requests", &requests.join("\n"));
    }

    #[test]
    fn every_shipped_tool_has_its_canonical_call_in_catalogue_order() {
        let catalogue = Catalogue::shipped().unwrap();
        let tools: Vec<_> = catalogue
            .tools()
            .iter()
            .map(|tool| tool.name.as_str())
            .collect();
        let calls: Vec<_> = canonical_calls()
            .into_iter()
            .map(|(tool, _)| tool)
            .collect();
        assert_eq!(tools, calls);
    }

    #[test]
    fn the_shipped_catalogue_has_nothing_to_improve() {
        assert_eq!(Catalogue::shipped().unwrap().lints().to_string(), "");
    }

    /// A request as one reads it: tool, request line, headers, body.
    fn written(tool: &str, plan: &Plan) -> String {
        let mut text = format!(
            "{tool} ({:?})\n  {} {}\n",
            plan.effect, plan.method, plan.target
        );
        for (name, value) in &plan.headers {
            text.push_str(&format!("  {name}: {}\n", value.to_str().unwrap()));
        }
        if let Some(body) = &plan.body {
            text.push_str(&format!("  {}\n", String::from_utf8(body.clone()).unwrap()));
        }
        assert!(plan.session, "{tool} needs a session");
        text
    }
}
