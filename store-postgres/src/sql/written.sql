-- The versions that one append gave to its streams, in the order of its writes.
-- $1 the position of its first event, $2 of its last
SELECT tenant, stream, min(version), max(version), max(recorded_at)
FROM factum.events WHERE position BETWEEN $1 AND $2 GROUP BY tenant, stream ORDER BY min(position)
