//! `replay`: read models anew, while the old ones serve.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use factum::{Cursor, Generation};
use factum_projections::{
    Projector, ReplayError, ReplayEstimate, ReplayOptions, ReplayPhase, ReplayProgress, ReplayReport, VerifyReport,
};
use serde::Serialize;

use crate::args::ReplayArgs;
use crate::command::OpsError;
use crate::console::{Console, next_line};
use crate::generations::kept;
use crate::report::one_line;
use crate::verify::tell;

/// A line of JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Line<'a> {
    Progress {
        projection: &'a str,
        phase: ReplayPhase,
        generation: Generation,
        position: &'a Cursor,
        head: &'a Cursor,
        events: u64,
        events_per_second: u64,
        seconds_left: Option<f64>,
    },
    Done {
        projection: &'a str,
        generation: Generation,
        live: bool,
        position: &'a Cursor,
        kept: Option<Generation>,
        events: u64,
        /// Rounded to milliseconds.
        seconds: f64,
        events_per_second: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        resumed_at: Option<&'a Cursor>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verified: Option<&'a VerifyReport>,
    },
    Failed {
        projection: &'a str,
        error: String,
    },
    NotLive {
        projection: &'a str,
        error: String,
        verified: &'a VerifyReport,
    },
    DryRun(&'a ReplayEstimate),
}

/// What became of what was asked.
#[derive(Default)]
struct Tally {
    failed: usize,
    differing: usize,
}

/// Replays one projection after the other. One that fails is reported and holds up none that comes after it.
pub(crate) async fn replay(
    args: &ReplayArgs,
    projector: &Projector,
    console: &Arc<Console>,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let names = names(args, projector).await?;
    let options = options(args);
    let mut tally = Tally::default();
    for name in &names {
        let done = match args.dry_run {
            true => dry_run(name, args, &options, projector, out).await,
            false => replay_one(name, args, &options, projector, console, out).await,
        };
        match done {
            Ok(()) => {}
            Err(OpsError::Replay(error)) => tally.add(name, &error, args, console, out)?,
            Err(other) => return Err(other),
        }
    }
    match tally {
        Tally { failed: 0, differing: 0 } => Ok(()),
        Tally { failed: 0, .. } => Err(OpsError::Differs),
        Tally { failed, differing } => Err(OpsError::NotReplayed { failed: failed + differing, asked: names.len() }),
    }
}

fn options(args: &ReplayArgs) -> ReplayOptions {
    let mut options = ReplayOptions::new().keep_old(args.keep_old);
    if let Some(to) = &args.to {
        options = options.to(to.clone());
    }
    if args.verify { options.verify() } else { options }
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

async fn replay_one(
    name: &str,
    args: &ReplayArgs,
    options: &ReplayOptions,
    projector: &Projector,
    console: &Arc<Console>,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let report = match args.json {
        true => {
            // Whoever reads may go away; the replay goes on, and what came of it decides the exit code.
            let (mut written, mut due) = (Ok(()), Duration::ZERO);
            let report = projector
                .replay(name, options.clone(), |progress| {
                    if written.is_ok() && progress.elapsed >= due {
                        due = next_line(progress.elapsed);
                        written = step(name, &progress, out);
                    }
                })
                .await;
            let report = report.map_err(|error| OpsError::Replay(Box::new(error)))?;
            written?;
            report
        }
        false => {
            let mut following = console.follow(name);
            let report = projector.replay(name, options.clone(), |progress| following.show(&progress)).await;
            drop(following);
            report.map_err(|error| OpsError::Replay(Box::new(error)))?
        }
    };
    if args.json { line(&done(name, &report), out) } else { say(&report, args.keep_old, out) }
}

fn line(line: &Line<'_>, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    writeln!(out, "{}", serde_json::to_string(line)?)?;
    Ok(out.flush()?)
}

fn step(name: &str, progress: &ReplayProgress, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let left = progress.time_left().map(|left| rounded(left.as_secs_f64()));
    line(
        &Line::Progress {
            projection: name,
            phase: progress.phase,
            generation: progress.generation,
            position: &progress.position,
            head: &progress.head,
            events: progress.events,
            events_per_second: progress.events_per_second().round() as u64,
            seconds_left: left,
        },
        out,
    )
}

fn done<'a>(name: &'a str, report: &'a ReplayReport) -> Line<'a> {
    Line::Done {
        projection: name,
        generation: report.generation,
        live: report.live,
        position: &report.position,
        kept: report.kept,
        events: report.events,
        seconds: rounded(report.seconds),
        events_per_second: report.events_per_second().round() as u64,
        resumed_at: report.resumed_at.as_ref(),
        verified: report.verified.as_ref(),
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn say(report: &ReplayReport, keep_old: Duration, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let ReplayReport { projection, generation, events, seconds, position, .. } = report;
    let resumed = report.resumed_at.as_ref().map_or_else(String::new, |at| format!(", resumed at {at}"));
    let verified = report.verified.as_ref().map_or_else(String::new, |verified| {
        format!(", {} documents are what another fold makes of history", verified.documents)
    });
    let (what, then) = match (report.live, report.kept) {
        (false, _) => (format!("is built up to {position} and not live"), String::new()),
        (true, Some(old)) => ("is live".to_owned(), format!("; {}", kept(old, keep_old))),
        (true, None) => ("is live".to_owned(), String::new()),
    };
    let rate = report.events_per_second();
    writeln!(
        out,
        "{projection}: generation {generation} {what}, {events} events in {seconds:.2} s, {rate:.0} events/s{resumed}{verified}{then}"
    )?;
    Ok(out.flush()?)
}

async fn dry_run(
    name: &str,
    args: &ReplayArgs,
    options: &ReplayOptions,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let estimate = projector.estimate_replay(name, options).await;
    let estimate = estimate.map_err(|error| OpsError::Replay(Box::new(error)))?;
    if args.json {
        return line(&Line::DryRun(&estimate), out);
    }
    let ReplayEstimate { events, from, to, sampled, seconds, .. } = &estimate;
    let about = if estimate.whole { "" } else { "about " };
    let resumed =
        estimate.resumes.map_or_else(String::new, |generation| format!(" into generation {generation}, which is left"));
    writeln!(out, "{name}: would read {about}{events} events after {from} up to {to}{resumed}")?;
    match (estimate.documents, estimate.document_bytes) {
        (Some(documents), Some(bytes)) if estimate.whole => {
            writeln!(out, "  and write {documents} documents of {bytes} bytes in all, and versions of them")?;
        }
        (Some(documents), Some(bytes)) => writeln!(
            out,
            "  and write documents, and versions of them: the oldest {sampled} events make {documents} of {bytes} bytes in all"
        )?,
        _ => writeln!(out, "  and write rows of its own tables")?,
    }
    let rate = estimate.events_per_second();
    let measured = if estimate.documents.is_some() { "reading and folding" } else { "reading" };
    writeln!(
        out,
        "  in about {seconds:.1} s and the time for writing: {measured} takes {rate:.0} events/s; nothing was touched"
    )?;
    Ok(out.flush()?)
}

impl Tally {
    fn add(
        &mut self,
        name: &str,
        error: &ReplayError,
        args: &ReplayArgs,
        console: &Console,
        out: &mut (dyn Write + Send),
    ) -> Result<(), OpsError> {
        console.say(&format!("error: {}", one_line(error)));
        if let ReplayError::Differs { report, differences, .. } = error {
            self.differing += 1;
            for difference in differences {
                tell(difference, args.json, out)?;
            }
            if args.json {
                line(&Line::NotLive { projection: name, error: one_line(error), verified: report }, out)?;
            }
            return Ok(out.flush()?);
        }
        self.failed += 1;
        if args.json {
            line(&Line::Failed { projection: name, error: one_line(error) }, out)?;
        }
        Ok(())
    }
}
