//! Running the built program on files of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The header line of a ledger.
pub(crate) const HEADER: &str = "\"trans_id\";\"account_id\";\"date\";\"type\";\"operation\";\"amount\";\"balance\";\"k_symbol\";\"bank\";\"account\"\r\n";

/// A row of a ledger.
pub(crate) fn row(trans: u64, account: u64, date: &str, side: &str, amount: &str) -> String {
    format!("{trans};{account};{date};\"{side}\";\"VKLAD\";{amount};0.00;\"\";;\r\n")
}

/// A ledger of so many rows over so many accounts, and the balances that it leads to, in minor units, by account.
pub(crate) fn synthetic(rows: u64, accounts: u64) -> (String, Vec<i64>) {
    let mut text = HEADER.to_owned();
    let mut balances = vec![0; usize::try_from(accounts).unwrap()];
    for n in 0..rows {
        let account = n.wrapping_mul(2_654_435_761) % accounts;
        let minor = i64::try_from(n * 7_919 % 100_000).unwrap();
        let credit = n % 3 != 2;
        balances[usize::try_from(account).unwrap()] += if credit { minor } else { -minor };
        let side = if credit { "PRIJEM" } else { "VYDAJ" };
        let day = format!("93{:02}{:02}", n % 12 + 1, n % 28 + 1);
        text.push_str(&row(n + 1, account, &day, side, &format!("{}.{:02}", minor / 100, minor % 100)));
    }
    (text, balances)
}

/// A folder with a bank in it.
pub(crate) struct Bank {
    pub(crate) folder: TempDir,
    store: String,
}

/// What the program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Bank {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("sqlite:{}", folder.path().join("bank.db").display());
        Self { folder, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.current_dir(self.folder.path()).args(["--store", &self.store]).args(args);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        answer(self.command(args).output().unwrap())
    }

    /// Runs a command that must succeed, and reads the JSON that it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.run(args).success().json()
    }

    pub(crate) fn import(&self, ledger: &Path) -> Answer {
        self.run(&["import", ledger.to_str().unwrap(), "--json"])
    }

    /// Starts a command and does not wait for it.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// The built program.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bank-account"));
    command.stdin(Stdio::null());
    command
}

/// Runs a program that reads this.
pub(crate) fn with_stdin(mut command: Command, input: &str) -> Answer {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    answer(child.wait_with_output().unwrap())
}

pub(crate) fn answer(output: Output) -> Answer {
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// That it failed with one line on stderr that says this.
    #[track_caller]
    pub(crate) fn fails_with(self, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        for text in says {
            assert!(self.err.contains(text), "{text:?} is not in {self:?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The real ledger, which is no part of the project: a test that needs it says that it skips where it is absent.
pub(crate) fn real_ledger() -> Option<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let (ledger, closing) = (folder.join("ledger-1993.csv.gz"), folder.join("closing-1993.csv"));
    if ledger.exists() && closing.exists() {
        return Some((ledger, closing));
    }
    eprintln!("skipped: there is no ledger in {}", folder.display());
    None
}
