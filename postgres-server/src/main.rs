//! `cargo run -p factum-postgres-server`: a Postgres server to try things on, for as long as this runs.

use std::io::{Read, Write};
use std::process::ExitCode;

use factum_postgres_server::{Server, ServerError, ServerOptions};

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}{}", error_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prints where the server is, and keeps it until standard input ends or this process does.
fn serve() -> Result<(), ServerError> {
    let server = Server::start(&ServerOptions::default())?;
    println!("{}", server.admin_url());
    if std::io::stdout().flush().is_ok() {
        eprintln!("running until Ctrl-D or Ctrl-C, then everything is removed");
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    }
    Ok(())
}

fn error_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source()).map(|cause| format!(": {cause}")).collect()
}
