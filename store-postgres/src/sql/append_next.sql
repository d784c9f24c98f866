-- Appends one event without tags where nothing needs to be looked up: its sender has appended the last event of the log a moment
-- ago, and the last of the stream, and offers the position and the version after them. Answers when it was recorded; no row where
-- the place was taken: then nothing was recorded, and it is an append like any other.
--
-- A place is free or it is not, which is what the unique indexes are for. They are looked at in the insertion, after the lock is
-- held, and show what is committed by then, whatever the snapshot of the statement and its isolation: no two events get one
-- position or one version. Nothing else is looked at, which is why one statement may take the lock and insert. Positions and
-- versions have no gaps, so that where the one after a recorded one is free, that one is the last; and where the position is free
-- nobody has appended to this stream either: one index to look at is cheaper than two. The sender vouches for that the event
-- before is recorded, as long as that is not a second ago: who has the rights for it may put back an older log under a writer that
-- lives on. Whoever has the table for himself to do so is waited for before the time is looked at.
--
-- The condition is a CASE, whose parts are looked at in this order, and has no row to belong to, so that it is looked at once,
-- before the values of the event are made.
--
-- $1 stream, $2 tenant, $3 category, $4 version, $5 id, $6 type, $7 schema version, $8 occurred at, $9 tags, $10 metadata,
-- $11 payload, $12 position, $13 when the last event of the log was recorded
INSERT INTO factum.events (
  position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata, payload
)
SELECT $12, $4, greatest($13, clock_timestamp()), $8, $5, $7, $2, $3, $1, $6, $9, $10, $11
WHERE CASE
  WHEN pg_advisory_xact_lock(:lock) IS NULL THEN false
  ELSE clock_timestamp() < $13 + interval '1 second' AND current_setting('synchronous_commit') <> 'off'
END
ON CONFLICT (position) DO NOTHING
RETURNING recorded_at
