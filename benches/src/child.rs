//! One measurement in a process of its own, so that its peak of memory is its own, and nothing warmed up before it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::workload::{Side, Workload};
use crate::workloads;

/// What the process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    workload: String,
    /// Which side to measure; `None` to prepare.
    side: Option<String>,
    folder: PathBuf,
    size: usize,
}

/// What it answers on its standard output.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The rate; 0 for a preparation.
    pub(crate) value: f64,
    /// The most memory that the process had, in bytes, where the system says so.
    pub(crate) peak_bytes: Option<u64>,
}

/// Starts the process and waits for its answer. `None` for the side prepares.
pub(crate) fn run(workload: &dyn Workload, side: Option<Side>, folder: &Path, size: usize) -> Result<Sample> {
    let order = Order {
        workload: workload.name().to_owned(),
        side: side.map(|side| side.name().to_owned()),
        folder: folder.to_path_buf(),
        size,
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--child", &serde_json::to_string(&order)?]).stderr(Stdio::inherit());
    let output = command.output()?;
    if !output.status.success() {
        let what = side.map_or("preparing", Side::name);
        return Err(format!("{}, {what}: the process ended with {}", workload.name(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the process does.
pub(crate) fn perform(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order)?;
    let workload = workloads::find(&order.workload)?;
    let value = match &order.side {
        None => {
            workload.prepare(&order.folder, order.size)?;
            0.0
        }
        Some(name) => {
            let side = Side::from_name(name).ok_or_else(|| format!("there is no side {name}"))?;
            workload.measure(side, &order.folder, order.size)?
        }
    };
    println!("{}", serde_json::to_string(&Sample { value, peak_bytes: peak_bytes() })?);
    Ok(())
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
