//! Who may import whom, as one table that a test holds the source to: modules of ours, outside crates that live in few
//! places, the environment, file names, headers and sizes. A new module has to be entered here, with what it may use.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Module → modules of ours it may import. The longest name that fits a file counts, so that `cli::dev` can differ
/// from `cli`. Of its own tree a module may import everything.
const MODULES: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    (
        "app",
        &[
            "auth",
            "backend",
            "catalogue",
            "clock",
            "guard",
            "identity",
            "in_place",
            "mcp",
            "observe",
            "outgoing",
            "reload",
            "server",
            "settings",
            "shutdown",
            "telemetry",
        ],
    ),
    ("auth", &["outgoing"]),
    (
        "backend",
        &[
            "catalogue",
            "guard",
            "identity",
            "json_text",
            "observe",
            "outgoing",
        ],
    ),
    ("catalogue", &["nearest"]),
    ("child", &["outgoing", "shutdown"]),
    (
        "cli",
        &[
            "app",
            "auth",
            "catalogue",
            "child",
            "clock",
            "nearest",
            "observe",
            "outgoing",
            "settings",
            "shutdown",
            "telemetry",
        ],
    ),
    (
        "cli::dev",
        &[
            "app",
            "auth",
            "catalogue",
            "sandbox",
            "settings",
            "shutdown",
            "telemetry",
        ],
    ),
    (
        "cli::sandbox",
        &["auth", "catalogue", "sandbox", "shutdown"],
    ),
    ("cli::start", &["app", "identity", "settings", "telemetry"]),
    ("cli::doctor", &["auth", "clock", "doctor", "settings"]),
    ("cli::prove_isolation", &["catalogue", "isolation"]),
    (
        "cli::prove_isolation::own",
        &[
            "app",
            "auth",
            "catalogue",
            "clock",
            "isolation",
            "sandbox",
            "settings",
            "shutdown",
        ],
    ),
    ("clock", &[]),
    ("delivery", &[]),
    (
        "doctor",
        &[
            "auth",
            "backend",
            "catalogue",
            "identity",
            "outgoing",
            "settings",
        ],
    ),
    ("guard", &["auth", "identity"]),
    ("identity", &["auth", "observe", "outgoing"]),
    ("isolation", &["catalogue", "outgoing"]),
    ("in_place", &[]),
    ("json_text", &[]),
    (
        "mcp",
        &[
            "auth",
            "backend",
            "catalogue",
            "delivery",
            "guard",
            "identity",
            "in_place",
            "json_text",
            "observe",
        ],
    ),
    ("nearest", &[]),
    ("observe", &["clock", "outgoing"]),
    ("outgoing", &[]),
    ("reload", &["catalogue", "mcp"]),
    ("sandbox", &["catalogue::entity", "clock", "outgoing"]),
    (
        "server",
        &["auth", "delivery", "in_place", "observe", "telemetry"],
    ),
    (
        "settings",
        &["auth", "guard", "identity", "nearest", "observe"],
    ),
    ("shutdown", &[]),
    ("telemetry", &[]),
];

/// Outside crate (or part of the standard library) → the modules it may appear in.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("rmcp", &["mcp", "cli::call"]),
    // Error types of the client pass through `app`, `cli::call` and the sandbox's own key fetching.
    (
        "reqwest",
        &[
            "outgoing",
            "auth",
            "identity",
            "app",
            "child",
            "cli::call",
            "doctor",
            "isolation",
            "observe::traces",
            "sandbox",
        ],
    ),
    ("opentelemetry_proto", &["observe::traces"]),
    ("prost", &["observe::traces"]),
    (
        "rustix",
        &["child", "observe::audit::file", "server::connection"],
    ),
    ("std::process::Command", &["child"]),
    // It would wait for our children, whose exits the reaper of `child` takes.
    ("tokio::process", &[]),
    ("hyper", &["backend::pool", "server", "sandbox"]),
    ("hyper_util", &["backend::pool", "server", "sandbox"]),
    ("hyper_rustls", &["backend::pool"]),
    ("rustls", &["backend::pool"]),
    ("jsonwebtoken", &["auth", "sandbox"]),
    ("quick_cache", &["auth::verified", "mcp::fast_path"]),
    ("aws_lc_rs", &["mcp::connections::id"]),
    ("hmac", &["identity", "mcp::seal", "sandbox"]),
    (
        "sha2",
        &[
            "auth::verified",
            "catalogue::dialect",
            "guard::person",
            "identity",
            "mcp::connections::id",
            "mcp::listing",
            "mcp::question",
            "mcp::seal",
            "mcp::writes::digest",
            "observe::audit::line",
            "observe::record",
            "sandbox",
        ],
    ),
    ("subtle", &["server::ops_door"]),
    ("socket2", &["server::watched"]),
    ("jsonschema", &["catalogue", "doctor"]),
    ("serde_saphyr", &["catalogue"]),
    ("tiktoken_rs", &["catalogue::tokens"]),
    ("miniz_oxide", &["catalogue::tokens"]),
    ("schemars", &["catalogue"]),
    ("figment", &["settings"]),
    ("toml_edit", &["settings"]),
    ("rusqlite", &["sandbox"]),
    ("redis", &["guard::shared"]),
    // The file that uses it bears its name, and is named beside it.
    ("workos", &["identity::tenant"]),
    ("wide", &["json_text::marks"]),
    ("simdutf8", &["json_text::check"]),
    ("async_trait", &["identity::tenant::workos"]),
    ("notify", &["reload"]),
    ("prometheus", &["observe::metrics"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("tracing_subscriber", &["telemetry"]),
    // `dev` prints its own path; `main` reads its arguments.
    ("std::env", &["settings", "cli::dev", "main"]),
    ("std::process::exit", &[]),
];

/// Names that say nothing about what is inside.
const NAMELESS: [&str; 6] = ["utils", "util", "common", "types", "prelude", "helpers"];

/// Lines of code a file may have, blank ones, comments and tests left out.
const LONGEST: usize = 450;

struct Source {
    /// `cli::dev::banner`.
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let source = |path: PathBuf| Source {
        module: module_of(path.strip_prefix(&root).unwrap()),
        text: fs::read_to_string(&path).unwrap(),
    };
    files.into_iter().map(source).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(path: &Path) -> String {
    let path = path.with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    parts.join("::")
}

/// The text without comments and without what only tests compile.
fn code_of(source: &Source) -> String {
    let is_test_file = source
        .module
        .split("::")
        .any(|part| matches!(part, "tests" | "fixtures"));
    if is_test_file {
        return String::new();
    }
    let text = source
        .text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Whether `module` is `name` or below it.
fn is_within(module: &str, name: &str) -> bool {
    module
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The paths a text names: `use a::{b, c::d};` is `a::b` and `a::c::d`; inline paths count too.
fn paths_in(code: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let is_start = rest[..at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace);
        let tail = &rest[at + 4..];
        if is_start && let Some(end) = tail.find(';') {
            let tree: String = tail[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            expand("", &tree, &mut paths);
        }
        rest = tail;
    }
    for word in code.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))) {
        if word.contains("::") {
            paths.insert(word.trim_matches(':').to_owned());
        }
    }
    paths
}

/// Writes out one `use` tree.
fn expand(prefix: &str, tree: &str, paths: &mut BTreeSet<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        if !path.is_empty() {
            paths.insert(format!("{prefix}{path}"));
        }
        return;
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let prefix = format!("{prefix}{}", head.trim());
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&prefix, &inner[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    expand(&prefix, &inner[start..], paths);
}

/// What a file imports against the tables.
fn offences(source: &Source) -> Vec<String> {
    let module = &source.module;
    let rule = MODULES.iter().filter(|(name, _)| is_within(module, name));
    let Some((_, allowed)) = rule.max_by_key(|(name, _)| name.len()) else {
        return vec![format!("{module}: not in the table of modules")];
    };
    let top = module.split("::").next().unwrap();
    let paths = paths_in(&code_of(source));
    let mut offences = Vec::new();
    for path in &paths {
        let ours = path
            .strip_prefix("crate::")
            .or_else(|| path.strip_prefix("toolbridge::"));
        if let Some(ours) = ours
            && !is_within(ours, top)
            && !allowed.iter().any(|name| is_within(ours, name))
        {
            offences.push(format!("{module} may not use crate::{ours}"));
        }
        let outside = OUTSIDE.iter().find(|(name, _)| is_within(path, name));
        if let Some((name, places)) = outside
            && !places.iter().any(|place| is_within(module, place))
        {
            offences.push(format!("{module} may not use {name}"));
        }
    }
    offences
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let offences: Vec<_> = sources().iter().flat_map(offences).collect();
    assert!(offences.is_empty(), "{offences:#?}");
}

#[test]
fn every_row_of_the_table_is_a_module() {
    let modules: BTreeSet<_> = sources().into_iter().map(|source| source.module).collect();
    for (name, _) in MODULES {
        assert!(modules.contains(*name), "{name}");
    }
    for place in OUTSIDE.iter().flat_map(|(_, places)| *places) {
        assert!(modules.contains(*place), "{place}");
    }
}

#[test]
fn every_permission_is_used() {
    let sources = sources();
    let uses = |place: &str, used: &dyn Fn(&str) -> bool| {
        let there = sources
            .iter()
            .filter(|source| is_within(&source.module, place));
        there
            .flat_map(|source| paths_in(&code_of(source)))
            .any(|path| used(&path))
    };
    let mut unused = Vec::new();
    for (module, allowed) in MODULES {
        for name in *allowed {
            let names_it = |path: &str| {
                let ours = path
                    .strip_prefix("crate::")
                    .or_else(|| path.strip_prefix("toolbridge::"));
                ours.is_some_and(|ours| is_within(ours, name))
            };
            if !uses(module, &names_it) {
                unused.push(format!("{module} does not use crate::{name}"));
            }
        }
    }
    for (name, places) in OUTSIDE {
        for place in *places {
            if !uses(place, &|path: &str| is_within(path, name)) {
                unused.push(format!("{place} does not use {name}"));
            }
        }
    }
    assert!(unused.is_empty(), "{unused:#?}");
}

#[test]
fn nobody_imports_the_wiring_the_command_line_or_the_sandbox_but_those_who_start_them() {
    let importers = |of: &str| -> Vec<_> {
        let rows = MODULES.iter().filter(|(_, allowed)| allowed.contains(&of));
        rows.map(|(name, _)| *name).collect()
    };
    let proof = "cli::prove_isolation::own";
    assert_eq!(importers("app"), ["cli", "cli::dev", "cli::start", proof]);
    assert_eq!(importers("cli"), ["main"]);
    assert_eq!(importers("sandbox"), ["cli::dev", "cli::sandbox", proof]);
}

#[test]
fn every_file_says_what_it_is_and_has_a_name_that_does_too() {
    for source in sources() {
        assert!(
            source.text.starts_with("//!"),
            "{} has no header",
            source.module
        );
        let name = source.module.rsplit("::").next().unwrap();
        assert!(
            !NAMELESS.contains(&name) && name != "mod",
            "{}",
            source.module
        );
    }
}

#[test]
fn every_file_can_be_read_in_one_go() {
    for source in sources() {
        let code = code_of(&source);
        let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(
            lines <= LONGEST,
            "{} has {lines} lines of code",
            source.module
        );
    }
}

#[track_caller]
fn check(module: &str, text: &str, expected: &[&str]) {
    let source = Source {
        module: module.to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(offences(&source), expected);
}

#[test]
fn planted_offences_are_found() {
    check(
        "catalogue::plan",
        "use rmcp::model::Tool;",
        &["catalogue::plan may not use rmcp"],
    );
    check(
        "mcp::call",
        "use crate::{auth::Caller,\n    sandbox::{Sandbox, Storage},\n};",
        &[
            "mcp::call may not use crate::sandbox::Sandbox",
            "mcp::call may not use crate::sandbox::Storage",
        ],
    );
    check(
        "cli::check",
        "use crate::sandbox::Sandbox;",
        &["cli::check may not use crate::sandbox::Sandbox"],
    );
    check(
        "sandbox::store",
        "use crate::catalogue::Tool;",
        &["sandbox::store may not use crate::catalogue::Tool"],
    );
    check(
        "server",
        "fn f() { let x = crate::app::App; }",
        &["server may not use crate::app::App"],
    );
    check(
        "backend::wire",
        "let x = std::env::var(\"A\");",
        &["backend::wire may not use std::env"],
    );
    check(
        "identity",
        "use std::{env, fmt};",
        &["identity may not use std::env"],
    );
    check(
        "cli::dev",
        "std::process::exit(1)",
        &["cli::dev may not use std::process::exit"],
    );
    check("novelty", "", &["novelty: not in the table of modules"]);
}

#[test]
fn what_is_allowed_is_no_offence() {
    check(
        "mcp::call",
        "use rmcp::model::Tool;\nuse crate::{mcp::present, auth::Caller};",
        &[],
    );
    check(
        "server",
        "// crate::app is elsewhere\n/// See [`crate::app`].\nuse super::x;",
        &[],
    );
    check(
        "server",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::app::App; }",
        &[],
    );
    check("auth::fixtures", "use crate::app::App;", &[]);
}
