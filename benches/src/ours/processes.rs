//! Several processes on one store.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use super::commands::{commanders, repository};
use crate::Result;
use crate::child::{Order, Sample, What};
use crate::window::together;
use crate::work::Work;

/// What a process says once it is warm, and what it is told then.
const READY: &str = "ready";
const GO: &str = "go";

/// Starts the processes, lets them go at the same time: how many commands a second they do together, and the peak of
/// memory of the one that had most.
pub(crate) fn processes(order: &Order, processes: usize) -> Result<(f64, Option<u64>)> {
    let mut running = Vec::with_capacity(processes);
    for number in 0..processes {
        let order = Order { what: What::Share(number), ..order.clone() };
        running.push(order.command()?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    }
    let done = attend(&mut running);
    for child in &mut running {
        // Where one failed the others still wait; those that ended are not harmed.
        let _ = child.kill();
        child.wait()?;
    }
    done
}

fn attend(running: &mut [Child]) -> Result<(f64, Option<u64>)> {
    let mut outputs = Vec::with_capacity(running.len());
    for child in running.iter_mut() {
        let mut output = BufReader::new(child.stdout.take().ok_or("a process without an output")?);
        let said = line(&mut output)?;
        if said != READY {
            return Err(format!("a process said {said:?} instead of being ready").into());
        }
        outputs.push(output);
    }
    for child in running.iter_mut() {
        writeln!(child.stdin.take().ok_or("a process without an input")?, "{GO}")?;
    }
    let (mut value, mut peak) = (0.0, None);
    for mut output in outputs {
        let sample: Sample = serde_json::from_str(&line(&mut output)?)?;
        value += sample.value;
        peak = sample.peak_bytes.max(peak);
    }
    Ok((value, peak))
}

fn line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// What one of the processes does.
pub(crate) async fn share(order: &Order, number: usize) -> Result<f64> {
    let Work::Processes { processes, tasks } = order.workload.work else {
        return Err("only a workload of several processes is shared".into());
    };
    let store = order.place.open().await?;
    let (of, mine) = (processes * tasks, number * tasks..(number + 1) * tasks);
    let commanders = commanders(&repository(&store), mine, of, false, order.size);
    let window = order.size.window(order.place.kind(), order.size.streams().div_ceil(of));
    let start = async {
        println!("{READY}");
        let said = line(&mut std::io::stdin().lock())?;
        if said == GO { Ok(()) } else { Err("the process that counts has ended".into()) }
    };
    together(commanders, window, start).await
}
