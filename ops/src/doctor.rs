//! `doctor`: why something does not move, and what to do.

use std::io::Write;

use factum::{Finding, Severity};
use factum_projections::{Diagnosis, ProjectionStatus, Projector};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::command::OpsError;

#[derive(Serialize)]
struct DoctorJson<'a> {
    well: bool,
    findings: &'a [Finding],
    projections: &'a [ProjectionStatus],
}

pub(crate) async fn doctor(
    args: &DoctorArgs,
    projector: &Projector,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let diagnosis = projector.diagnose(args.watch).await?;
    // What was found stands, whether or not anybody reads it.
    let told = if args.json { tell_json(&diagnosis, out) } else { tell(&diagnosis, out) };
    if diagnosis.is_well() { told } else { Err(OpsError::NotWell) }
}

fn tell_json(diagnosis: &Diagnosis, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    let Diagnosis { findings, projections, .. } = diagnosis;
    let json = DoctorJson { well: diagnosis.is_well(), findings, projections };
    writeln!(out, "{}", serde_json::to_string(&json)?)?;
    Ok(out.flush()?)
}

fn tell(diagnosis: &Diagnosis, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    for finding in &diagnosis.findings {
        writeln!(out, "{}: {} [{}]", finding.severity(), finding.what(), finding.code())?;
        for (label, text) in [("why", finding.why()), ("do", finding.what_to_do())] {
            if !text.is_empty() {
                writeln!(out, "  {label:<4} {text}")?;
            }
        }
        for holder in finding.holders() {
            writeln!(out, "  {:<4} {holder}", "who")?;
        }
    }
    let count = |severity| diagnosis.findings.iter().filter(|finding| finding.severity() == severity).count();
    if diagnosis.is_well() {
        writeln!(out, "all is well with {} projections and their stores", diagnosis.projections.len())?;
    } else {
        writeln!(out, "problems: {}, warnings: {}", count(Severity::Problem), count(Severity::Warning))?;
    }
    Ok(out.flush()?)
}
