-- Values that documents are found by, of documents that are not there; and the last that was looked at, if that is as many as may.
-- One row of nothing where there are none, and no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4, $5, $6, $7 tenant, key, log and field after which to begin,
-- $8 how many are looked at
SELECT f.tenant, f.key, f.log, f.field, f.value, f.stray, f.n
FROM factum.find_generation($1, $2, $3) g
LEFT JOIN LATERAL factum.stray_fields(g.id, $4, $5, $6, $7, $8) f ON true
ORDER BY f.n
