//! `replay`: read models anew, while the old ones serve.

use std::io::Write;
use std::sync::Arc;

use factum_projections::{Projector, ReplayOptions, ReplayReport};
use serde::Serialize;

use crate::args::ReplayArgs;
use crate::command::OpsError;
use crate::console::Console;
use crate::report::one_line;

#[derive(Serialize)]
struct ReplayJson {
    projection: String,
    generation: factum::Generation,
    events: u64,
    /// Rounded to milliseconds.
    seconds: f64,
    events_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_at: Option<factum::Cursor>,
}

/// Replays one projection after the other. One that fails is reported and holds up none that comes after it.
pub(crate) async fn replay(
    args: &ReplayArgs,
    projector: &Projector,
    console: &Arc<Console>,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let names = names(args, projector).await?;
    let (mut done, mut failed) = (Vec::new(), 0);
    for name in &names {
        let mut following = console.follow(name);
        match projector.replay(name, ReplayOptions::default(), |progress| following.show(&progress)).await {
            Ok(report) => done.push(report),
            Err(error) => {
                failed += 1;
                console.say(&format!("error: {}", one_line(&error)));
            }
        }
    }
    print(done, args.json, out)?;
    if failed == 0 { Ok(()) } else { Err(OpsError::NotReplayed { failed, asked: names.len() }) }
}

/// What is to be replayed, each once. A name that no projection has is an error before anything is begun.
async fn names(args: &ReplayArgs, projector: &Projector) -> Result<Vec<String>, OpsError> {
    if args.all {
        return Ok(projector.names().iter().map(ToString::to_string).collect());
    }
    let mut names: Vec<String> = Vec::new();
    for name in &args.names {
        projector.status_of(name).await?;
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

fn print(done: Vec<ReplayReport>, json: bool, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    if json {
        let done: Vec<_> = done.into_iter().map(ReplayJson::from).collect();
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
    } else {
        for report in done {
            let resumed = report.resumed_at.as_ref().map_or_else(String::new, |at| format!(", resumed at {at}"));
            writeln!(
                out,
                "{}: generation {} is live, {} events in {:.2} s, {:.0} events/s{resumed}",
                report.projection,
                report.generation,
                report.events,
                report.seconds,
                report.events_per_second()
            )?;
        }
    }
    Ok(out.flush()?)
}

impl From<ReplayReport> for ReplayJson {
    fn from(report: ReplayReport) -> Self {
        Self {
            projection: report.projection.to_string(),
            generation: report.generation,
            events: report.events,
            seconds: (report.seconds * 1e3).round() / 1e3,
            events_per_second: report.events_per_second().round() as u64,
            resumed_at: report.resumed_at,
        }
    }
}
