//! One measurement in a process of its own, so that its peak of memory is its own, and nothing warmed up before it.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::work::{Side, Size, Work, Workload};
use crate::{Result, limit, ours, prepare};

/// What the process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) workload: Workload,
    pub(crate) what: What,
    pub(crate) place: Place,
    pub(crate) size: Size,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// Makes what all measurements of a workload share.
    Prepare,
    /// Measures one side.
    Measure(Side),
    /// Does one process's part of a measurement that several share: beside others, when told to on standard input.
    Share(usize),
}

/// What it answers on its standard output.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The rate, or the time; 0 for a preparation.
    pub(crate) value: f64,
    /// The most memory that the process had, in bytes, where the system says so.
    pub(crate) peak_bytes: Option<u64>,
}

impl Order {
    /// The process that carries it out.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", &serde_json::to_string(self)?]).stderr(Stdio::inherit());
        Ok(command)
    }

    /// Starts the process and waits for its answer.
    pub(crate) fn run(&self) -> Result<Sample> {
        let output = self.command()?.output()?;
        if !output.status.success() {
            return Err(
                format!("{}, {:?}: the process ended with {}", self.workload.name(), self.what, output.status).into()
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// What the process does.
pub(crate) fn perform(order: &str) -> Result<()> {
    let sample = carry_out(&serde_json::from_str(order)?)?;
    println!("{}", serde_json::to_string(&sample)?);
    Ok(())
}

/// Carries it out in this process.
pub(crate) fn carry_out(order: &Order) -> Result<Sample> {
    let Order { workload, place, size, .. } = order;
    let mut peak_of_others = None;
    let value = match (order.what, workload.work) {
        (What::Prepare, _) => {
            runtime()?.block_on(prepare::prepare(workload, place, *size))?;
            limit::prepare(workload.work, place)?;
            0.0
        }
        (What::Share(share), _) => runtime()?.block_on(ours::share(order, share))?,
        (What::Measure(Side::Ours), Work::Processes { processes, .. }) => {
            let (value, peak) = ours::processes(order, processes)?;
            peak_of_others = peak;
            value
        }
        (What::Measure(Side::Ours), Work::Commits) => limit::measure(workload, false, place, *size)?,
        (What::Measure(Side::Ours), work) => runtime()?.block_on(ours::measure(work, place, *size))?,
        // Their goals are stated as fractions of other workloads of ours.
        (What::Measure(Side::Limit), Work::Hot { .. }) => {
            let work = Work::Execute { tasks: 32, keyed: false };
            runtime()?.block_on(ours::measure(work, place, *size))?
        }
        (What::Measure(Side::Limit), Work::Replay { events, .. }) => {
            runtime()?.block_on(ours::read_all(place, size.events(events), *size))?
        }
        (What::Measure(Side::Limit), Work::Commits) => limit::disk(place, false, *size)?,
        (What::Measure(Side::Bare), Work::Commits) => limit::disk(place, true, *size)?,
        (What::Measure(side), _) => limit::measure(workload, side == Side::Bare, place, *size)?,
    };
    Ok(Sample { value, peak_bytes: peak_bytes().max(peak_of_others) })
}

/// The same for every side: as many threads as there are cores.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The high-water mark of resident memory, which Linux tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    parse_peak(&status)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(parse_peak("VmPeak:\t  900 kB\nVmHWM:\t    512 kB\n"), Some(524_288));
        assert_eq!(parse_peak("VmPeak:\t  900 kB\n"), None);
    }
}
