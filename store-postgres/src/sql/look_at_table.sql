-- What there is under the name of a table that is to be made: whose it is, if it is a projection's.
-- $1 schema, $2 plain name, $3 the name that it is made under
SELECT
  to_regclass(format('%I.%I', $1, $2)) IS NOT NULL AS plain, to_regclass(format('%I.%I', $1, $3)) IS NOT NULL AS aside,
  g.projection, g.version
FROM (SELECT) AS one
LEFT JOIN (
  SELECT g.projection, g.version FROM factum.projected_tables t JOIN factum.generations g ON g.id = t.generation
  WHERE t.place = $1 AND t.name = $2 AND g.state = 'live'
) g ON true
