-- ?1 generation, ?2 log, ?3 position of the first version of a row, ?4 tenant, ?5 key
DELETE FROM fading WHERE generation = ?1 AND log = ?2 AND first = ?3 AND tenant = ?4 AND key = ?5
