-- The outcome under a key, and the one event that was recorded under it, if it was one: as the statement `written` tells of it.
-- $1 the key, $2 its tenant, $3 the time since when keys are kept
SELECT event.tenant, event.stream, event.version, event.version, event.recorded_at,
  known.fingerprint, known.first, known.last, known.refusal
FROM factum.keys known LEFT JOIN factum.events event ON event.position = known.first AND known.first = known.last
WHERE known.key = $1 AND known.tenant = $2 AND known.recorded_at >= $3
