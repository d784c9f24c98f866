//! `status`: how far each projection is, and why it is not further.

use std::io::Write;

use factum::Cursor;
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
    let projections = projector.status().await?;
    // Read after the checkpoints, so that none lies past it.
    let head = projector.head().await?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&StatusJson { head, projections })?)?;
        return Ok(());
    }
    writeln!(out, "head {head}")?;
    let width = projections.iter().map(|status| status.name.as_str().len()).max().unwrap_or(0).max(10);
    writeln!(out, "{:<width$}  {:>10}  {:>12}  {:>10}  state", "projection", "generation", "checkpoint", "lag")?;
    for status in &projections {
        line(status, width, out)?;
    }
    Ok(())
}

fn line(status: &ProjectionStatus, width: usize, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    writeln!(
        out,
        "{:<width$}  {:>10}  {:>12}  {:>10}  {}",
        status.name.as_str(),
        or_none(status.generation.map(|generation| generation.to_string())),
        status.checkpoint.to_string(),
        or_none(status.lag.map(|lag| lag.to_string())),
        status.state,
    )?;
    if let Some(trouble) = &status.trouble {
        writeln!(out, "{:<width$}  {trouble}", "")?;
    }
    if let Some(building) = &status.building {
        let failed = building.failure.as_ref().map_or_else(String::new, |failure| format!(", which {failure}"));
        writeln!(
            out,
            "{:<width$}  a replay builds generation {}, now at {}{failed}",
            "", building.generation, building.checkpoint
        )?;
    }
    Ok(())
}
