//! `load`: commands at a rate, and reads that are checked meanwhile.
//!
//! It opens accounts of its own, so that it knows every event of theirs: a balance that is read must be exactly the one that was
//! true at the checkpoint that came with it, no older than what was written or read before. Whatever else goes on
//! (replays, workers that are killed, deployments) must not show.

mod book;
mod report;
mod teller;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bank::Bank;
use crate::cli::LoadArgs;
use crate::error::BankError;
use teller::{Plan, Teller};

/// How many commands may be under way: whoever cannot keep the rate is told by the one that was reached.
const AT_ONCE: usize = 512;

/// How many wrong and failed reads are told one by one.
const TOLD: usize = 10;

/// `bank-account load`.
pub(crate) async fn load(bank: &Bank, args: &LoadArgs, out: &mut dyn Write) -> Result<ExitCode, BankError> {
    let mut rng = args.seed.map_or_else(Rng::new, Rng::with_seed);
    let teller = Arc::new(Teller::open(bank, args.accounts).await?);
    let (room, mut tasks) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    let begun = Instant::now();
    let planned = (args.rate * args.seconds).ceil().max(1.0) as u64;
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    for number in 0..planned {
        let due = begun + Duration::from_secs_f64(number as f64 / args.rate);
        let turn = async {
            tokio::time::sleep_until(due).await;
            room.clone().acquire_owned().await
        };
        let permit = tokio::select! {
            permit = turn => permit,
            _ = &mut interrupted => break,
        };
        let Ok(permit) = permit else { break };
        let (plan, teller) = (Plan::draw(&mut rng, args.accounts), teller.clone());
        tasks.spawn(async move {
            teller.serve(number, plan).await;
            drop(permit);
        });
        while tasks.try_join_next().is_some() {}
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| BankError::Internal(error.to_string()))?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let report = teller.report(seconds);
    for told in report.told.iter().take(TOLD) {
        // Nobody is left to tell that stderr is gone.
        let _ = writeln!(io::stderr(), "{told}");
    }
    report.print(args.json, out)?;
    Ok(if report.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
