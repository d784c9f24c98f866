-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 the greatest position that is wanted
SELECT versions FROM kept
WHERE generation = ?1 AND tenant = ?2 AND key = ?3 AND log = ?4 AND first <= ?5 ORDER BY first DESC
