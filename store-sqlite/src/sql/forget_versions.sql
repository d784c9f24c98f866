-- ?1 generation, ?2 log, ?3 the position before which rows are not needed, ?4 tenant, ?5 key, ?6 how many at most
DELETE FROM kept WHERE number IN (
  SELECT number FROM kept WHERE generation = ?1 AND tenant = ?4 AND key = ?5 AND log = ?2 AND first < ?3 ORDER BY first LIMIT ?6
)
