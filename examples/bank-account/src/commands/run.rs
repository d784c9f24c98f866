//! `run`: one command per line, in one process.
//!
//! A line is split at spaces, outside of quotes; an empty one, or one that begins with #, is skipped. A command that
//! fails is reported with its line and stops no other.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::bank::Bank;
use crate::cli::{Line, RunArgs};
use crate::error::BankError;
use crate::store_url::without_passwords;

/// `bank-account run`.
pub(crate) async fn run(bank: &Bank, args: &RunArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let unreadable = |source| BankError::Script { file: args.file.clone(), source };
    let reader: Box<dyn BufRead> = if args.file == Path::new("-") {
        Box::new(io::BufReader::new(io::stdin()))
    } else {
        Box::new(io::BufReader::new(std::fs::File::open(&args.file).map_err(unreadable)?))
    };
    let (mut commands, mut failed) = (0, 0);
    for (number, line) in (1u64..).zip(reader.lines()) {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        commands += 1;
        let result = execute(bank, &line, out).await;
        out.flush()?;
        let what = match result {
            Ok(ExitCode::SUCCESS) => continue,
            Ok(_) => "the command failed".to_owned(),
            Err(error) if error.is_broken_pipe() => return Err(error),
            Err(error) => error.line(),
        };
        failed += 1;
        let _ = writeln!(io::stderr(), "error: {}:{number}: {what}", args.file.display());
    }
    if failed == 0 { Ok(()) } else { Err(BankError::CommandsFailed { failed, commands }) }
}

async fn execute(bank: &Bank, line: &str, out: &mut dyn Write) -> Result<ExitCode, BankError> {
    let words = split(line).ok_or(BankError::Quote)?;
    match Line::try_parse_from(words) {
        Ok(line) => line.command.execute(bank, out).await,
        // Help is printed through the same error.
        Err(usage) if !usage.use_stderr() => {
            write!(out, "{usage}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(usage) => Err(BankError::Usage { what: complaint(&without_passwords(usage).to_string()) }),
    }
}

/// What clap says is wrong, without the usage that it adds below.
fn complaint(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>();
    let complaint = lines.join(" ");
    complaint.strip_prefix("error: ").unwrap_or(&complaint).to_owned()
}

/// The words of a line; `None` where a quote is not closed.
fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_spaces_outside_of_quotes() {
        assert_eq!(
            split(r#"open  7 "Jana Nová" --key 'a b'"c" "" "#).unwrap(),
            ["open", "7", "Jana Nová", "--key", "a bc", ""]
        );
        assert_eq!(split("open 7 \"Jana"), None);
    }
}
