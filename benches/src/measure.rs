//! Measuring: all sides in turns, each several times, the median counts.

use std::path::PathBuf;

use crate::Result;
use crate::arguments::Arguments;
use crate::child::{Order, Sample, What};
use crate::place::{Lent, Places};
use crate::report::{self, Row};
use crate::work::{self, Side, Size, Workload};

/// Runs what the command line asks for and reports it.
pub(crate) fn all(arguments: &Arguments) -> Result<()> {
    let chosen = choose(arguments)?;
    if arguments.list {
        for workload in chosen {
            println!("{:<9}{:<24}limit: {}", workload.store.name(), workload.name(), workload.limit_name());
        }
        return Ok(());
    }
    let size = if arguments.quick { Size::Quick } else { Size::Full };
    let places = Places::new(folder(arguments)?);
    let mut rows = Vec::new();
    for workload in chosen {
        rows.push(measure(&workload, arguments.runs, size, &places)?);
    }
    print!("{}\n{}", report::table(&rows), report::goals(&rows));
    if let Some(file) = &arguments.json {
        std::fs::write(file, report::json(&rows)?).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn choose(arguments: &Arguments) -> Result<Vec<Workload>> {
    let all: Vec<_> = arguments.store.kinds().into_iter().flat_map(work::of).collect();
    let asked = &arguments.workloads;
    if let Some(unknown) = asked.iter().find(|name| !all.iter().any(|workload| workload.name() == **name)) {
        let mut names: Vec<_> = all.iter().map(Workload::name).collect();
        names.sort_unstable();
        names.dedup();
        return Err(format!("there is no workload `{unknown}`; there are: {}", names.join(", ")).into());
    }
    Ok(all.into_iter().filter(|workload| asked.is_empty() || asked.contains(&workload.name())).collect())
}

/// Beside the program, which lies on a disk; the temporary folder of a system often does not.
fn folder(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(folder) = &arguments.folder {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe()?;
    Ok(program.parent().map(PathBuf::from).unwrap_or_default())
}

fn measure(workload: &Workload, runs: u32, size: Size, places: &Places) -> Result<Row> {
    eprintln!("{}: {} ...", workload.store.name(), workload.name());
    let order = |what, lent: &Lent| Order { workload: *workload, what, place: lent.place.clone(), size };
    let shared = if workload.is_prepared() { Some(places.lend(workload)?) } else { None };
    if let Some(shared) = &shared {
        order(What::Prepare, shared).run()?;
    }
    let mut samples: [Vec<Sample>; 3] = Default::default();
    for _ in 0..workload.runs(runs) {
        for (side, samples) in Side::ALL.into_iter().zip(&mut samples) {
            let sample = match &shared {
                Some(shared) => order(What::Measure(side), shared).run()?,
                None => order(What::Measure(side), &places.lend(workload)?).run()?,
            };
            eprintln!("  {:<6}{:>14.3} {}", side.name(), sample.value, workload.unit());
            samples.push(sample);
        }
    }
    let [ours, limit, bare] = samples;
    let peak_bytes = ours.iter().filter_map(|sample| sample.peak_bytes).max();
    let [value, limit, limit_bare] = [ours, limit, bare].map(|side| median(values(&side)));
    Ok(Row { value, limit, limit_bare, fraction: value / limit, peak_bytes, ..Row::of(workload) })
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
    use crate::child::carry_out;
    use crate::work::{StoreKind, Work};
    use clap::Parser;
    use factum_postgres_server::Server;

    fn chosen(line: &str) -> Result<Vec<Workload>> {
        choose(&Arguments::try_parse_from(line.split_whitespace())?)
    }

    #[test]
    fn the_median_ignores_one_that_is_far_off() {
        assert!((median(vec![9_000.0, 2.0, 1.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn an_unknown_workload_is_an_error_that_names_those_there_are() {
        let error = chosen("benches imprt").err().unwrap().to_string();
        assert!(error.contains("imprt") && error.contains("import") && error.contains("replay"), "{error}");
    }

    #[test]
    fn workloads_are_chosen_by_store_and_by_name() {
        assert!(chosen("benches --store memory").unwrap().iter().all(|chosen| chosen.store == StoreKind::Memory));
        let replay = chosen("benches replay").unwrap();
        assert!(replay.len() == StoreKind::ALL.len() && replay.iter().all(|chosen| chosen.name() == "replay"));
    }

    /// Several processes need the program itself.
    fn in_this_process(workload: &Workload) -> bool {
        !matches!(workload.work, Work::Processes { .. })
    }

    /// Each side of each workload, with next to nothing to do.
    fn every_side_gives_a_figure(store: StoreKind, places: &Places) {
        for workload in work::of(store).into_iter().filter(in_this_process) {
            let order = |what, lent: &Lent| Order { workload, what, place: lent.place.clone(), size: Size::Tiny };
            let mut lent = places.lend(&workload).unwrap();
            if workload.is_prepared() {
                carry_out(&order(What::Prepare, &lent)).unwrap();
            }
            for side in Side::ALL {
                if !workload.is_prepared() {
                    lent = places.lend(&workload).unwrap();
                }
                let value = carry_out(&order(What::Measure(side), &lent)).map(|sample| sample.value);
                let value = value.unwrap_or_else(|error| panic!("{}, {}: {error}", workload.name(), side.name()));
                assert!(value > 0.0 && value.is_finite(), "{}, {}: {value}", workload.name(), side.name());
            }
        }
    }

    #[test]
    fn every_workload_in_memory_and_its_limits_give_figures() {
        let folder = tempfile::tempdir().unwrap();
        every_side_gives_a_figure(StoreKind::Memory, &Places::new(folder.path().to_path_buf()));
    }

    #[test]
    fn every_workload_on_sqlite_and_its_limits_give_figures() {
        let folder = tempfile::tempdir().unwrap();
        every_side_gives_a_figure(StoreKind::Sqlite, &Places::new(folder.path().to_path_buf()));
    }

    #[test]
    fn every_workload_on_postgres_and_its_limits_give_figures() {
        let Some(server) = Server::for_test() else { return };
        let folder = tempfile::tempdir().unwrap();
        every_side_gives_a_figure(StoreKind::Postgres, &Places::on(server, folder.path().to_path_buf()));
    }
}
