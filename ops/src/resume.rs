//! `resume`: let a projection that halted try again.

use std::io::Write;

use factum::Failure;
use factum_projections::{Projector, Resumed};
use serde::Serialize;

use crate::args::ResumeArgs;
use crate::command::OpsError;

#[derive(Serialize)]
struct ResumedJson {
    projection: String,
    failures: Vec<Failure>,
}

pub(crate) async fn resume(
    args: &ResumeArgs,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let Resumed { projection, failures, .. } = projector.resume(&args.name).await?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&ResumedJson { projection: projection.to_string(), failures })?)?;
        return Ok(out.flush()?);
    }
    if failures.is_empty() {
        writeln!(out, "{projection} was not halted; nothing was changed")?;
    }
    for failure in &failures {
        writeln!(out, "{projection} was {failure}")?;
    }
    if !failures.is_empty() {
        writeln!(out, "whoever runs {projection} tries again within its poll; `status` tells whether it goes on")?;
    }
    Ok(out.flush()?)
}
