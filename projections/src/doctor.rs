//! Why something does not move, in words, and what to do.

use std::time::{Duration, Instant};

use factum::{Fault, Finding, GenerationState, Holder, Severity};
use serde::Serialize;

use crate::building::LOOK_EVERY;
use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::failing::Failing;
use crate::owner::Owner;
use crate::projector::Projector;
use crate::status::{ProjectionState, ProjectionStatus};

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is wrong, or good to know: the worst first.
    pub findings: Vec<Finding>,
    /// How far each projection is, where that could be read.
    pub projections: Vec<ProjectionStatus>,
}

impl Diagnosis {
    /// Whether nothing is wrong: there is nothing but notes.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity() == Severity::Note)
    }
}

impl Projector {
    /// Looks why something does not move: at each projection, and at the stores under them. Only looks.
    ///
    /// What has something left to take, and is not known to stand still, is watched for up to this time: it should be longer than
    /// the poll of those who run the projections. Where everything is at the head the answer comes at once. What
    /// cannot be looked at is a finding too, so there is always an answer.
    ///
    /// # Errors
    /// [`ProjectorError::Setup`] alone: there is nothing to look at.
    pub async fn diagnose(&self, watch: Duration) -> Result<Diagnosis, ProjectorError> {
        self.inner.check_setup()?;
        let (events, read_models) =
            futures_util::future::join(self.inner.store.diagnose(), self.inner.read_models.diagnose()).await;
        let mut findings = Vec::new();
        for (of, found) in [("the event store", events), ("the store of read models", read_models)] {
            match found {
                Ok(found) => found.into_iter().for_each(|finding| add(&mut findings, finding)),
                Err(fault) => add(&mut findings, no_answer(of, &fault)),
            }
        }
        let projections = self.watch(watch, &mut findings).await;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
        Ok(Diagnosis { findings, projections })
    }

    /// Looks at the projections until everything that should move has, or the time is over.
    async fn watch(&self, time: Duration, findings: &mut Vec<Finding>) -> Vec<ProjectionStatus> {
        let begun = Instant::now();
        let first = self.look(findings).await;
        let mut now = first.iter().map(|(_, status)| status.clone()).collect::<Vec<_>>();
        let stands =
            |now: &[ProjectionStatus]| first.iter().zip(now).any(|((_, first), now)| is_waited_for(first, now));
        while stands(&now) && begun.elapsed() < time {
            self.inner.options.timer.sleep(LOOK_EVERY.min(time)).await;
            let Ok(leases) = self.inner.leases.observe(&*self.inner.read_models).await else { break };
            for ((driven, first), now) in first.iter().zip(&mut now) {
                if let Ok(status) = self.inner.status(driven, &leases).await {
                    *now = status;
                    now.rate = self.inner.rate(first, now, begun.elapsed().as_secs_f64());
                }
            }
        }
        for ((driven, first), now) in first.iter().zip(&now) {
            for finding in self.of_projection(driven, first, now, begun.elapsed()).await {
                add(findings, finding.about(now.name.to_string()));
            }
        }
        now
    }

    async fn look(&self, findings: &mut Vec<Finding>) -> Vec<(&Driven, ProjectionStatus)> {
        let mut all = Vec::new();
        // Where they cannot be read, so can no status.
        let leases = self.inner.leases.observe(&*self.inner.read_models).await.unwrap_or_default();
        for driven in &self.inner.driven {
            match self.inner.status(driven, &leases).await {
                Ok(status) => all.push((&**driven, status)),
                Err(error) => {
                    let what = format!("how far {} is cannot be read", driven.name());
                    let finding = Finding::new(Severity::Problem, "status-unreadable", what);
                    let remedy = "look at what else is found, and at the store";
                    add(findings, finding.about(driven.name().to_string()).because(error.to_string()).remedy(remedy));
                }
            }
        }
        all
    }

    async fn of_projection(
        &self,
        driven: &Driven,
        first: &ProjectionStatus,
        now: &ProjectionStatus,
        watched: Duration,
    ) -> Vec<Finding> {
        let state = match now.state {
            ProjectionState::Halted => halted(now),
            ProjectionState::NeedsNewerCode => Some(self.needs_newer_code(driven, now).await),
            ProjectionState::Diverged => Some(diverged(now)),
            ProjectionState::Failing => Some(failing(now)),
            ProjectionState::New if now.lag != Some(0) => Some(never_run(now)),
            ProjectionState::New => None,
            ProjectionState::Live => lagging(first, now, watched),
        };
        let fields = driven.documents.as_ref().and_then(|documents| other_fields(now, documents.fields()));
        state.into_iter().chain(fields).chain(building(first, now, watched)).collect()
    }

    async fn needs_newer_code(&self, driven: &Driven, now: &ProjectionStatus) -> Finding {
        let name = &now.name;
        let generations = driven.generations().await.ok().flatten().unwrap_or_default();
        let newer = generations.iter().filter(|info| info.state == GenerationState::Live).map(|info| info.version.0);
        let why = now.trouble.clone().unwrap_or_default();
        match newer.filter(|version| *version > now.version).max() {
            Some(version) => Finding::new(
                Severity::Warning,
                "behind-newer-code",
                format!("version {} of {name} takes no more events; version {version} runs beside it", now.version),
            )
            .because(why)
            .remedy("end the old deployment, then drop its generation with `generations`"),
            None => Finding::new(Severity::Problem, "needs-newer-code", format!("{name} takes no more events"))
                .because(why)
                .remedy("deploy the code that records such events to whoever runs this projection too"),
        }
    }
}

/// Adds what was not found before: a store that keeps events and read models is asked twice.
fn add(findings: &mut Vec<Finding>, finding: Finding) {
    let ids = |of: &Finding| of.holders().iter().map(|holder| holder.id.clone()).collect::<Vec<_>>();
    let same = |other: &Finding| {
        (other.code(), other.projection()) == (finding.code(), finding.projection()) && ids(other) == ids(&finding)
    };
    if !findings.iter().any(same) {
        findings.push(finding);
    }
}

fn no_answer(of: &str, fault: &Fault) -> Finding {
    let finding = Finding::new(Severity::Problem, "store-unreadable", format!("{of} cannot be looked at"));
    finding.because(fault.to_string()).remedy("see that it is there, and that this process may connect to it")
}

/// Whether it has something to do that it was not seen doing.
fn is_waited_for(first: &ProjectionStatus, now: &ProjectionStatus) -> bool {
    let stands = now.state == ProjectionState::Live && is_behind(now) && first.checkpoint == now.checkpoint;
    stands || (is_abandoned(first, now) && !now.building.as_ref().is_some_and(|building| building.stopped))
}

fn is_behind(status: &ProjectionStatus) -> bool {
    status.lag_seconds.is_none_or(|seconds| seconds > 0.0) && status.lag != Some(0)
}

fn is_abandoned(first: &ProjectionStatus, now: &ProjectionStatus) -> bool {
    match (&first.building, &now.building) {
        (Some(first), Some(now)) => (now.stopped || now.stands_as(first)) && now.failure.is_none(),
        _ => false,
    }
}

fn halted(now: &ProjectionStatus) -> Option<Finding> {
    let (name, failure) = (&now.name, now.failure.as_ref()?);
    let what = format!("{name} is halted at position {} of log {}", failure.position, failure.log);
    let why = format!(
        "event {} (version {} of stream {}) could not be taken, since {}: {}",
        failure.event_type,
        failure.version,
        failure.stream,
        failure.since.format("%Y-%m-%d %H:%M:%S UTC"),
        failure.cause
    );
    let remedy = format!(
        "mend the projection so that it takes this event and deploy it to whoever runs {name}, or remove what was in its way; \
         then `resume {name}`"
    );
    Some(Finding::new(Severity::Problem, "halted", what).because(why).remedy(remedy))
}

fn diverged(now: &ProjectionStatus) -> Finding {
    let name = &now.name;
    let finding =
        Finding::new(Severity::Problem, "diverged", format!("{name} shows events that its store does not hold"));
    finding.because(now.trouble.clone().unwrap_or_default()).remedy(format!(
        "see that both databases are the ones that belong together; if the events were restored from a backup, `replay {name}`"
    ))
}

fn failing(now: &ProjectionStatus) -> Finding {
    let finding = Finding::new(Severity::Problem, "failing", format!("{} fails and tries again", now.name));
    let finding = finding.because(now.trouble.clone().unwrap_or_default());
    let finding = finding.remedy("see to its cause; it goes on by itself");
    now.owner.iter().map(holder).fold(finding, Finding::holder)
}

fn other_fields(now: &ProjectionStatus, declared: &[factum::Field]) -> Option<Finding> {
    let (name, kept) = (&now.name, now.other_fields.as_ref()?);
    let what = format!("the documents of {name} are not kept by the fields that its code declares");
    let declared = crate::find::show(declared);
    let why = format!(
        "the live generation keeps: {kept}; the code declares: {declared}. They were changed without a new VERSION, so \
         that nothing is found by what it does not keep"
    );
    let remedy = format!("raise VERSION of {name} and deploy it, or `replay {name}`");
    Some(Finding::new(Severity::Warning, "fields-changed", what).because(why).remedy(remedy))
}

fn never_run(now: &ProjectionStatus) -> Finding {
    let (name, version) = (&now.name, now.version);
    let finding =
        Finding::new(Severity::Problem, "never-run", format!("nothing was built of version {version} of {name}"));
    finding.because("nobody has run it yet").remedy(format!("run `work {name}`, or the service that runs it"))
}

fn lagging(first: &ProjectionStatus, now: &ProjectionStatus, watched: Duration) -> Option<Finding> {
    if !is_behind(now) {
        return None;
    }
    let behind = match (now.lag, now.lag_seconds) {
        (Some(events), Some(seconds)) => format!("{events} events behind, the oldest for {seconds:.0} s"),
        (Some(events), None) => format!("{events} events behind"),
        (None, _) => "behind".to_owned(),
    };
    let name = &now.name;
    if first.checkpoint != now.checkpoint {
        let left = now.lag.zip(now.rate).filter(|(_, rate)| *rate > 0.0);
        let left = left.map_or_else(String::new, |(lag, rate)| format!("; about {:.0} s are left", lag as f64 / rate));
        return Some(Finding::new(Severity::Note, "catching-up", format!("{name} is {behind}, and catches up{left}")));
    }
    let what = format!("{name} is {behind}, and does not move");
    let stood = format!("its checkpoint stayed at {} for {:.1} s", now.checkpoint, watched.as_secs_f64());
    let (code, why, remedy) = match &now.owner {
        None => (
            "nobody-runs-it",
            format!("{stood}, and nobody holds its lease"),
            format!("run `work {name}`, or the service that runs it"),
        ),
        Some(owner) if moves(&first.owner, owner) => (
            "not-moving",
            format!("{stood}, though {} runs it: its lease was renewed meanwhile", owner.holder),
            "see what else is found, and the log of that process".to_owned(),
        ),
        Some(owner) => (
            "lease-stands-still",
            format!(
                "{stood}, and {} holds its lease without renewing it: it is dead, stopped or cut off",
                owner.holder
            ),
            format!("another worker takes it over within seconds: if none does, run `work {name}`"),
        ),
    };
    let finding = Finding::new(Severity::Problem, code, what).because(why).remedy(remedy);
    Some(now.owner.iter().map(holder).fold(finding, Finding::holder))
}

fn moves(first: &Option<Owner>, now: &Owner) -> bool {
    first.as_ref().is_none_or(|first| (first.counter, &first.holder) != (now.counter, &now.holder))
}

fn holder(owner: &Owner) -> Holder {
    let note = Failing::of(&owner.note).map_or_else(|| owner.note.clone(), |failing| failing.to_string());
    let note = Some(note).filter(|note| !note.is_empty());
    Holder::new(owner.holder.clone()).since(Some(owner.since)).state(note)
}

fn building(first: &ProjectionStatus, now: &ProjectionStatus, watched: Duration) -> Option<Finding> {
    let (name, building) = (&now.name, now.building.as_ref()?);
    let generation = building.generation;
    let [go_on, forget] = building.remedies(name.as_str());
    let remedy = format!("run `{go_on}`, which goes on where it stopped, or forget it with `{forget}`");
    let half = if building.state == GenerationState::Reopened { "half caught up" } else { "half built" };
    if let Some(failure) = &building.failure {
        let what = format!("a replay of {name} failed in generation {generation}; the live one serves on");
        let finding = Finding::new(Severity::Warning, "replay-failed", what).because(failure.to_string());
        return Some(finding.remedy(format!("mend the projection, then {remedy}")));
    }
    if is_abandoned(first, now) {
        let at = &building.checkpoint;
        let (what, why) = if building.stopped {
            let why = "its replay was killed, or was told with --to how far to go, or going back to it was cut off";
            (format!("generation {generation} of {name} is {half}, at {at}, and nobody goes on with it"), why)
        } else {
            let watched = watched.as_secs_f64();
            let what =
                format!("generation {generation} of {name} is {half}, at {at}, and did not move for {watched:.1} s");
            (what, "its replay was killed or hangs; look for longer with --watch")
        };
        let finding = Finding::new(Severity::Warning, "replay-abandoned", what).because(why).remedy(remedy);
        return Some(building.owner.iter().map(holder).fold(finding, Finding::holder));
    }
    let what = format!("a replay builds generation {generation} of {name}, now at {}", building.checkpoint);
    let finding = Finding::new(Severity::Note, "replaying", what);
    Some(building.owner.iter().map(holder).fold(finding, Finding::holder))
}
