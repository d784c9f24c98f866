-- ?1 first position, ?2 last position: the versions that one append gave, by stream.
SELECT tenant, stream, min(version), max(version), recorded_at FROM events
WHERE position BETWEEN ?1 AND ?2 GROUP BY tenant, stream ORDER BY min(position)
