-- From where on the past is kept, and for each of these keys the current document, and the rows of kept versions from the one that holds the base; one row
-- without a place where there are none, and no row where there is no such generation.
-- $1 projection, $2 generation or NULL, $3 version or NULL, $4 tenants, $5 keys, $6 log, $7 whether the current one may be
-- the base, $8 the position up to which the base lies, $9 its version or NULL, $10 the time of its recording or NULL, $11 of
-- its happening or NULL, $12 how many versions at most
SELECT v.log, v.position, v.version, v.recorded_at, v.occurred_at, v.positions, v.body, v.n, v.committed, v.versions, p.kept_from
FROM factum.find_generation($1, $2, $3) g
CROSS JOIN LATERAL (
  SELECT coalesce(max(c.kept_from), 0) AS kept_from FROM factum.checkpoints c WHERE c.generation = g.id AND c.log = $6
) AS p
LEFT JOIN LATERAL (
  WITH asked AS MATERIALIZED (
    SELECT a.n, a.tenant, a.key, d.log, d.position, d.version, d.recorded_at, d.occurred_at, d.positions, d.body
    FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS a(tenant, key, n)
    LEFT JOIN LATERAL (
      SELECT c.* FROM factum.documents c
      WHERE c.generation = g.id AND c.tenant = a.tenant AND c.key = a.key AND c.log = $6
      OFFSET 0
    ) AS d ON true
  )
  SELECT
    a.log, a.position, a.version, a.recorded_at, a.occurred_at, a.positions, a.body, a.n, NULL::bigint AS first,
    NULL::bigint AS committed, NULL::bytea AS versions
  FROM asked a WHERE a.log IS NOT NULL
  UNION ALL
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, a.n, k.first, k.committed, k.versions
  FROM asked a
  CROSS JOIN LATERAL (
    SELECT k.first, k.committed, k.versions FROM factum.kept k
    WHERE k.generation = g.id AND k.tenant = a.tenant AND k.key = a.key AND k.log = $6
      AND k.first >= coalesce((
        SELECT b.first FROM factum.kept b
        WHERE b.generation = g.id AND b.tenant = a.tenant AND b.key = a.key AND b.log = $6 AND b.first <= $8
          AND ($9::bigint IS NULL OR b.version <= $9) AND ($10::timestamptz IS NULL OR b.recorded_at <= $10)
          AND ($11::timestamptz IS NULL OR b.occurred_at <= $11)
        ORDER BY b.first DESC LIMIT 1
      ), 0)
    ORDER BY k.first, k.committed LIMIT $12
  ) AS k
  WHERE a.log IS NULL OR NOT ($7 AND a.position <= $8
    AND ($9::bigint IS NULL OR a.version <= $9) AND ($10::timestamptz IS NULL OR a.recorded_at <= $10)
    AND ($11::timestamptz IS NULL OR a.occurred_at <= $11))
) AS v ON true
ORDER BY v.n, v.first, v.committed
