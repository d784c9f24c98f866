//! Measuring: both sides in turns, each several times, the median counts.

use std::path::PathBuf;

use crate::arguments::Arguments;
use crate::child::{self, Sample};
use crate::report::{self, Row};
use crate::workload::{Side, Workload};
use crate::{Result, workloads};

/// Runs what the command line asks for and reports it.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let chosen = choose(&arguments.workloads)?;
    if arguments.list {
        for workload in chosen {
            println!("{:<16}{:<10}limit: {}", workload.name(), workload.store(), workload.limit_name());
        }
        return Ok(());
    }
    let folder = folder(arguments)?;
    let mut rows = Vec::new();
    for workload in chosen {
        rows.push(measure(workload.as_ref(), arguments, folder.clone())?);
    }
    print!("{}", report::table(&rows));
    if let Some(file) = &arguments.json {
        std::fs::write(file, report::json(&rows)?).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<Box<dyn Workload>>> {
    if names.is_empty() {
        return Ok(workloads::all());
    }
    names.iter().map(|name| workloads::find(name)).collect()
}

/// Beside the program, which lies on a disk; the temporary folder of a system often does not.
fn folder(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(folder) = &arguments.folder {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe()?;
    Ok(program.parent().map(PathBuf::from).unwrap_or_default())
}

fn measure(workload: &dyn Workload, arguments: &Arguments, folder: PathBuf) -> Result<Row> {
    let size = if arguments.quick { workload.size() / 10 } else { workload.size() };
    let folder = tempfile::Builder::new().prefix("factum-bench-").tempdir_in(folder)?;
    eprintln!("{} on {}: preparing {size} ...", workload.name(), workload.store());
    child::run(workload, None, folder.path(), size)?;
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for run in 1..=arguments.runs {
        for (side, samples) in Side::ALL.into_iter().zip(&mut samples) {
            let sample = child::run(workload, Some(side), folder.path(), size)?;
            eprintln!("  run {run}: {:<6}{:>12.0} {}", side.name(), sample.value, workload.unit());
            samples.push(sample);
        }
    }
    let [ours, limit, bare] = samples;
    Ok(Row {
        store: workload.store(),
        workload: workload.name(),
        value: median(values(&ours)),
        unit: workload.unit(),
        limit: median(values(&limit)),
        limit_name: workload.limit_name(),
        limit_bare: median(values(&bare)),
        fraction: median(values(&ours)) / median(values(&limit)),
        goal: workload.goal(),
        peak_bytes: ours.iter().filter_map(|sample| sample.peak_bytes).max(),
    })
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

/// The middle value; of an even number of values the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_one_that_is_far_off() {
        assert!((median(vec![9_000.0, 2.0, 1.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn an_unknown_workload_is_an_error_that_names_those_there_are() {
        let error = choose(&["imprt".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("imprt") && error.contains("import") && error.contains("replay"), "{error}");
    }

    #[test]
    fn without_a_name_all_workloads_are_chosen_and_their_names_differ() {
        let all = choose(&[]).unwrap();
        let names: std::collections::BTreeSet<_> = all.iter().map(|workload| workload.name()).collect();
        assert_eq!(names.len(), all.len());
    }
}
