//! `generations`: the builds of a read model, and choosing between them by hand.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use factum::{Cursor, Failure, Generation, GenerationInfo, GenerationState};
use factum_projections::{Dropped, KeptPast, Projector, ReplayOptions, ReplayProgress, Switched};
use serde::Serialize;

use crate::args::{GenerationsAction, GenerationsArgs};
use crate::command::OpsError;
use crate::console::Console;
use crate::duration::show_duration;

#[derive(Serialize)]
struct GenerationJson {
    generation: Generation,
    version: u32,
    state: GenerationState,
    created_at: chrono::DateTime<chrono::Utc>,
    kept_until: Option<chrono::DateTime<chrono::Utc>>,
    checkpoint: Cursor,
    /// Where the past is not kept for ever: from where on it can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    past: Option<KeptPast>,
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
    /// How many events it had to take before.
    caught_up: u64,
}

#[derive(Serialize)]
struct DroppedJson<'a> {
    projection: &'a str,
    dropped: Generation,
    version: u32,
    was_live: bool,
}

pub(crate) async fn generations(
    args: &GenerationsArgs,
    projector: &Projector,
    console: &Arc<Console>,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let name = args.name.as_str();
    match args.action {
        GenerationsAction::List => list(args, projector, out).await?,
        GenerationsAction::Switch { generation, keep_old } => {
            let options = ReplayOptions::new().keep_old(keep_old);
            let mut following = console.follow(name);
            let show = |progress: ReplayProgress| following.show(&progress);
            let switched = projector.switch_to_with(name, Generation(generation), &options, show).await?;
            drop(following);
            let Switched { generation: live, replaced, caught_up } = switched;
            if args.json {
                let json = SwitchedJson { projection: name, live, replaced, caught_up };
                writeln!(out, "{}", serde_json::to_string(&json)?)?;
            } else {
                let caught_up =
                    if caught_up == 0 { String::new() } else { format!(", after {caught_up} events that came since") };
                let kept = kept(replaced, keep_old);
                writeln!(out, "{name}: generation {live} is live{caught_up}; {kept}")?;
            }
        }
        GenerationsAction::Drop { generation } => {
            let dropped = projector.drop_generation(name, Generation(generation)).await?;
            let Dropped { generation: dropped, version, was_live } = dropped;
            if args.json {
                let json = DroppedJson { projection: name, dropped, version: version.0, was_live };
                writeln!(out, "{}", serde_json::to_string(&json)?)?;
            } else if was_live {
                writeln!(
                    out,
                    "{name}: generation {dropped} is dropped, which was live for version {version}; a deployment of that version \
                     that still runs builds its read model anew"
                )?;
            } else {
                writeln!(out, "{name}: generation {dropped} is dropped")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// What becomes of a generation that was replaced, in words.
pub(crate) fn kept(replaced: Generation, keep: Duration) -> String {
    match keep {
        Duration::ZERO => format!("generation {replaced} is dropped"),
        Duration::MAX => format!("generation {replaced} is kept until it is dropped"),
        keep => format!("generation {replaced} is kept for {}", show_duration(keep)),
    }
}

async fn list(args: &GenerationsArgs, projector: &Projector, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let mut generations = Vec::new();
    for info in projector.generations(&args.name).await? {
        let past = projector.kept_past(&args.name, info.generation).await?;
        generations.push((info, past));
    }
    if args.json {
        let generations = generations.into_iter().map(GenerationJson::from).collect();
        writeln!(out, "{}", serde_json::to_string(&ListedJson { projection: &args.name, generations })?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:>10}  {:>7}  {:<8}  {:>12}  {:<23}  kept until",
        "generation", "version", "state", "checkpoint", "begun"
    )?;
    for (info, past) in &generations {
        line(info, out)?;
        if let Some(past) = past {
            writeln!(out, "{:>10}  {past}", "")?;
        }
    }
    Ok(())
}

fn line(info: &GenerationInfo, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let state = match info.state {
        GenerationState::Building => "building",
        GenerationState::Live => "live",
        GenerationState::Retired => "retired",
        GenerationState::Reopened => "reopened",
    };
    let time = |time: &chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let kept = match (&info.kept_until, info.state) {
        (Some(until), _) => time(until),
        (None, GenerationState::Retired) => "it is dropped".to_owned(),
        (None, _) => String::new(),
    };
    let line = format!(
        "{:>10}  {:>7}  {state:<8}  {:>12}  {}  {kept}",
        info.generation.to_string(),
        info.version.to_string(),
        info.checkpoint.to_string(),
        time(&info.created_at)
    );
    writeln!(out, "{}", line.trim_end())?;
    if let Some(failure) = &info.failure {
        writeln!(out, "{:>10}  {failure}", "")?;
    }
    Ok(())
}

impl From<(GenerationInfo, Option<KeptPast>)> for GenerationJson {
    fn from((info, past): (GenerationInfo, Option<KeptPast>)) -> Self {
        Self {
            generation: info.generation,
            version: info.version.0,
            state: info.state,
            created_at: info.created_at,
            kept_until: info.kept_until,
            checkpoint: info.checkpoint,
            past,
            failure: info.failure,
        }
    }
}
