//! Measuring: all sides in turns, several rounds of them, and the round in the middle counts.

use std::path::PathBuf;

use crate::Result;
use crate::arguments::Arguments;
use crate::child::{Order, What};
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
    let (mut rounds, mut peak_bytes) = (Vec::new(), None);
    for _ in 0..workload.runs(runs) {
        let mut round = [0.0; 3];
        for (side, value) in Side::ALL.into_iter().zip(&mut round) {
            let sample = match &shared {
                Some(shared) => order(What::Measure(side), shared).run()?,
                None => order(What::Measure(side), &places.lend(workload)?).run()?,
            };
            eprintln!("  {:<6}{:>14.3} {}", side.name(), sample.value, workload.unit());
            *value = sample.value;
            if side == Side::Ours {
                peak_bytes = peak_bytes.max(sample.peak_bytes);
            }
        }
        rounds.push(round);
    }
    let [value, limit, limit_bare] = middle(rounds);
    Ok(Row { value, limit, limit_bare, fraction: value / limit, peak_bytes, ..Row::of(workload) })
}

/// The round with the middle fraction; of an even number of rounds the mean of the two in the middle.
///
/// What a machine does changes by half within a minute, and a round takes seconds: its sides had the same machine, while the medians of
/// each side may be of different ones.
fn middle(mut rounds: Vec<[f64; 3]>) -> [f64; 3] {
    rounds
        .sort_by(|[one, its_limit, _], [other, others_limit, _]| (one / its_limit).total_cmp(&(other / others_limit)));
    let half = rounds.len() / 2;
    match rounds.as_slice() {
        [] => [f64::NAN; 3],
        rounds if rounds.len() % 2 == 1 => rounds[half],
        rounds => std::array::from_fn(|side| f64::midpoint(rounds[half - 1][side], rounds[half][side])),
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

    /// The first round was disturbed on one side, in the second the machine was slow, which is all the same.
    #[test]
    fn the_round_with_the_middle_fraction_counts_whatever_the_speed_of_the_machine_was() {
        let rounds = vec![[50.0, 100.0, 110.0], [32.0, 40.0, 44.0], [90.0, 100.0, 100.0]];
        assert_eq!(middle(rounds), [32.0, 40.0, 44.0]);
        let even = vec![[30.0, 40.0, 50.0], [1.0, 100.0, 1.0], [10.0, 0.1, 1.0], [50.0, 40.0, 70.0]];
        assert_eq!(middle(even), [40.0, 40.0, 60.0]);
        assert!(middle(Vec::new()).iter().all(|side| side.is_nan()));
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
