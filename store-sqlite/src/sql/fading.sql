-- ?1 generation, ?2 log, ?3 from where on the past is kept, ?4 how many at most
SELECT first, tenant, key FROM fading WHERE generation = ?1 AND log = ?2 AND first <= ?3 ORDER BY first, tenant, key LIMIT ?4
