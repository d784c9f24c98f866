//! Where Postgres' programs are on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ServerError;

/// Without one of these no server can be made.
const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// The folder with the programs of one Postgres release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Looks through `PATH`, what `pg_config` says, and where Debian, Red Hat, Homebrew and Postgres.app put them;
    /// of several releases in one of these places the newest counts.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`] if no folder holds all of them; it names the remedy.
    pub fn find() -> Result<Self, ServerError> {
        Self::among(candidates())
    }

    /// The first of these folders that holds everything; or where the links in it lead, which is where the rest is
    /// that a server needs later, `pg_basebackup` for one.
    fn among(folders: Vec<PathBuf>) -> Result<Self, ServerError> {
        let complete = |folder: &&PathBuf| NEEDED.iter().all(|program| folder.join(program).is_file());
        match folders.iter().find(complete) {
            Some(folder) => {
                let linked = folder.join(NEEDED[0]).canonicalize().ok();
                let linked = linked.and_then(|program| program.parent().map(Path::to_path_buf));
                Ok(Self { folder: linked.filter(|linked| complete(&linked)).unwrap_or_else(|| folder.clone()) })
            }
            None => Err(ServerError::NotInstalled { program: "postgres", searched: folders }),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of the programs of this release.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Every folder worth a look, best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders = path_folders();
    folders.extend(from_pg_config());
    folders.extend(releases(Path::new("/usr/lib/postgresql"), "bin"));
    folders.extend(releases(Path::new("/usr"), "bin").into_iter().filter(|folder| is_pgdg(folder)));
    folders.extend(releases(Path::new("/opt/homebrew/opt"), "bin").into_iter().filter(|folder| is_postgres(folder)));
    folders.extend(releases(Path::new("/usr/local/opt"), "bin").into_iter().filter(|folder| is_postgres(folder)));
    folders.extend(releases(Path::new("/Applications/Postgres.app/Contents/Versions"), "bin"));
    folders.push("/usr/local/pgsql/bin".into());
    folders
}

/// The folders of `PATH`.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| folder.trim().into())
}

fn is_pgdg(folder: &Path) -> bool {
    named(folder).is_some_and(|name| name.starts_with("pgsql-"))
}

fn is_postgres(folder: &Path) -> bool {
    named(folder).is_some_and(|name| name.starts_with("postgresql"))
}

/// What the release's folder is called, of `.../postgresql@17/bin`.
fn named(folder: &Path) -> Option<&str> {
    folder.parent().and_then(Path::file_name).and_then(OsStr::to_str)
}

/// `below/*/leaf`, the highest number in the name first.
fn releases(below: &Path, leaf: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> =
        entries.map(|entry| (number(&entry.file_name().to_string_lossy()), entry.path().join(leaf))).collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// The first number in a name: 17 in `postgresql@17`, 15 in `15`, 0 where there is none.
fn number(name: &str) -> u32 {
    let digits = name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_comes_first_as_a_number_not_as_a_word() {
        let below = tempfile::tempdir().unwrap();
        for release in ["9", "17", "15"] {
            std::fs::create_dir_all(below.path().join(release)).unwrap();
        }
        let found = releases(below.path(), "bin");
        assert_eq!(found, ["17", "15", "9"].map(|release| below.path().join(release).join("bin")));
    }

    #[test]
    fn a_folder_that_lacks_a_program_is_passed_over() {
        let below = tempfile::tempdir().unwrap();
        let base = below.path().canonicalize().unwrap();
        let (half, whole) = (base.join("half"), base.join("whole"));
        for (folder, programs) in [(&half, &NEEDED[..2]), (&whole, &NEEDED[..])] {
            std::fs::create_dir(folder).unwrap();
            for program in programs {
                std::fs::write(folder.join(program), "").unwrap();
            }
        }
        let found = Binaries::among(vec![below.path().join("gone"), half, whole.clone()]).unwrap();
        assert_eq!(found.folder(), whole);
    }

    #[test]
    fn where_links_lead_counts_since_the_rest_lies_there() {
        let below = tempfile::tempdir().unwrap();
        let below = below.path().canonicalize().unwrap();
        let (links, real) = (below.join("links"), below.join("real"));
        for folder in [&links, &real] {
            std::fs::create_dir(folder).unwrap();
        }
        for program in NEEDED {
            std::fs::write(real.join(program), "").unwrap();
            std::os::unix::fs::symlink(real.join(program), links.join(program)).unwrap();
        }
        assert_eq!(Binaries::among(vec![links]).unwrap().folder(), real);
    }

    #[test]
    fn a_missing_server_names_the_remedies_and_where_it_was_looked_for() {
        let error = Binaries::among(vec!["/nowhere/bin".into()]).unwrap_err();
        let text = error.to_string();
        for part in ["apt-get install postgresql", "FACTUM_TEST_POSTGRES_URL", "/nowhere/bin"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(error.is_not_installed());
    }
}
