//! The conformance profile: the whole sidecar, with the fixtures that the official suite asks for around the product's
//! own handler. Compiled for tests only, so nothing of it is in the shipped binary. In: nothing. Out: one line, the URL.
//! It asks for no token, because the suite cannot send one, and listens on a free port of 127.0.0.1.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the tests may fail loudly"
)]
#![expect(
    deprecated,
    reason = "the suite still asks for sampling, roots and logging"
)]

mod fixtures;
mod handler;
mod rounds;

use toolbridge::{
    app::App,
    settings::{Settings, SettingsFile, Sources},
    shutdown::Shutdown,
};

use handler::Fixtures;

const CATALOGUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/tools.yaml");

#[tokio::main]
async fn main() {
    let app = App::build(settings()).await;
    let app = app.unwrap_or_else(|error| panic!("{error}"));
    let shutdown = Shutdown::on_signals().unwrap();
    println!("{}", app.mcp_url());
    app.run_with(shutdown, Fixtures::around).await;
}

/// No call of the suite needs the backend.
fn settings() -> Settings {
    let flags = [
        ("server.listen", "127.0.0.1:0"),
        ("ops.listen", "127.0.0.1:0"),
        ("backend.url", "http://127.0.0.1:9"),
        ("auth.mode", "none"),
        ("tenant.id", "conformance"),
        ("catalogue.file", CATALOGUE),
    ];
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let sources = Sources {
        file: SettingsFile::None,
        environment: std::iter::empty::<(&str, &str)>().collect(),
        flags: flags.map(owned).to_vec(),
    };
    Settings::load(&sources, |_| false).unwrap_or_else(|error| panic!("{error}"))
}
