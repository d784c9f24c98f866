//! How a server is set up.

use std::path::{Path, PathBuf};

/// What a server of our own is like. The default is Postgres as it comes, with every promise kept on disk, for 200
/// connections, and reachable by a socket in a folder of its own only.
///
/// ```
/// use factum_postgres_server::ServerOptions;
///
/// let for_tests = ServerOptions::careless();
/// let slow_disk = ServerOptions::default().setting("commit_delay", "3000").setting("commit_siblings", "0");
/// # drop((for_tests, slow_disk));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    settings: Vec<(String, String)>,
    data_below: Option<PathBuf>,
}

impl ServerOptions {
    /// For tests: nothing waits for the disk. A server that is killed keeps what it answered, a machine that loses
    /// its power does not.
    #[must_use]
    pub fn careless() -> Self {
        Self::default().setting("fsync", "off").setting("full_page_writes", "off")
    }

    /// A setting of `postgresql.conf`; the last one of a name counts.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Puts the data into a new folder in this one, which must be reachable by the account that the server runs as.
    /// Without it they lie in a temporary folder, which may be no real disk. The folder is removed with the server.
    #[must_use]
    pub fn data_below(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_below = Some(folder.into());
        self
    }

    pub(crate) fn folder_for_data(&self) -> Option<&Path> {
        self.data_below.as_deref()
    }

    /// The lines that are added to `postgresql.conf`.
    pub(crate) fn lines(&self, socket_folder: &Path) -> String {
        let folder = socket_folder.to_string_lossy();
        let ours = [
            ("listen_addresses", ""),
            ("unix_socket_directories", &*folder),
            ("port", "5432"),
            ("max_connections", "200"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        let theirs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let line =
            |(name, value): (&str, &str)| format!("{name} = '{}'\n", value.replace('\\', r"\\").replace('\'', "''"));
        ours.into_iter().chain(theirs).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_comes_after_ours_and_a_quote_in_it_stays_a_quote() {
        let options = ServerOptions::default().setting("max_connections", "7").setting("search_path", r"a'b\c");
        let lines = options.lines(Path::new("/here"));
        assert!(lines.ends_with("max_connections = '7'\nsearch_path = 'a''b\\\\c'\n"), "{lines}");
        assert!(lines.contains("listen_addresses = ''\nunix_socket_directories = '/here'\n"), "{lines}");
    }
}
