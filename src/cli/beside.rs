//! Settings of a sidecar beside a sandbox of ours, as `dev` and `prove-isolation` run it: development secrets, loopback.
//! Nothing of the process's own environment joins them.

use std::path::PathBuf;

use super::{Failed, sandbox::TENANT_SECRET, tools};
use crate::{
    auth::development,
    settings::{Environment, Settings, SettingsFile, Sources},
};

/// What differs from one such sidecar to the next.
pub(super) struct Beside {
    /// Port of MCP; 0 takes a free one.
    pub(super) port: u16,
    /// Port of operations; 0 takes a free one.
    pub(super) ops_port: u16,
    /// Where the sandbox listens.
    pub(super) backend_url: String,
    pub(super) tenant: String,
    pub(super) audience: String,
    /// The catalogue; without it, tools.yaml here, else the shipped one.
    pub(super) catalogue: Option<PathBuf>,
}

impl Beside {
    /// The settings, read and checked as those of `serve` are.
    pub(super) fn settings(self) -> Result<Settings, Failed> {
        let mut flags = vec![
            ("environment", "development".to_owned()),
            ("server.listen", format!("127.0.0.1:{}", self.port)),
            ("ops.listen", format!("127.0.0.1:{}", self.ops_port)),
            ("backend.url", self.backend_url),
            ("auth.issuer", development::ISSUER.to_owned()),
            ("auth.audience", self.audience),
            ("tenant.id", self.tenant),
            ("limits.profile", "development".to_owned()),
        ];
        if let Some(file) = tools::file(self.catalogue) {
            flags.push(("catalogue.file", file.to_string_lossy().into_owned()));
        }
        let secrets = [
            ("JWT_HS256_SECRET", development::DEVELOPMENT_SECRET),
            ("TENANT_HEADER_SECRET", TENANT_SECRET),
        ];
        let flags = flags.into_iter();
        let sources = Sources {
            file: SettingsFile::None,
            environment: secrets.into_iter().collect::<Environment>(),
            flags: flags.map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        Settings::load(&sources, development::is_development_secret).map_err(Failed::configuration)
    }
}
