-- What documents are found by that are not there, for whoever compares a read model with history.

-- Of `p_limit` values after one: those of documents that are not there, and the last of them, each with its place among them.
-- STABLE: it sees what the statement sees that calls it.
CREATE FUNCTION factum.stray_fields(
  p_generation bigint, p_tenant text, p_key text, p_log bigint, p_field text, p_limit bigint
) RETURNS TABLE (tenant text, key text, log bigint, field text, value bytea, stray boolean, n bigint)
LANGUAGE plpgsql STABLE ROWS 10
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off SET enable_sort = off SET jit = off
AS $function$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT f.tenant, f.key, f.log, f.field, f.value, d.there IS NULL, f.n
    FROM (
      SELECT v.*, row_number() OVER () AS n
      FROM (
        SELECT o.tenant, o.key, o.log, o.field, o.value FROM factum.document_fields o
        WHERE o.generation = p_generation AND (o.tenant, o.key, o.log, o.field) > (p_tenant, p_key, p_log, p_field)
        ORDER BY o.tenant, o.key, o.log, o.field LIMIT p_limit
      ) AS v
    ) AS f
    LEFT JOIN LATERAL (
      SELECT true AS there FROM factum.documents c
      WHERE c.generation = p_generation AND c.tenant = f.tenant AND c.key = f.key AND c.log = f.log
        AND c.body IS NOT NULL
      OFFSET 0
    ) AS d ON true
    WHERE d.there IS NULL OR f.n = p_limit;
END $function$;
