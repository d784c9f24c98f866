//! `work`: keeps read models current, in a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use factum::Cursor;
use factum_projections::{Projector, ProjectorError, UnknownProjection, WorkingOn};

use crate::args::WorkArgs;
use crate::command::OpsError;
use crate::console::Console;
use crate::report::one_line;
use crate::work_health::Health;

/// How often is looked whether there is something to say.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) async fn work(args: &WorkArgs, projector: &Projector, console: &Console) -> Result<(), OpsError> {
    let told = told_to_end().map_err(OpsError::Signals)?;
    work_until(args, projector, console, told).await
}

/// Works until `told` ends.
pub(crate) async fn work_until(
    args: &WorkArgs,
    projector: &Projector,
    console: &Console,
    told: impl Future<Output = &'static str> + Send,
) -> Result<(), OpsError> {
    let known: Vec<String> = projector.names().iter().map(ToString::to_string).collect();
    let names = if args.names.is_empty() { &known } else { &args.names };
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        let unknown = UnknownProjection { name: name.clone(), known: known.clone() };
        return Err(ProjectorError::Unknown(unknown).into());
    }
    let health = match args.health {
        Some(address) => {
            let failed = |source| OpsError::Health { address, source };
            Some(Health::bind(address, projector, names, args.lag).await.map_err(failed)?)
        }
        None => None,
    };
    console.say(&format!("works on {} as {}", names.join(", "), projector.holder()));
    if let Some(health) = &health {
        console.say(&format!("health at http://{}/live and /ready", health.address()));
    }
    let only: Vec<&str> = names.iter().map(String::as_str).collect();
    let shutdown = async {
        let signal = told.await;
        console.say(&format!("{signal}: finishes what is in hand"));
    };
    let run = projector.run_only(&only, shutdown);
    let mut here = BTreeSet::new();
    let results = tokio::select! {
        results = run => results?,
        () = report(projector, names, console, &mut here) => Vec::new(),
        () = async { match health { Some(health) => health.serve().await, None => std::future::pending().await } } => Vec::new(),
    };
    let mut failed = 0;
    for ended in &results {
        match &ended.result {
            // What was left to others all the time has no position here.
            Ok(cursor) if *cursor == Cursor::start() && !here.contains(ended.projection.as_str()) => {
                console.say(&format!("{} ended, and was never driven here", ended.projection));
            }
            Ok(cursor) => console.say(&format!("{} ended at {cursor}", ended.projection)),
            Err(error) => {
                failed += 1;
                console.say(&format!("error: {}", one_line(error)));
            }
        }
    }
    if failed > 0 { Err(OpsError::NotEnded { failed, asked: results.len() }) } else { Ok(()) }
}

/// Says what changes: which projection is driven here, and what keeps one from going on. Notes which ever was. Never ends.
async fn report(projector: &Projector, names: &[String], console: &Console, here: &mut BTreeSet<String>) {
    let mut said: BTreeMap<String, WorkingOn> = BTreeMap::new();
    loop {
        for now in projector.working_on() {
            let name = now.name.to_string();
            if !names.contains(&name) {
                continue;
            }
            let before = said.get(&name);
            if now.here {
                here.insert(name.clone());
            }
            if before.is_some_and(|before| before.here) != now.here {
                let what = if now.here { "is driven here" } else { "is no longer driven here" };
                console.say(&format!("{name} {what}"));
            }
            if before.and_then(|before| before.trouble.as_ref()) != now.trouble.as_ref() {
                let what = now
                    .trouble
                    .as_ref()
                    .map_or_else(|| "goes on".to_owned(), |trouble| format!("stands still: {trouble}"));
                console.say(&format!("{name} {what}"));
            }
            said.insert(name, now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends when the process is told to; from now on signals do not end it by themselves.
#[cfg(unix)]
fn told_to_end() -> Result<impl Future<Output = &'static str> + Send, std::io::Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

#[cfg(not(unix))]
fn told_to_end() -> Result<impl Future<Output = &'static str> + Send, std::io::Error> {
    Ok(async {
        // One that cannot be heard never comes.
        match tokio::signal::ctrl_c().await {
            Ok(()) => "interrupted",
            Err(_) => std::future::pending().await,
        }
    })
}
