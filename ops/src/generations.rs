//! `generations`: the builds of a read model, and choosing between them by hand.

use std::io::Write;

use factum::{Cursor, Failure, Generation, GenerationInfo, GenerationState};
use factum_projections::Projector;
use serde::Serialize;

use crate::args::{GenerationsAction, GenerationsArgs};
use crate::command::OpsError;

#[derive(Serialize)]
struct GenerationJson {
    generation: Generation,
    version: u32,
    state: GenerationState,
    created_at: chrono::DateTime<chrono::Utc>,
    checkpoint: Cursor,
    failure: Option<Failure>,
}

#[derive(Serialize)]
struct ListedJson<'a> {
    projection: &'a str,
    generations: Vec<GenerationJson>,
}

#[derive(Serialize)]
struct SwitchedJson<'a> {
    projection: &'a str,
    live: Generation,
    replaced: Generation,
}

#[derive(Serialize)]
struct DroppedJson<'a> {
    projection: &'a str,
    dropped: Generation,
}

pub(crate) async fn generations(
    args: &GenerationsArgs,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let name = args.name.as_str();
    match args.action {
        GenerationsAction::List => list(args, projector, out).await?,
        GenerationsAction::Switch { generation } => {
            let live = Generation(generation);
            let replaced = projector.switch_to(name, live).await?;
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&SwitchedJson { projection: name, live, replaced })?)?;
            } else {
                writeln!(out, "{name}: generation {live} is live; generation {replaced} is kept until it is dropped")?;
            }
        }
        GenerationsAction::Drop { generation } => {
            let dropped = Generation(generation);
            projector.drop_generation(name, dropped).await?;
            if args.json {
                writeln!(out, "{}", serde_json::to_string(&DroppedJson { projection: name, dropped })?)?;
            } else {
                writeln!(out, "{name}: generation {dropped} is dropped")?;
            }
        }
    }
    Ok(out.flush()?)
}

async fn list(args: &GenerationsArgs, projector: &Projector, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let generations = projector.generations(&args.name).await?;
    if args.json {
        let generations = generations.into_iter().map(GenerationJson::from).collect();
        writeln!(out, "{}", serde_json::to_string(&ListedJson { projection: &args.name, generations })?)?;
        return Ok(());
    }
    writeln!(out, "{:>10}  {:>7}  {:<8}  {:>12}  begun", "generation", "version", "state", "checkpoint")?;
    for info in &generations {
        line(info, out)?;
    }
    Ok(())
}

fn line(info: &GenerationInfo, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let state = match info.state {
        GenerationState::Building => "building",
        GenerationState::Live => "live",
        GenerationState::Retired => "retired",
    };
    writeln!(
        out,
        "{:>10}  {:>7}  {state:<8}  {:>12}  {}",
        info.generation.to_string(),
        info.version.to_string(),
        info.checkpoint.to_string(),
        info.created_at.format("%Y-%m-%d %H:%M:%S UTC")
    )?;
    if let Some(failure) = &info.failure {
        writeln!(out, "{:>10}  {failure}", "")?;
    }
    Ok(())
}

impl From<GenerationInfo> for GenerationJson {
    fn from(info: GenerationInfo) -> Self {
        Self {
            generation: info.generation,
            version: info.version.0,
            state: info.state,
            created_at: info.created_at,
            checkpoint: info.checkpoint,
            failure: info.failure,
        }
    }
}
