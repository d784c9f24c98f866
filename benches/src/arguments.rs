//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::work::StoreKind;

/// On which stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stores {
    Memory,
    Sqlite,
    Postgres,
    All,
}

impl Stores {
    pub(crate) fn kinds(self) -> Vec<StoreKind> {
        match self {
            Self::Memory => vec![StoreKind::Memory],
            Self::Sqlite => vec![StoreKind::Sqlite],
            Self::Postgres => vec![StoreKind::Postgres],
            Self::All => StoreKind::ALL.to_vec(),
        }
    }
}

/// Runs workloads, each beside its limit measured in the same run, prints them as a table and says which goals hold.
#[derive(Debug, Parser)]
#[command(name = "factum-benches", bin_name = "cargo xtask bench", version)]
pub(crate) struct Arguments {
    /// Which workloads; all of them if none is named. `--list` shows them.
    pub(crate) workloads: Vec<String>,

    /// On which stores.
    #[arg(long, value_enum, default_value_t = Stores::All)]
    pub(crate) store: Stores,

    /// Shows the workloads, their limits and goals, and runs none.
    #[arg(long)]
    pub(crate) list: bool,

    /// A tenth of the work: enough to see that everything runs, too little for a figure to quote.
    #[arg(long)]
    pub(crate) quick: bool,

    /// How often each is measured, three times as often where rounds differ most; the round with the middle fraction counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(3..))]
    pub(crate) runs: u32,

    /// Writes the results to this file, as a JSON array.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where the databases are made; beside the program unless said otherwise. On a disk, not in memory.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// One measurement, for the process that measures.
    #[arg(long, hide = true)]
    pub(crate) child: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
        let words = ["benches", "replay", "--quick", "--json", "a.json", "--store", "sqlite"];
        let arguments = Arguments::try_parse_from(words).unwrap();
        assert!(arguments.quick && arguments.workloads == ["replay"] && arguments.runs == 3);
        assert_eq!(arguments.store.kinds(), [StoreKind::Sqlite]);
        assert_eq!(Arguments::try_parse_from(["benches"]).unwrap().store.kinds(), StoreKind::ALL);
    }

    #[test]
    fn fewer_than_three_runs_have_no_median_and_are_refused() {
        assert!(Arguments::try_parse_from(["benches", "--runs", "2"]).is_err());
    }
}
