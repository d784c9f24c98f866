-- ?1 generation, ?2 tenant, ?3 key
SELECT log, position, version, recorded_at, occurred_at, positions, body FROM documents
WHERE generation = ?1 AND tenant = ?2 AND key = ?3 AND body IS NOT NULL ORDER BY log
