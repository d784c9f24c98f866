//! What `read-model` takes.

use clap::{Args, Subcommand};
use factum::At;

use crate::at::parse_at;
use crate::find::{Where, parse_where};

/// What `read-model` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReadModelArgs {
    /// What to show
    #[command(subcommand)]
    pub action: ReadModelAction,
}

/// What `read-model` shows.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum ReadModelAction {
    /// Show one document
    Get(GetArgs),
    /// Show documents by key, a page of them
    List(ListArgs),
    /// Show in which fields a document differs between two moments
    Diff(DiffArgs),
}

/// Which read model, and how it is shown.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReadModelOf {
    /// The projection
    pub name: String,
    /// Of this tenant [default: the one without a name]
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `read-model get` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct GetArgs {
    /// Which read model
    #[command(flatten)]
    pub of: ReadModelOf,
    /// The key of the document
    pub key: String,
    /// As it was: a position, version:N, recorded:TIME or occurred:TIME
    #[arg(long, value_name = "AT", value_parser = parse_at, conflicts_with = "generation")]
    pub at: Option<At>,
    /// Of this generation, such as one that a replay has built and nobody reads yet [default: the live one]
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
}

/// What `read-model list` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ListArgs {
    /// Which read model
    #[command(flatten)]
    pub of: ReadModelOf,
    /// Begin after this key; with --where, --order-by or --desc: where the page before told
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// Only those whose field meets this: FIELD=VALUE, or with >=, <=, > or <; may be given several times
    #[arg(long = "where", value_name = "CONDITION", value_parser = parse_where, conflicts_with = "at")]
    pub conditions: Vec<Where>,
    /// Sort by this field
    #[arg(long, value_name = "FIELD", conflicts_with = "at")]
    pub order_by: Option<String>,
    /// The last come first
    #[arg(long, conflicts_with = "at")]
    pub desc: bool,
    /// Show at most N
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = one_page)]
    pub limit: usize,
    /// As they were: a position, version:N, recorded:TIME or occurred:TIME
    #[arg(long, value_name = "AT", value_parser = parse_at, conflicts_with = "generation")]
    pub at: Option<At>,
    /// Of this generation, such as one that a replay has built and nobody reads yet [default: the live one]
    #[arg(long, value_name = "N")]
    pub generation: Option<u64>,
}

/// What `read-model diff` takes.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DiffArgs {
    /// Which read model
    #[command(flatten)]
    pub of: ReadModelOf,
    /// The key of the document
    pub key: String,
    /// The one moment: a position, version:N, recorded:TIME or occurred:TIME
    #[arg(long, value_name = "AT", value_parser = parse_at)]
    pub from: At,
    /// The other moment
    #[arg(long, value_name = "AT", value_parser = parse_at)]
    pub to: At,
}

/// More in one page would only take memory.
const MOST: usize = 10_000;

fn one_page(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("write a number from 1 to {MOST}"))
}
