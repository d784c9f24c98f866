//! `status`: how far each projection is, and why it is not further.

use std::io::Write;
use std::time::Duration;

use factum::{Cursor, system_timer};
use factum_projections::{ProjectionStatus, Projector};
use serde::Serialize;

use crate::args::StatusArgs;
use crate::command::OpsError;

#[derive(Serialize)]
struct StatusJson {
    head: Cursor,
    projections: Vec<ProjectionStatus>,
}

pub(crate) async fn status(
    args: &StatusArgs,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    loop {
        let projections = match args.over {
            Duration::ZERO => projector.status().await?,
            over => projector.status_over(over).await?,
        };
        // Read after the checkpoints, so that none lies past it.
        let head = projector.head().await?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&StatusJson { head, projections })?)?;
        } else {
            table(&head, &projections, out)?;
        }
        out.flush()?;
        let Some(every) = args.watch else { return Ok(()) };
        system_timer().sleep(every).await;
    }
}

fn table(head: &Cursor, projections: &[ProjectionStatus], out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    writeln!(out, "head {head}")?;
    let width = projections.iter().map(|status| status.name.as_str().len()).max().unwrap_or(0).max(10);
    writeln!(
        out,
        "{:<width$}  {:>7}  {:>10}  {:>12}  {:>10}  {:>10}  {:>10}  state",
        "projection", "version", "generation", "checkpoint", "lag", "seconds", "events/s"
    )?;
    for status in projections {
        line(status, width, out)?;
    }
    Ok(())
}

fn line(status: &ProjectionStatus, width: usize, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    writeln!(
        out,
        "{:<width$}  {:>7}  {:>10}  {:>12}  {:>10}  {:>10}  {:>10}  {}",
        status.name.as_str(),
        status.version,
        or_none(status.generation.map(|generation| generation.to_string())),
        status.checkpoint.to_string(),
        or_none(status.lag.map(|lag| lag.to_string())),
        or_none(status.lag_seconds.map(|seconds| format!("{seconds:.1}"))),
        or_none(status.rate.map(|rate| format!("{rate:.0}"))),
        status.state,
    )?;
    if let Some(owner) = &status.owner {
        let since = owner.since.format("%Y-%m-%d %H:%M:%S UTC");
        writeln!(out, "{:<width$}  run by {} since {since}", "", owner.holder)?;
    }
    if let Some(trouble) = &status.trouble {
        writeln!(out, "{:<width$}  {trouble}", "")?;
    }
    if let Some(failure) = &status.failure {
        let since = failure.since.format("%Y-%m-%d %H:%M:%S UTC");
        writeln!(out, "{:<width$}  since {since}; after a fix: resume {}", "", status.name)?;
    }
    if let Some(kept) = &status.other_fields {
        writeln!(
            out,
            "{:<width$}  keeps other fields than its code declares: {kept}; raise VERSION or replay {}",
            "", status.name
        )?;
    }
    if let Some(past) = &status.past {
        writeln!(out, "{:<width$}  {past}", "")?;
    }
    if let Some(building) = &status.building {
        let [go_on, forget] = building.remedies(status.name.as_str());
        let remedy = if building.stopped { format!(": run {go_on} again, or {forget}") } else { String::new() };
        writeln!(out, "{:<width$}  {building}{remedy}", "")?;
    }
    Ok(())
}
