//! `turnover`: what went in and out in each month.

use std::io::Write;

use factum_projections::Projection;
use futures_util::TryStreamExt;
use serde::Serialize;

use crate::bank::Bank;
use crate::cli::TurnoverArgs;
use crate::error::BankError;
use crate::money::Sum;
use crate::read_models::MonthlyTurnover;

#[derive(Serialize)]
struct MonthJson {
    month: String,
    credits: String,
    debits: String,
    count: u64,
}

/// `bank-account turnover`.
pub(super) async fn turnover(bank: &Bank, args: &TurnoverArgs, out: &mut dyn Write) -> Result<(), BankError> {
    bank.projector().catch_up_one(MonthlyTurnover::NAME).await?;
    let model = bank.projector().read_model::<MonthlyTurnover>();
    // Documents come by key, and a key is a month written YYYY-MM.
    let months: Vec<_> = model.all().try_collect().await?;
    if args.json {
        let months = months.into_iter().map(|entry| MonthJson {
            month: entry.key,
            credits: entry.document.credits.to_string(),
            debits: entry.document.debits.to_string(),
            count: entry.document.count,
        });
        writeln!(out, "{}", serde_json::to_string(&months.collect::<Vec<_>>())?)?;
        return Ok(());
    }
    writeln!(out, "{:<8} {:>18} {:>18} {:>10}", "month", "credits", "debits", "count")?;
    for entry in &months {
        let month = &entry.document;
        writeln!(out, "{:<8} {:>18} {:>18} {:>10}", entry.key, month.credits, month.debits, month.count)?;
    }
    let credits = Sum::total(months.iter().map(|entry| entry.document.credits));
    let debits = Sum::total(months.iter().map(|entry| entry.document.debits));
    let count: u64 = months.iter().map(|entry| entry.document.count).sum();
    writeln!(out, "{:<8} {credits:>18} {debits:>18} {count:>10}", "total")?;
    Ok(())
}
