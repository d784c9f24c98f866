//! What can be asked on the command line.

use clap::{Args, Subcommand};

/// The commands that a service mounts beside its own, with `#[command(flatten)]`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum OpsCommand {
    /// Build read models anew from history, while the old ones serve, and switch
    Replay(ReplayArgs),
    /// Show how far each projection is, and why it is not further
    Status(StatusArgs),
}

/// What `replay` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReplayArgs {
    /// The projections to replay
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Replay every projection
    #[arg(long)]
    pub all: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `status` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: OpsCommand,
    }

    fn parse(words: &[&str]) -> Result<OpsCommand, i32> {
        let words = std::iter::once("service").chain(words.iter().copied());
        Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.exit_code())
    }

    #[test]
    fn a_replay_names_projections_or_all_and_nothing_else() {
        Cli::command().debug_assert();
        assert_eq!(parse(&["replay"]), Err(2));
        assert_eq!(parse(&["replay", "--json"]), Err(2));
        assert_eq!(parse(&["replay", "--all", "balances"]), Err(2));
        let named = ReplayArgs { names: vec!["a".to_owned(), "b".to_owned()], all: false, json: true };
        assert_eq!(parse(&["replay", "a", "b", "--json"]), Ok(OpsCommand::Replay(named)));
        let all = ReplayArgs { names: Vec::new(), all: true, json: false };
        assert_eq!(parse(&["replay", "--all"]), Ok(OpsCommand::Replay(all)));
    }
}
