//! `verify`: whether the documents of a read model are what history makes of them.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use factum_projections::{
    Difference, DifferenceKind, FieldDifference, Json, Projector, ReplayPhase, ReplayProgress, VerifyOptions,
    VerifyProgress, VerifyReport,
};

use crate::args::VerifyArgs;
use crate::command::OpsError;
use crate::console::Console;

/// Tells each difference when it is found: a line of JSON, or a line for the document and one for each field.
pub(crate) async fn verify(
    args: &VerifyArgs,
    projector: &Projector,
    console: &Arc<Console>,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let options = options(args)?;
    // Whoever reads may go away; what is found still decides the exit code.
    let mut written = Ok(());
    let mut following = console.follow(&args.name);
    let report = projector
        .verify(
            &args.name,
            &options,
            |difference| {
                if written.is_ok() {
                    written = tell(&difference, args.json, out);
                }
            },
            |progress| following.show(&shown(progress)),
        )
        .await;
    drop(following);
    let report = report?;
    let written = written.and_then(|()| sum_up(&report, args, out));
    match written {
        Err(error) if report.differences == 0 || !is_broken_pipe(&error) => Err(error),
        _ if report.differences > 0 => Err(OpsError::Differs),
        _ => Ok(()),
    }
}

fn options(args: &VerifyArgs) -> Result<VerifyOptions, OpsError> {
    let mut options = VerifyOptions::new();
    if let Some(tenant) = &args.tenant {
        options = options.tenant(factum::Tenant::new(tenant.as_str())?);
    }
    if !args.keys.is_empty() {
        options = options.keys(&args.keys);
    }
    if let Some(generation) = args.generation {
        options = options.generation(factum::Generation(generation));
    }
    if let Some(count) = args.sample {
        options = options.sample(count);
    }
    Ok(options)
}

fn is_broken_pipe(error: &OpsError) -> bool {
    matches!(error, OpsError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

pub(crate) fn tell(difference: &Difference, json: bool, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    if json {
        writeln!(out, "{}", serde_json::to_string(difference)?)?;
        return Ok(out.flush()?);
    }
    let what = match difference.kind {
        DifferenceKind::Differs => "differs",
        DifferenceKind::Missing => "is missing",
        DifferenceKind::Unexpected => "should not be there",
        DifferenceKind::Unreadable => "cannot be read",
    };
    let tenant = match &difference.tenant {
        tenant if *tenant == factum::Tenant::default() => String::new(),
        tenant => format!(" of tenant {tenant}"),
    };
    let kept = if difference.kept { ", as it is kept for time travel" } else { "" };
    writeln!(out, "{:?}{tenant} {what}{kept}, at position {}", difference.key, difference.position)?;
    difference.fields.iter().try_for_each(|field| tell_field(field, "history", "stored", out))?;
    Ok(out.flush()?)
}

/// A line for a field that differs, with both values under their names.
pub(crate) fn tell_field(
    field: &FieldDifference,
    first: &str,
    second: &str,
    out: &mut (dyn Write + Send),
) -> Result<(), OpsError> {
    let value = |value: &Option<Json>| value.as_ref().map_or_else(|| "absent".to_owned(), Json::to_string);
    writeln!(out, "  {}: {first} {}, {second} {}", field.path, value(&field.expected), value(&field.found))?;
    Ok(())
}

fn sum_up(report: &VerifyReport, args: &VerifyArgs, out: &mut (dyn Write + Send)) -> Result<(), OpsError> {
    if args.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(out.flush()?);
    }
    let VerifyReport { projection, generation, documents, differences, events, seconds, checkpoint, .. } = report;
    let passed = match report.fields_passed {
        0 => String::new(),
        passed => {
            format!("; what {passed} of them are found by was not compared, since they changed as they were read")
        }
    };
    let found = match (documents, differences) {
        (0, 0) => "there are none, and history makes none".to_owned(),
        (_, 0) => "all are what history makes of them".to_owned(),
        (_, 1) => "1 is not what history makes of it".to_owned(),
        (_, several) => format!("{several} are not what history makes of them"),
    };
    let noun = if *documents == 1 { "document" } else { "documents" };
    let nowhere = nowhere(args, *documents);
    writeln!(
        out,
        "{projection}: generation {generation} at {checkpoint}, {documents} {noun} compared, {found}{nowhere}{passed}; \
         {events} events in {seconds:.2} s"
    )?;
    Ok(out.flush()?)
}

/// Of how many keys that were asked for there is nothing to compare: a name may be misspelled.
fn nowhere(args: &VerifyArgs, documents: u64) -> String {
    let asked = args.keys.iter().collect::<BTreeSet<_>>().len() as u64;
    // Where there are none at all, that is said already.
    if documents == 0 || documents >= asked {
        return String::new();
    }
    format!("; of {} of the {asked} keys there is no document, and history makes none", asked - documents)
}

/// What the console shows of a reading of history.
fn shown(progress: VerifyProgress) -> ReplayProgress {
    let VerifyProgress { generation, position, until, events, elapsed, .. } = progress;
    let (phase, from) = (ReplayPhase::Verifying, factum::Cursor::start());
    ReplayProgress { generation, phase, from, position, head: until, events, elapsed }
}
