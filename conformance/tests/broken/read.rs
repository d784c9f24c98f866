//! Reading, broken.

use chrono::TimeDelta;
use factum::{
    Direction, EventId, EventStore, LogId, LogPage, Mark, PageLimit, Position, Query, ReadError, ReadLog, ReadStream,
    RecordedEvent, StreamPage, Version,
};

use crate::how::How;
use crate::store::Broken;

impl Broken {
    pub(crate) async fn broken_read_stream(&self, mut read: ReadStream) -> Result<StreamPage, ReadError> {
        read.stream = self.stream(read.stream);
        if self.how == How::TakesLimitsByTheLetter && read.limit.events == 0 {
            return Ok(StreamPage::default());
        }
        read.limit = self.limit(read.limit);
        match self.how {
            How::ReadsForwardOnly => read.direction = Direction::Forward,
            How::IncludesAfter if read.direction == Direction::Forward => {
                read.after = read.after.and_then(|after| Version::new(after.get() - 1).ok());
            }
            How::IncludesAfter => read.after = read.after.map(Version::next),
            How::IgnoresUpTo => read.up_to = None,
            _ => {}
        }
        let mut page = self.inner.read_stream(read).await?;
        page.events.iter_mut().for_each(|event| self.read_event(event));
        page.end = self.end(page.end);
        Ok(page)
    }

    pub(crate) async fn broken_read_log(&self, mut read: ReadLog) -> Result<LogPage, ReadError> {
        if self.how == How::TakesLimitsByTheLetter && read.limit.events == 0 {
            return Ok(LogPage::default());
        }
        read.limit = self.limit(read.limit);
        match self.how {
            How::ReadsForwardOnly => {
                read.direction = Direction::Forward;
                read.after = if read.after == Position::END { Position::START } else { read.after };
            }
            How::IncludesAfter => read.after = Position::new(read.after.get().saturating_sub(1)),
            How::IgnoresUpTo => read.up_to = Position::END,
            How::IgnoresFilters => read.filter = Query::all(),
            _ => {}
        }
        let (log, forward) = (read.log, read.direction == Direction::Forward);
        let mut page = match self.inner.read_log(read).await {
            Err(ReadError::NoSuchLog { .. }) if matches!(self.how, How::InventsLogs | How::DeclaresTooManyLogs) => {
                return Ok(LogPage { end: true, ..LogPage::default() });
            }
            other => other?,
        };
        page.end = self.end(page.end);
        let head = self.inner.head().await?.get(log);
        match self.how {
            How::ReachesOnlyWhatMatches => page.reached = page.events.last().map(mark),
            How::ReachesTooFar if forward => {
                let last = self.inner.read_positions(log, &[head]).await?;
                page.reached = page.reached.and(last.first().map(mark));
            }
            How::MarksAnotherEvent => {
                page.reached = page.reached.map(|reached| Mark { event: EventId::generate(), ..reached });
            }
            How::ShowsOutOfOrder => {
                page.events.retain(|event| event.position.get() + 1 != head.get() || head.get() < 3);
            }
            How::LeavesGaps => page.events.retain(|event| event.position.get() % 5 != 4),
            _ => {}
        }
        page.events.iter_mut().for_each(|event| self.read_event(event));
        Ok(page)
    }

    pub(crate) async fn broken_read_positions(
        &self,
        log: LogId,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut events = match self.inner.read_positions(log, positions).await {
            Err(ReadError::NoSuchLog { .. }) if self.how == How::InventsLogs => return Ok(Vec::new()),
            other => other?,
        };
        events.iter_mut().for_each(|event| self.read_event(event));
        match self.how {
            How::ReversesPositions => events.reverse(),
            How::PositionsWithoutTags => events.iter_mut().for_each(|event| event.tags.clear()),
            _ => {}
        }
        Ok(events)
    }

    fn limit(&self, limit: PageLimit) -> PageLimit {
        match self.how {
            How::IgnoresLimits => PageLimit::events(10_000),
            How::IgnoresBytes => PageLimit { bytes: usize::MAX, ..limit },
            _ => limit,
        }
    }

    fn end(&self, end: bool) -> bool {
        match self.how {
            How::NeverEnds => false,
            How::AlwaysEnds => true,
            _ => end,
        }
    }

    fn read_event(&self, event: &mut RecordedEvent) {
        match self.how {
            How::GoesBackInTime => {
                let back = TimeDelta::minutes(i64::try_from(event.position.get()).unwrap());
                event.recorded_at -= back;
            }
            How::InventsTimes if event.metadata.when().is_none() => {
                event.metadata = event.metadata.clone().occurred_at(event.recorded_at);
            }
            _ => {}
        }
    }
}

fn mark(event: &RecordedEvent) -> Mark {
    Mark { position: event.position, event: event.id }
}
