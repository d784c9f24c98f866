//! What can be asked on the command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use factum::Cursor;

use crate::args_read_model::ReadModelArgs;
use crate::duration::parse_duration;

/// The commands that a service mounts beside its own, with `#[command(flatten)]`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum OpsCommand {
    /// Keep read models current until it is told to end (SIGTERM, SIGINT), sharing the work with others that run
    Work(WorkArgs),
    /// Build read models anew from history, while the old ones serve, and switch
    Replay(ReplayArgs),
    /// Show how far each projection is, and why it is not further
    Status(StatusArgs),
    /// Say why something does not move, and what to do; exit code 3 unless all is well
    Doctor(DoctorArgs),
    /// Let a projection that halted try again, after a fix
    Resume(ResumeArgs),
    /// Look at the builds of a read model, go over to one, or drop one
    Generations(GenerationsArgs),
    /// Compare the documents of a read model with a fresh fold of history; exit code 3 if any is not what that comes to
    Verify(VerifyArgs),
    /// Show documents of a read model, as they are or were
    ReadModel(ReadModelArgs),
}

/// What `work` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WorkArgs {
    /// The projections to keep current [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Answer GET /live and /ready here, such as 127.0.0.1:8080; port 0 takes any
    #[arg(long, value_name = "ADDR")]
    pub health: Option<SocketAddr>,
    /// Ready only while no projection lags by more than N events
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub lag: u64,
}

/// What `replay` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReplayArgs {
    /// The projections to replay, if not --all
    #[arg(value_name = "NAME", required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// Replay every projection
    #[arg(long)]
    pub all: bool,
    /// Build up to this position only, to look at it; it does not become live
    #[arg(long, value_name = "POSITION")]
    pub to: Option<Cursor>,
    /// Say what would be read and written and how long that would take, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Keep what is replaced for this long, so that page tokens of it stay good: 1h, 30m, 0, forever
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub keep_old: Duration,
    /// Compare each with another fold of history before it becomes live; exit code 3, and not live, if it differs
    #[arg(long)]
    pub verify: bool,
    /// Print lines of JSON: how far it is, and what came of each
    #[arg(long)]
    pub json: bool,
}

/// What `status` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct StatusArgs {
    /// Show it again every so many seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    pub watch: Option<Duration>,
    /// How long to look, in seconds, for how fast those go that are behind; 0 does not look
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    pub over: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `doctor` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DoctorArgs {
    /// How long to watch what should move, in seconds: longer than the poll of those who run the projections
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub watch: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `resume` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ResumeArgs {
    /// The projection
    pub name: String,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `generations` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct GenerationsArgs {
    /// The projection
    pub name: String,
    /// What to do
    #[command(subcommand)]
    pub action: GenerationsAction,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What `generations` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum GenerationsAction {
    /// Show every generation: its version, its state, and how far it is
    List,
    /// Make one live, if it is whole; one that was live before takes first what came since
    Switch {
        /// Its number
        #[arg(value_name = "N")]
        generation: u64,
        /// Keep what is replaced for this long: 1h, 30m, 0, forever
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
        keep_old: Duration,
    },
    /// Forget one, with everything in it; the live one only if it is of another version, whose deployment is gone
    Drop {
        /// Its number
        #[arg(value_name = "N")]
        generation: u64,
    },
}

/// What `verify` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct VerifyArgs {
    /// The projection
    pub name: String,
    /// Compare about N documents only, picked at random; history is read all the same
    #[arg(long, value_name = "N", conflicts_with = "keys", value_parser = at_least_one)]
    pub sample: Option<usize>,
    /// Compare the documents with these keys only
    #[arg(long = "key", value_name = "K", num_args = 1..)]
    pub keys: Vec<String>,
    /// Compare those of this generation [default: the live one]
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
    /// Compare the documents of this tenant only
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Print a line of JSON for each document that differs, and one at the end
    #[arg(long)]
    pub json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a number, at least 1".to_owned())
}

/// Seconds, with a fraction if wanted; an hour at most.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write seconds, such as 0.5, up to 3600".to_owned())
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
        let hour = Duration::from_secs(3_600);
        let all = ReplayArgs {
            names: Vec::new(),
            all: true,
            to: None,
            dry_run: false,
            keep_old: hour,
            verify: false,
            json: false,
        };
        let named = ReplayArgs { names: vec!["a".to_owned(), "b".to_owned()], all: false, json: true, ..all.clone() };
        assert_eq!(parse(&["replay", "a", "b", "--json"]), Ok(OpsCommand::Replay(named)));
        assert_eq!(parse(&["replay", "--all"]), Ok(OpsCommand::Replay(all.clone())));
        let to = Some(factum::Position::new(17).into());
        let options = ReplayArgs { to, dry_run: true, keep_old: Duration::ZERO, verify: true, ..all };
        let words = ["replay", "--all", "--to", "17", "--dry-run", "--keep-old", "0", "--verify"];
        assert_eq!(parse(&words), Ok(OpsCommand::Replay(options)));
        for words in [["replay", "--all", "--to", "x"], ["replay", "--all", "--keep-old", "1"]] {
            assert_eq!(parse(&words), Err(2), "{words:?}");
        }
    }

    #[test]
    fn work_takes_projections_and_where_to_be_asked_for_its_health() {
        let all = WorkArgs { names: Vec::new(), health: None, lag: 10_000 };
        assert_eq!(parse(&["work"]), Ok(OpsCommand::Work(all)));
        let health = Some(SocketAddr::from(([127, 0, 0, 1], 80)));
        let one = WorkArgs { names: vec!["a".to_owned()], health, lag: 0 };
        assert_eq!(parse(&["work", "a", "--health", "127.0.0.1:80", "--lag", "0"]), Ok(OpsCommand::Work(one)));
        assert_eq!(parse(&["work", "--health", "80"]), Err(2));
    }

    #[test]
    fn verify_takes_a_projection_and_a_sample_or_keys() {
        let (name, keys) = ("a".to_owned(), vec!["1".to_owned(), "2".to_owned(), "3".to_owned()]);
        let args = VerifyArgs { name, sample: None, keys, generation: Some(4), tenant: None, json: true };
        let words = ["verify", "a", "--key", "1", "2", "--key", "3", "--generation", "4", "--json"];
        assert_eq!(parse(&words), Ok(OpsCommand::Verify(args)));
        for words in
            [&["verify"][..], &["verify", "a", "--sample", "0"], &["verify", "a", "--sample", "2", "--key", "1"]]
        {
            assert_eq!(parse(words), Err(2), "{words:?}");
        }
    }

    #[test]
    fn generations_takes_a_projection_and_what_to_do_with_which() {
        let switch = GenerationsAction::Switch { generation: 3, keep_old: Duration::from_secs(3_600) };
        let args = GenerationsArgs { name: "a".to_owned(), action: switch, json: true };
        for words in [["generations", "a", "switch", "3", "--json"], ["generations", "a", "--json", "switch", "3"]] {
            assert_eq!(parse(&words), Ok(OpsCommand::Generations(args.clone())), "{words:?}");
        }
        for words in [&["generations"][..], &["generations", "a"], &["generations", "a", "drop"]] {
            assert_eq!(parse(words), Err(2), "{words:?}");
        }
        assert_eq!(parse(&["generations", "a", "drop", "x"]), Err(2));
    }
}
