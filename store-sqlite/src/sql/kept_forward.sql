-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 the position from which versions are wanted: rows from the one that may
-- hold it
SELECT versions FROM kept
WHERE generation = ?1 AND tenant = ?2 AND key = ?3 AND log = ?4
  AND first >= coalesce((SELECT max(first) FROM kept
                         WHERE generation = ?1 AND tenant = ?2 AND key = ?3 AND log = ?4 AND first <= ?5), 0)
ORDER BY first
