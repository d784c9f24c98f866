-- ?1 generation, ?2 tenant, ?3 the key after which to begin, ?4 whether deleted ones are listed (1 or 0)
SELECT log, position, version, recorded_at, occurred_at, positions, body, key FROM documents
WHERE generation = ?1 AND tenant = ?2 AND key > ?3 AND (?4 = 1 OR body IS NOT NULL) ORDER BY key, log
