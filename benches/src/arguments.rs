//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Runs workloads, each beside its limit measured in the same run, and prints them as a table.
#[derive(Debug, Parser)]
#[command(name = "factum-benches", version)]
pub(crate) struct Arguments {
    /// Which workloads; all of them if none is named. `--list` shows them.
    pub(crate) workloads: Vec<String>,

    /// Shows the workloads and what limits them, and runs none.
    #[arg(long)]
    pub(crate) list: bool,

    /// A tenth of the work: enough to see that everything runs, too little for a figure to quote.
    #[arg(long)]
    pub(crate) quick: bool,

    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
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
        let arguments = Arguments::try_parse_from(["benches", "replay", "--quick", "--json", "a.json"]).unwrap();
        assert!(arguments.quick && arguments.workloads == ["replay"] && arguments.runs == 3);
        assert!(Arguments::try_parse_from(["benches", "--runs", "0"]).is_err());
    }
}
