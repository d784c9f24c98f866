//! Running the built program on files of its own.

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part of it")]

pub(crate) mod stores;
pub(crate) mod worker;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use factum_postgres_server::{Database, Server};
use serde_json::Value;
use tempfile::TempDir;

/// Makes two tests of each function that takes a bank: one on SQLite, and one on Postgres, skipped where there is none.
macro_rules! on_each_store {
    ($($test:ident)*) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test(&crate::common::Bank::new());
            })*
        }

        mod on_postgres {
            $(#[test]
            fn $test() {
                if let Some(bank) = crate::common::Bank::on_postgres() {
                    super::$test(&bank);
                }
            })*
        }
    };
}
pub(crate) use on_each_store;

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

/// An amount in minor units, as it is printed.
pub(crate) fn amount(minor: i64) -> Value {
    let sign = if minor < 0 { "-" } else { "" };
    Value::from(format!("{sign}{}.{:02}", minor.abs() / 100, minor.abs() % 100))
}

/// A folder with files, and a bank in it or in a database of its own.
pub(crate) struct Bank {
    pub(crate) folder: TempDir,
    store: String,
    /// Where the read models are, if that is elsewhere.
    read_models: Option<String>,
    _database: Option<Database>,
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
        Self { folder, store, read_models: None, _database: None }
    }

    /// In an empty database of the server for tests; `None` where there is none, which it says itself.
    pub(crate) fn on_postgres() -> Option<Self> {
        Server::for_test().map(|server| Self::on(&server))
    }

    /// In an empty database of this server.
    pub(crate) fn on(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = runtime.block_on(server.empty_database()).unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::tempdir().unwrap();
        Self { folder, store: database.url(), read_models: None, _database: Some(database) }
    }

    /// With read models in a file of their own.
    pub(crate) fn with_read_models_beside(mut self) -> Self {
        self.read_models = Some(format!("sqlite:{}", self.path("read-models.db").display()));
        self
    }

    /// What `--store` is given.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// Whether there is a bank already, whole enough to be looked at.
    pub(crate) fn is_there(&self) -> bool {
        let answer = self.run(&["status"]);
        if answer.code == Some(0) {
            return true;
        }
        answer.fails_with(&["there is no bank"]);
        false
    }

    /// That it holds this ledger of [`synthetic`] rows, each of them once, and nothing else.
    #[track_caller]
    pub(crate) fn holds_exactly(&self, rows: u64, balances: &[i64], when: &str) {
        let listed = self.json(&["balances", "--json"]);
        let accounts = listed["balances"].as_array().unwrap();
        let openings = accounts.len() as u64;
        assert_eq!(listed["position"], rows + openings, "each row once and each opening once {when}");
        assert_eq!(listed["total"], amount(balances.iter().sum()), "{when}");
        for entry in accounts {
            let account: usize = entry["account"].as_str().unwrap().parse().unwrap();
            assert_eq!(entry["balance"], amount(balances[account]), "{entry} {when}");
        }
        let months = self.json(&["turnover", "--json"]);
        let count: u64 = months.as_array().unwrap().iter().map(|month| month["count"].as_u64().unwrap()).sum();
        assert_eq!(count, rows, "{when}");
    }

    /// Changes what is stored by hand, with the same statement on each store. Answers how many rows that were.
    pub(crate) fn by_hand(&self, sql: &str) -> u64 {
        let Some(file) = self.store.strip_prefix("sqlite:") else {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            return runtime.block_on(async {
                let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(&self.store).await.unwrap();
                sqlx::query("SET search_path = factum").execute(&mut conn).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap().rows_affected()
            });
        };
        rusqlite::Connection::open(file).unwrap().execute(sql, []).unwrap() as u64
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
        command.current_dir(self.folder.path()).args(["--store", &self.store]);
        command.args(self.read_models.iter().flat_map(|elsewhere| ["--read-models", elsewhere])).args(args);
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

    /// What a replay has done, a line for each projection.
    pub(crate) fn replay(&self, args: &[&str]) -> Vec<Value> {
        let answer = self.run(&[&["replay"], args, &["--json"]].concat()).success();
        let lines = answer.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["kind"] == "done").collect()
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
